//! Sections 2 and 5 as far as the server is concerned: who gets what, stamped how, and who is told of those gone.

use serde_json::{Value, json};

use crate::harness::*;

fn close(to: &str, reason: &str) -> Value {
    json!({"type": "close", "call": CALL, "to": to, "reason": reason})
}

#[tokio::test]
async fn an_opening_offer_goes_to_every_device_and_the_caller_learns_which() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let (mut first, mut second) = (server.enter("bob", 1).await, server.enter("bob", 2).await);
    let relayed = alice.ask(offer("bob")).await;
    let to = json!([address("bob", 1), address("bob", 2)]);
    assert_eq!(relayed, json!({"type": "relayed", "call": CALL, "to": to, "seq": 1}));
    for device in [&mut first, &mut second] {
        let expected = json!({"type": "offer", "call": CALL, "n": 0, "sdp": "v=0", "video": true, "devices": 2,
            "from": address("alice", 1), "seq": 1});
        assert_eq!(device.next().await, expected);
    }
}

#[tokio::test]
async fn what_a_client_may_not_write_is_dropped_and_what_is_not_listed_passes() {
    let server = Server::start().await;
    let mut alice = server.enter("guest-alice", 1).await;
    let mut bob = server.enter("guest-bob", 2).await;
    let mut message = close(&address("guest-bob", 2), "later reason");
    for (member, value) in [
        ("from", json!("x")),
        ("seq", json!([])),
        ("devices", json!("9")),
        ("age_ms", json!(5)),
        ("mood", json!({"a": [1, "é"]})),
    ] {
        message[member] = value;
    }
    alice.send(message).await;
    let expected = json!({"type": "close", "call": CALL, "reason": "later reason", "mood": {"a": [1, "é"]},
        "from": address("guest-alice", 1), "seq": 1});
    assert_eq!(bob.next().await, expected);
}

#[tokio::test]
async fn an_opening_offer_to_nobody_is_offline_or_unknown() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    server.enter("bob", 1).await.leave().await;
    for (callee, code) in [("bob", "offline"), ("nobody", "unknown_user"), ("guest-nobody", "unknown_user")] {
        let answer = alice.ask(offer(callee)).await;
        assert_eq!((&answer["code"], &answer["call"]), (&json!(code), &json!(CALL)), "{callee}");
    }
}

#[tokio::test]
async fn a_full_address_that_is_gone_is_offline_and_a_bare_name_without_anybody_is_silence() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let _bob = server.enter("bob", 1).await;
    for (to, is_answered) in [
        (address("bob", 9), true),
        (address("carol", 1), true),
        ("carol".to_owned(), false),
        ("guest-x".to_owned(), false),
    ] {
        for message in [
            json!({"type": "progress", "call": CALL, "to": to, "state": "ringing"}),
            json!({"type": "answer", "call": CALL, "to": to, "n": 0, "sdp": "v=0"}),
            json!({"type": "candidate", "call": CALL, "to": to, "candidate": {"candidate": ""}}),
            json!({"type": "restart", "call": CALL, "to": to, "n": 0}),
            close(&to, "hangup"),
        ] {
            if is_answered {
                let answer = alice.ask(message).await;
                assert_eq!((&answer["code"], &answer["call"]), (&json!("offline"), &json!(CALL)), "{to}");
            } else {
                alice.send(message).await;
            }
        }
    }
    let renegotiation = json!({"type": "offer", "call": CALL, "to": address("bob", 9), "n": 1, "sdp": "v=0"});
    assert_eq!(alice.refused(renegotiation).await, "offline");
    alice.nothing_came().await;
}

#[tokio::test]
async fn an_offer_to_a_full_address_opens_nothing() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let mut bob = server.enter("bob", 1).await;
    alice.send(offer(&address("bob", 1))).await;
    let received = bob.next().await;
    assert_eq!((received.get("devices"), &received["from"]), (None, &json!(address("alice", 1))));
    bob.leave().await;
    alice.nothing_came().await;
}

#[tokio::test]
async fn nobody_calls_himself() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let mut other = server.enter("alice", 2).await;
    let answer = alice.ask(offer("alice")).await;
    assert_eq!((&answer["code"], &answer["call"]), (&json!("bad_message"), &json!(CALL)));
    assert_eq!(alice.refused(offer(&address("alice", 2))).await, "bad_message");
    other.nothing_came().await;
}

