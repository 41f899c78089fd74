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

const HERE: &str = "198.51.100.1";
const THERE: &str = "198.51.100.2";

fn restart() -> Value {
    json!({"type": "restart", "call": CALL, "to": "guest-nobody", "n": 0})
}

#[tokio::test]
async fn all_sessions_of_one_address_share_an_allowance_of_which_a_noisy_one_uses_its_own_part() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        (config.limits.messages.per_s, config.limits.messages.burst) = (0, 5);
        (config.limits.network_messages.per_s, config.limits.network_messages.burst) = (0, 10);
    })
    .await;
    let (mut noisy, _) = server.come_from(HERE, "guest-noisy", 1).await;
    for number in 0..50 {
        noisy.send(restart()).await;
        if number >= 5 {
            let answer = noisy.next().await;
            assert_eq!(
                (&answer["code"], &answer["message"]),
                (&json!("rate_limited"), &json!("too many messages at once"))
            );
        }
    }
    noisy.nothing_came().await;
    let (mut second, _) = server.come_from(HERE, "guest-second", 1).await;
    let (mut third, _) = server.come_from(HERE, "guest-third", 1).await;
    // Its ping is the eighth of ten.
    for _ in 0..2 {
        second.send(restart()).await;
    }
    second.nothing_came().await;
    for _ in 0..3 {
        third.send(restart()).await;
    }
    let answer = third.next().await;
    assert_eq!(answer["message"], "too many messages from your address", "the eleventh message");
    // Guests use up nothing of those who have a name, and others are not concerned.
    let (mut alice, _) = server.come_from(HERE, "alice", 1).await;
    let (mut other, _) = server.come_from(THERE, "guest-other", 1).await;
    for client in [&mut alice, &mut other] {
        client.send(restart()).await;
        client.nothing_came().await;
    }
}

#[tokio::test]
async fn who_never_signs_in_keeps_no_neighbour_from_it() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        (config.limits.unsigned_messages.per_s, config.limits.unsigned_messages.burst) = (0, 3);
    })
    .await;
    let (mut early, _) = server.come_from(HERE, "guest-early", 1).await;
    let mut noisy = Client::connect_from(server.address, Some(HERE)).await;
    for code in ["not_signed_in", "not_signed_in", "rate_limited"] {
        assert_eq!(noisy.refused(json!({"type": "ice_servers"})).await, code);
    }
    noisy.nothing_came().await;
    let (_alice, answer) = server.come_from(HERE, "alice", 1).await;
    assert_eq!(answer["type"], "welcome", "{answer}");
    early.send(restart()).await;
    early.nothing_came().await;
    // Trying again and again is as noisy as anything else.
    let unsigned = json!({"type": "login", "protocol": 1, "username": "bob", "session": session(1)});
    assert_eq!(noisy.refused(unsigned.clone()).await, "bad_signature");
    let answer = noisy.ask(unsigned).await;
    assert_eq!(answer["message"], "too many messages from your address", "{answer}");
}

#[tokio::test]
async fn guests_from_one_address_call_as_one() {
    let server = Server::with(|config| config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]).await;
    let mut bob = server.enter("bob", 1).await;
    for number in 0..8 {
        let (mut guest, _) = server.come_from(HERE, &format!("guest-{number}"), 1).await;
        let answer = guest.ask(offer("bob")).await;
        if number < 6 {
            assert_eq!(answer["type"], "relayed", "{number}");
            assert_eq!(bob.next().await["type"], "offer");
        } else {
            assert_eq!(answer["code"], "rate_limited", "{number}");
        }
    }
    for number in 0..11 {
        let (mut guest, _) = server.come_from(HERE, &format!("guest-more-{number}"), 1).await;
        let code = if number < 10 { "unknown_user" } else { "rate_limited" };
        assert_eq!(guest.refused(offer(&format!("nobody-{number}"))).await, code, "{number}");
    }
    let (mut other, _) = server.come_from(THERE, "guest-other", 1).await;
    assert_eq!(other.ask(offer("bob")).await["type"], "relayed");
    let (mut alice, _) = server.come_from(HERE, "alice", 1).await;
    assert_eq!(alice.ask(offer("bob")).await["type"], "relayed");
}

