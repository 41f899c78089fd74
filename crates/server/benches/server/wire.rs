//! The text of a message: read as the server reads it, and written anew as the receiver gets it.

use std::hint::black_box;

use ahoy_protocol::id::{Address, CallId, DeviceAddress, SessionId};
use ahoy_protocol::json::parse_object;
use ahoy_protocol::message::{ClientMessage, Relay};
use ahoy_protocol::signal::{Candidate, CandidateMessage, Offer, Signal};
use criterion::{BatchSize, Criterion, Throughput};

/// About what an offer of a call is long.
const SDP_LINES: usize = 100;

pub(crate) fn bench(criterion: &mut Criterion) {
    for (name, signal) in [("a candidate", candidate()), ("an offer of 4 KB", offer())] {
        let relay = Relay::new(Address::Device(device("bob")), signal);
        let text = ClientMessage::Relay(relay).to_text();
        let mut group = criterion.benchmark_group("wire");
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("read {name}"), |b| {
            b.iter(|| read(black_box(&text)));
        });
        group.bench_function(format!("read {name} that is not plain"), |b| {
            b.iter(|| read_whole(black_box(&text)));
        });
        let relay = read(&text);
        group.bench_function(format!("stamp and write {name}"), |b| {
            b.iter_batched(|| relay.clone(), stamp_and_write, BatchSize::SmallInput);
        });
        group.finish();
    }
}

fn read(text: &str) -> Relay {
    Relay::read(text).expect("a plain message")
}

fn read_whole(text: &str) -> ClientMessage {
    ClientMessage::from_object(parse_object(text).expect("JSON")).expect("a message")
}

fn stamp_and_write(relay: Relay) -> String {
    relay.body.stamped(&device("alice"), None)
}

fn candidate() -> Signal {
    let candidate = Candidate {
        candidate: "candidate:842163049 1 udp 1677729535 203.0.113.7 50012 typ srflx raddr 0.0.0.0 rport 0".into(),
        sdp_mid: Some("0".into()),
        sdp_mline_index: Some(0),
        username_fragment: Some("4ZcD".into()),
    };
    Signal::Candidate(CandidateMessage { call: call(), candidate })
}

fn offer() -> Signal {
    let sdp = "a=rtcp-fb:96 transport-cc goog-remb\r\n".repeat(SDP_LINES);
    Signal::Offer(Offer { call: call(), n: 0, sdp, video: Some(true), name: None, key: None, signature: None })
}

fn device(name: &str) -> DeviceAddress {
    DeviceAddress { username: name.parse().expect("a username"), session: SessionId::from_u64(1) }
}

fn call() -> CallId {
    CallId::from_random_bytes([7; 16])
}
