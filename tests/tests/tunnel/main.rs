//! Calls by way of a TURN server over TCP and TLS, as networks need them that let no UDP through. The server is coturn, an
//! implementation of others; where it is not installed these tests are skipped.

mod certificates;
mod coturn;
mod network;

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ahoy_tests::harness::cli::{Cli, Running};
use ahoy_tests::harness::{DEADLINE, Server};
use certificates::{Authority, Leaf};
use coturn::{Coturn, USER};
use network::Network;

/// Connected this soon after somebody said yes, where UDP is blocked (row F15 of docs/reliability.md).
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_call_goes_through_a_relay_that_is_reached_over_tcp_and_tls() {
    let authority = Authority::new();
    let Some(coturn) = Coturn::start("127.0.0.1", &authority) else { return };
    let server = Server::start_with(&["--no-turn"]);
    let [tcp, tls] = [coturn.tcp(), coturn.tls()];
    // Each way at either end, and both ways in one call. Names of their own, as each client has a new key.
    for (caller, calls, callee, answers) in [("alice", &tcp, "bob", &tls), ("anna", &tls, "bella", &tcp)] {
        let [caller, answerer] = [(caller, calls), (callee, answers)].map(|(name, url)| {
            let cli = Cli::new(&server, name).with("--ice-server", url).with_environment(authority.trusted());
            cli.with_media().and(&["--relay-only"])
        });
        let mut answering = answerer.start_signed_in("answer");
        let mut calling = caller.start(&format!("call {callee} --seconds 3"));
        for side in [&calling, &answering] {
            assert_eq!(side.wait_for("connected").text("path"), "relay");
        }
        calling.ends_within(2 * DEADLINE, 0);
        answering.ends_with(0);
        for side in [&calling, &answering] {
            let last = side.all("stats").pop().expect("there are statistics");
            assert!(last.number("packets_received") > 100, "{}", last.text_of("packets_received"));
        }
    }
    coturn.forgets_all_allocations();
}

#[test]
fn a_server_that_does_not_prove_its_name_hears_no_turn_and_the_user_is_told() {
    let authority = Authority::new();
    let server = Server::start_with(&["--no-turn"]);
    let leaves =
        [authority.leaf("elsewhere.example.org"), authority.expired_leaf("127.0.0.1"), Leaf::self_signed("127.0.0.1")];
    let mut sides = ["alice", "bob"]
        .map(|name| Cli::new(&server, name).with_environment(authority.trusted()).and(&["--relay-only"]));
    let mut impostors = Vec::new();
    for leaf in leaves {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("turns:{USER}@{}", listener.local_addr().expect("it is bound"));
        sides = sides.map(|side| side.and(&["--ice-server", &url]));
        impostors.push(thread::spawn(move || [(); 2].map(|()| leaf.what_the_next_client_says(&listener))));
    }
    let [alice, bob] = sides;
    let mut answering = bob.start_signed_in("answer");
    let mut calling = alice.start("call bob");
    for impostor in impostors {
        for (is_trusted, said) in impostor.join().expect("an impostor does not panic") {
            assert!(!is_trusted && said.is_empty(), "{said:x?}");
        }
    }
    let words = [&mut calling, &mut answering].map(|side| side.ends_within(2 * DEADLINE, 4));
    assert!(words.iter().all(|words| words.contains("certificate")), "{words:?}");
}

#[test]
fn where_udp_is_blocked_a_call_connects_over_tls_soon() {
    let authority = Authority::new();
    let Some(network) = Network::without_udp() else { return };
    let Some(coturn) = network.inside(Network::SERVERS, || Coturn::start(Network::SERVER, &authority)) else { return };
    let coturn = Arc::new(coturn);
    let server = network.server();
    let side = |end, name: &str, words: &str| -> Running {
        let cli = Cli::at(server.url(), name).with_media().over_the_network();
        let cli =
            cli.and(&["--ice-server", &coturn.stun(), "--ice-server", &coturn.udp(), "--ice-server", &coturn.tls()]);
        network.inside(end, || cli.with_environment(authority.trusted()).start_signed_in(words))
    };
    let mut answering = side(Network::RIGHT, "bob", "answer");
    let mut calling = side(Network::LEFT, "alice", "call bob --seconds 3");
    let accepted = calling.wait_for("accepted").t_ns();
    let connected = calling.wait_for("connected");
    assert_eq!(connected.text("path"), "relay");
    let took = Duration::from_nanos(connected.t_ns() - accepted);
    println!("connected {took:?} after the call was accepted");
    assert!(took <= SOON, "connected {took:?} after the call was accepted");
    calling.ends_within(2 * DEADLINE, 0);
    answering.ends_with(0);
    let last = answering.all("stats").pop().expect("there are statistics");
    assert!(last.number("packets_received") > 100);
}

#[test]
fn where_udp_is_blocked_and_nothing_else_is_offered_the_user_is_told_so() {
    let Some(network) = Network::without_udp() else { return };
    let server = network.server();
    let stun = format!("stun:{}:3478", Network::SERVER);
    let side = |end, name: &str, words: &str| -> Running {
        let cli = Cli::at(server.url(), name).over_the_network().with("--ice-server", &stun);
        network.inside(end, || cli.start_signed_in(words))
    };
    let mut answering = side(Network::RIGHT, "bob", "answer");
    let mut calling = side(Network::LEFT, "alice", "call bob");
    let words = [&mut calling, &mut answering].map(|side| side.ends_within(2 * DEADLINE, 4));
    let says_why = |words: &String| words.contains("UDP") && words.contains("relay over TCP");
    assert!(words.iter().all(says_why), "{words:?}");
}
