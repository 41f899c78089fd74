//! ICE candidates as the two sides tell them each other (RFC 8839 §5.1), and the one check that every candidate passes,
//! ours and theirs. Which description a candidate belongs to is for the caller to know.
//!
//! Those over TCP (RFC 6544) are of the machine's own addresses alone, as nobody here asks servers for others, and not for
//! simultaneous open, which hardly any router lets pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// Longer than any candidate with two IPv6 addresses and every extension in use.
const MAX_BYTES: usize = 512;

/// A trickled candidate (RFC 8838), the way `RTCIceCandidateInit` spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The attribute, with or without the leading `candidate:`.
    pub candidate: String,
    /// The section it belongs to (`sdpMid`).
    pub mid: Option<String>,
    /// The number of that section (`sdpMLineIndex`).
    pub line_index: Option<u16>,
    /// Whose description it belongs to (`usernameFragment`).
    pub ufrag: Option<String>,
}

/// Why a candidate is not used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CandidateError {
    /// Longer than any candidate in earnest.
    #[error("the candidate is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not the syntax of RFC 8839 §5.1.
    #[error("the candidate's {0} is malformed")]
    Malformed(&'static str),
    /// Neither UDP nor a use of TCP that is known here; or TCP where only relays may be used.
    #[error("the candidate's transport is not used")]
    Transport,
    /// Everything is multiplexed onto component 1.
    #[error("the candidate is not for component 1")]
    OtherComponent,
    /// No peer can be there.
    #[error("the candidate's address is {0}")]
    Address(&'static str),
    /// It names a description that is not the current one.
    #[error("the candidate belongs to another description")]
    OtherDescription,
    /// Enough is enough.
    #[error("there are too many candidates")]
    TooMany,
}

/// A candidate's type, as far as paths are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CandidateKind {
    /// An address of the machine's own.
    Host,
    /// What a STUN server saw.
    Srflx,
    /// What the peer saw.
    Prflx,
    /// A TURN server's.
    Relay,
}

impl CandidateKind {
    /// As in SDP: `host`, `srflx`, `prflx`, `relay`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Srflx => "srflx",
            Self::Prflx => "prflx",
            Self::Relay => "relay",
        }
    }
}

/// How a candidate's address is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    /// TCP: somebody listens there (RFC 6544 §4.5, `passive`).
    Listens,
    /// TCP: connections come from there, from whichever port (`active`).
    Connects,
}

impl Transport {
    /// The attribute that follows the type.
    fn extension(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Listens => " tcptype passive",
            Self::Connects => " tcptype active",
        }
    }
}

/// A candidate that passed the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedCandidate {
    /// `candidate:…`, written anew from what was understood.
    pub(crate) attribute: String,
    pub(crate) kind: CandidateKind,
    pub(crate) transport: Transport,
    /// Missing for an mDNS name.
    pub(crate) address: Option<SocketAddr>,
}

