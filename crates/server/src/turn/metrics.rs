//! What the relay did, in numbers, for `/metrics`. No names, no addresses.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that anybody may read at any time; the relay's thread writes them.
#[derive(Debug, Default)]
pub struct TurnMetrics {
    pub(crate) allocations_udp: AtomicU64,
    pub(crate) allocations_stream: AtomicU64,
    pub(crate) allocated: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) binding_requests: AtomicU64,
    pub(crate) refused: [AtomicU64; Refused::ALL.len()],
    pub(crate) dropped: [AtomicU64; Dropped::ALL.len()],
    pub(crate) bytes: [AtomicU64; 2],
    pub(crate) datagrams: [AtomicU64; 2],
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Auth,
    Expired,
    Quota,
    Capacity,
    Peer,
    Malformed,
    Rate,
}

/// Why data was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    Permission,
    Peer,
    Rate,
    /// Too long for a message of a stream.
    Size,
    Queue,
    Socket,
}

/// Which way data went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToPeer,
    ToClient,
}

impl Refused {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Auth, "auth"),
        (Self::Expired, "expired"),
        (Self::Quota, "quota"),
        (Self::Capacity, "capacity"),
        (Self::Peer, "peer"),
        (Self::Malformed, "malformed"),
        (Self::Rate, "rate"),
    ];
}

impl Dropped {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Permission, "permission"),
        (Self::Peer, "peer"),
        (Self::Rate, "rate"),
        (Self::Size, "size"),
        (Self::Queue, "queue"),
        (Self::Socket, "socket"),
    ];
}

impl TurnMetrics {
    pub(crate) fn refuse(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn lose(&self, why: Dropped) {
        self.dropped[why as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn relay(&self, way: Way, bytes: usize) {
        self.datagrams[way as usize].fetch_add(1, Relaxed);
        self.bytes[way as usize].fetch_add(bytes as u64, Relaxed);
    }

    /// Appends them in Prometheus' text format (version 0.0.4). Any thread.
    pub fn write_prometheus(&self, out: &mut String) {
        let mut family = |name: &str, kind: &str, help: &str, values: &[(&str, &str, &AtomicU64)]| {
            // Writing into a `String` does not fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (label, value, number) in values {
                let number = number.load(Relaxed);
                let _ = match *label {
                    "" => writeln!(out, "{name} {number}"),
                    label => writeln!(out, "{name}{{{label}=\"{value}\"}} {number}"),
                };
            }
        };
        family(
            "ahoy_turn_allocations",
            "gauge",
            "Relays that are open.",
            &[("transport", "udp", &self.allocations_udp), ("transport", "stream", &self.allocations_stream)],
        );
        family("ahoy_turn_allocated_total", "counter", "Relays that were opened.", &[("", "", &self.allocated)]);
        family("ahoy_turn_connections", "gauge", "TCP and TLS connections.", &[("", "", &self.connections)]);
        family("ahoy_stun_requests_total", "counter", "Binding requests.", &[("", "", &self.binding_requests)]);
        let refused: Vec<_> =
            Refused::ALL.iter().map(|(why, name)| ("why", *name, &self.refused[*why as usize])).collect();
        family("ahoy_turn_refused_total", "counter", "Requests that were refused.", &refused);
        let dropped: Vec<_> =
            Dropped::ALL.iter().map(|(why, name)| ("why", *name, &self.dropped[*why as usize])).collect();
        family("ahoy_turn_dropped_total", "counter", "Datagrams that were not passed on.", &dropped);
        for (name, help, [to_peer, to_client]) in [
            ("ahoy_turn_relayed_bytes_total", "Bytes of payload passed on.", &self.bytes),
            ("ahoy_turn_relayed_datagrams_total", "Datagrams passed on.", &self.datagrams),
        ] {
            family(name, "counter", help, &[("way", "to_peer", to_peer), ("way", "to_client", to_client)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_one_a_line() {
        let metrics = TurnMetrics::default();
        metrics.refuse(Refused::Peer);
        metrics.lose(Dropped::Socket);
        metrics.relay(Way::ToClient, 1_200);
        let mut text = String::new();
        metrics.write_prometheus(&mut text);
        for line in [
            "ahoy_turn_allocations{transport=\"udp\"} 0",
            "ahoy_turn_refused_total{why=\"peer\"} 1",
            "ahoy_turn_refused_total{why=\"auth\"} 0",
            "ahoy_turn_dropped_total{why=\"socket\"} 1",
            "ahoy_turn_relayed_bytes_total{way=\"to_client\"} 1200",
            "ahoy_turn_relayed_datagrams_total{way=\"to_peer\"} 0",
            "# TYPE ahoy_stun_requests_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        for (at, (why, _)) in Refused::ALL.iter().enumerate() {
            assert_eq!(*why as usize, at);
        }
        for (at, (why, _)) in Dropped::ALL.iter().enumerate() {
            assert_eq!(*why as usize, at);
        }
    }
}
