//! Peers that mean no good, or know no better, against the real command-line peer. Whatever they say, the outcome is clear,
//! nothing is lost, and the next call works.

use ahoy_tests::harness::cli::{Cli, Running};
use ahoy_tests::harness::peer::{new_call, text};
use ahoy_tests::harness::proof::Key;
use ahoy_tests::harness::sdp::{Endpoint, host};
use ahoy_tests::harness::{Peer, Server};
use serde_json::{Value, json};

#[path = "hostile/tls.rs"]
mod tls;

#[test]
fn an_offer_that_proves_nothing_does_not_ring() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let good = Endpoint::new().offer();
    let fingerprint = good.lines().find(|line| line.starts_with("a=fingerprint")).unwrap_or_default();
    let other = Endpoint::new().offer();
    for (number, sdp) in [
        String::new(),
        "v=0\r\n".into(),
        "\u{0}\u{1F4DE}\r\nv=0".into(),
        good.replace("sha-256", "sha-1"),
        good.replace(fingerprint, ""),
        good.replace(fingerprint, &fingerprint[..fingerprint.len() - 3]),
        good.clone() + &other,
        "a=x\r\n".repeat(8_000),
    ]
    .iter()
    .enumerate()
    {
        let mut zoe = Peer::guest(&server, &format!("guest-{number}"));
        assert_refused(&mut zoe, "echo", sdp);
    }
    assert!(echo.all("incoming").is_empty(), "none of them rings");
    echo.takes_the_next_call(&server);
}

#[test]
fn an_offer_in_another_name_does_not_ring() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let (own, others) = (Key::number(7), Key::number(1));
    let mut mallory = Peer::keyed(&server, "mallory", &own);
    let sdp = Endpoint::new().offer();
    let calls = [(); 6].map(|()| new_call());
    let signed = |key: &Key, call: &str, receiver: &str, sdp: &str| {
        Some(key.sign_description("offer", call, 0, ["mallory", receiver], sdp, None, None))
    };
    let replayed = Some(others.sign_description("offer", &calls[1], 0, ["alice", "echo"], &sdp, None, None));
    let (mine, theirs) = (Some(own.public()), Some(others.public()));
    let claims = [
        ("unsigned", None, None),
        ("somebody else's offer", theirs.clone(), replayed),
        ("somebody else's key", theirs, signed(&own, &calls[2], "echo", &sdp)),
        ("signed for another call", mine.clone(), signed(&own, &new_call(), "echo", &sdp)),
        ("signed for somebody else", mine.clone(), signed(&own, &calls[4], "bob", &sdp)),
        ("signed for another description", mine, signed(&own, &calls[5], "echo", "v=0\r\n")),
    ];
    for ((what, key, signature), call) in claims.into_iter().zip(&calls) {
        let mut offer = json!({"type": "offer", "call": call, "to": "echo", "n": 0, "sdp": sdp, "video": true});
        for (member, value) in [("key", key), ("signature", signature)] {
            if let Some(value) = value {
                offer[member] = value.into();
            }
        }
        mallory.send(&offer);
        expect_failed(&mut mallory, call, what);
    }
    assert!(echo.all("incoming").is_empty(), "none of them rings");
    echo.takes_the_next_call(&server);
}

