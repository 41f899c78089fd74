//! What the limits take for one address.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one household or machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// Loopback is nobody's address: a reverse proxy that was not named stands there, or the operator.
    pub(crate) fn is_loopback(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_loopback(),
            // The /64 of `::1`.
            IpAddr::V6(v6) => v6.is_unspecified(),
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_an_ipv4_address_or_an_ipv6_slash_64() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert!(["127.0.0.2", "::1", "::ffff:127.0.0.1"].iter().all(|text| network(text).is_loopback()));
        assert!(["192.0.2.1", "2001:db8::1", "::1:0:0:0:1"].iter().all(|text| !network(text).is_loopback()));
    }
}
