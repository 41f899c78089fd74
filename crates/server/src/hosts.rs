//! Which hosts are this server: what a signed login may name (section 3) and which pages may connect (section 1).

use std::net::IpAddr;
use std::str::FromStr;

use hyper::http::uri::{Authority, Uri};

/// A host name or address, with or without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Lower case; an IPv6 address in its brackets.
    name: String,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host: write calls.example.org, calls.example.org:8443 or [2001:db8::1]:8443")]
pub struct HostError;

/// The server's own hosts, and those whose pages it serves besides.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// Its own. When there are none: every loopback and private address, which no stranger's server can be reached
    /// at by mistake. Once it has a public name it must not take those: a login meant for another server in the
    /// client's house could be passed on to this one.
    pub public: Vec<Host>,
    /// Others from which a page may connect.
    pub allowed_origins: Vec<Host>,
}

impl Hosts {
    /// Whether a client that dialled this authority dialled this server.
    pub(crate) fn are(&self, authority: &str) -> bool {
        authority.parse().is_ok_and(|dialled| self.has(&dialled))
    }

    /// Whether a page with this `Origin` (RFC 6454 §7) may connect.
    pub(crate) fn allow_origin(&self, origin: &str) -> bool {
        let Some(page) = host_of_origin(origin) else { return false };
        // A page from another port of an own host is still of an own host.
        let is_own =
            if self.public.is_empty() { page.is_near() } else { self.public.iter().any(|own| own.name == page.name) };
        is_own || self.allowed_origins.iter().any(|allowed| allowed.covers(&page))
    }

    /// The first of its own, without a port.
    pub(crate) fn first(&self) -> Option<&str> {
        self.public.first().map(|host| host.name.as_str())
    }

    fn has(&self, dialled: &Host) -> bool {
        if self.public.is_empty() { dialled.is_near() } else { self.public.iter().any(|own| own.covers(dialled)) }
    }
}

impl Host {
    /// Reads an origin as browsers write it, `https://example.org`, as well as `example.org`.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn from_origin_or_host(text: &str) -> Result<Self, HostError> {
        match host_of_origin(text) {
            Some(host) => Ok(host),
            None => text.parse(),
        }
    }

    /// Whether `other` is this host; one named without a port stands for all its ports.
    fn covers(&self, other: &Self) -> bool {
        self.name == other.name && (self.port.is_none() || self.port == other.port)
    }

    /// Loopback (RFC 6761 §6.3, RFC 1122 §3.2.1.3), private (RFC 1918, RFC 4193) or link-local.
    fn is_near(&self) -> bool {
        if self.name == "localhost" || self.name.ends_with(".localhost") {
            return true;
        }
        let bare = self.name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.name);
        match bare.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
            Err(_) => false,
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let authority: Authority = text.parse().map_err(|_| HostError)?;
        // `Authority` also takes `user:password@`, which no client dials, and any colon with anything after it.
        let port = match text.strip_prefix(authority.host()).ok_or(HostError)? {
            "" => None,
            rest => Some(rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(HostError)?),
        };
        let name = authority.host().to_ascii_lowercase();
        if name.is_empty() {
            return Err(HostError);
        }
        Ok(Self { name, port })
    }
}

fn host_of_origin(origin: &str) -> Option<Host> {
    let uri: Uri = origin.parse().ok()?;
    uri.scheme()?;
    uri.authority()?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(public: &[&str], origins: &[&str]) -> Hosts {
        let host = |text: &&str| Host::from_origin_or_host(text).unwrap();
        Hosts { public: public.iter().map(host).collect(), allowed_origins: origins.iter().map(host).collect() }
    }

    #[test]
    fn without_a_public_name_every_loopback_and_private_address_is_the_servers() {
        let own = hosts(&[], &[]);
        for good in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1:40123",
            "127.9.9.9",
            "10.0.0.1",
            "172.31.0.1:1",
            "192.168.1.5",
            "169.254.1.1",
            "[::1]:80",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]:9",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(own.are(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "8.8.8.8",
            "172.32.0.1",
            "[2001:db8::1]",
            "localhost.example.org",
            "x@127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:99999",
            "127.0.0.1/ws",
            "ws://127.0.0.1",
            " 127.0.0.1",
            "127.0.0.1\0",
        ] {
            assert!(!own.are(bad), "{bad:?}");
        }
    }

    #[test]
    fn with_a_public_name_nothing_else_is() {
        let own = hosts(&["calls.example.org", "other.example.org:8443"], &[]);
        for good in ["calls.example.org", "Calls.Example.org:443", "calls.example.org:1", "other.example.org:8443"] {
            assert!(own.are(good), "{good}");
        }
        for bad in ["127.0.0.1", "localhost", "other.example.org", "other.example.org:443", "x.calls.example.org"] {
            assert!(!own.are(bad), "{bad}");
        }
    }

    #[test]
    fn pages_of_own_and_listed_hosts_may_connect() {
        let own = hosts(&["calls.example.org:8443"], &["https://friends.example.net", "example.com:8080"]);
        for good in [
            "https://calls.example.org:8443",
            "https://calls.example.org",
            "https://friends.example.net",
            "https://friends.example.net:444",
            "http://example.com:8080",
        ] {
            assert!(own.allow_origin(good), "{good}");
        }
        for bad in ["", "null", "calls.example.org", "https://evil.example", "http://example.com", "http://127.0.0.1"] {
            assert!(!own.allow_origin(bad), "{bad}");
        }
        assert!(hosts(&[], &[]).allow_origin("http://127.0.0.1:5173"));
        assert!(!hosts(&[], &[]).allow_origin("http://rebound.example"));
    }
}