#[test]
fn an_offer_that_cannot_be_answered_fails_and_the_next_call_works() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let good = Endpoint::new().offer();
    let (session, media) = good.split_at(good.find("m=").unwrap_or_default());
    let fingerprint = good.lines().find(|line| line.starts_with("a=fingerprint")).unwrap_or_default();
    let unusable = [
        format!("{fingerprint}\r\n"),
        format!("{session}{fingerprint}\r\n"),
        media.to_owned(),
        good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        good.replace("a=group:BUNDLE 0 1 2 3\r\n", ""),
        good.replace("a=rtcp-mux\r\n", ""),
        good.replace("a=setup:actpass", "a=setup:sideways"),
        good.replace("a=ice-pwd:", "a=no-pwd:"),
        good.replacen("a=mid:1", "a=mid:0", 1),
        good.replacen("m=audio 9", "m=audio 99999999999", 1),
        session.to_owned() + &media.repeat(20),
        // As many sections as come through the server.
        good.clone() + &"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(1_000),
    ];
    for (number, sdp) in unusable.iter().enumerate() {
        let mut zoe = Peer::guest(&server, &format!("guest-{number}"));
        assert_refused(&mut zoe, "echo", sdp);
    }
    // These may be answered as far as they go, or refused: either way somebody says so.
    let odd = [
        good.replacen("opus/48000/2", "opus/0/0", 1),
        good.replace("a=rtpmap:96 H264/90000", &format!("a=rtpmap:96 {}", "H".repeat(20_000))),
        format!("{good}\u{0}\u{FFFF}=\r\n=\r\nm=\r\na=\r\n"),
    ];
    for (number, sdp) in odd.iter().enumerate() {
        let mut zoe = Peer::guest(&server, &format!("guest-odd-{number}"));
        let call = new_call();
        zoe.dial("echo", &call, sdp);
        let outcome = zoe.expect_where("outcome", |message| message["type"] == "answer" || message["type"] == "close");
        if outcome["type"] == "answer" {
            zoe.close(&call, "echo", "hangup");
            zoe.settle("echo");
        }
    }
    echo.takes_the_next_call(&server);
}

#[test]
fn absurd_candidates_do_no_harm_to_a_callee() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let (call, end) = (new_call(), Endpoint::new());
    // Some before the offer that they belong to, some after it was answered.
    send_absurd_candidates(&mut zoe, &call, "echo", &end.ufrag, 60);
    zoe.dial("echo", &call, &end.offer());
    let answer = zoe.expect_about("answer", &call);
    send_absurd_candidates(&mut zoe, &call, text(&answer, "from"), &end.ufrag, 200);
    zoe.settle("echo");
    assert!(echo.all("ended").is_empty(), "the call goes on");
    zoe.close(&call, "echo", "hangup");
    echo.wait_for("ended");
    echo.takes_the_next_call(&server);
}

#[test]
fn absurd_candidates_do_no_harm_to_a_caller() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    let [call, from] = ["call", "from"].map(|member| text(&offer, member).to_owned());
    let end = Endpoint::new();
    send_absurd_candidates(&mut zoe, &call, &from, &end.ufrag, 100);
    zoe.accept(&offer, &end.answer(text(&offer, "sdp")));
    send_absurd_candidates(&mut zoe, &call, &from, &end.ufrag, 150);
    zoe.settle("alice");
    alice.wait_for("accepted");
    assert!(alice.all("ended").is_empty(), "the call goes on");
    zoe.close(&call, &from, "hangup");
    alice.ends_with(4);
}

#[test]
fn what_makes_no_sense_is_ignored() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let (call, end) = (new_call(), Endpoint::new());
    zoe.dial("echo", &call, &end.offer());
    let answer = zoe.expect_about("answer", &call);
    let address = text(&answer, "from").to_owned();
    zoe.dial("echo", &call, &end.offer());
    for message in [
        json!({"type": "progress", "state": "ringing"}),
        json!({"type": "progress", "state": "dancing", "mood": ["a", 1]}),
        json!({"type": "progress", "state": "accepted", "video": true}),
        json!({"type": "restart", "n": 4_000_000_000_u32}),
        json!({"type": "answer", "n": 0, "sdp": end.offer()}),
        json!({"type": "answer", "n": 77, "sdp": "v=0\r\n", "early": true}),
        json!({"type": "offer", "n": 0, "sdp": end.offer()}),
        json!({"type": "candidate", "candidate": {}}),
        json!({"type": "candidate", "candidate": {"candidate": "", "sdpMid": "0", "usernameFragment": end.ufrag}}),
        json!({"type": "candidate", "candidate": {"candidate": "", "sdpMid": "77", "usernameFragment": end.ufrag}}),
    ] {
        let mut message = message;
        message["call"] = call.as_str().into();
        message["to"] = address.as_str().into();
        zoe.send(&message);
    }
    for unlisted in [r#"{"type":"dance"}"#, r#"{"type":"offer"}"#] {
        zoe.send_text(unlisted);
    }
    zoe.settle("echo");
    assert!(echo.all("ended").is_empty(), "the call goes on");
    assert_eq!(echo.all("incoming").len(), 1, "the same call rings once");
    zoe.close(&call, &address, "hangup");
    echo.wait_for("ended");
    echo.takes_the_next_call(&server);
}