/// Checks one candidate attribute. `loopback` lets addresses of this machine pass.
pub(crate) fn check(attribute: &str, loopback: bool) -> Result<CheckedCandidate, CandidateError> {
    if attribute.len() > MAX_BYTES {
        return Err(CandidateError::TooLong);
    }
    let value = attribute.strip_prefix("candidate:").unwrap_or(attribute);
    let mut fields = value.split(' ');
    let mut field = |name| fields.next().filter(|field| !field.is_empty()).ok_or(CandidateError::Malformed(name));

    let foundation = field("foundation")?;
    if foundation.len() > 32 || !foundation.chars().all(is_ice_char) {
        return Err(CandidateError::Malformed("foundation"));
    }
    match field("component")? {
        "1" => {}
        "2" => return Err(CandidateError::OtherComponent),
        _ => return Err(CandidateError::Malformed("component")),
    }
    let transport = field("transport")?.to_ascii_lowercase();
    if !matches!(transport.as_str(), "udp" | "tcp") {
        return Err(CandidateError::Transport);
    }
    let priority: u32 = number(field("priority")?, "priority")?;
    let address = field("address")?;
    let port: u16 = number(field("port")?, "port")?;
    if port == 0 {
        return Err(CandidateError::Malformed("port"));
    }
    if field("type")? != "typ" {
        return Err(CandidateError::Malformed("type"));
    }
    let kind = match field("type")? {
        "host" => CandidateKind::Host,
        "srflx" => CandidateKind::Srflx,
        "prflx" => CandidateKind::Prflx,
        "relay" => CandidateKind::Relay,
        _ => return Err(CandidateError::Malformed("type")),
    };
    let ip = check_address(address, kind, loopback)?;
    let used = match (transport.as_str(), kind) {
        ("udp", _) => Transport::Udp,
        (_, CandidateKind::Host) if field("tcptype")? == "tcptype" => match field("tcptype")? {
            "passive" => Transport::Listens,
            "active" => Transport::Connects,
            _ => return Err(CandidateError::Transport),
        },
        (_, _) => return Err(CandidateError::Transport),
    };
    // A related address must be there (RFC 8839 §5.1), but only people who read logs have a use for a true one. What may
    // follow it is for other implementations.
    let related = match (kind, ip) {
        (CandidateKind::Host, _) => "",
        (_, Some(IpAddr::V6(_))) => " raddr :: rport 0",
        (_, Some(IpAddr::V4(_)) | None) => " raddr 0.0.0.0 rport 0",
    };
    let (kind_word, extension) = (kind.as_str(), used.extension());
    Ok(CheckedCandidate {
        attribute: format!(
            "candidate:{foundation} 1 {transport} {priority} {address} {port} typ {kind_word}{related}{extension}"
        ),
        kind,
        transport: used,
        address: ip.map(|ip| SocketAddr::new(ip, port)),
    })
}

/// A candidate of our own over TCP: where we listen, or from where we connect. The priority is that of RFC 6544 §4.2, below
/// all that is over UDP; `number` tells the machine's addresses apart.
pub(crate) fn over_tcp(number: u8, address: IpAddr, listens_on: Option<u16>) -> String {
    // As the type's preference that of RFC 8445 §5.1.2.2, less 36; then who connects is preferred to who listens.
    let direction: u32 = if listens_on.is_some() { 4 } else { 6 };
    let priority = (90 << 24) | (((direction << 13) | (8_191 - u32::from(number))) << 8) | 255;
    let transport = if listens_on.is_some() { Transport::Listens } else { Transport::Connects };
    let port = listens_on.unwrap_or(DISCARD_PORT);
    format!("candidate:tcp{number} 1 tcp {priority} {address} {port} typ host{}", transport.extension())
}

/// What stands for the port that is not known before it connects (RFC 6544 §4.5).
const DISCARD_PORT: u16 = 9;

/// The characters of foundations, fragments and passwords (RFC 8839 §5.1: `ice-char`).
pub(crate) fn is_ice_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '+' || character == '/'
}

fn number<T: std::str::FromStr>(field: &str, name: &'static str) -> Result<T, CandidateError> {
    if !field.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CandidateError::Malformed(name));
    }
    field.parse().map_err(|_| CandidateError::Malformed(name))
}

fn check_address(address: &str, kind: CandidateKind, loopback: bool) -> Result<Option<IpAddr>, CandidateError> {
    let Ok(ip) = address.parse::<IpAddr>() else {
        return if kind == CandidateKind::Host && is_mdns_name(address) {
            Ok(None)
        } else {
            Err(CandidateError::Malformed("address"))
        };
    };
    let refusal = match ip.to_canonical() {
        IpAddr::V4(ip) => refuse_v4(ip, loopback),
        IpAddr::V6(ip) => refuse_v6(ip, loopback),
    };
    refusal.map_or(Ok(Some(ip)), |reason| Err(CandidateError::Address(reason)))
}

