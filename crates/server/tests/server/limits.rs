//! Section 7: each limit is answered with `rate_limited` and says when to try again.

use std::time::Duration;

use ahoy_protocol::identity::IdentityKey;
use serde_json::{Value, json};

use crate::harness::*;

fn assert_limited(answer: &Value, longest_s: u64) {
    assert_eq!(answer["code"], "rate_limited", "{answer}");
    let retry_s = answer["retry_s"].as_u64().unwrap();
    assert!((1..=longest_s).contains(&retry_s), "{answer}");
}

#[tokio::test]
async fn five_failed_logins_a_minute_and_the_right_key_always_gets_in() {
    let server = Server::start().await;
    server.enter("alice", 1).await;
    let wrong = IdentityKey::from_secret(&[9; 32]);
    for attempt in 0..7 {
        // From new connections: it is the address that counts.
        let mut client = server.connect().await;
        let login = client.login_as("alice", 1, &wrong);
        let answer = client.ask(login).await;
        if attempt < 5 {
            assert_eq!(answer["code"], "username_taken");
        } else {
            assert_limited(&answer, 60);
        }
    }
    let mut client = server.connect().await;
    assert_limited(&client.ask(json!({"type":"login","protocol":1,"username":"alice","session":session(1)})).await, 60);
    assert_eq!(client.login("alice", 1).await["type"], "welcome", "known name");
    server.enter("bob", 1).await;
    server.enter("guest-carol", 1).await;
}

#[tokio::test]
async fn ten_new_names_an_hour_and_known_ones_always() {
    let server = Server::start().await;
    for number in 0..10 {
        server.enter(&format!("name-{number}"), 1).await;
    }
    let mut client = server.connect().await;
    assert_limited(&client.login("one-more", 1).await, 3_600);
    assert_eq!(client.login("name-3", 1).await["type"], "welcome");
    server.enter("guest-a", 1).await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_clients_address_that_counts() {
    let server = Server::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.limits.failed_logins.count = 1;
    })
    .await;
    let login = json!({"type": "login", "protocol": 1, "username": "alice", "session": session(1)}).to_string();
    for (forwarded, code) in [
        ("198.51.100.1", "bad_signature"),
        ("198.51.100.1", "rate_limited"),
        ("1.2.3.4, 198.51.100.1", "rate_limited"),
        ("198.51.100.1, 198.51.100.2", "bad_signature"),
        ("2001:db8::1", "bad_signature"),
        ("2001:db8::2", "rate_limited"),
        ("2001:db8:0:1::2", "bad_signature"),
        // With a port, as some proxies write it.
        ("198.51.100.2:51234", "rate_limited"),
        ("203.0.113.5:51234", "bad_signature"),
        ("203.0.113.5:51235", "rate_limited"),
        ("203.0.113.6:443", "bad_signature"),
        ("[2001:db8::1]:443", "rate_limited"),
        ("[2001:db8::1]", "rate_limited"),
        ("[2001:db8:0:2::1]", "bad_signature"),
        ("2001:db8:0:2::2", "rate_limited"),
    ] {
        let request = upgrade_request("/ws", &format!("X-Forwarded-For: {forwarded}\r\n"));
        let (head, mut raw) = Raw::request(server.address, &request).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(raw.frame().await.unwrap().0, TEXT, "hello");
        raw.send_text(&login).await;
        let answer: Value = serde_json::from_slice(&raw.frame().await.unwrap().1).unwrap();
        assert_eq!(answer["code"], code, "{forwarded}");
    }
}

#[tokio::test]
async fn thirty_opening_offers_a_minute_and_six_to_one() {
    let server = Server::start().await;
    let mut guests = Vec::new();
    for number in 0..6 {
        guests.push(server.enter(&format!("guest-{number}"), 1).await);
    }
    let mut alice = server.enter("alice", 1).await;
    for number in 0..5 {
        for _ in 0..6 {
            assert_eq!(alice.ask(offer(&format!("guest-{number}"))).await["type"], "relayed");
        }
        if number == 0 {
            let answer = alice.ask(offer("guest-0")).await;
            assert_limited(&answer, 60);
            assert_eq!(answer["call"], CALL);
        }
    }
    assert_limited(&alice.ask(offer("guest-5")).await, 60);
    // It is the user that counts, not the connection; others may call, and a call goes on.
    alice.leave().await;
    let mut alice = server.enter("alice", 2).await;
    assert_limited(&alice.ask(offer("guest-5")).await, 60);
    alice.send(json!({"type": "offer", "call": CALL, "to": address("guest-5", 1), "n": 1, "sdp": "v=0"})).await;
    alice.nothing_came().await;
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(bob.ask(offer("guest-5")).await["type"], "relayed");
}

