//! What was tried to find a path, so that a call without one can say why.

use super::Sockets;
use super::names::Names;
use super::tunnels::{Answer, Service, Target};
use std::net::SocketAddr;

/// A STUN or TURN server that was to help, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// As in the list of servers.
    pub url: String,
    /// What it is to do, and over what.
    pub help: Help,
    /// What came of it, so far.
    pub outcome: Outcome,
}

/// What a server is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// Tell our address, over UDP (STUN).
    Reflect,
    /// Relay, over UDP (TURN).
    RelayUdp,
    /// Relay, over TCP or TLS (TURN).
    RelayStream,
}

/// What came of asking a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not needed, or not yet.
    NotAsked,
    /// Its name has no address.
    NotFound,
    /// No connection to it came about.
    Unreachable,
    /// It could not prove to be who it is said to be (TLS).
    NotTrusted,
    /// It was asked, and nothing came.
    NoAnswer,
    /// It refused, with this code (RFC 8489 §14.8, RFC 8656 §19), though it was given a name and a password.
    Refused(u16),
    /// It gave an address.
    Answered,
}

impl Sockets {
    /// What came of each server that can be used.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let attempt = |(url, target): (String, Target)| {
            let help = match &target {
                Target::Stun { .. } => Help::Reflect,
                Target::Turn { .. } => Help::RelayUdp,
                Target::Tunnel(_) => Help::RelayStream,
            };
            Attempt { url, help, outcome: self.outcome(&target) }
        };
        self.tunnels.targets().into_iter().map(attempt).collect()
    }

    fn outcome(&self, target: &Target) -> Outcome {
        match target {
            Target::Stun { host, port } => real(&self.names, host, *port, |at| self.tunnels.answer(at, Service::Stun)),
            Target::Turn { host, port } => real(&self.names, host, *port, |at| self.tunnels.answer(at, Service::Turn)),
            Target::Tunnel(number) => self.tunnels.outcome(*number),
        }
    }
}

/// Of a server by its name: the best that came of any of its addresses.
fn real(names: &Names, host: &str, port: u16, answer: impl Fn(SocketAddr) -> Option<Answer>) -> Outcome {
    let Some(addresses) = names.known(host) else { return Outcome::NotAsked };
    if addresses.is_empty() {
        return Outcome::NotFound;
    }
    let answers: Vec<Answer> = addresses.iter().filter_map(|ip| answer(SocketAddr::new(*ip, port))).collect();
    let refusal = answers.iter().find(|answer| matches!(answer, Answer::Refused(_)));
    let best = answers.iter().find(|answer| **answer == Answer::Given).or(refusal).or(answers.first());
    best.map_or(Outcome::NotAsked, |best| Outcome::from(*best))
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::None => Self::NoAnswer,
            Answer::Refused(code) => Self::Refused(code),
            Answer::Given => Self::Answered,
        }
    }
}
