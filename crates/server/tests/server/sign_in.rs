//! Section 3: who may sign in, and what everybody else is told.

use ahoy_protocol::identity::IdentityKey;
use serde_json::{Value, json};

use crate::harness::*;

#[tokio::test]
async fn the_server_speaks_first_with_a_fresh_challenge() {
    let server = Server::start().await;
    let (first, second) = (server.connect().await, server.connect().await);
    let hello = &first.hello;
    assert_eq!((&hello["type"], &hello["protocols"], &hello["guests"]), (&json!("hello"), &json!([1]), &json!(true)));
    assert_eq!(hello["server"], concat!("ahoy-server/", env!("CARGO_PKG_VERSION")));
    assert_eq!(hello["challenge"].as_str().unwrap().len(), 43, "32 bytes, base64url, no padding");
    assert_ne!(hello["challenge"], second.hello["challenge"]);
    assert_eq!(hello.get("seq"), None);
}

#[tokio::test]
async fn a_key_signs_in_under_its_name() {
    let server = Server::with(|config| {
        config.ice.servers = vec!["stun:stun.example.org".parse().unwrap()];
    })
    .await;
    let mut alice = server.connect().await;
    let welcome = alice.login("alice", 1).await;
    assert!(welcome["resume"].as_str().is_some_and(|resume| resume.len() >= 22), "{welcome}");
    let mut rest = welcome.clone();
    rest.as_object_mut().unwrap().remove("resume");
    let expected = json!({"type": "welcome", "username": "alice", "session": session(1), "resumed": false, "received": 0,
        "linger_s": 30, "ice_servers": [{"urls": ["stun:stun.example.org"]}], "ttl_s": 43200});
    assert_eq!(rest, expected);
    let ice = alice.ask(json!({"type": "ice_servers"})).await;
    let expected =
        json!({"type": "ice_servers", "ice_servers": [{"urls": ["stun:stun.example.org"]}], "ttl_s": 43200, "seq": 1});
    assert_eq!(ice, expected);
    let guest = server.connect().await.login("guest-a", 1).await;
    assert_eq!((&guest["type"], &guest["ttl_s"]), (&json!("welcome"), &json!(900)));
}

#[tokio::test]
async fn each_refusal_has_its_code_and_the_client_may_try_again() {
    let server = Server::with(|config| config.limits.failed_logins.count = 100).await;
    server.enter("bob", 1).await;
    let mut client = server.connect().await;
    let good = client.login_as("alice", 1, &key_of("alice"));
    let with = |member: &str, value: Value| {
        let mut login = good.clone();
        login[member] = value;
        login
    };
    let without = |members: &[&str]| {
        let mut login = good.clone();
        members.iter().for_each(|member| drop(login.as_object_mut().unwrap().remove(*member)));
        login
    };
    let other = IdentityKey::from_secret(&[9; 32]);
    let named = |name: &str| with("username", json!(name));
    for (login, code) in [
        (with("protocol", json!(2)), "unsupported_protocol"),
        (with("protocol", json!(0)), "unsupported_protocol"),
        (named(""), "bad_username"),
        (named("Alice"), "bad_username"),
        (named(".alice"), "bad_username"),
        (named("al ice"), "bad_username"),
        (named("аlice"), "bad_username"),
        (named(&"a".repeat(33)), "bad_username"),
        (named("admin"), "bad_username"),
        (named("root"), "bad_username"),
        (named("server"), "bad_username"),
        (named("system"), "bad_username"),
        (named("support"), "bad_username"),
        (named("ahoy"), "bad_username"),
        (named("guest-alice"), "bad_username"),
        (without(&["key"]), "bad_signature"),
        (without(&["signature"]), "bad_signature"),
        (without(&["key", "signature", "host"]), "bad_signature"),
        (named("alicia"), "bad_signature"),
        (with("session", json!(session(2))), "bad_signature"),
        (with("key", json!(other.public())), "bad_signature"),
        (with("host", json!("calls.example.org")), "bad_signature"),
        (with("host", json!("127.0.0.1")), "bad_signature"),
        (with("host", json!("")), "bad_signature"),
        (server.connect().await.login_as("alice", 1, &key_of("alice")), "bad_signature"),
        (client.login_as("bob", 2, &other), "username_taken"),
    ] {
        assert_eq!(client.refused(login.clone()).await, code, "{login}");
    }
    let welcome = client.ask(good.clone()).await;
    assert_eq!(welcome["type"], "welcome", "the challenge is still the same: {welcome}");
}

#[tokio::test]
async fn a_login_that_is_malformed_is_a_bad_message() {
    let server = Server::start().await;
    for (member, value) in [
        ("protocol", json!("1")),
        ("protocol", json!(1.5)),
        ("protocol", Value::Null),
        ("username", json!(7)),
        ("session", json!("9F0C51D2A7E34B18")),
        ("session", json!("9f0c51d2a7e34b1")),
        ("session", json!(7)),
        ("key", json!(7)),
        ("signature", json!(7)),
        ("host", json!(["127.0.0.1"])),
        ("name", json!({})),
        ("device", json!(1)),
        ("resume", json!(1)),
        ("seq", json!("1")),
        ("seq", json!(-1)),
    ] {
        let mut client = server.connect().await;
        let mut login = client.login_as("alice", 1, &key_of("alice"));
        login[member] = value.clone();
        assert_eq!(client.refused(login).await, "bad_message", "{member} {value}");
    }
    for member in ["protocol", "username", "session", "host"] {
        let mut client = server.connect().await;
        let mut login = client.login_as("alice", 1, &key_of("alice"));
        login.as_object_mut().unwrap().remove(member);
        assert_eq!(client.refused(login).await, "bad_message", "no {member}");
    }
}

