//! The STUN and TURN servers that clients are told of (section 3), as an operator writes them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ahoy_protocol::id::Username;
use ahoy_protocol::message::{IceServer, IceServerList};
use serde::Deserialize;

use crate::hosts::Hosts;
use crate::turn::{Secret, Turn, credentials};

/// What clients are told of.
#[derive(Debug, Clone)]
pub struct IceConfig {
    /// This server's own relay.
    pub turn: Option<TurnOffer>,
    /// Others, as the operator named them.
    pub servers: Vec<IceServerArgument>,
    /// How long credentials of users with a key hold, in seconds; clients ask again at half of it.
    pub keyed_ttl_s: u32,
    /// The same for guests.
    pub guest_ttl_s: u32,
}

impl Default for IceConfig {
    /// The contract's numbers and no server.
    fn default() -> Self {
        Self { turn: None, servers: Vec::new(), keyed_ttl_s: 12 * 3_600, guest_ttl_s: 15 * 60 }
    }
}

/// A relay of this program, as clients are told of it.
#[derive(Debug, Clone)]
pub struct TurnOffer {
    secret: Secret,
    addresses: Vec<SocketAddr>,
    tls_port: Option<u16>,
    running: Arc<AtomicBool>,
}

/// One `--ice-server`: a URL, or an `RTCIceServer` in JSON (webrtc-pc §4.2.4), or the latter with a `secret` in place of
/// name and password: then each user gets their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerArgument {
    server: IceServer,
    secret: Option<Secret>,
}