#[tokio::test]
async fn one_address_has_so_many_guests_at_a_time_and_a_minute() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        (config.limits.guests, config.limits.new_guests.count) = (2, 5);
    })
    .await;
    let (first, _) = server.come_from(HERE, "guest-1", 1).await;
    let (second, welcome) = server.come_from(HERE, "guest-2", 1).await;
    let (_third, answer) = server.come_from(HERE, "guest-3", 1).await;
    assert_eq!((&answer["code"], answer["retry_s"].as_u64()), (&json!("rate_limited"), Some(30)), "{answer}");
    // One that lingers counts, and comes back whatever others do.
    drop(second);
    let (_third, answer) = server.come_from(HERE, "guest-3", 1).await;
    assert_eq!(answer["code"], "rate_limited", "{answer}");
    let mut second = Client::connect_from(server.address, Some(HERE)).await;
    assert_eq!(second.come_back(&welcome, 0).await["resumed"], true);
    first.leave().await;
    let (_third, answer) = server.come_from(HERE, "guest-3", 1).await;
    assert_eq!(answer["type"], "welcome", "{answer}");
    second.leave().await;
    let (_fourth, answer) = server.come_from(HERE, "guest-4", 1).await;
    assert_eq!(answer["message"], "too many guests from your address", "the sixth within a minute");
    let (_alice, answer) = server.come_from(HERE, "alice", 1).await;
    assert_eq!(answer["type"], "welcome", "{answer}");
    let (_other, answer) = server.come_from(THERE, "guest-4", 1).await;
    assert_eq!(answer["type"], "welcome", "{answer}");
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
    // Nor does it help to have more members than fit into a message.
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":0")).collect();
    client.send_text(&with(&keys.join(","))).await;
    assert_eq!(client.closed().await, 1009);
    server.enter("guest-b", 1).await;
}

#[tokio::test]
async fn when_too_much_waits_for_all_together_those_lose_it_for_whom_most_does() {
    let server = Server::with(|config| config.limits.held_bytes = 300_000).await;
    let mut away = Vec::new();
    for name in ["guest-modest", "guest-large", "guest-larger"] {
        let (_, welcome) = server.welcomed(name, 1).await;
        away.push(welcome);
    }
    let mut alice = server.enter("alice", 1).await;
    let mut send = async |to: &str, bytes: usize| {
        let candidate = json!({"candidate": "x".repeat(bytes)});
        alice.send(json!({"type": "candidate", "call": CALL, "to": address(to, 1), "candidate": candidate})).await;
        alice.nothing_came().await;
    };
    send("guest-modest", 20_000).await;
    for _ in 0..2 {
        send("guest-large", 50_000).await;
    }
    // 20 and 100 wait; with these there are 320.
    for _ in 0..4 {
        send("guest-larger", 50_000).await;
    }
    let mut resumed = Vec::new();
    for welcome in &away {
        let again = server.connect().await.come_back(welcome, 0).await;
        resumed.push(again["resumed"].as_bool().unwrap());
    }
    assert_eq!(resumed, [true, true, false]);
}

#[tokio::test]
async fn guests_of_one_site_call_as_sixteen_however_many_networks_it_has() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.limits.offers_to_one.count = 1;
    })
    .await;
    let mut bob = server.enter("bob", 1).await;
    for number in 0..18 {
        let from = format!("2001:db8:7:{number:x}::1");
        let (mut guest, _) = server.come_from(&from, &format!("guest-{number}"), 1).await;
        let answer = guest.ask(offer("bob")).await;
        if number < 16 {
            assert_eq!(answer["type"], "relayed", "{number}");
            assert_eq!(bob.next().await["type"], "offer");
        } else {
            assert_eq!(answer["code"], "rate_limited", "{number}");
        }
    }
    let (mut other, _) = server.come_from("2001:db8:8::1", "guest-other", 1).await;
    assert_eq!(other.ask(offer("bob")).await["type"], "relayed");
}
