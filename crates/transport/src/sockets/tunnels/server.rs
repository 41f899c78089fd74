//! What an ICE server's URL asks for (RFC 7064, RFC 7065), and the address under which the peer connection knows a server that
//! is reached over a stream. Pure.

use rtc::ice::url::{ProtoType, SchemeType, Url};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A TURN server over TCP or TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TunnelServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// How a URL is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// STUN over UDP, which the peer connection does itself.
    Reflection { host: String, port: u16 },
    /// TURN over UDP, which it does too.
    Relay { host: String, port: u16 },
    /// TURN over a stream.
    Tunnel(TunnelServer),
}

/// The virtual servers' network: class E (RFC 1112 §4), which nobody routes and no candidate may name.
const NETWORK: [u8; 3] = [240, 0, 0];
const PORT: u16 = 3478;

/// `None` for what cannot be used: STUN over TCP, DTLS, other schemes, and TURN without a name and a password.
pub(super) fn read(url: &str, has_account: bool) -> Option<Way> {
    let Url { scheme, host, port, proto, .. } = Url::parse_url(url).ok()?;
    match (scheme, proto) {
        (SchemeType::Stun, _) => Some(Way::Reflection { host, port }),
        (SchemeType::Turn | SchemeType::Turns, _) if !has_account => None,
        (SchemeType::Turn, ProtoType::Udp) => Some(Way::Relay { host, port }),
        (SchemeType::Turn, ProtoType::Tcp) => Some(Way::Tunnel(TunnelServer { host, port, tls: false })),
        (SchemeType::Turns, ProtoType::Tcp) => Some(Way::Tunnel(TunnelServer { host, port, tls: true })),
        _ => None,
    }
}

/// The address of the server with this number.
pub(super) fn virtual_address(number: u8) -> SocketAddr {
    let [a, b, c] = NETWORK;
    SocketAddr::from((Ipv4Addr::new(a, b, c, number), PORT))
}

/// Which server an address stands for.
pub(super) fn number_of(address: SocketAddr) -> Option<u8> {
    match address.ip() {
        IpAddr::V4(ip) => ip.octets().strip_prefix(&NETWORK).and_then(|rest| rest.first().copied()),
        IpAddr::V6(_) => None,
    }
}

/// The URL by which the peer connection is told of the server with this number.
pub(super) fn virtual_url(number: u8) -> String {
    format!("turn:{}?transport=udp", virtual_address(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_its_server_is_reached() {
        let tunnel = |host: &str, port, tls| Some(Way::Tunnel(TunnelServer { host: host.into(), port, tls }));
        let relay = |port| Some(Way::Relay { host: "turn.example.org".into(), port });
        let reflection = Way::Reflection { host: "stun.example.org".into(), port: 3478 };
        let cases = [
            ("stun:stun.example.org", Some(reflection)),
            ("turn:turn.example.org", relay(3478)),
            ("turn:turn.example.org:99?transport=udp", relay(99)),
            ("turn:turn.example.org?transport=tcp", tunnel("turn.example.org", 3478, false)),
            ("turn:192.0.2.1:80?transport=tcp", tunnel("192.0.2.1", 80, false)),
            ("turns:turn.example.org", tunnel("turn.example.org", 5349, true)),
            ("turns:turn.example.org:443?transport=tcp", tunnel("turn.example.org", 443, true)),
            ("turns:[2001:db8::1]:443", tunnel("2001:db8::1", 443, true)),
            ("turns:turn.example.org?transport=udp", None),
            ("stuns:stun.example.org", None),
            ("turn:turn.example.org?transport=quic", None),
            ("turn://turn.example.org", None),
            ("https:turn.example.org", None),
            ("", None),
        ];
        for (url, way) in cases {
            assert_eq!(read(url, true), way, "{url}");
        }
        for url in ["turn:turn.example.org", "turn:turn.example.org?transport=tcp", "turns:turn.example.org"] {
            assert_eq!(read(url, false), None, "{url} without an account");
        }
    }

    #[test]
    fn a_virtual_server_is_known_by_its_address_and_read_as_one_over_udp() {
        for number in [1, 200, 255] {
            assert_eq!(number_of(virtual_address(number)), Some(number));
            let Some(Way::Relay { host, port }) = read(&virtual_url(number), true) else { panic!() };
            assert_eq!(format!("{host}:{port}"), virtual_address(number).to_string());
        }
        for other in ["240.0.1.1:3478", "241.0.0.1:3478", "[::1]:3478", "10.0.0.1:1"] {
            assert_eq!(number_of(other.parse().unwrap()), None);
        }
    }
}