/// A text that names no ICE server.
#[derive(Debug, thiserror::Error)]
pub enum IceError {
    /// JSON of another shape.
    #[error("not an ICE server: {0}; write {{\"urls\":[\"turn:host:3478\"],\"username\":\"…\",\"credential\":\"…\"}}")]
    Json(#[from] serde_json::Error),
    /// Neither `stun:` nor `turn:` (RFC 7064, RFC 7065).
    #[error("not a STUN or TURN URL: {0:?}; write stun:host:3478")]
    Url(String),
    /// TURN is never open to all.
    #[error("a TURN server needs `username` and `credential`, or `secret`; write the server as JSON")]
    NoCredential,
    /// Which of them counts?
    #[error("a TURN server has either `secret`, or `username` and `credential`")]
    Both,
    /// A secret that is none.
    #[error(transparent)]
    Secret(#[from] crate::turn::credentials::SecretError),
}

/// What a client is told that reached this server under `host` (without a port). `unix_now` in seconds since 1970.
pub(crate) fn list(config: &IceConfig, username: &Username, host: &str, unix_now: u64) -> IceServerList {
    let ttl_s = if username.is_guest() { config.guest_ttl_s } else { config.keyed_ttl_s };
    let name = credentials::username(unix_now + u64::from(ttl_s), username.as_str());
    let with_credential = |urls: Vec<String>, secret: &Secret| IceServer {
        urls,
        username: Some(name.clone()),
        credential: Some(secret.credential(&name)),
    };
    let mut ice_servers = Vec::new();
    if let Some((turn, [stun, relay])) = config.turn.as_ref().and_then(|turn| Some((turn, turn.urls(host)?))) {
        ice_servers.push(IceServer { urls: stun, username: None, credential: None });
        ice_servers.push(with_credential(relay, &turn.secret));
    }
    ice_servers.extend(config.servers.iter().map(|IceServerArgument { server, secret }| match secret {
        Some(secret) => with_credential(server.urls.clone(), secret),
        None => server.clone(),
    }));
    IceServerList { ice_servers, ttl_s }
}

/// The host of `host:port`, an IPv6 address in its brackets.
pub(crate) fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The host for clients that did not say what they dialled: the server's own name, or the address where they came in.
pub(crate) fn host_without_login(hosts: &Hosts, local: Option<IpAddr>) -> String {
    match (hosts.first(), local.map(|local| local.to_canonical())) {
        (Some(name), _) => name.to_owned(),
        (None, Some(local)) => in_url(local),
        (None, None) => String::new(),
    }
}

fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

impl TurnOffer {
    /// Of a running relay, whose secret that is.
    #[must_use]
    pub fn of(turn: &Turn, secret: Secret) -> Self {
        let tls_port = turn.tls_address().map(|address| address.port());
        Self { secret, addresses: turn.addresses().to_vec(), tls_port, running: turn.running() }
    }

    /// STUN's URLs and the relay's. `None`: the relay failed, or a client there would not reach it.
    fn urls(&self, host: &str) -> Option<[Vec<String>; 2]> {
        let is_near = host == "localhost" || literal(host).is_some_and(|address| address.is_loopback());
        let reaches = |address: &&SocketAddr| is_near || !address.ip().is_loopback();
        let is_same = |address: &&SocketAddr| literal(host) == Some(address.ip());
        let address = self.addresses.iter().find(is_same).or_else(|| self.addresses.iter().find(reaches))?;
        if host.is_empty() || !self.running.load(Relaxed) {
            return None;
        }
        // Who dialled a loopback address is on this machine, and reaches all of its addresses.
        let is_elsewhere = is_near && !address.ip().is_unspecified() && !address.ip().is_loopback();
        let host = if is_elsewhere { in_url(address.ip()) } else { host.to_owned() };
        let port = address.port();
        let mut relay = vec![format!("turn:{host}:{port}?transport=udp"), format!("turn:{host}:{port}?transport=tcp")];
        relay.extend(self.tls_port.map(|port| format!("turns:{host}:{port}?transport=tcp")));
        Some([vec![format!("stun:{host}:{port}")], relay])
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

impl FromStr for IceServerArgument {
    type Err = IceError;

    fn from_str(text: &str) -> Result<Self, IceError> {
        let argument = if text.trim_start().starts_with('{') {
            let Written { urls, username, credential, secret } = serde_json::from_str(text)?;
            let urls = match urls {
                Urls::One(url) => vec![url],
                Urls::Many(urls) => urls,
            };
            let secret = secret.map(|secret| Secret::new(&secret)).transpose()?;
            Self { server: IceServer { urls, username, credential }, secret }
        } else {
            Self { server: IceServer { urls: vec![text.to_owned()], username: None, credential: None }, secret: None }
        };
        let known = |url: &str| ["stun:", "stuns:", "turn:", "turns:"].iter().any(|s| has_rest(url, s));
        let server = &argument.server;
        match server.urls.iter().find(|url| !known(url)) {
            Some(url) => return Err(IceError::Url(url.clone())),
            None if server.urls.is_empty() => return Err(IceError::Url(String::new())),
            None => {}
        }
        let has_account = server.username.is_some() && server.credential.is_some();
        if argument.secret.is_some() && (server.username.is_some() || server.credential.is_some()) {
            return Err(IceError::Both);
        }
        if !has_account && argument.secret.is_none() && server.urls.iter().any(|url| url.starts_with("turn")) {
            return Err(IceError::NoCredential);
        }
        Ok(argument)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    urls: Urls,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    credential: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Many(Vec<String>),
}

fn has_rest(url: &str, scheme: &str) -> bool {
    url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_or_json_names_a_server() {
        let parse = |text: &str| text.parse::<IceServerArgument>().map(|argument| argument.server);
        let stun = parse("stun:stun.example.org:3478").unwrap();
        assert_eq!(stun.urls, ["stun:stun.example.org:3478"]);
        let turn = parse(r#"{"urls":"turn:t.example:3478?transport=udp","username":"u","credential":"c"}"#).unwrap();
        assert_eq!((turn.urls.len(), turn.username.as_deref(), turn.credential.as_deref()), (1, Some("u"), Some("c")));
        assert_eq!(parse(r#"{"urls":["stun:a","stuns:b"]}"#).unwrap().urls.len(), 2);
        for bad in
            ["", "stun:", "example.org", "http://x", "stun:a b", "{", r#"{"urls":[]}"#, r#"{"urls":["x"]}"#, "turn:t"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    fn offer(addresses: &[&str], tls_port: Option<u16>) -> IceConfig {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let secret = Secret::new("north-north-west").unwrap();
        let turn = TurnOffer { secret, addresses, tls_port, running: Arc::new(AtomicBool::new(true)) };
        IceConfig { turn: Some(turn), ..IceConfig::default() }
    }

    fn urls(config: &IceConfig, host: &str) -> Vec<String> {
        let list = list(config, &"alice".parse().unwrap(), host, 0);
        list.ice_servers.into_iter().flat_map(|server| server.urls).collect()
    }

    #[test]
    fn a_user_is_told_of_the_own_relay_under_the_host_that_was_dialled() {
        let config = offer(&["0.0.0.0:3478"], Some(5349));
        assert_eq!(
            urls(&config, "calls.example.org"),
            [
                "stun:calls.example.org:3478",
                "turn:calls.example.org:3478?transport=udp",
                "turn:calls.example.org:3478?transport=tcp",
                "turns:calls.example.org:5349?transport=tcp",
            ]
        );
        assert_eq!(urls(&config, "[2001:db8::1]")[0], "stun:[2001:db8::1]:3478");
        let two = offer(&["192.0.2.1:1", "192.0.2.2:2"], None);
        assert_eq!(urls(&two, "192.0.2.2")[0], "stun:192.0.2.2:2");
        assert_eq!(urls(&two, "127.0.0.1")[0], "stun:192.0.2.1:1");
        assert_eq!(urls(&two, "calls.example.org")[0], "stun:calls.example.org:1");
        let near = offer(&["127.0.0.1:3478"], None);
        assert_eq!(urls(&near, "localhost")[0], "stun:localhost:3478");
        assert!(urls(&near, "calls.example.org").is_empty(), "nobody there would reach it");
        near.turn.as_ref().unwrap().running.store(false, Relaxed);
        assert!(urls(&near, "localhost").is_empty());
    }

    #[test]
    fn credentials_are_a_users_own_and_hold_for_half_a_day_or_a_guests_quarter_of_an_hour() {
        let mut config = offer(&["127.0.0.1:3478"], None);
        config.servers = vec![r#"{"urls":"turn:t.example:3478","secret":"south-south-east"}"#.parse().unwrap()];
        for (name, expiry) in [("alice", 1_000 + 43_200), ("guest-1234", 1_000 + 900)] {
            let list = list(&config, &name.parse().unwrap(), "127.0.0.1", 1_000);
            assert_eq!(u64::from(list.ttl_s), expiry - 1_000);
            let [stun, own, other] = &list.ice_servers[..] else { panic!("{list:?}") };
            assert_eq!(stun.username, None);
            let username = format!("{expiry}:{name}");
            for (server, secret) in [(own, "north-north-west"), (other, "south-south-east")] {
                assert_eq!(server.username.as_ref(), Some(&username));
                assert_eq!(server.credential, Some(Secret::new(secret).unwrap().credential(&username)));
            }
        }
        for bad in [
            r#"{"urls":"turn:t","secret":"short"}"#,
            r#"{"urls":"turn:t","secret":"south-south-east","username":"u","credential":"c"}"#,
        ] {
            assert!(bad.parse::<IceServerArgument>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_told_from_its_port() {
        for (authority, host) in
            [("a.example", "a.example"), ("a.example:1", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(name_of(authority), host);
        }
        assert_eq!(host_without_login(&Hosts::default(), Some("::ffff:10.0.0.1".parse().unwrap())), "10.0.0.1");
        let hosts = Hosts { public: vec!["calls.example.org:8443".parse().unwrap()], ..Hosts::default() };
        assert_eq!(host_without_login(&hosts, None), "calls.example.org");
    }
}
