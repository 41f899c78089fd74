//! Which network a path leaves this machine by, as far as that tells what the path may carry: the prefix of the machine's own
//! address, and whether a relay is between. Two homes with the same private prefix are one network here, so what is
//! remembered of it is a guess.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits of an address that name its network: those of most homes and offices (RFC 4291 §2.5.4 for IPv6).
const V4_BITS: u32 = 24;
const V6_BITS: u32 = 64;

/// What stands before the prefix of a path by way of a relay.
const RELAY: &str = "relay ";

/// A network that paths leave by. As text it is `192.0.2.0/24`, `2001:db8::/64`, or one of them after `relay `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    prefix: IpAddr,
    relayed: bool,
}

/// Not the text of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is written as 192.0.2.0/24 or 2001:db8::/64, after \"relay \" where it is reached by one")]
pub struct NotANetwork;

impl Network {
    /// That of a path from this machine's address `own`; `relayed` where a TURN server is on it.
    pub fn new(own: IpAddr, relayed: bool) -> Self {
        let prefix = match own.to_canonical() {
            IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from_bits(own.to_bits() & (u32::MAX << (32 - V4_BITS)))),
            IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() & (u128::MAX << (128 - V6_BITS)))),
        };
        Self { prefix, relayed }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.prefix.is_ipv4() { V4_BITS } else { V6_BITS };
        write!(formatter, "{}{}/{bits}", if self.relayed { RELAY } else { "" }, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// Takes what [`Display`](fmt::Display) writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (relayed, prefix) = text.strip_prefix(RELAY).map_or((false, text), |prefix| (true, prefix));
        let (address, _) = prefix.split_once('/').ok_or(NotANetwork)?;
        let network = Self::new(address.parse().map_err(|_| NotANetwork)?, relayed);
        if network.to_string() == text { Ok(network) } else { Err(NotANetwork) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(own: &str, relayed: bool) -> Network {
        Network::new(own.parse().unwrap(), relayed)
    }

    #[test]
    fn addresses_of_one_network_are_the_same_and_others_are_not() {
        assert_eq!(network("192.168.1.7", false), network("192.168.1.250", false));
        assert_eq!(network("192.168.1.7", false), network("::ffff:192.168.1.8", false));
        assert_eq!(network("2001:db8:1:2::7", false), network("2001:db8:1:2:ffff::1", false));
        for other in [network("192.168.2.7", false), network("192.168.1.7", true), network("2001:db8:1:3::7", false)] {
            assert_ne!(network("192.168.1.7", false), other);
            assert_ne!(network("2001:db8:1:2::7", false), other);
        }
    }

    #[test]
    fn a_network_is_read_back_as_written_and_nothing_else_is() {
        for (written, own, relayed) in [
            ("192.168.1.0/24", "192.168.1.7", false),
            ("relay 192.168.1.0/24", "192.168.1.7", true),
            ("2001:db8:1:2::/64", "2001:db8:1:2::7", false),
            ("relay ::/64", "::1", true),
        ] {
            assert_eq!(network(own, relayed).to_string(), written);
            assert_eq!(written.parse(), Ok(network(own, relayed)));
        }
        for wrong in [
            "",
            "192.168.1.0",
            "192.168.1.7/24",
            "192.168.1.0/16",
            "192.168.1.0/24 ",
            "relay",
            "relay relay 192.168.1.0/24",
            "Relay 192.168.1.0/24",
            "2001:db8:1:2::/24",
            "2001:0db8:1:2::/64",
            "::ffff:192.168.1.0/24",
            "localhost/24",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong:?}");
        }
    }
}