#[tokio::test]
async fn a_second_login_is_a_bad_message() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let again = alice.login_as("alice", 1, &key_of("alice"));
    assert_eq!(alice.refused(again).await, "bad_message");
    alice.nothing_came().await;
}

#[tokio::test]
async fn whoever_is_not_signed_in_may_only_sign_in_and_ping() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for message in [
        json!({"type": "contacts", "usernames": []}),
        json!({"type": "ice_servers"}),
        offer("bob"),
        json!({"type": "close", "call": CALL, "to": "bob", "reason": "hangup"}),
    ] {
        assert_eq!(client.refused(message.clone()).await, "not_signed_in", "{message}");
    }
    let answer = client.ask(offer("bob")).await;
    assert_eq!(answer["call"], CALL);
    assert_eq!(client.refused(json!({"type": "contacts"})).await, "bad_message");
    assert_eq!(client.refused(json!({"type": "dance"})).await, "unknown_type");
    client.nothing_came().await;
}

#[tokio::test]
async fn the_host_signed_is_the_servers_own() {
    let server = Server::with(|config| config.hosts.public = vec!["calls.example.org".parse().unwrap()]).await;
    let mut client = server.connect().await;
    let login = client.login_as("alice", 1, &key_of("alice"));
    assert_eq!(client.refused(login).await, "bad_signature", "its address is not its name");
    client.authority_is("calls.example.org:8443");
    assert_eq!(client.login("alice", 1).await["type"], "welcome");
}

#[tokio::test]
async fn guests_come_without_a_key_and_keep_their_name_while_they_are_here() {
    let server = Server::start().await;
    let mut first = server.connect().await;
    let welcome = first.login("guest-a", 1).await;
    let mut second = server.connect().await;
    assert_eq!(second.login("guest-a", 2).await["code"], "username_taken");
    assert_eq!(second.login("guest-a", 1).await["code"], "username_taken", "a session is no secret");
    let mut login = second.login_as("guest-a", 1, &key_of("x"));
    login["resume"] = json!("guessed");
    assert_eq!(second.refused(login.clone()).await, "username_taken");
    first.nothing_came().await;
    login["resume"] = welcome["resume"].clone();
    let again = second.ask(login.clone()).await;
    assert_eq!((&again["type"], &again["resumed"]), (&json!("welcome"), &json!(true)));
    assert_eq!(first.closed().await, 4001);
    drop(second);
    let mut third = server.connect().await;
    assert_eq!(third.login("guest-a", 1).await["code"], "username_taken", "it lingers");
    login["seq"] = json!(999);
    let mut second = server.connect().await;
    let anew = second.ask(login).await;
    assert_eq!((&anew["type"], &anew["resumed"]), (&json!("welcome"), &json!(false)), "nobody saw so much");
    assert_ne!(anew["resume"], welcome["resume"]);
    second.leave().await;
    server.enter("guest-a", 3).await;
}

#[tokio::test]
async fn a_server_can_refuse_guests() {
    let server = Server::with(|config| config.guests = false).await;
    let mut client = server.connect().await;
    assert_eq!(client.hello["guests"], false);
    assert_eq!(client.login("guest-a", 1).await["code"], "guests_refused");
    assert_eq!(client.login("alice", 1).await["type"], "welcome");
}

#[tokio::test]
async fn the_same_device_takes_its_own_place_and_the_earlier_is_closed_with_4001() {
    let server = Server::start().await;
    let mut first = server.enter("alice", 1).await;
    let mut second = server.enter("alice", 1).await;
    assert_eq!(first.closed().await, 4001);
    let mut bob = server.enter("bob", 1).await;
    assert_eq!(bob.ask(offer("alice")).await["to"], json!([address("alice", 1)]));
    assert_eq!(second.next().await["seq"], 1, "numbers begin anew");
}

#[tokio::test]
async fn a_user_has_eight_sessions() {
    let server = Server::start().await;
    let mut devices = Vec::new();
    for number in 1..=8 {
        devices.push(server.enter("alice", number).await);
    }
    let mut ninth = server.connect().await;
    assert_eq!(ninth.login("alice", 9).await["code"], "too_many");
    devices.pop().unwrap().leave().await;
    assert_eq!(ninth.login("alice", 9).await["type"], "welcome");
}

#[tokio::test]
async fn every_message_after_welcome_is_numbered_whatever_it_is() {
    let server = Server::start().await;
    let mut alice = server.enter("alice", 1).await;
    let mut numbers = Vec::new();
    for message in [
        json!({"type": "ping"}),
        json!({"type": "ice_servers"}),
        json!({"type": "dance"}),
        json!({"type": "contacts"}),
        offer("nobody"),
    ] {
        numbers.push(alice.ask(message).await["seq"].as_u64().unwrap());
    }
    let mut bob = server.enter("bob", 1).await;
    bob.send(offer("alice")).await;
    numbers.push(alice.next().await["seq"].as_u64().unwrap());
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_login_overheard_on_one_connection_is_worth_nothing_on_another() {
    let server = Server::start().await;
    let mut first = server.connect().await;
    let login = first.login_as("alice", 1, &key_of("alice"));
    assert_eq!(first.ask(login.clone()).await["type"], "welcome");
    assert_eq!(server.connect().await.refused(login.clone()).await, "bad_signature");
    first.leave().await;
    assert_eq!(server.connect().await.refused(login).await, "bad_signature");
}
