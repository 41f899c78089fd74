//! Programs that nobody here wrote against the real command-line peer: each is made by hand from `docs/signaling.md` alone,
//! signs in, and exchanges an offer and an answer. They have no media.

use ahoy_tests::harness::cli::Cli;
use ahoy_tests::harness::peer::{new_call, text};
use ahoy_tests::harness::proof::{Key, is_proven};
use ahoy_tests::harness::sdp::{Endpoint, host, sections};
use ahoy_tests::harness::{Peer, Server};
use serde_json::{Value, json};

#[test]
fn a_guest_of_another_making_calls_and_is_answered() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --delay-ms 500");
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let (call, offer) = (new_call(), Endpoint::new().offer());
    zoe.dial("bob", &call, &offer);
    let relayed = zoe.expect_about("relayed", &call);
    let ringing = zoe.expect_about("progress", &call);
    assert_eq!(relayed["to"], json!([ringing["from"]]));
    assert_eq!(ringing["state"], "ringing");
    assert!(ringing.get("device").is_none(), "a stranger is not told which device");
    let accepted = zoe.expect_where("accepted", |message| message["state"] == "accepted");
    assert_eq!(accepted["video"], true);
    assert!(
        zoe.unread("answer").is_empty() && zoe.unread("candidate").is_empty(),
        "nothing more before it is accepted"
    );
    let answer = zoe.expect_about("answer", &call);
    assert_eq!((&answer["n"], answer["early"] != true), (&json!(0), true));
    assert!(is_proven(&answer, "guest-zoe", Some(&offer)), "the answer is signed for this offer and this receiver");
    assert_description(text(&answer, "sdp"), &["audio", "video", "video", "application"]);
    assert_candidates(&mut zoe, &answer);
    let incoming = bob.wait_for("incoming");
    assert_eq!((incoming.text("call"), incoming.text("from")), (call.as_str(), zoe.address().as_str()));
    assert!(incoming.flag("video") && !incoming.flag("proven"));
    zoe.close(&call, "bob", "hangup");
    bob.ends_with(4);
}

#[test]
fn a_guest_of_another_making_is_called_and_answers() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    assert_eq!((&offer["n"], &offer["devices"], &offer["video"]), (&json!(0), &json!(1), &json!(true)));
    assert!(is_proven(&offer, "guest-zoe", None), "the offer is signed for this receiver");
    let sdp = text(&offer, "sdp");
    assert_description(sdp, &["audio", "video", "video", "application"]);
    assert_candidates(&mut zoe, &offer);
    zoe.progress(&offer, "ringing");
    assert_eq!(alice.wait_for("ringing").text("call"), offer["call"]);
    let end = Endpoint::new();
    zoe.accept(&offer, &end.answer(sdp));
    assert_eq!(alice.wait_for("accepted").text("call"), offer["call"]);
    // Nobody listens there; it is taken, tried, and no harm is done.
    let call = text(&offer, "call").to_owned();
    zoe.candidate(&call, text(&offer, "from"), &host("127.0.0.1", 9), &end.ufrag);
    zoe.close(&call, text(&offer, "from"), "hangup");
    alice.ends_with(4);
}

#[test]
fn an_owner_of_a_name_is_verified_both_ways() {
    let server = Server::start();
    let mut carol = Peer::keyed(&server, "carol", &Key::number(3));
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    let call = new_call();
    carol.dial("bob", &call, &Endpoint::new().offer());
    assert!(bob.wait_for("incoming").flag("proven"));
    carol.expect_about("answer", &call);
    carol.close(&call, "bob", "hangup");
    bob.ends_with(4);

    let mut alice = Cli::new(&server, "alice").start("call carol");
    let offer = carol.expect("offer");
    carol.accept(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
    alice.wait_for("accepted");
    carol.close(text(&offer, "call"), "alice", "hangup");
    alice.ends_with(4);
}

#[test]
fn a_program_with_sound_alone_is_answered_as_far_as_it_goes() {
    let server = Server::start();
    let _bob = Cli::new(&server, "bob").start_signed_in("answer");
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let call = new_call();
    zoe.dial("bob", &call, &Endpoint::new().offer_of_sound());
    let answer = zoe.expect_about("answer", &call);
    let sdp = text(&answer, "sdp");
    assert_description(sdp, &["audio"]);
    assert_eq!(sections(sdp)[0].attribute("mid"), Some("a"));
}

#[test]
fn an_accepted_call_without_a_path_ends_in_words() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    zoe.accept(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
    // That it was answered here is said to all devices; this one ignores it.
    assert_eq!(zoe.expect("close")["by"], zoe.address());
    let close = zoe.expect("close");
    assert_eq!((&close["call"], &close["reason"]), (&offer["call"], &json!("failed")));
    alice.fails_saying(&["no path"]);
}

#[test]
fn the_smaller_call_wins_when_both_dial_at_once() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    let smaller = "00000000-0000-4000-8000-000000000000";
    zoe.dial("alice", smaller, &Endpoint::new().offer());
    let close = zoe.expect("close");
    assert_eq!((&close["call"], &close["reason"]), (&offer["call"], &json!("glare")), "its own call gives way");
    zoe.expect_where("accepted", |message| message["call"] == smaller && message["state"] == "accepted");
    zoe.expect_about("answer", smaller);
    zoe.close(smaller, "alice", "hangup");
    alice.ends_with(4);
}

