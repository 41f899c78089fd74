use super::super::checks::NO_RECORD;
use super::*;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::shared::TransportProtocol;
use std::sync::Arc;

const DELAY: Duration = Duration::from_millis(20);

/// One side: the crate's endpoint, and the repetitions beside it.
struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    handshake: Handshake,
    is_complete: bool,
}

/// Datagrams on their way, in a time of their own.
struct Path {
    now: Instant,
    loss: f64,
    random: StdRng,
    /// When it arrives, where, and what.
    flying: VecDeque<(Instant, usize, Vec<u8>)>,
    repeats: bool,
    sides: [Side; 2],
}

fn config(is_client: bool) -> Arc<HandshakeConfig> {
    let provider = rtc::crypto::default_provider().unwrap();
    let certificate = Certificate::generate_self_signed(vec!["ahoy".to_owned()], provider.crypto()).unwrap();
    let builder = ConfigBuilder::default()
        .with_certificates(vec![certificate])
        .with_crypto_provider(provider)
        .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true);
    Arc::new(builder.build(is_client, None).unwrap())
}

impl Path {
    fn new(configs: &[Arc<HandshakeConfig>; 2], loss: f64, repeats: bool, seed: u64) -> Self {
        let side = |port, server: Option<Arc<HandshakeConfig>>| {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            let endpoint = Endpoint::new(address, TransportProtocol::UDP, server);
            Side { endpoint, address, handshake: Handshake::default(), is_complete: false }
        };
        let sides = [side(1, None), side(2, Some(Arc::clone(&configs[1])))];
        let mut path = Self {
            now: Instant::now(),
            loss,
            random: StdRng::seed_from_u64(seed),
            flying: VecDeque::new(),
            repeats,
            sides,
        };
        let (now, server) = (path.now, path.sides[1].address);
        path.sides[0].endpoint.connect(now, server, Arc::clone(&configs[0]), None).unwrap();
        path.drain(0);
        path
    }

    /// How long until both sides are done, if they are within a minute.
    fn run(mut self) -> Option<Duration> {
        let start = self.now;
        while !self.sides.iter().all(|side| side.is_complete) {
            let peers = [self.sides[1].address, self.sides[0].address];
            let own = |index: usize| self.sides[index].endpoint.poll_timeout(&peers[index]);
            let repeated = self.sides.iter().filter(|_| self.repeats).filter_map(|side| side.handshake.next());
            let arrival = self.flying.front().map(|(at, ..)| *at);
            self.now = arrival.into_iter().chain(own(0)).chain(own(1)).chain(repeated).min()?.max(self.now);
            if self.now - start > Duration::from_secs(60) {
                return None;
            }
            while self.flying.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, datagram) = self.flying.pop_front()?;
                self.arrive(to, &datagram);
            }
            for index in [0, 1] {
                let now = self.now;
                if self.sides[index].endpoint.poll_timeout(&peers[index]).is_some() {
                    self.sides[index].endpoint.handle_timeout(peers[index], now).ok()?;
                }
                if self.repeats {
                    for (_, datagram) in self.sides[index].handshake.repeat(now).to_vec() {
                        self.fly(1 - index, datagram);
                    }
                }
                self.drain(index);
            }
        }
        Some(self.now - start)
    }

    fn arrive(&mut self, to: usize, datagram: &[u8]) {
        let (now, from) = (self.now, self.sides[1 - to].address);
        self.sides[to].handshake.heard(now, from, datagram);
        let events = self.sides[to].endpoint.read(now, from, None, datagram.into()).unwrap();
        if events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete)) {
            self.sides[to].is_complete = true;
            // What is sent first: the client's part of SCTP, or media.
            self.sides[to].endpoint.write(now, from, b"data").unwrap();
        }
        self.drain(to);
    }

    fn drain(&mut self, from: usize) {
        while let Some(transmit) = self.sides[from].endpoint.poll_transmit() {
            let (now, to) = (self.now, self.sides[1 - from].address);
            self.sides[from].handshake.sent(now, to, &transmit.message);
            self.fly(1 - from, transmit.message.to_vec());
        }
    }

    fn fly(&mut self, to: usize, datagram: Vec<u8>) {
        if !self.random.random_bool(self.loss) {
            self.flying.push_back((self.now + DELAY, to, datagram));
        }
    }
}

/// How long each of many handshakes took, the shortest first, and how many never ended.
fn handshakes(loss: f64, repeats: bool) -> (Vec<Duration>, usize) {
    let configs = [config(true), config(false)];
    let (mut took, mut failed) = (Vec::new(), 0);
    for seed in 0..400 {
        match Path::new(&configs, loss, repeats, seed).run() {
            Some(duration) => took.push(duration),
            None => failed += 1,
        }
    }
    took.sort_unstable();
    println!(
        "{loss} {repeats}: {failed} failed, p50 {:?}, p95 {:?}, {:?}",
        took[took.len() / 2],
        took[took.len() * 95 / 100],
        took.last()
    );
    (took, failed)
}

#[test]
fn what_is_lost_of_a_handshake_costs_tens_of_milliseconds_and_no_handshake_fails() {
    let (took, failed) = handshakes(0.05, true);
    assert_eq!(failed, 0);
    assert!(took[took.len() * 95 / 100] <= Duration::from_millis(300));
    let (took, failed) = handshakes(0.3, true);
    assert_eq!(failed, 0);
    assert!(*took.last().unwrap() <= Duration::from_secs(5));
}

#[test]
fn a_hello_that_came_too_early_is_given_again_until_something_is_sent() {
    let (now, peer) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 1)));
    let hello = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[1]].concat();
    let mut handshake = Handshake::default();
    handshake.heard(now, peer, &hello);
    assert_eq!(handshake.hello_again(now), None);
    for waited in [3, 9, 21, 45, 93] {
        let at = now + Duration::from_millis(waited);
        assert_eq!(handshake.next(), Some(at));
        assert_eq!(handshake.hello_again(at), Some((peer, hello.clone())));
    }
    assert_eq!(handshake.next(), None);
    let mut handshake = Handshake::default();
    handshake.heard(now, peer, &hello);
    handshake.sent(now, peer, &hello);
    assert_eq!(handshake.hello_again(now + FIRST), None);
}

#[test]
fn a_record_without_meaning_changes_nothing_in_a_handshake() {
    let configs = [config(true), config(false)];
    let mut path = Path::new(&configs, 0.0, true, 1);
    let (now, server) = (path.now, path.sides[1].address);
    let events = path.sides[0].endpoint.read(now, server, None, NO_RECORD[..].into()).unwrap();
    assert!(events.is_empty());
    assert!(path.sides[0].endpoint.poll_transmit().is_none());
    assert_eq!(path.run(), Some(6 * DELAY));
}

#[test]
fn without_a_loss_nothing_is_sent_twice_that_was_answered_in_time() {
    let (took, failed) = handshakes(0.0, true);
    assert_eq!((took[0], *took.last().unwrap(), failed), (6 * DELAY, 6 * DELAY, 0));
}
