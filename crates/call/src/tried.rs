//! Which servers were to help a call find its path, what came of them, and so what probably stood in the way.

use std::fmt;

/// What was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    /// In the order of their list.
    pub servers: Vec<TriedServer>,
}

/// A STUN or TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedServer {
    /// Its URL (RFC 7064, RFC 7065).
    pub url: String,
    /// What it is to do.
    pub help: Help,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Help {
    /// Tell our address, over UDP.
    Reflect,
    /// Relay, over UDP.
    RelayUdp,
    /// Relay, over TCP or TLS.
    RelayStream,
}

/// What came of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not asked.
    NotAsked,
    /// Its name has no address.
    NotFound,
    /// No connection to it came about.
    Unreachable,
    /// Its certificate is not trusted here.
    NotTrusted,
    /// It was asked, and nothing came.
    NoAnswer,
    /// It refused, with this code of STUN or TURN.
    Refused(u16),
    /// It gave an address.
    Answered,
}

/// What probably stood in the way. Its words name the cause, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody relays, and directly it did not go.
    NoRelay,
    /// No server answers over UDP, and none is there for another way.
    UdpBlocked,
    /// The relay knows no such user, or what it was given has expired.
    LoginRefused(String),
    /// The relay has no room, or does not relay this.
    Refused(String, u16),
    /// The relay's certificate is not trusted.
    NotTrusted(String),
    /// The relay's name was not found.
    NotFound(String),
    /// The relay does not answer.
    Silent(String),
}

/// Of a server's name, in words: a URL may be of any length.
const SHOWN: usize = 60;

impl Tried {
    /// What probably stood in the way of a call without a path. `None`: nothing on this side, as far as can be told.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        let relays = || self.servers.iter().filter(|server| server.help != Help::Reflect);
        let is_over_udp = |server: &&TriedServer| server.help != Help::RelayStream;
        if relays().any(|relay| relay.outcome == Outcome::Answered) {
            return None;
        }
        let mut over_udp = self.servers.iter().filter(is_over_udp).map(|server| server.outcome).peekable();
        let is_udp_silent = over_udp.peek().is_some()
            && over_udp.all(|outcome| matches!(outcome, Outcome::NoAnswer | Outcome::NotAsked));
        let has_stream = relays().any(|relay| relay.help == Help::RelayStream);
        if is_udp_silent && !has_stream {
            return Some(Obstacle::UdpBlocked);
        }
        if relays().next().is_none() {
            return Some(Obstacle::NoRelay);
        }
        // What was refused says more than what is silent, and that more than what was not found.
        let first = |wanted: fn(Outcome) -> bool| relays().find(|relay| wanted(relay.outcome));
        let refused = first(|outcome| matches!(outcome, Outcome::Refused(_)));
        let distrusted = || first(|outcome| outcome == Outcome::NotTrusted);
        let silent = || first(|outcome| matches!(outcome, Outcome::NoAnswer | Outcome::Unreachable));
        let unknown = || first(|outcome| outcome == Outcome::NotFound);
        let relay = refused.or_else(distrusted).or_else(silent).or_else(unknown)?;
        let name = relay.name();
        Some(match relay.outcome {
            // RFC 8489 §14.8, RFC 8656 §19: unauthenticated, forbidden, wrong credentials.
            Outcome::Refused(401 | 403 | 441) => Obstacle::LoginRefused(name),
            Outcome::Refused(code) => Obstacle::Refused(name, code),
            Outcome::NotTrusted => Obstacle::NotTrusted(name),
            Outcome::NotFound => Obstacle::NotFound(name),
            Outcome::NoAnswer | Outcome::Unreachable => Obstacle::Silent(name),
            Outcome::NotAsked | Outcome::Answered => return None,
        })
    }
}

impl Tried {
    /// Whether nothing is known that could help a call which has no path by itself.
    pub(crate) fn is_unaided(&self) -> bool {
        matches!(self.obstacle(), Some(Obstacle::NoRelay | Obstacle::UdpBlocked))
    }
}