#[tokio::test]
async fn each_listed_member_is_checked() {
    let server = Server::start().await;
    let good = [
        offer("bob"),
        json!({"type": "progress", "call": CALL, "to": "bob", "state": "ringing", "device": "d", "video": true}),
        json!({"type": "answer", "call": CALL, "to": "bob", "n": 0, "sdp": "v=0", "early": false}),
        json!({"type": "candidate", "call": CALL, "to": "bob",
            "candidate": {"candidate": "c", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "u"}}),
        json!({"type": "restart", "call": CALL, "to": "bob", "n": 0}),
        json!({"type": "close", "call": CALL, "to": "bob", "reason": "hangup", "by": address("bob", 1)}),
    ];
    for message in &good {
        for member in message.as_object().unwrap().keys().filter(|member| *member != "type") {
            let mut alice = server.enter("alice", 1).await;
            let mut wrong = message.clone();
            wrong[member] = json!([7]);
            assert_eq!(alice.refused(wrong).await, "bad_message", "{member} of {message}");
            let optional = ["device", "early", "by"].contains(&member.as_str())
                || (member == "video" && message["type"] == "progress");
            let mut without = message.clone();
            without.as_object_mut().unwrap().remove(member);
            if !optional {
                assert_eq!(alice.refused(without).await, "bad_message", "no {member} in {message}");
            }
        }
    }
    for (member, value) in [
        ("call", json!("0B2C9B1E-3B1A-4C57-8A2F-0D6E7F8A9B0C")),
        ("call", json!("0b2c9b1e3b1a4c578a2f0d6e7f8a9b0c")),
        ("call", json!("")),
        ("to", json!("bob/")),
        ("to", json!("bob/19CE44D05B7A1C02")),
        ("n", json!(-1)),
        ("n", json!(0.5)),
        ("n", json!(1_u64 << 32)),
        ("to", json!(["bob"])),
        ("key", json!(7)),
        ("signature", json!(7)),
        ("name", json!(7)),
        ("video", json!("yes")),
    ] {
        let mut alice = server.enter("alice", 1).await;
        let mut wrong = offer("bob");
        wrong[member] = value.clone();
        let answer = alice.ask(wrong).await;
        assert_eq!(answer["code"], "bad_message", "{member} {value}");
        assert_eq!(answer["call"], if member == "call" { value } else { json!(CALL) });
    }
    let mut alice = server.enter("alice", 1).await;
    for to in ["Bob", "", "admin", "Bob/19ce44d05b7a1c02"] {
        let answer = alice.ask(offer(to)).await;
        assert_eq!((&answer["code"], &answer["call"]), (&json!("bad_username"), &json!(CALL)), "{to}");
    }
    // Whether it proves anything is for who gets it to check.
    let mut bob = server.enter("bob", 1).await;
    let mut unproven = offer("bob");
    (unproven["key"], unproven["signature"]) = (json!("AAAA"), json!("?"));
    alice.send(unproven).await;
    let received = bob.next().await;
    assert_eq!((&received["key"], &received["signature"]), (&json!("AAAA"), &json!("?")));
}

#[tokio::test]
async fn the_caller_hears_offline_when_the_last_device_is_gone() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let (first, mut second) = (server.enter("bob", 1).await, server.enter("bob", 2).await);
    assert_eq!(alice.ask(offer("bob")).await["type"], "relayed");
    first.leave().await;
    alice.nothing_came().await;
    assert_eq!(second.next().await["type"], "offer");
    second.send(json!({"type": "progress", "call": CALL, "to": address("alice", 1), "state": "ringing"})).await;
    assert_eq!(alice.next().await["state"], "ringing");
    second.leave().await;
    let answer = alice.next().await;
    assert_eq!((&answer["type"], &answer["code"], &answer["call"]), (&json!("error"), &json!("offline"), &json!(CALL)));
    alice.nothing_came().await;
}

#[tokio::test]
async fn a_replaced_device_took_its_ringing_with_it() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let _bob = server.enter("bob", 1).await;
    assert_eq!(alice.ask(offer("bob")).await["type"], "relayed");
    let _again = server.enter("bob", 1).await;
    assert_eq!(alice.next().await["code"], "offline");
}

#[tokio::test]
async fn a_call_that_was_answered_ends_with_no_word_of_the_servers() {
    let server = Server::start().await;
    for word in [
        json!({"type": "answer", "call": CALL, "to": address("alice", 1), "n": 0, "sdp": "v=0"}),
        json!({"type": "progress", "call": CALL, "to": address("alice", 1), "state": "accepted", "video": true}),
        close(&address("alice", 1), "declined"),
    ] {
        let mut alice = server.enter("alice", 1).await;
        let mut bob = server.enter("bob", 1).await;
        assert_eq!(alice.ask(offer("bob")).await["type"], "relayed");
        bob.send(word.clone()).await;
        assert_eq!(alice.next().await["from"], address("bob", 1));
        bob.leave().await;
        alice.nothing_came().await;
    }
}

#[tokio::test]
async fn messages_of_one_sender_to_one_receiver_stay_in_order() {
    let server = Server::start().await;
    let mut alice = server.enter("guest-alice", 1).await;
    let mut bob = server.enter("guest-bob", 2).await;
    let to = [address("guest-bob", 2), "guest-bob".to_owned()];
    for n in 0..250_usize {
        alice.send(json!({"type": "restart", "call": CALL, "to": to[n % 2], "n": n})).await;
    }
    for n in 0..250 {
        let message = bob.next().await;
        assert_eq!((&message["n"], &message["seq"]), (&json!(n), &json!(n + 1)));
    }
}

#[tokio::test]
async fn a_message_that_would_grow_beyond_what_clients_accept_is_not_passed_on() {
    let server = Server::start().await;
    let mut alice = server.enter("guest-alice", 1).await;
    let mut bob = server.enter("guest-bob", 2).await;
    // 5 bytes each as written, 19 when a number is written anew.
    let numbers = vec!["1e15"; 10_000].join(",");
    let text = format!(r#"{{"type":"restart","call":"{CALL}","to":"guest-bob","n":0,"pad":[{numbers}]}}"#);
    alice.send_text(&text).await;
    let answer = alice.next().await;
    assert_eq!((&answer["code"], &answer["call"]), (&json!("bad_message"), &json!(CALL)));
    bob.nothing_came().await;
    // The longest that a client may write passes and stays below 68 KiB.
    let bare = json!({"type": "restart", "call": CALL, "to": "guest-bob", "n": 0, "pad": ""}).to_string().len();
    let longest = json!({"type": "restart", "call": CALL, "to": "guest-bob", "n": 0, "pad": "x".repeat(65_536 - bare)});
    alice.send(longest).await;
    let received = bob.next().await;
    assert!(received.to_string().len() <= 68 * 1024);
    assert_eq!(received["from"], address("guest-alice", 1));
}
