//! Section 1: metrics have their own listener, and say how much, never who.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::*;
use crate::program::Program;

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let (head, raw) = Raw::request(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    (head, raw.body().await)
}

fn value(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn metrics_are_on_their_own_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::with(|config| config.metrics = Some(listener)).await;
    let mut alice = server.enter("alice", 1).await;
    let (bob, welcome) = server.welcomed("guest-bob", 1).await;
    drop(bob);
    let (_bob, _) = server.resumed(&welcome, 0).await;
    let _unsigned = server.connect().await;
    alice.refused(offer("nobody-here")).await;
    alice.ask(json!({"type": "dance"})).await;
    alice.nothing_came().await;

    let (head, page) = get(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"), "{head}");
    for (name, expected) in [
        ("ahoy_connections", 3),
        ("ahoy_connections_unsigned", 1),
        ("ahoy_sessions", 2),
        ("ahoy_users", 2),
        ("ahoy_connections_total", 4),
        ("ahoy_sign_ins_total", 2),
        ("ahoy_resumptions_total", 1),
        ("ahoy_messages_total{type=\"login\"}", 3),
        ("ahoy_messages_total{type=\"offer\"}", 1),
        ("ahoy_messages_total{type=\"bad\"}", 1),
        ("ahoy_errors_total{code=\"unknown_user\"}", 1),
        ("ahoy_errors_total{code=\"unknown_type\"}", 1),
    ] {
        assert_eq!(value(&page, name), expected, "{name}");
    }
    assert!(value(&page, "ahoy_received_bytes_total") > 100);
    for name in ["alice", "bob", "nobody-here", "127.0.0.1"] {
        assert!(!page.contains(name), "{name}");
    }
    assert!(get(address, "/").await.0.starts_with("HTTP/1.1 404 "));
    assert!(get(server.address, "/metrics").await.0.starts_with("HTTP/1.1 404 "), "not where clients are");
}

#[tokio::test]
async fn a_connection_that_makes_room_in_a_full_server_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::with(|config| {
        config.metrics = Some(listener);
        config.connections_max = 4;
    })
    .await;
    let (_alice, _bob) = (server.enter("alice", 1).await, server.enter("bob", 1).await);
    let (_first, _second) = (server.connect().await, server.connect().await);
    let _third = server.connect().await;
    let (_, page) = get(address, "/metrics").await;
    assert_eq!(value(&page, "ahoy_connections_sent_away_total"), 1);
    assert_eq!(value(&page, "ahoy_connections_refused_total"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_where_its_metrics_are() {
    let mut program = Program::start(&["--metrics", "127.0.0.1:0"]);
    let mut said = BufReader::new(program.child.stderr.take().unwrap()).lines();
    let line = said.find_map(|line| Some(line.unwrap().split_once("metrics on http://")?.1.to_owned())).unwrap();
    let address: SocketAddr = line.split_once("/metrics").unwrap().0.parse().unwrap();
    assert!(address.ip().is_loopback());
    assert!(get(address, "/metrics").await.1.contains("ahoy_sessions 0\n"));
}
