//! Section 6: calls that came while no device of the callee was signed in.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

/// The `missed` message that must come first.
async fn missed(client: &mut Client) -> Vec<Value> {
    let message = client.next().await;
    assert_eq!(message["type"], "missed", "{message}");
    message["calls"].as_array().unwrap().clone()
}

fn call(number: u64) -> String {
    format!("0b2c9b1e-3b1a-4c57-8a2f-{number:012x}")
}

#[tokio::test]
async fn a_missed_call_is_told_once_and_forgotten_when_acknowledged() {
    let server = Server::with(|config| config.timing.ping = Duration::from_millis(30)).await;
    server.enter("bob", 1).await.leave().await;
    let mut carol = server.enter("carol", 1).await;
    let mut guest = server.enter("guest-x", 1).await;
    assert_eq!(carol.refused(offer("bob")).await, "offline");
    let mut voice = offer("bob");
    (voice["call"], voice["video"]) = (json!(call(2)), json!(false));
    assert_eq!(carol.refused(voice).await, "offline");
    assert_eq!(guest.refused(offer("bob")).await, "offline");
    assert_eq!(guest.refused(offer("nobody")).await, "unknown_user");

    let (mut bob, welcome) = server.welcomed("bob", 1).await;
    let message = bob.next().await;
    assert_eq!((&message["type"], &message["seq"]), (&json!("missed"), &json!(1)));
    let mut calls = message["calls"].as_array().unwrap().clone();
    calls.sort_by_key(|call| call["from"].to_string());
    for call in &mut calls {
        let at = call.as_object_mut().unwrap().remove("at").unwrap();
        let at = at.as_str().unwrap();
        assert!(at.len() == 20 && at.starts_with("20") && at.ends_with('Z') && &at[10..11] == "T", "{at}");
    }
    let expected =
        json!([{"from": "carol", "video": false, "count": 2}, {"from": "guest-x", "video": true, "count": 1}]);
    assert_eq!(json!(calls), expected);
    // Not acknowledged, it waits for the return; and is told to a device that comes anew.
    drop(bob);
    let (mut bob, _) = server.resumed(&welcome, 0).await;
    assert_eq!(missed(&mut bob).await.len(), 2);
    let mut second = server.enter("bob", 2).await;
    assert_eq!(missed(&mut second).await.len(), 2);
    // Nothing that these others do says that they have it: they read no further, so they answer no ping that came behind
    // it, and go without a word of parting.
    drop(second);
    let told_again = async || {
        let mut other = server.enter("bob", 3).await;
        other.ask(json!({"type": "ping"})).await["type"] == "missed"
    };
    assert!(told_again().await);
    // The first device's pong acknowledges.
    soon("that it is forgotten", async {
        while told_again().await {
            let _ = tokio::time::timeout(Duration::from_millis(20), bob.next()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_signs_out_without_having_acknowledged_is_told_again() {
    let server = Server::start().await;
    server.enter("bob", 1).await.leave().await;
    let mut carol = server.enter("carol", 1).await;
    assert_eq!(carol.refused(offer("bob")).await, "offline");
    server.enter("bob", 1).await.leave().await;
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(missed(&mut bob).await[0]["from"], "carol");
    bob.has(1).await;
    bob.leave().await;
    server.enter("bob", 1).await.nothing_came().await;
}

#[tokio::test]
async fn what_was_only_sent_and_then_too_much_more_is_neither_heard_nor_told() {
    let server = Server::start().await;
    server.enter("bob", 1).await.leave().await;
    let mut carol = server.enter("carol", 1).await;
    assert_eq!(carol.refused(offer("bob")).await, "offline");
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(missed(&mut bob).await[0]["from"], "carol");
    let mut dave = server.enter("dave", 1).await;
    assert_eq!(dave.ask(offer("bob")).await["type"], "relayed");
    assert_eq!(bob.next().await["type"], "offer");
    // Sent, and never acknowledged; then more than the server keeps.
    for n in 0..260 {
        carol.send(json!({"type": "restart", "call": CALL, "to": address("bob", 1), "n": n})).await;
        assert_eq!(bob.next().await["n"], n);
    }
    drop(bob);
    let mut bob = server.enter("bob", 1).await;
    let mut callers: Vec<_> = missed(&mut bob).await.iter().map(|call| call["from"].to_string()).collect();
    callers.sort();
    assert_eq!(callers, ["\"carol\"", "\"dave\""]);
}

#[tokio::test]
async fn an_offer_that_waited_until_the_session_ended_is_a_missed_call() {
    let server = Server::with(|config| config.timing.linger = Duration::from_secs(2)).await;
    let mut carol = server.enter("carol", 1).await;
    drop(server.enter("bob", 1).await);
    assert_eq!(carol.ask(offer("bob")).await["type"], "relayed");
    // Giving up early does not undo it.
    carol.send(json!({"type": "close", "call": CALL, "to": "bob", "reason": "cancelled"})).await;
    let mut other = offer("bob");
    other["call"] = json!(call(2));
    assert_eq!(carol.ask(other).await["type"], "relayed");
    assert_eq!(carol.next().await["code"], "offline");
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(missed(&mut bob).await[0]["count"], 2);
}

#[tokio::test]
async fn an_offer_to_a_device_that_comes_anew_was_missed_by_the_one_before() {
    let server = Server::start().await;
    let mut carol = server.enter("carol", 1).await;
    drop(server.enter("bob", 1).await);
    assert_eq!(carol.ask(offer("bob")).await["type"], "relayed");
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(missed(&mut bob).await[0]["from"], "carol");
}

#[tokio::test]
async fn what_a_device_heard_is_no_missed_call() {
    let server = Server::start().await;
    let mut carol = server.enter("carol", 1).await;
    for word in [None, Some("ringing"), Some("accepted")] {
        let mut bob = server.enter("bob", 1).await;
        let lost = server.enter("bob", 2).await;
        assert_eq!(carol.ask(offer("bob")).await["type"], "relayed");
        assert_eq!(bob.next().await["type"], "offer");
        drop(lost);
        if let Some(state) = word {
            bob.send(json!({"type": "progress", "call": CALL, "to": address("carol", 1), "state": state})).await;
            assert_eq!(carol.next().await["state"], state);
            // Gone without a word of parting: what it said shows that it knows.
            drop(bob);
        } else {
            bob.has(1).await;
            bob.leave().await;
        }
        // Both in place of the earlier ones.
        let mut bob = server.enter("bob", 1).await;
        bob.nothing_came().await;
        let mut second = server.enter("bob", 2).await;
        second.nothing_came().await;
        second.leave().await;
        bob.leave().await;
        carol.send(json!({"type": "ping"})).await;
        while carol.next().await["type"] != "pong" {}
    }
}

#[tokio::test]
async fn missed_calls_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let open = || ahoy_server::Accounts::open(folder.path()).unwrap();
    let server = Server::with(|config| config.accounts = open()).await;
    let mut carol = server.enter("carol", 1).await;
    server.enter("bob", 1).await.leave().await;
    drop(server.enter("dave", 1).await);
    assert_eq!(carol.refused(offer("bob")).await, "offline");
    assert_eq!(carol.ask(offer("dave")).await["type"], "relayed");
    server.stop().await;

    let server = Server::with(|config| config.accounts = open()).await;
    for name in ["bob", "dave"] {
        let mut callee = server.enter(name, 1).await;
        assert_eq!(missed(&mut callee).await[0]["from"], "carol", "{name}: noted, waiting or not");
    }
}

#[tokio::test]
async fn guests_push_out_nobody_who_has_a_name() {
    let server = Server::start().await;
    server.enter("bob", 1).await.leave().await;
    assert_eq!(server.enter("zoe", 1).await.refused(offer("bob")).await, "offline");
    for number in 0..120 {
        let mut guest = server.enter(&format!("guest-{number}"), 1).await;
        assert_eq!(guest.refused(offer("bob")).await, "offline");
    }
    let mut bob = server.enter("bob", 1).await;
    let calls = missed(&mut bob).await;
    assert!(calls.iter().any(|call| call["from"] == "zoe"), "{calls:?}");
    assert_eq!(calls.len(), 21);
}