fn refuse_v4(ip: Ipv4Addr, loopback: bool) -> Option<&'static str> {
    match ip.octets() {
        [0, ..] => Some("unspecified"),
        [127, ..] => (!loopback).then_some("loopback"),
        // Here cloud machines keep their credentials (169.254.169.254); no peer is reached by it.
        [169, 254, ..] => Some("link-local"),
        [224..=239, ..] => Some("multicast"),
        [255, 255, 255, 255] => Some("broadcast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn refuse_v6(ip: Ipv6Addr, loopback: bool) -> Option<&'static str> {
    if ip.is_unspecified() {
        Some("unspecified")
    } else if ip.is_loopback() {
        (!loopback).then_some("loopback")
    } else if ip.is_multicast() {
        Some("multicast")
    } else if ip.is_unicast_link_local() {
        // Without the interface, which does not cross the network, it means nothing.
        Some("link-local")
    } else if matches!(ip.segments(), [0x0100, 0, 0, 0, ..]) {
        // RFC 6666: whatever is sent there is discarded.
        Some("reserved")
    } else {
        None
    }
}

/// A single label below `local` (draft-ietf-mmusic-mdns-ice-candidates §3.1), as browsers make them to hide addresses.
fn is_mdns_name(name: &str) -> bool {
    name.strip_suffix(".local").is_some_and(|label| {
        (1..=63).contains(&label.len())
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_candidates_are_written_anew_without_what_is_not_needed() {
        let srflx = "candidate:842163049 1 UDP 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.17.1 rport 42000 generation 0 ufrag EEtu network-id 1";
        let checked = check(srflx, false).unwrap();
        assert_eq!(
            checked.attribute,
            "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0"
        );
        assert_eq!(checked.kind, CandidateKind::Srflx);
        for sound in [
            "1 1 udp 2130706431 192.168.1.4 5000 typ host",
            "1 1 udp 2130706431 2001:db8::7 5000 typ host",
            "1 1 udp 2130706431 fd00::7 5000 typ host",
            "1 1 udp 2130706431 6ab3c4f0-1f5c-4f0e-8a3c-d0f1e6c5b0aa.local 5000 typ host",
            "1 1 udp 33562623 203.0.113.9 49152 typ relay raddr 0.0.0.0 rport 0",
        ] {
            assert!(check(sound, false).is_ok(), "{sound}");
        }
    }

    #[test]
    fn absurd_candidates_are_refused_with_the_reason() {
        use CandidateError::{Address, Malformed, OtherComponent, TooLong, Transport};
        let long = format!("1 1 udp 1 192.168.1.4 5000 typ host {}", "x".repeat(500));
        let cases = [
            ("", Malformed("foundation")),
            ("candidate:", Malformed("foundation")),
            ("f:o 1 udp 1 192.168.1.4 5000 typ host", Malformed("foundation")),
            ("1 2 udp 1 192.168.1.4 5000 typ host", OtherComponent),
            ("1 x udp 1 192.168.1.4 5000 typ host", Malformed("component")),
            ("1 1 sctp 1 192.168.1.4 5000 typ host", Transport),
            ("1 1 tcp 1 192.168.1.4 5000 typ host", Malformed("tcptype")),
            ("1 1 tcp 1 192.168.1.4 5000 typ host generation 0", Transport),
            ("1 1 tcp 1 192.168.1.4 5000 typ host tcptype", Malformed("tcptype")),
            ("1 1 tcp 1 192.168.1.4 5000 typ host tcptype so", Transport),
            ("1 1 tcp 1 192.168.1.4 5000 typ host tcptype x\r\na=x", Transport),
            ("1 1 tcp 1 203.0.113.7 5000 typ srflx raddr 0.0.0.0 rport 0 tcptype passive", Transport),
            ("1 1 tcp 1 169.254.169.254 5000 typ host tcptype passive", Address("link-local")),
            ("1 1 udp -1 192.168.1.4 5000 typ host", Malformed("priority")),
            ("1 1 udp 99999999999 192.168.1.4 5000 typ host", Malformed("priority")),
            ("1 1 udp 1 192.168.1.4 0 typ host", Malformed("port")),
            ("1 1 udp 1 192.168.1.4 65536 typ host", Malformed("port")),
            ("1 1 udp 1 192.168.1.4 +80 typ host", Malformed("port")),
            ("1 1 udp 1 192.168.1.4 5000", Malformed("type")),
            ("1 1 udp 1 192.168.1.4 5000 typ guest", Malformed("type")),
            ("1 1 udp 1  5000 typ host", Malformed("address")),
            ("1 1 udp 1 192.168.1.400 5000 typ host", Malformed("address")),
            ("1 1 udp 1 example.org 5000 typ host", Malformed("address")),
            ("1 1 udp 1 a.b.local 5000 typ host", Malformed("address")),
            ("1 1 udp 1 .local 5000 typ host", Malformed("address")),
            ("1 1 udp 1 a.local 5000 typ srflx", Malformed("address")),
            ("1 1 udp 1 0.0.0.0 5000 typ host", Address("unspecified")),
            ("1 1 udp 1 :: 5000 typ host", Address("unspecified")),
            ("1 1 udp 1 127.0.0.1 5000 typ host", Address("loopback")),
            ("1 1 udp 1 ::1 5000 typ host", Address("loopback")),
            ("1 1 udp 1 ::ffff:127.0.0.1 5000 typ host", Address("loopback")),
            ("1 1 udp 1 169.254.169.254 80 typ host", Address("link-local")),
            ("1 1 udp 1 fe80::1 5000 typ host", Address("link-local")),
            ("1 1 udp 1 239.1.1.1 5000 typ host", Address("multicast")),
            ("1 1 udp 1 ff02::1 5000 typ host", Address("multicast")),
            ("1 1 udp 1 255.255.255.255 5000 typ host", Address("broadcast")),
            ("1 1 udp 1 250.1.1.1 5000 typ host", Address("reserved")),
            ("1 1 udp 1 100::1:2 5000 typ host", Address("reserved")),
            (long.as_str(), TooLong),
        ];
        for (candidate, reason) in cases {
            assert_eq!(check(candidate, false), Err(reason), "{candidate}");
        }
    }

    #[test]
    fn over_tcp_one_side_listens_and_the_other_connects() {
        let passive = "candidate:8 1 TCP 1518214911 192.168.1.4 40000 typ host tcptype passive generation 0";
        let checked = check(passive, false).unwrap();
        assert_eq!(checked.attribute, "candidate:8 1 tcp 1518214911 192.168.1.4 40000 typ host tcptype passive");
        assert_eq!(checked.transport, Transport::Listens);
        let own: IpAddr = "2001:db8::7".parse().unwrap();
        let (listens, connects) = (over_tcp(0, own, Some(40_000)), over_tcp(0, own, None));
        let [listens, connects] = [listens, connects].map(|attribute| {
            let checked = check(&attribute, false).unwrap();
            assert_eq!(checked.attribute, attribute, "what is told is what is understood");
            checked
        });
        assert_eq!((listens.transport, connects.transport), (Transport::Listens, Transport::Connects));
        assert_eq!(listens.address, Some(SocketAddr::new(own, 40_000)));
        let priority =
            |checked: &CheckedCandidate| checked.attribute.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
        assert!(priority(&connects) > priority(&listens) && priority(&connects) < 100 << 24);
    }

    #[test]
    fn loopback_passes_only_where_it_is_asked_for() {
        assert!(check("1 1 udp 1 127.0.0.1 5000 typ host", true).is_ok());
        assert!(check("1 1 udp 1 ::1 5000 typ host", true).is_ok());
        assert!(check("1 1 udp 1 169.254.169.254 80 typ host", true).is_err());
    }
}
