//! The STUN and TURN servers that clients are told of (section 3), as an operator writes them.

use std::str::FromStr;

use ahoy_protocol::message::{IceServer, IceServerList};
use serde::Deserialize;

/// For keyed users; clients ask again at half of it.
const KEYED_TTL_S: u32 = 12 * 3_600;
/// For guests.
const GUEST_TTL_S: u32 = 15 * 60;

/// One `--ice-server`: a URL, or an `RTCIceServer` in JSON (webrtc-pc §4.2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerArgument(pub IceServer);

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
    #[error("a TURN server needs `username` and `credential`; write the server as JSON")]
    NoCredential,
}

/// What a client is told.
pub(crate) fn list(servers: &[IceServer], guest: bool) -> IceServerList {
    IceServerList { ice_servers: servers.to_vec(), ttl_s: if guest { GUEST_TTL_S } else { KEYED_TTL_S } }
}

impl FromStr for IceServerArgument {
    type Err = IceError;

    fn from_str(text: &str) -> Result<Self, IceError> {
        let server = if text.trim_start().starts_with('{') {
            let Written { urls, username, credential } = serde_json::from_str(text)?;
            let urls = match urls {
                Urls::One(url) => vec![url],
                Urls::Many(urls) => urls,
            };
            IceServer { urls, username, credential }
        } else {
            IceServer { urls: vec![text.to_owned()], username: None, credential: None }
        };
        let known = |url: &str| ["stun:", "stuns:", "turn:", "turns:"].iter().any(|s| has_rest(url, s));
        match server.urls.iter().find(|url| !known(url)) {
            Some(url) => return Err(IceError::Url(url.clone())),
            None if server.urls.is_empty() => return Err(IceError::Url(String::new())),
            None => {}
        }
        let has_credential = server.username.is_some() && server.credential.is_some();
        if !has_credential && server.urls.iter().any(|url| url.starts_with("turn")) {
            return Err(IceError::NoCredential);
        }
        Ok(Self(server))
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
        let parse = |text: &str| text.parse::<IceServerArgument>().map(|argument| argument.0);
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
}
