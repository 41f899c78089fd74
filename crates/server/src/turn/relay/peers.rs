//! Which peers are refused: a relay must not be a way into its own machine or network (RFC 8656 §21.4). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a peer at this address may be reached. Own addresses are another matter: see `Ports::is_own`.
pub(crate) fn may_reach(peer: IpAddr, allow_private: bool) -> bool {
    match canonical(peer) {
        IpAddr::V4(v4) => !never_v4(v4) && (allow_private || !private_v4(v4)),
        IpAddr::V6(v6) => !never_v6(v6) && (allow_private || !private_v6(v6)),
    }
}

/// The IPv4 address that an IPv6 address stands for, where a translator or tunnel would lead there.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // Mapped (RFC 4291 §2.5.5.2), the well-known and the local prefix of NAT64 (RFC 6052 §2.1, RFC 8215).
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xFF9B, 1, .., high, low] => v4(high, low),
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo (RFC 4380 §4): the client's address is there inverted.
        [0x2001, 0, .., high, low] => v4(!high, !low),
        _ => address,
    }
}

/// This host, loopback, link-local (with the clouds' metadata services), protocol assignments, multicast, reserved
/// (RFC 6890).
fn never_v4(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0 | 127, ..] | [169, 254, ..] | [192, 0, 0, _] | [224..=255, ..])
}

/// RFC 1918, RFC 6598, RFC 2544, and documentation (RFC 5737), which stands for private networks in tests.
fn private_v4(address: Ipv4Addr) -> bool {
    matches!(
        address.octets(),
        [10, ..]
            | [100, 64..=127, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [192, 0, 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// Unspecified, loopback and the rest of ::/96, link-local, site-local, multicast, discard (RFC 6666).
fn never_v6(address: Ipv6Addr) -> bool {
    matches!(
        address.segments(),
        [0, 0, 0, 0, 0, 0, ..] | [0xFE80..=0xFEFF, ..] | [0xFF00..=0xFFFF, ..] | [0x100, 0, 0, 0, ..]
    )
}

/// Unique local (RFC 4193), documentation (RFC 3849, RFC 9637).
fn private_v6(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0xFC00..=0xFDFF, ..] | [0x2001, 0xDB8, ..] | [0x3FFF, 0..=0xFFF, ..])
}

#[cfg(test)]
mod refused;
#[cfg(test)]
pub(crate) use refused::REFUSED;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_refused_and_private_networks_can_be_allowed() {
        for (text, is_private) in REFUSED {
            let peer = text.parse().unwrap();
            assert!(!may_reach(peer, false), "{text}");
            assert_eq!(may_reach(peer, true), *is_private, "{text}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.254",
            "2606:4700::1",
            "2001:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(may_reach(public.parse().unwrap(), false), "{public}");
        }
    }
}
