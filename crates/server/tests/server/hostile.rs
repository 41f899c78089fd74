//! Whoever means harm: connections that only stand there, and text made to hurt whoever reads it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::*;

#[tokio::test]
async fn connections_that_only_stand_there_keep_nobody_out() {
    let server = Server::with(|config| config.connections_max = 64).await;
    let mut slow = Vec::new();
    // Before their headers are complete, and after.
    for number in 0..400 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = upgrade_request("/ws", "");
        let part = if number % 2 == 0 { &request[..20] } else { &request };
        stream.write_all(part.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut alice = server.enter("alice", 1).await;
    let mut bob = server.enter("bob", 1).await;
    for _ in 0..100 {
        slow.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_eq!(alice.ask(offer("bob")).await["type"], "relayed");
    assert_eq!(bob.next().await["type"], "offer");
    server.enter("carol", 1).await;
    alice.nothing_came().await;
}

#[tokio::test]
async fn one_address_holds_few_places_at_the_door() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.limits.unsigned = 3;
    })
    .await;
    let from = async |address: &str| {
        let request = upgrade_request("/ws", &format!("X-Forwarded-For: {address}\r\n"));
        let (head, mut raw) = Raw::request(server.address, &request).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(raw.frame().await.unwrap().0, TEXT, "hello");
        raw
    };
    let mut other = from("198.51.100.2").await;
    let mut first = from("198.51.100.1").await;
    let mut second = from("198.51.100.1").await;
    let login = json!({"type": "login", "protocol": 1, "username": "guest-a", "session": session(1)}).to_string();
    second.send_text(&login).await;
    assert_eq!(second.frame().await.unwrap().0, TEXT, "welcome");
    let mut later = Vec::new();
    for _ in 0..3 {
        later.push(from("198.51.100.1").await);
    }
    first.gone().await;
    for raw in later.iter_mut().chain([&mut second, &mut other]) {
        raw.send_text(r#"{"type":"ping"}"#).await;
        assert!(String::from_utf8(raw.frame().await.unwrap().1).unwrap().contains("pong"));
    }
}

#[tokio::test]
async fn all_sessions_of_one_address_share_an_allowance() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        (config.limits.network_messages.per_s, config.limits.network_messages.burst) = (0, 10);
    })
    .await;
    let request = upgrade_request("/ws", "X-Forwarded-For: 198.51.100.1\r\n");
    let mut answers = Vec::new();
    for _ in 0..4 {
        let (_, mut raw) = Raw::request(server.address, &request).await;
        raw.frame().await.unwrap();
        for _ in 0..3 {
            raw.send_text(r#"{"type":"ping"}"#).await;
            answers.push(String::from_utf8(raw.frame().await.unwrap().1).unwrap().contains("pong"));
        }
    }
    assert_eq!(answers.iter().filter(|is_pong| **is_pong).count(), 10);
    assert!(!answers[10] && !answers[11]);
    // Others are not concerned.
    assert_eq!(server.enter("guest-b", 1).await.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn ten_thousand_headers_are_refused() {
    let server = Server::start().await;
    let many = "X: y\r\n".repeat(10_000);
    let (head, _) = Raw::request(server.address, &upgrade_request("/ws", &many)).await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 431 "), "{head}");
    let some = "X: y\r\n".repeat(200);
    let (head, _) = Raw::request(server.address, &upgrade_request("/ws", &some)).await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 431 "), "{head}");
    server.enter("alice", 1).await;
}

#[tokio::test]
async fn json_made_to_hurt_is_answered_and_hurts_nobody() {
    let server = Server::with(|config| config.limits.bad_messages.count = 1_000).await;
    let mut client = server.enter("guest-a", 1).await;
    let keys: Vec<String> = (0..6_000).map(|n| format!("\"k{n}\":0")).collect();
    let with = |member: &str| format!(r#"{{"type":"restart","call":"{CALL}","to":"guest-b","n":0,{member}}}"#);
    for (text, code) in [
        // As deep as it is long.
        (with(&format!("\"x\":{}", "[".repeat(60_000))), Some("bad_message")),
        (with(&format!("\"x\":{}1{}", "[".repeat(30_000), "]".repeat(30_000))), Some("bad_message")),
        (format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)), Some("bad_message")),
        // Beyond every number, and too long to read at once.
        (with("\"x\":1e999999999"), Some("bad_message")),
        (with(&format!("\"x\":{}", "9".repeat(60_000))), Some("bad_message")),
        (with(r#""n":1e400"#), Some("bad_message")),
        // Half a character, twice the same name in two spellings, a name that means something in JavaScript.
        (with(r#""x":"\ud800""#), Some("bad_message")),
        (with(r#""x":"\udc00\ud800""#), Some("bad_message")),
        (with(r#""\u006e":1"#), Some("bad_message")),
        (with("\"x\":\"\u{0}\""), Some("bad_message")),
        (with(r#""\u0000":"\u0000","__proto__":{"a":1},"constructor":null"#), None),
        (with(&keys.join(",")), None),
        (format!("{}{{}}", " ".repeat(60_000)), Some("bad_message")),
        ("\u{feff}{\"type\":\"ping\"}".to_owned(), Some("bad_message")),
        ("{\"type\":\"ping\"}{\"type\":\"ping\"}".to_owned(), Some("bad_message")),
    ] {
        let began = tokio::time::Instant::now();
        client.send_text(&text).await;
        if let Some(code) = code {
            let answer: Value = client.next().await;
            let start: String = text.chars().take(100).collect();
            assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{start}: {answer}");
            assert!(answer.to_string().len() < 1_000, "no echo");
        }
        client.nothing_came().await;
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