#[tokio::test]
async fn ten_unanswerable_offers_a_minute() {
    let server = Server::start().await;
    let _bob = server.enter("bob", 1).await;
    let mut alice = server.enter("alice", 1).await;
    for number in 0..10 {
        assert_eq!(alice.refused(offer(&format!("nobody-{number}"))).await, "unknown_user");
    }
    assert_limited(&alice.ask(offer("nobody")).await, 60);
    assert_eq!(alice.ask(offer("bob")).await["type"], "relayed", "who is there can be called");
}

#[tokio::test]
async fn a_hundred_messages_a_second_after_three_hundred_at_once() {
    let server = Server::start().await;
    let mut guest = server.enter("guest-a", 1).await;
    let began = tokio::time::Instant::now();
    for _ in 0..1_000 {
        guest.send(json!({"type": "ice_servers"})).await;
    }
    let (mut answered, mut limited) = (0_u32, 0);
    for _ in 0..1_000 {
        let answer = guest.next().await;
        if answer["type"] == "ice_servers" {
            answered += 1;
        } else {
            assert_limited(&answer, 1);
            limited += 1;
        }
    }
    // The login was one of the burst.
    let most = 300.0 + began.elapsed().as_secs_f64() * 100.0;
    assert!(
        (300..=most.ceil() as u32).contains(&answered) && limited > 0,
        "{answered} answered in {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_long_contact_list_costs_as_much_as_many_messages() {
    let server = Server::with(|config| (config.limits.messages.per_s, config.limits.messages.burst) = (0, 60)).await;
    let mut alice = server.enter("alice", 1).await;
    let names: Vec<String> = (0..1_000).map(|number| format!("friend-{number}")).collect();
    let contacts = |count: usize| json!({"type": "contacts", "usernames": names[..count]});
    alice.send(contacts(1_000)).await;
    alice.nothing_came().await;
    assert_limited(&alice.ask(contacts(1_000)).await, 86_400);
    alice.send(contacts(5)).await;
    alice.nothing_came().await;
}

#[tokio::test]
async fn who_goes_on_although_refused_is_read_no_faster_than_a_hundred_a_second() {
    let server = Server::start().await;
    let mut guest = server.enter("guest-a", 1).await;
    let began = tokio::time::Instant::now();
    for _ in 0..1_000 {
        guest.send(json!({"type": "ice_servers"})).await;
    }
    for _ in 0..1_000 {
        guest.next().await;
    }
    // 300 and then 100 a second are done; 300 and then 100 a second are refused.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_900), "all were read in {took:?}");
    guest.send(json!({"type": "ping"})).await;
    assert_eq!(guest.next().await["type"], "pong", "it is still there");
}

#[tokio::test]
async fn who_says_too_much_is_answered_some_pings_still() {
    let server = Server::start().await;
    let mut guest = server.enter("guest-a", 1).await;
    for _ in 0..1_000 {
        guest.send(json!({"type": "ping"})).await;
    }
    let mut answered = 0;
    for _ in 0..1_000 {
        let answer = guest.next().await;
        if answer["type"] == "pong" {
            answered += 1;
        } else {
            assert_limited(&answer, 1);
        }
    }
    assert!((309..1_000).contains(&answered), "the rest of the burst and ten more: {answered}");
}

#[tokio::test]
async fn a_burst_of_one_mebibyte() {
    let server = Server::start().await;
    let mut guest = server.enter("guest-a", 1).await;
    let began = tokio::time::Instant::now();
    let message =
        json!({"type": "candidate", "call": CALL, "to": "guest-b", "candidate": {"candidate": "x".repeat(60_000)}});
    let bytes = message.to_string().len();
    for _ in 0..40 {
        guest.send(message.clone()).await;
    }
    guest.send(json!({"type": "ping"})).await;
    let mut limited = 0;
    loop {
        let answer = guest.next().await;
        if answer["type"] == "pong" {
            break;
        }
        assert_limited(&answer, 1);
        assert_eq!(answer["call"], CALL);
        limited += 1;
    }
    let allowed = (1024.0 * 1024.0 + began.elapsed().as_secs_f64() * 256.0 * 1024.0) / bytes as f64;
    assert!(limited >= 1 && f64::from(40 - limited) <= allowed, "{limited} of 40 limited, {allowed} allowed");
}

#[tokio::test]
async fn after_the_time_it_says_a_client_may_again() {
    let server = Server::with(|config| config.limits.offers_to_one.span = Duration::from_millis(800)).await;
    let _bob = server.enter("guest-bob", 1).await;
    let mut alice = server.enter("guest-alice", 1).await;
    for _ in 0..6 {
        assert_eq!(alice.ask(offer("guest-bob")).await["type"], "relayed");
    }
    let answer = alice.ask(offer("guest-bob")).await;
    assert_limited(&answer, 1);
    tokio::time::sleep(Duration::from_secs(answer["retry_s"].as_u64().unwrap())).await;
    assert_eq!(alice.ask(offer("guest-bob")).await["type"], "relayed");
}
