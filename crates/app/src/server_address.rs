//! What a person types where a server is asked for, and what is meant by it.

use std::net::{IpAddr, Ipv6Addr};

use ahoy_client::{ServerUrl, ServerUrlError};

/// Longer than any host name with a port and a path (RFC 1035 §2.3.4: 255 octets).
const TYPED_MAX: usize = 512;

/// Why what was typed is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerAddressError {
    /// Nothing.
    #[error("Say which server: a name like calls.example.org, or localhost:4280 for one on this machine.")]
    Empty,
    /// Too much.
    #[error("That is too long for a server's address.")]
    TooLong,
    /// A web page's address.
    #[error("A server's address begins with wss:// or with nothing, not with {0}://.")]
    Scheme(String),
    /// Not an address.
    #[error("{0}.")]
    Url(#[from] ServerUrlError),
}

/// A server as typed: a host, a host with port, or a WebSocket URL. Without a scheme, this machine and private
/// addresses are dialled in plain text, everything else over TLS.
///
/// # Errors
/// [`ServerAddressError`]: what is wrong with it.
pub(crate) fn server_from_typed(text: &str) -> Result<ServerUrl, ServerAddressError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ServerAddressError::Empty);
    }
    if text.len() > TYPED_MAX {
        return Err(ServerAddressError::TooLong);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "ws" | "wss" => Ok(text.parse()?),
            other => Err(ServerAddressError::Scheme(other.to_owned())),
        };
    }
    // An IPv6 address without a port needs no brackets from a person.
    let authority = if text.parse::<Ipv6Addr>().is_ok() { format!("[{text}]") } else { text.to_owned() };
    let scheme = if is_nearby(&authority) { "ws" } else { "wss" };
    Ok(format!("{scheme}://{authority}").parse()?)
}

/// The host (and port) of a server, as a person would say it.
#[must_use]
pub(crate) fn shown_server(server: &ServerUrl) -> String {
    server.authority()
}

/// Whether `host[:port][/path]` is this machine or one with a private address.
fn is_nearby(authority: &str) -> bool {
    let host_and_port = authority.split('/').next().unwrap_or_default();
    let host = match host_and_port.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_the_url_they_mean() {
        for (typed, url) in [
            ("calls.example.org", "wss://calls.example.org/ws"),
            ("  Calls.Example.org ", "wss://calls.example.org/ws"),
            ("calls.example.org:8443", "wss://calls.example.org:8443/ws"),
            ("calls.example.org/signaling", "wss://calls.example.org/signaling"),
            ("8.8.8.8", "wss://8.8.8.8/ws"),
            ("localhost:4280", "ws://localhost:4280/ws"),
            ("LOCALHOST", "ws://localhost/ws"),
            ("127.0.0.1:4280", "ws://127.0.0.1:4280/ws"),
            ("192.168.1.20:4280", "ws://192.168.1.20:4280/ws"),
            ("10.0.0.2", "ws://10.0.0.2/ws"),
            ("::1", "ws://[::1]/ws"),
            ("[::1]:4280", "ws://[::1]:4280/ws"),
            ("[2001:db8::1]:4280", "wss://[2001:db8::1]:4280/ws"),
            ("ws://127.0.0.1:4280/ws", "ws://127.0.0.1:4280/ws"),
            ("WSS://calls.example.org", "wss://calls.example.org/ws"),
        ] {
            let server = server_from_typed(typed);
            assert_eq!(server.as_ref().map(ServerUrl::as_str).ok(), Some(url), "{typed}: {server:?}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_in_a_sentence() {
        let long = "a".repeat(10_000);
        for typed in ["", "   ", "http://calls.example.org", "ws://calls.example.org", "two words", ":4280", &long] {
            let error = server_from_typed(typed).unwrap_err().to_string();
            assert!(error.ends_with('.') && error.len() < 300, "{typed}: {error}");
        }
    }

    #[test]
    fn a_server_is_shown_without_what_a_person_did_not_say() {
        assert_eq!(shown_server(&server_from_typed("calls.example.org").unwrap()), "calls.example.org");
        assert_eq!(shown_server(&server_from_typed("localhost:4280").unwrap()), "localhost:4280");
    }
}