#[test]
fn an_answer_to_nothing_is_refused_once() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    let address = address_of("bob", &bob);
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let end = Endpoint::new();
    let messages = [
        json!({"type": "answer", "n": 0, "sdp": end.offer()}),
        json!({"type": "progress", "state": "accepted", "video": true}),
        json!({"type": "offer", "n": 1, "sdp": end.offer()}),
        json!({"type": "restart", "n": 0}),
    ];
    for mut message in messages {
        let call = new_call();
        message["call"] = call.as_str().into();
        message["to"] = address.as_str().into();
        zoe.send(&message);
        assert_eq!(zoe.expect_about("close", &call)["reason"], "failed");
        zoe.send(&message);
    }
    // What needs no reply gets none.
    let close = json!({"type": "close", "reason": "hangup", "call": new_call(), "to": address.as_str()});
    zoe.send(&close);
    zoe.settle("bob");
    assert!(zoe.unread("close").is_empty(), "each was refused once");
    bob.process().interrupt();
    bob.ends_with(4);
    assert!(bob.all("incoming").is_empty());
}

#[test]
fn whoever_is_blocked_rings_nowhere_and_hears_nothing() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").and(&["--block", "guest-mallory"]).start_signed_in("echo");
    let address = address_of("echo", &echo);
    let mut mallory = Peer::guest(&server, "guest-mallory");
    let call = new_call();
    mallory.dial("echo", &call, &Endpoint::new().offer());
    mallory.expect_about("relayed", &call);
    // What anybody else would be told has failed.
    mallory.send(&json!({"type": "answer", "call": new_call(), "to": address, "n": 0, "sdp": Endpoint::new().offer()}));
    mallory.dial("echo", &new_call(), "v=0\r\n");
    mallory.send(&json!({"type": "ping"}));
    mallory.expect("pong");
    // What was handed over before is dealt with before.
    Peer::guest(&server, "guest-zoe").settle("echo");
    mallory.send(&json!({"type": "ping"}));
    mallory.expect("pong");
    for kind in ["close", "progress", "answer"] {
        assert!(mallory.unread(kind).is_empty(), "not a word: {:?}", mallory.unread(kind));
    }
    assert!(echo.all("incoming").is_empty(), "it does not ring");
    echo.takes_the_next_call(&server);
}

#[test]
fn a_third_person_has_no_say_in_a_call_that_came_in() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    let address = address_of("bob", &bob);
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut mallory = Peer::guest(&server, "guest-mallory");
    let call = new_call();
    zoe.dial("bob", &call, &Endpoint::new().offer());
    zoe.expect_about("answer", &call);
    meddle(&mut mallory, &call, "bob", &address, &zoe.address());
    assert!(bob.all("ended").is_empty(), "the call goes on");
    assert!(mallory.unread("close").is_empty() && mallory.unread("answer").is_empty(), "nobody answers a meddler");
    zoe.close(&call, "bob", "hangup");
    bob.ends_with(4);
}

#[test]
fn a_third_person_has_no_say_in_a_call_that_went_out() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut mallory = Peer::guest(&server, "guest-mallory");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    let [call, address] = ["call", "from"].map(|member| text(&offer, member).to_owned());
    meddle(&mut mallory, &call, "alice", &address, &zoe.address());
    assert!(alice.all("ended").is_empty() && alice.all("accepted").is_empty(), "nothing has happened");
    zoe.accept(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
    alice.wait_for("accepted");
    meddle(&mut mallory, &call, "alice", &address, &zoe.address());
    assert!(alice.all("ended").is_empty(), "the call goes on");
    zoe.close(&call, &address, "hangup");
    alice.ends_with(4);
}

