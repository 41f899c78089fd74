//! Section 3, "Coming back": a session outlives its connection; nothing is lost and nothing comes twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

fn restart(to: &str, n: u64) -> Value {
    json!({"type": "restart", "call": CALL, "to": to, "n": n})
}

fn contacts(names: &[&str]) -> Value {
    json!({"type": "contacts", "usernames": names})
}

#[tokio::test]
async fn a_session_that_lingers_gets_what_it_missed_once() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let (mut bob, welcome) = server.welcomed("bob", 1).await;
    assert_eq!((&welcome["linger_s"], &welcome["received"]), (&json!(30), &json!(0)));
    for n in 0..3 {
        alice.send(restart(&address("bob", 1), n)).await;
    }
    assert_eq!(bob.next().await["n"], 0);
    drop(bob);
    let relayed = alice.ask(offer("bob")).await;
    assert_eq!(relayed["to"], json!([address("bob", 1)]), "one who lingers is called");
    tokio::time::sleep(Duration::from_millis(50)).await;

    let (mut bob, again) = server.resumed(&welcome, 1).await;
    assert_eq!((&again["received"], again.get("seq"), again.get("age_ms")), (&json!(0), None, None));
    for (n, kind) in [(1, "restart"), (2, "restart"), (3, "offer")] {
        let message = bob.next().await;
        assert_eq!((&message["type"], &message["seq"]), (&json!(kind), &json!(n + 1)), "{message}");
        assert!(message["age_ms"].as_u64().is_some_and(|age| (40..100_000).contains(&age)), "{message}");
    }
    alice.send(restart(&address("bob", 1), 9)).await;
    let message = bob.next().await;
    assert_eq!((&message["n"], &message["seq"], message.get("age_ms")), (&json!(9), &json!(5), None));
    drop(bob);
    let (mut bob, _) = server.resumed(&again, 5).await;
    bob.nothing_came().await;
    alice.nothing_came().await;
}

#[tokio::test]
async fn a_pong_that_waited_is_told_from_one_that_did_not() {
    let server = Server::start().await;
    let (mut bob, welcome) = server.welcomed("bob", 1).await;
    let answer = bob.ask(json!({"type": "ping"})).await;
    assert_eq!((&answer["type"], answer.get("age_ms")), (&json!("pong"), None));
    drop(bob);
    let (mut bob, _) = server.resumed(&welcome, 0).await;
    bob.send(json!({"type": "ping"})).await;
    let waited = bob.next().await;
    assert_eq!((&waited["type"], &waited["seq"]), (&json!("pong"), &json!(1)));
    assert!(waited["age_ms"].as_u64().is_some_and(|age_ms| age_ms > 0), "{waited}");
    let answer = bob.next().await;
    assert_eq!((&answer["type"], &answer["seq"], answer.get("age_ms")), (&json!("pong"), &json!(2), None));
}

#[tokio::test]
async fn what_the_server_took_is_not_sent_again() {
    let server = Server::start().await;
    let mut alice = server.enter("guest-alice", 1).await;
    let (mut bob, welcome) = server.welcomed("guest-bob", 1).await;
    // Pings are not counted; errors are, of every kind.
    for message in [json!({"type": "ping"}), json!({"type": "ice_servers"}), json!({"type": "dance"}), offer("nobody")]
    {
        bob.ask(message).await;
    }
    bob.ask(json!({"type": "login"})).await;
    bob.send(restart("guest-alice", 1)).await;
    bob.nothing_came().await;
    drop(bob);
    let (mut bob, again) = server.resumed(&welcome, 6).await;
    assert_eq!(again["received"], 5);
    bob.send(restart("guest-alice", 2)).await;
    assert_eq!((&alice.next().await["n"], &alice.next().await["n"]), (&json!(1), &json!(2)));
    alice.nothing_came().await;
}

