//! The same for what comes in on a socket before anything is decrypted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::checks::{Checks, IceCredentials, Known};
use super::datagram::{Datagram, carried};
use super::handshake::Handshake;

/// Datagrams that may wait, of either kind: a few for each address that is remembered.
const MAX_WAITING: usize = 4_096;

/// Datagrams from a handful of addresses: a length of two bytes before each, the address in its upper bits. Some are sent too.
pub fn datagrams(mut data: &[u8]) {
    let mut now = Instant::now();
    let mut checks = Checks::new(address(0));
    let credentials = |name: &str| IceCredentials { ufrag: name.into(), password: format!("the password of {name}") };
    let known = Known { local: Some(credentials("alice")), remote: Some(credentials("bob")), ..Known::default() };
    checks.learn(now, &known);
    let mut handshake = Handshake::default();
    while let Some((head, rest)) = data.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(head & 0x07ff)));
        data = rest;
        let from = address(head >> 12);
        now += Duration::from_millis(7);
        // What is carried is a part of the datagram, or it is no longer than that.
        assert!(carried(datagram).len() <= datagram.len());
        let _ = Datagram::of(carried(datagram));
        if head & 0x0800 == 0 {
            checks.heard(now, from, datagram);
            handshake.heard(now, from, datagram);
        } else {
            checks.sending(now, from, datagram);
            handshake.sent(now, from, datagram);
        }
        let waiting = checks.due(now).len() + std::iter::from_fn(|| checks.arrival()).take(MAX_WAITING).count();
        assert!(waiting < MAX_WAITING);
        let _ = handshake.hello_again(now);
        assert!(handshake.repeat(now).len() < MAX_WAITING);
        assert!(checks.next().is_none_or(|due| due > now) && handshake.next().is_none_or(|due| due > now));
    }
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5_000 + number))
}