#[test]
fn an_answer_that_proves_nothing_ends_the_call() {
    let server = Server::start();
    let (own, others) = (Key::number(7), Key::number(1));
    let mut carol = Peer::keyed(&server, "carol", &own);
    type Spoil<'a> = (&'a str, Box<dyn Fn(&mut Value) + 'a>);
    let spoils: [Spoil<'_>; 5] = [
        ("unsigned", Box::new(|answer| drop(answer.as_object_mut().map(|members| members.remove("signature"))))),
        ("another key", Box::new(|answer| answer["key"] = others.public().into())),
        ("another description", Box::new(|answer| answer["sdp"] = Endpoint::new().offer().into())),
        (
            "no fingerprint",
            Box::new(|answer| {
                answer["sdp"] = text(answer, "sdp").replace("a=fingerprint:", "a=finger:").into();
            }),
        ),
        (
            "an answer to another offer",
            Box::new(|answer| {
                let [call, sdp] = ["call", "sdp"].map(|member| text(answer, member).to_owned());
                let people = ["carol", "alice"];
                answer["signature"] =
                    own.sign_description("answer", &call, 0, people, &sdp, Some("v=0\r\n"), None).into();
            }),
        ),
    ];
    let caller = Cli::new(&server, "alice");
    for (what, spoil) in spoils {
        let mut alice = caller.start("call carol");
        let offer = carol.expect("offer");
        carol.progress(&offer, "accepted");
        let mut answer = carol.answer_to(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
        spoil(&mut answer);
        carol.send(&answer);
        expect_failed(&mut carol, text(&offer, "call"), what);
        alice.fails_saying(&["proven", "key"]);
    }
}

#[test]
fn an_answer_that_cannot_be_used_ends_the_call() {
    let server = Server::start();
    let caller = Cli::new(&server, "alice");
    let ways: [fn(&str) -> String; 5] = [
        |sdp| sdp.replace("m=video", "m=text"),
        |sdp| sdp.replace("a=ice-pwd:", "a=no-pwd:"),
        |sdp| sdp.replace("a=setup:active", "a=setup:actpass"),
        |sdp| sdp.split_at(sdp.rfind("m=").unwrap_or_default()).0.to_owned(),
        |sdp| sdp.lines().filter(|line| line.starts_with("a=fingerprint")).collect(),
    ];
    for (number, spoil) in ways.into_iter().enumerate() {
        let name = format!("guest-{number}");
        let mut zoe = Peer::guest(&server, &name);
        let mut alice = caller.start(&format!("call {name}"));
        let offer = zoe.expect("offer");
        zoe.accept(&offer, &spoil(&Endpoint::new().answer(text(&offer, "sdp"))));
        expect_failed(&mut zoe, text(&offer, "call"), &name);
        alice.ends_with(4);
    }
}

#[test]
fn a_contact_under_another_key_is_refused_and_shown() {
    let alice = Cli::at("ws://127.0.0.1:1/ws", "alice").and(&["--contact", "carol"]);
    let (call, sdp) = (new_call(), Endpoint::new().offer());
    {
        // The first call pins the key.
        let server = Server::start();
        let mut carol = Peer::keyed(&server, "carol", &Key::number(3));
        let mut answering = alice.clone().with("--server", &server.url()).start_signed_in("answer");
        carol.dial("alice", &call, &sdp);
        carol.expect_where("accepted", |message| message["state"] == "accepted");
        carol.close(&call, "alice", "hangup");
        answering.ends_with(4);
    }
    // On another server the name is in other hands.
    let server = Server::start();
    let mut mallory = Peer::keyed(&server, "carol", &Key::number(7));
    let alice = alice.with("--server", &server.url());
    let mut answering = alice.start_signed_in("answer");
    assert_refused(&mut mallory, "alice", &sdp);
    assert!(answering.all("incoming").is_empty(), "it does not ring");
    answering.process().interrupt();
    answering.ends_with(4);

    let mut calling = alice.start("call carol");
    let offer = mallory.expect("offer");
    mallory.accept(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
    calling.fails_saying(&["key"]);
}

/// Dials `user` with a description that must not work.
#[track_caller]
fn assert_refused(peer: &mut Peer, user: &str, sdp: &str) {
    let call = new_call();
    peer.dial(user, &call, sdp);
    expect_failed(peer, &call, sdp.get(..200).unwrap_or(sdp));
}

/// Waits until the other side says that `call` failed.
#[track_caller]
fn expect_failed(peer: &mut Peer, call: &str, why: &str) {
    peer.expect_where(&format!("failure of the call ({why})"), |message| {
        message["type"] == "close" && message["call"] == call && message["reason"] == "failed"
    });
}

/// The full address of somebody who is signed in.
fn address_of(user: &str, running: &Running) -> String {
    format!("{user}/{}", running.wait_for("signed_in").text("session"))
}

/// Says everything about `call` that only `partner` may say, and waits until it was read.
fn meddle(mallory: &mut Peer, call: &str, user: &str, address: &str, partner: &str) {
    let end = Endpoint::new();
    for message in [
        json!({"type": "progress", "state": "accepted", "video": true}),
        json!({"type": "answer", "n": 0, "sdp": end.offer()}),
        json!({"type": "offer", "n": 1, "sdp": end.offer()}),
        json!({"type": "candidate", "candidate": {"candidate": host("127.0.0.1", 9), "usernameFragment": end.ufrag}}),
        json!({"type": "restart", "n": 0}),
        json!({"type": "close", "reason": "hangup"}),
        json!({"type": "close", "reason": "declined"}),
        json!({"type": "close", "reason": "answered_elsewhere", "by": partner}),
    ] {
        for to in [user, address] {
            // An opening offer in a call that is another's is no meddling, but a call of its own.
            if message["type"] == "offer" && to == user {
                continue;
            }
            let mut message = message.clone();
            message["call"] = call.into();
            message["to"] = to.into();
            message["from"] = partner.into();
            mallory.send(&message);
        }
    }
    mallory.settle(user);
}

/// `count` candidates that lead nowhere, half of them for the right description.
fn send_absurd_candidates(peer: &mut Peer, call: &str, to: &str, ufrag: &str, count: usize) {
    let long = format!("candidate:{} 1 udp 1 127.0.0.1 9 typ host", "A".repeat(40_000));
    let many = format!("{} {}", host("127.0.0.1", 9), "generation 0 ".repeat(1_000));
    let absurd = [
        host("224.0.0.1", 9),
        host("255.255.255.255", 9),
        host("0.0.0.0", 9),
        host("169.254.169.254", 80),
        host("ff02::1", 9),
        host("::", 9),
        host("127.0.0.1", 0),
        host("127.0.0.1", 70_000),
        host("nowhere.example", 9),
        host(&format!("{}.local", "a".repeat(300)), 9),
        host("127.0.0.1", 9).replace("udp", "tcp"),
        host("127.0.0.1", 9).replace("2122260223", "-1"),
        host("127.0.0.1", 9).replace("candidate:1 1", "candidate:1 77"),
        host("127.0.0.1", 9).replace("typ host", "typ ghost"),
        "candidate:".into(),
        "candidate:1 1 udp".into(),
        "\u{0}\u{1F4DE}".into(),
        "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=ice-ufrag:x".into(),
    ];
    // No more long ones: the server cuts off who has 256 KiB waiting, and on a busy machine that is soon anybody.
    peer.candidate(call, to, &long, ufrag);
    peer.candidate(call, to, &many, ufrag);
    for number in 2..count {
        let candidate = &absurd[number % absurd.len()];
        let ufrag = if number % 2 == 0 { ufrag } else { "nobody" };
        peer.candidate(call, to, candidate, ufrag);
    }
}