impl TriedServer {
    /// Its host and port.
    fn name(&self) -> String {
        let host = self.url.split_once(':').map_or(self.url.as_str(), |(_, rest)| rest);
        let host = host.split_once('?').map_or(host, |(host, _)| host);
        host.chars().take(SHOWN).collect()
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRelay => f.write_str(
                "No direct path between you was found, and no relay is set up; join the same network, or ask who runs \
                 the server for a TURN server.",
            ),
            Self::UdpBlocked => f.write_str(
                "UDP is blocked on this network, and the server offers no relay over TCP that answers; try another \
                 network, or ask who runs the server.",
            ),
            Self::LoginRefused(name) => write!(
                f,
                "The relay {name} refused the login for this call; check this machine's clock, or ask who runs the server."
            ),
            Self::Refused(name, code) => {
                write!(
                    f,
                    "The relay {name} refused to help (code {code}); try again later, or ask who runs the server."
                )
            }
            Self::NotTrusted(name) => write!(
                f,
                "The relay {name} has a certificate that this machine does not trust; ask who runs the server to renew it."
            ),
            Self::NotFound(name) => {
                write!(f, "The relay {name} was not found; check this machine's network, or ask who runs the server.")
            }
            Self::Silent(name) => {
                write!(f, "The relay {name} does not answer; try another network, or ask who runs the server.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(servers: &[(&str, Outcome)]) -> Option<Obstacle> {
        let server = |(url, outcome): &(&str, Outcome)| {
            let is_stream = url.starts_with("turns:") || url.ends_with("tcp");
            let help = match (url.starts_with("stun:"), is_stream) {
                (true, _) => Help::Reflect,
                (false, true) => Help::RelayStream,
                (false, false) => Help::RelayUdp,
            };
            TriedServer { url: (*url).to_owned(), help, outcome: *outcome }
        };
        Tried { servers: servers.iter().map(server).collect() }.obstacle()
    }

    /// What came of the servers, and what follows.
    type Case<'a> = (&'a [(&'a str, Outcome)], Option<Obstacle>);

    const STUN: &str = "stun:stun.example.org";
    const UDP: &str = "turn:turn.example.org:3478?transport=udp";
    const TCP: &str = "turn:turn.example.org?transport=tcp";
    const TLS: &str = "turns:turn.example.org:443";

    #[test]
    fn what_came_of_the_servers_says_what_stood_in_the_way() {
        use Outcome::{Answered, NoAnswer, NotAsked, NotFound, NotTrusted, Refused, Unreachable};
        let name = |name: &str| name.to_owned();
        let cases: [Case<'_>; 13] = [
            (&[], Some(Obstacle::NoRelay)),
            (&[(STUN, Answered)], Some(Obstacle::NoRelay)),
            (&[(STUN, NoAnswer)], Some(Obstacle::UdpBlocked)),
            (&[(STUN, NoAnswer), (UDP, NoAnswer)], Some(Obstacle::UdpBlocked)),
            (&[(STUN, NotFound)], Some(Obstacle::NoRelay)),
            (&[(STUN, Answered), (UDP, NoAnswer)], Some(Obstacle::Silent(name("turn.example.org:3478")))),
            (&[(UDP, NoAnswer), (TCP, Unreachable)], Some(Obstacle::Silent(name("turn.example.org:3478")))),
            (&[(UDP, NoAnswer), (TLS, NotTrusted)], Some(Obstacle::NotTrusted(name("turn.example.org:443")))),
            (&[(UDP, Refused(401)), (TLS, NotTrusted)], Some(Obstacle::LoginRefused(name("turn.example.org:3478")))),
            (&[(TCP, Refused(486))], Some(Obstacle::Refused(name("turn.example.org"), 486))),
            (&[(TLS, NotFound)], Some(Obstacle::NotFound(name("turn.example.org:443")))),
            (&[(UDP, Refused(401)), (TLS, Answered)], None),
            (&[(UDP, NotFound), (TCP, NotAsked)], Some(Obstacle::NotFound(name("turn.example.org:3478")))),
        ];
        for (servers, obstacle) in cases {
            assert_eq!(tried(servers), obstacle, "{servers:?}");
        }
    }

    #[test]
    fn each_obstacle_is_one_sentence_that_fits_the_screen_however_long_the_name() {
        let url = format!("turn:{}?transport=tcp", "x".repeat(2000));
        let outcomes =
            [Outcome::NoAnswer, Outcome::NotTrusted, Outcome::NotFound, Outcome::Refused(401), Outcome::Refused(508)];
        let mut obstacles: Vec<Obstacle> = outcomes.iter().filter_map(|outcome| tried(&[(&url, *outcome)])).collect();
        assert_eq!(obstacles.len(), outcomes.len());
        obstacles.extend([Obstacle::NoRelay, Obstacle::UdpBlocked]);
        for obstacle in obstacles {
            let sentence = obstacle.to_string();
            assert!(sentence.ends_with('.') && !sentence.contains(". ") && sentence.contains(';'), "{sentence}");
            assert!(sentence.len() < 200, "{sentence}");
        }
    }
}
