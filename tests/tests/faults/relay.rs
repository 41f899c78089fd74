//! Calls that a relay carries, and what may happen to it.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::lab::End;
use ahoy_tests::harness::pace::{allow, pick};
use ahoy_tests::harness::rig::{Capture, Rig, now_ns};
use serde_json::json;

use crate::beside_others;
use crate::network::{Call, hears};

const SECRET: &str = "a secret that only the relays of a test share";
const PORTS: [u16; 2] = [3478, 3479];

/// Two relays that take the same credentials, each a program of its own. The rig's addresses are private ones, which a relay
/// refuses unless told otherwise.
fn relays(rig: &Rig) -> [Server; 2] {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("a file can be written");
    let secret = secret.display().to_string();
    PORTS.map(|port| {
        let listen = format!("{}:{port}", rig.internet_address());
        let arguments = ["--turn-listen", &listen, "--turn-allow-private", "--turn-secret-file", &secret];
        let relay = rig.server(&arguments);
        assert_eq!(relay.turn(), listen);
        relay
    })
}

/// By which of the relays that end sends, as seen from `from_ns` on.
fn in_use(leaves: &Capture, from_ns: u64, server: Ipv4Addr) -> usize {
    let packets = leaves.packets();
    let to = |port| {
        let is_there = |to: std::net::SocketAddrV4| *to.ip() == server && to.port() == port;
        packets.iter().filter(|packet| packet.t_ns >= from_ns && is_there(packet.to)).count()
    };
    let [first, second] = PORTS.map(to);
    assert!(first.max(second) > 20 && first.min(second) * 4 < first.max(second), "{first} and {second} packets");
    usize::from(second > first)
}

/// The relay by which one end sends is killed: in one call that of the caller, in another that of the callee.
fn a_relay_that_dies_is_replaced(transport: &str) {
    let _turn = beside_others();
    for end in [End::A, End::B] {
        let Some(rig) = Rig::start() else { return };
        let mut relays = relays(&rig);
        let told = PORTS.map(|port| {
            let url = format!("turn:{}:{port}?transport={transport}", rig.internet_address());
            json!({"urls": [url], "secret": SECRET}).to_string()
        });
        let server = rig.server(&["--no-turn", "--ice-server", &told[0], "--ice-server", &told[1]]);
        let leaves = rig.capture(end);
        let call = Call::begin_at(rig, server, &["--relay-only"]);
        let second = Duration::from_secs(1).as_nanos() as u64;
        let used = in_use(&leaves, now_ns() - second, call.rig.internet_address());
        relays[used].kill();
        let most = Duration::from_secs(5);
        call.is_moved(now_ns(), most);
        call.ends_well(most);
    }
}

#[test]
fn a_relay_over_udp_that_dies_in_a_call_is_replaced_within_5_s() {
    a_relay_that_dies_is_replaced("udp");
}

#[test]
fn a_relay_over_tcp_that_dies_in_a_call_is_replaced_within_5_s() {
    a_relay_that_dies_is_replaced("tcp");
}

#[test]
fn a_relayed_call_outlives_its_credentials_and_a_new_path_is_made_with_fresh_ones() {
    let _turn = beside_others();
    let Some(rig) = Rig::start() else { return };
    // The shortest that the server takes.
    let (ttl, lasts) = (Duration::from_secs(10), Duration::from_secs(pick(25, 60)));
    let relay = format!("{}:3478", rig.internet_address());
    let seconds = ttl.as_secs().to_string();
    let server = rig.server(&["--turn-listen", &relay, "--turn-allow-private", "--turn-ttl", &seconds]);
    let call = Call::begin_at(rig, server, &["--relay-only"]);
    let from = now_ns();
    sleep(lasts);
    for peer in [&call.alice, &call.bob] {
        hears(peer, from, now_ns());
        assert!(peer.all("path_lost").is_empty(), "it was never missed");
    }
    // A relay takes no new client by what has expired.
    call.rig.set_address(End::A, 7);
    let most = Duration::from_secs(5);
    sleep(allow(most));
    let back = now_ns();
    sleep(Duration::from_millis(3_500));
    for peer in [&call.alice, &call.bob] {
        hears(peer, back, now_ns());
    }
    call.ends_well(most);
}