#[tokio::test]
async fn more_than_256_unacknowledged_messages_end_the_right_to_resume() {
    for (count, resumed) in [(255, true), (257, false)] {
        let server = Server::start().await;
        let mut alice = server.enter("guest-alice", 1).await;
        let (bob, welcome) = server.welcomed("guest-bob", 2).await;
        drop(bob);
        for n in 0..count {
            alice.send(restart(&address("guest-bob", 2), n)).await;
        }
        alice.nothing_came().await;
        let mut bob = server.connect().await;
        let again = bob.come_back(&welcome, 0).await;
        assert_eq!((&again["type"], &again["resumed"]), (&json!("welcome"), &json!(resumed)), "{count}");
        for n in 0..if resumed { count } else { 0 } {
            assert_eq!(bob.next().await["n"], n);
        }
        bob.nothing_came().await;
    }
}

#[tokio::test]
async fn more_than_256_kib_unacknowledged_end_the_right_to_resume() {
    for (count, resumed) in [(4, true), (5, false)] {
        let server = Server::start().await;
        let mut alice = server.enter("guest-alice", 1).await;
        let (mut bob, welcome) = server.welcomed("guest-bob", 2).await;
        let candidate = json!({"candidate": "x".repeat(60_000)});
        for _ in 0..count {
            let to = address("guest-bob", 2);
            alice.send(json!({"type": "candidate", "call": CALL, "to": to, "candidate": candidate})).await;
            // Read, and yet not acknowledged.
            assert_eq!(bob.next().await["type"], "candidate");
        }
        drop(bob);
        let again = server.connect().await.come_back(&welcome, count).await;
        assert_eq!((&again["type"], &again["resumed"]), (&json!("welcome"), &json!(resumed)), "{count}");
    }
}

