//! Section 4: contacts and presence.

use serde_json::{Value, json};

use crate::harness::*;

fn contacts(names: &[&str]) -> Value {
    json!({"type": "contacts", "usernames": names})
}

fn presence(message: &Value) -> (&str, bool) {
    assert_eq!(message["type"], "presence", "{message}");
    (message["username"].as_str().unwrap(), message["online"].as_bool().unwrap())
}

#[tokio::test]
async fn presence_is_mutual() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    alice.send(contacts(&["bob", "carol", "Not A Name", "bob"])).await;
    alice.nothing_came().await;
    let mut bob = server.enter("bob", 1).await;
    alice.nothing_came().await;
    bob.send(contacts(&["alice"])).await;
    assert_eq!(presence(&bob.next().await), ("alice", true));
    assert_eq!(presence(&alice.next().await), ("bob", true));
    alice.send(contacts(&["bob"])).await;
    assert_eq!(presence(&alice.next().await), ("bob", true));
    bob.nothing_came().await;
    bob.send(contacts(&[])).await;
    assert_eq!(presence(&bob.next().await), ("alice", false));
    assert_eq!(presence(&alice.next().await), ("bob", false));
    alice.nothing_came().await;
}

#[tokio::test]
async fn the_end_of_the_last_session_is_told() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    alice.send(contacts(&["bob"])).await;
    let mut first = server.enter("bob", 1).await;
    first.send(contacts(&["alice"])).await;
    assert_eq!(presence(&alice.next().await), ("bob", true));
    let mut second = server.enter("bob", 2).await;
    second.send(contacts(&["alice"])).await;
    assert_eq!(presence(&second.next().await), ("alice", true));
    first.leave().await;
    alice.nothing_came().await;
    second.leave().await;
    assert_eq!(presence(&alice.next().await), ("bob", false));
}

#[tokio::test]
async fn a_list_has_a_thousand_names_and_a_longer_one_changes_nothing() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let mut names: Vec<String> = (0..999).map(|number| format!("friend-{number}")).collect();
    names.push("bob".to_owned());
    alice.send(json!({"type": "contacts", "usernames": names})).await;
    alice.nothing_came().await;
    let longer: Vec<String> = (0..1_001).map(|number| format!("other-{number}")).collect();
    assert_eq!(alice.refused(json!({"type": "contacts", "usernames": longer})).await, "too_many");
    let mut bob = server.enter("bob", 1).await;
    bob.send(contacts(&["alice"])).await;
    assert_eq!(presence(&alice.next().await), ("bob", true));
}

#[tokio::test]
async fn guests_have_no_presence() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    alice.send(contacts(&["guest-bob"])).await;
    let mut guest = server.enter("guest-bob", 1).await;
    guest.send(contacts(&["alice"])).await;
    guest.nothing_came().await;
    alice.nothing_came().await;
}

#[tokio::test]
async fn a_malformed_list_is_a_bad_message() {
    let server = Server::start().await;
    for usernames in [json!("bob"), json!([7]), json!(null), json!({"bob": true})] {
        let mut alice = server.enter("alice", 1).await;
        let message = json!({"type": "contacts", "usernames": usernames});
        assert_eq!(alice.refused(message).await, "bad_message", "{usernames}");
    }
}