#[test]
fn the_larger_call_gives_way_when_both_dial_at_once() {
    let server = Server::start();
    let mut zoe = Peer::guest(&server, "guest-zoe");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe");
    let offer = zoe.expect("offer");
    let larger = "ffffffff-ffff-4fff-bfff-ffffffffffff";
    zoe.dial("alice", larger, &Endpoint::new().offer());
    let close = zoe.expect_about("close", larger);
    assert_eq!(close["reason"], "glare");
    zoe.accept(&offer, &Endpoint::new().answer(text(&offer, "sdp")));
    assert_eq!(alice.wait_for("accepted").text("call"), offer["call"]);
    zoe.close(text(&offer, "call"), "alice", "hangup");
    alice.ends_with(4);
}

#[test]
fn the_first_device_to_accept_wins_and_the_others_are_told() {
    let server = Server::start();
    let mut devices = [1, 2, 3].map(|_| Peer::keyed(&server, "carol", &Key::number(3)));
    let mut alice = Cli::new(&server, "alice").start("call carol");
    let offers = devices.each_mut().map(|device| device.expect("offer"));
    assert_eq!(offers[0]["devices"], 3);
    let sdp = Endpoint::new().answer(text(&offers[0], "sdp"));
    let [busy, quick, slow] = &mut devices;
    let call = text(&offers[0], "call").to_owned();
    // One device's leg ends, the call goes on.
    busy.close(&call, text(&offers[0], "from"), "busy");
    quick.accept(&offers[1], &sdp);
    alice.wait_for("accepted");
    slow.accept(&offers[2], &sdp);
    let told = slow.expect_about("close", &call);
    assert_eq!((&told["reason"], &told["by"]), (&json!("answered_elsewhere"), &json!(quick.address())));
    quick.close(&call, "alice", "hangup");
    alice.ends_with(4);
    assert_eq!(alice.all("accepted").len(), 1);
}

/// The sections and what every one must have (section 8 of the contract).
fn assert_description(sdp: &str, kinds: &[&str]) {
    let sections = sections(sdp);
    assert_eq!(sections.iter().map(|section| section.kind).collect::<Vec<_>>(), kinds, "{sdp}");
    let mids: Vec<&str> = sections.iter().filter_map(|section| section.attribute("mid")).collect();
    assert_eq!(sections[0].attribute("group"), Some(format!("BUNDLE {}", mids.join(" ")).as_str()), "{sdp}");
    for section in &sections {
        let fingerprint = section.attribute("fingerprint").unwrap_or_default().to_lowercase();
        assert!(fingerprint.starts_with("sha-256 "), "{sdp}");
        assert!(section.attribute("ice-ufrag").is_some() && section.attribute("ice-pwd").is_some(), "{sdp}");
        match section.kind {
            "application" => assert!(section.media().contains("UDP/DTLS/SCTP"), "{sdp}"),
            _ => {
                assert!(section.media().contains("UDP/TLS/RTP/SAVPF"), "{sdp}");
                assert!(section.attribute("rtcp-mux").is_some(), "{sdp}");
            }
        }
        match section.kind {
            "audio" => assert!(section.payload_of("opus/48000/2", "").is_some(), "{sdp}"),
            "video" => assert!(section.payload_of("H264/90000", "packetization-mode=1").is_some(), "{sdp}"),
            _ => {}
        }
    }
}

/// Candidates of a description come from its maker's full address, fit it, and have an end.
fn assert_candidates(peer: &mut Peer, description: &Value) {
    let sdp = text(description, "sdp");
    let ufrag = sections(sdp)[0].attribute("ice-ufrag").unwrap_or_default().to_owned();
    let mut ways = 0;
    loop {
        let message = peer.expect_about("candidate", text(description, "call"));
        let candidate = &message["candidate"];
        assert_eq!(message["from"], description["from"]);
        assert_eq!(candidate["usernameFragment"], ufrag.as_str(), "{candidate}");
        match candidate["candidate"].as_str() {
            Some("") => break,
            Some(way) => assert!(way.starts_with("candidate:") && way.contains(" 127.0.0.1 "), "{way}"),
            None => panic!("no candidate in {message}"),
        }
        ways += 1;
    }
    assert!(ways > 0, "a candidate comes before the end of them");
}