#[tokio::test]
async fn the_pong_to_the_servers_ping_acknowledges() {
    let server = Server::with(|config| config.timing.ping = Duration::from_millis(50)).await;
    let mut alice = server.enter("guest-alice", 1).await;
    let mut raw = Raw::connect(server.address).await;
    let login = json!({"type": "login", "protocol": 1, "username": "guest-bob", "session": session(2)});
    raw.send_text(&login.to_string()).await;
    let welcome: Value = serde_json::from_slice(&raw.frame().await.unwrap().1).unwrap();
    for n in 0..4 {
        alice.send(restart(&address("guest-bob", 2), n)).await;
    }
    alice.nothing_came().await;
    let payload = loop {
        let (opcode, payload) = raw.frame().await.unwrap();
        if opcode == PING && payload != b"0" {
            break payload;
        }
    };
    let seq: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
    for nonsense in [&b"18446744073709551615"[..], b"9", b"-1", b"x", b"", &[0xFF]] {
        raw.send_frame(FIN | PONG, nonsense).await;
    }
    raw.send_frame(FIN | PONG, &payload).await;
    raw.send_text(r#"{"type":"ping"}"#).await;
    while !raw.frame().await.unwrap().1.starts_with(br#"{"type":"pong""#) {}
    drop(raw);
    // What was acknowledged is gone for good, the rest is there.
    let mut early = server.connect().await;
    let (mut bob, _) = server.resumed(&welcome, seq).await;
    let rest = 4 - seq;
    for n in seq..4 {
        assert_eq!(bob.next().await["n"], n, "{rest} left");
    }
    drop(bob);
    assert_eq!(early.come_back(&welcome, seq - 1).await["resumed"], false);
}

#[tokio::test]
async fn whoever_returns_while_the_old_connection_stands_takes_over() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    alice.send(contacts(&["bob"])).await;
    let (mut old, welcome) = server.welcomed("bob", 1).await;
    old.send(contacts(&["alice"])).await;
    assert_eq!(alice.next().await["online"], true);
    let (mut new, again) = server.resumed(&welcome, 0).await;
    assert_eq!(again["received"], 1);
    assert_eq!(old.closed().await, 4001);
    assert_eq!(new.next().await["type"], "presence");
    alice.nothing_came().await;
    new.nothing_came().await;
}

#[tokio::test]
async fn a_wrong_token_or_number_resumes_nothing() {
    let server = Server::start().await;
    let (alice, welcome) = server.welcomed("alice", 1).await;
    drop(alice);
    let (other, others) = server.welcomed("alice", 2).await;
    drop(other);
    for (token, number, seq) in
        [(json!("x"), 1, 0), (others["resume"].clone(), 1, 0), (welcome["resume"].clone(), 3, 0)]
    {
        let mut wrong = welcome.clone();
        (wrong["resume"], wrong["session"]) = (token, json!(session(number)));
        let mut client = server.connect().await;
        assert_eq!(client.come_back(&wrong, seq).await["resumed"], false);
        client.leave().await;
    }
    let mut client = server.connect().await;
    assert_eq!(client.come_back(&others, 1).await["resumed"], false, "it has not seen so much");
}

#[tokio::test]
async fn one_who_lingers_is_online_until_the_session_ends() {
    let linger = Duration::from_millis(400);
    let server = Server::with(|config| config.timing.linger = linger).await;
    let mut alice = server.enter("alice", 1).await;
    alice.send(contacts(&["bob"])).await;
    let mut bob = server.enter("bob", 1).await;
    bob.send(contacts(&["alice"])).await;
    assert_eq!(alice.next().await["online"], true);
    let gone = tokio::time::Instant::now();
    drop(bob);
    let message = alice.next().await;
    assert_eq!((&message["type"], &message["online"]), (&json!("presence"), &json!(false)));
    assert!(gone.elapsed() >= linger, "{:?}", gone.elapsed());
}

#[tokio::test]
async fn limits_outlive_a_reconnection() {
    let server = Server::with(|config| config.limits.messages.per_s = 0).await;
    let (mut guest, welcome) = server.welcomed("guest-a", 1).await;
    for _ in 0..300 {
        assert_eq!(guest.ask(json!({"type": "ice_servers"})).await["type"], "ice_servers");
    }
    assert_eq!(guest.refused(json!({"type": "ice_servers"})).await, "rate_limited");
    // The server is there for it all the same.
    guest.nothing_came().await;
    drop(guest);
    let mut again = server.connect().await;
    assert_eq!(again.come_back(&welcome, 0).await["resumed"], false, "too much was unacknowledged");
    assert_eq!(again.refused(json!({"type": "ice_servers"})).await, "rate_limited");

    let (mut bob, welcome) = server.welcomed("bob", 1).await;
    for _ in 0..200 {
        bob.ask(json!({"type": "ping"})).await;
    }
    drop(bob);
    let (mut bob, _) = server.resumed(&welcome, 200).await;
    for _ in 0..100 {
        assert_eq!(bob.ask(json!({"type": "ice_servers"})).await["type"], "ice_servers");
    }
    assert_eq!(bob.refused(json!({"type": "ice_servers"})).await, "rate_limited");
}

#[tokio::test]
async fn the_eighth_device_that_is_gone_makes_room_for_another() {
    let server = Server::start().await;
    let mut devices = Vec::new();
    for number in 1..=8 {
        devices.push(server.enter("alice", number).await);
    }
    drop(devices.remove(3));
    let mut bob = server.enter("bob", 1).await;
    soon("room", async {
        // The server may learn a moment later that the fourth is gone.
        while server.connect().await.login("alice", 9).await["type"] != "welcome" {}
    })
    .await;
    let reached = bob.ask(offer("alice")).await;
    let reached = reached["to"].as_array().unwrap().clone();
    assert!(reached.len() == 8 && !reached.contains(&json!(address("alice", 4))), "{reached:?}");
}

/// One of a pair whose connection is cut at any moment.
struct Party {
    name: &'static str,
    peer: String,
    client: Option<Client>,
    welcome: Value,
    seen: u64,
    sent: u64,
    got: u64,
}

impl Party {
    async fn enter(server: &Server, name: &'static str, peer: &str) -> Self {
        let (client, welcome) = server.welcomed(name, 1).await;
        Self { name, peer: address(peer, 1), client: Some(client), welcome, seen: 0, sent: 0, got: 0 }
    }

    async fn client(&mut self, server: &Server) -> &mut Client {
        if self.client.is_none() {
            let (mut client, again) = server.resumed(&self.welcome, self.seen).await;
            let received = again["received"].as_u64().unwrap();
            assert!(received <= self.sent, "{}: {received} of {}", self.name, self.sent);
            for n in received..self.sent {
                client.send(restart(&self.peer, n)).await;
            }
            self.client = Some(client);
        }
        self.client.as_mut().unwrap()
    }

    async fn say(&mut self, server: &Server) {
        let message = restart(&self.peer, self.sent);
        self.client(server).await.send(message).await;
        self.sent += 1;
    }

    fn note(&mut self, message: &Value) -> bool {
        self.seen += 1;
        assert_eq!(message["seq"], self.seen, "{}: {message}", self.name);
        if message["type"] == "restart" {
            assert_eq!(message["n"], self.got, "{}: {message}", self.name);
            self.got += 1;
        }
        message["type"] == "pong"
    }

    /// What has come by now, or a part of it.
    async fn read(&mut self, server: &Server, all: bool) {
        self.client(server).await.send(json!({"type": "ping"})).await;
        loop {
            let client = self.client.as_mut().unwrap();
            let message = if all {
                client.next().await
            } else {
                match tokio::time::timeout(Duration::from_micros(300), client.next()).await {
                    Ok(message) => message,
                    Err(_) => return,
                }
            };
            if self.note(&message) {
                return;
            }
        }
    }

    fn cut(&mut self, hard: bool) {
        if let Some(client) = self.client.take()
            && hard
        {
            // Ends with a reset: what is on its way is thrown away.
            let _ = socket2::SockRef::from(client.socket.get_ref()).set_linger(Some(Duration::ZERO));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_everything_arrives_once_and_in_order() {
    for seed in 1..=24_u64 {
        // Acknowledged by pongs as well in some, by nothing but the return in others.
        let server = Server::with(|config| {
            config.timing.ping = Duration::from_millis(if seed % 2 == 0 { 3 } else { 15_000 });
            (config.limits.messages.per_s, config.limits.messages.burst) = (1_000_000, 1_000_000);
        })
        .await;
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut pair = [Party::enter(&server, "alice", "bob").await, Party::enter(&server, "guest-x", "alice").await];
        pair[0].peer = address("guest-x", 1);
        for _ in 0..150 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let party = &mut pair[usize::from(random & 1 == 1)];
            match random >> 8 & 15 {
                0..=7 => party.say(&server).await,
                8 | 9 => party.read(&server, true).await,
                10 | 11 => party.read(&server, false).await,
                12 => party.cut(true),
                13 => party.cut(false),
                14 => {
                    // The old connection still stands when the new one comes.
                    let old = party.client.take();
                    party.client(&server).await;
                    drop(old);
                }
                _ => tokio::task::yield_now().await,
            }
        }
        for party in &mut pair {
            // What it did not yet send again, it does now.
            party.client(&server).await;
        }
        for (me, sent) in [(0, pair[1].sent), (1, pair[0].sent)] {
            while pair[me].got < sent {
                let message = pair[me].client(&server).await.next().await;
                pair[me].note(&message);
            }
        }
        for party in &mut pair {
            // And nothing more than pongs, up to an answer that is no pong.
            party.client(&server).await.send(json!({"type": "dance"})).await;
            loop {
                let message = party.client(&server).await.next().await;
                if !party.note(&message) {
                    assert_eq!(message["code"], "unknown_type", "seed {seed}");
                    break;
                }
            }
        }
    }
}
