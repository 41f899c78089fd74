//! What the limits take for one address.

use std::net::{IpAddr, Ipv6Addr};

/// So many networks' allowance has a whole site: an office with many of them is not held up, and who has 65,536 gets no more.
pub(crate) const SITE_NETWORKS: usize = 16;

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one household or machine has; or a site, an IPv6
/// /48, which one customer may have (RFC 6177 §2). The address, and how many bits of it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr, u8);

impl Network {
    /// The site around an IPv6 network; an IPv4 address is its own.
    pub(crate) fn site(self) -> Option<Self> {
        let IpAddr::V6(v6) = self.0 else { return None };
        Some(Self(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(), 48))
    }

    /// It and its site, each with how many networks' allowance it has.
    pub(crate) fn with_site(self) -> impl Iterator<Item = (Self, usize)> {
        [Some((self, 1)), self.site().map(|site| (site, SITE_NETWORKS))].into_iter().flatten()
    }

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
            IpAddr::V4(v4) => Self(v4.into(), 32),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(), 64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::{SECOND, start};
    use crate::limits::{Allowance, Buckets, Counter, Rate, Sender};

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

    #[test]
    fn who_has_many_networks_of_one_site_gets_what_sixteen_get() {
        let now = start();
        let network = |subnet: u16| Network::from(IpAddr::from([0x2001, 0xDB8, 7, subnet, 0, 0, 0, 1]));
        let mut counter = Counter::<Network>::new(Allowance { count: 2, span: SECOND });
        let mut buckets = Buckets::new(Rate { per_s: 1, burst: 2 }, Rate { per_s: 1, burst: 2 });
        let (mut counted, mut spent) = (0, 0);
        for subnet in 0..100 {
            for _ in 0..5 {
                if counter.wait_at(network(subnet), now).is_zero() {
                    counter.note_at(network(subnet), now);
                    counted += 1;
                }
                spent += usize::from(buckets.of(network(subnet), Sender::Guest, now).spend(1, now).is_ok());
            }
        }
        assert_eq!((counted, spent), (2 * SITE_NETWORKS, 2 * SITE_NETWORKS));
        let elsewhere = Network::from(IpAddr::from([0x2001, 0xDB8, 8, 0, 0, 0, 0, 1]));
        assert!(counter.wait_at(elsewhere, now).is_zero());
        assert!(buckets.of(elsewhere, Sender::Guest, now).spend(1, now).is_ok());
        let v4: Network = IpAddr::from([192, 0, 2, 1]).into();
        assert_eq!((v4.site(), v4.with_site().count()), (None, 1));
        // The first network of a site is not the site.
        assert_ne!(network(0).site(), Some(network(0)));
    }
}
