//! How calls end that do not go on as their caller hoped, and the ways to say so: events, words and exit codes.

use ahoy_tests::harness::cli::{Cli, Running, file};
use ahoy_tests::harness::gate::Gate;
use ahoy_tests::harness::{Peer, Server};

#[test]
fn a_callee_may_decline() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --decline");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.fails_saying(&["declined"]);
    bob.ends_with(0);
    assert_eq!(reasons(&alice), ["declined"]);
    assert_eq!(reasons(&bob), ["declined"]);
    assert!(alice.all("connected").is_empty() && alice.all("accepted").is_empty());
}

#[test]
fn a_callee_in_a_call_is_busy_and_stays_in_it() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.wait_for("connected");
    bob.wait_for("connected");
    let mut carol = Cli::new(&server, "carol").start("call bob");
    carol.fails_saying(&["another call", "busy"]);
    assert_eq!(reasons(&carol), ["busy"]);
    alice.process().interrupt();
    alice.ends_with(0);
    bob.ends_with(0);
    assert_eq!(bob.all("incoming").len(), 1, "the second caller does not ring");
}

#[test]
fn a_callee_who_was_here_before_is_offline() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    bob.process().interrupt();
    bob.ends_with(4);
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.fails_saying(&["not signed in", "offline"]);
    assert_eq!(reasons(&alice), ["offline"]);
}

#[test]
fn a_name_that_nobody_has_is_told_from_one_that_is_away() {
    let server = Server::start();
    let mut alice = Cli::new(&server, "alice").start("call nobody");
    alice.fails_saying(&["nobody has that name", "unknown"]);
    assert_eq!(reasons(&alice), ["unknown_user"]);
}

#[test]
fn a_caller_may_give_up() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --delay-ms 60000");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.wait_for("ringing");
    alice.process().interrupt();
    alice.fails_saying(&["cancelled"]);
    bob.fails_saying(&["gave up", "cancelled"]);
    assert_eq!(reasons(&bob), ["cancelled"]);
}

#[test]
fn nobody_answering_ends_at_the_callee_first() {
    let server = Server::start();
    let ringing = Cli::new(&server, "bob").and(&["--ring-timeout-ms", "800"]);
    let mut bob = ringing.start_signed_in("answer --delay-ms 60000");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.fails_saying(&["answer"]);
    bob.fails_saying(&["answer"]);
    assert_eq!([reasons(&alice), reasons(&bob)], [["timeout"], ["timeout"]]);
}

#[test]
fn nobody_answering_ends_at_the_caller_too() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --delay-ms 60000");
    let mut alice = Cli::new(&server, "alice").and(&["--dial-timeout-ms", "800"]).start("call bob");
    alice.fails_saying(&["answer"]);
    bob.ends_with(4);
    assert_eq!(reasons(&alice), ["timeout"]);
    assert_eq!(bob.all("ended").len(), 1, "it rings no longer");
}

#[test]
fn either_may_hang_up() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --seconds 0.5");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    alice.ends_with(0);
    bob.ends_with(0);
    assert_eq!([reasons(&alice), reasons(&bob)], [["hangup"], ["hangup"]]);
}

#[test]
fn two_who_dial_each_other_at_once_are_in_one_call() {
    // Who wins hangs on the calls' random names: three rounds see both with a likelihood of three in four.
    for round in 0..3 {
        let server = Server::start();
        let gates = [Gate::closed_before(&server), Gate::closed_before(&server)];
        let recording = |name: &str, gate: &Gate| {
            let cli = Cli::at(&gate.url(), name);
            let heard = file(&cli.file("heard.wav"));
            cli.with("--speaker", &heard)
        };
        let recorders = [recording("alice", &gates[0]), recording("bob", &gates[1])];
        let mut alice = recorders[0].start("call bob --seconds 1");
        let mut bob = recorders[1].start("call alice --seconds 1");
        alice.wait_for("dialling");
        bob.wait_for("dialling");
        gates.iter().for_each(Gate::open);
        alice.ends_with(0);
        bob.ends_with(0);
        let calls = [&alice, &bob].map(|running| running.wait_for("connected").text("call").to_owned());
        assert_eq!(calls[0], calls[1], "round {round}: both are in the same call");
        let own = [&alice, &bob].map(|running| running.wait_for("dialling").text("call").to_owned());
        assert_eq!(Some(&calls[0]), own.iter().min(), "round {round}: the smaller name wins");
        for recorder in &recorders {
            assert!(
                recorder.file("heard.wav").exists(),
                "round {round}: the one call is in the file that was asked for"
            );
        }
    }
}

#[test]
fn one_device_of_two_answers_and_the_other_stops_ringing() {
    let server = Server::start();
    let first = Cli::new(&server, "bob");
    let mut patient = first.start_signed_in("answer --delay-ms 60000");
    let mut quick = first.second_device().start_signed_in("answer --delay-ms 1000");
    let mut alice = Cli::new(&server, "alice").start("call bob --seconds 1");
    patient.wait_for("incoming");
    alice.ends_with(0);
    quick.ends_with(0);
    patient.fails_saying(&["another of your devices", "elsewhere"]);
    assert_eq!(reasons(&patient), ["answered_elsewhere"]);
}

#[test]
fn one_device_of_two_declines_for_both() {
    let server = Server::start();
    let first = Cli::new(&server, "bob");
    let mut patient = first.start_signed_in("answer --delay-ms 60000");
    let mut other = first.second_device().start_signed_in("answer --decline --delay-ms 500");
    let mut alice = Cli::new(&server, "alice").start("call bob");
    patient.wait_for("incoming");
    alice.fails_saying(&["declined"]);
    other.ends_with(0);
    patient.ends_with(4);
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let mut server = Server::start();
    let url = server.url();
    server.kill();
    let mut alice = Cli::at(&url, "alice").start("call bob");
    let errors = alice.ends_with(3);
    assert!(errors.contains("sign in"), "{errors}");
}

#[test]
fn a_server_that_goes_away_while_it_rings_leaves_nobody_ringing() {
    let mut server = Server::start();
    let short = ["--ring-timeout-ms", "3000", "--dial-timeout-ms", "3000"];
    let mut bob = Cli::new(&server, "bob").and(&short).start_signed_in("answer --delay-ms 60000");
    let mut alice = Cli::new(&server, "alice").and(&short).start("call bob");
    alice.wait_for("ringing");
    server.kill();
    alice.ends_with(4);
    bob.ends_with(4);
}

#[test]
fn who_loses_the_server_finds_it_again() {
    let server = Server::start();
    let gate = Gate::open_before(&server);
    let mut bob = Cli::at(&gate.url(), "bob").start_signed_in("answer");
    gate.cut();
    bob.wait_for("link_lost");
    bob.wait_for_nth("signed_in", 1);
    let mut alice = Cli::new(&server, "alice").start("call bob --seconds 0.5");
    alice.ends_with(0);
    bob.ends_with(0);
}

#[test]
fn a_name_belongs_to_its_key() {
    let server = Server::start();
    let _bob = Cli::new(&server, "bob").start_signed_in("answer");
    let mut other = Cli::new(&server, "bob").start("answer");
    let errors = other.ends_with(3);
    assert!(errors.contains("sign in"), "{errors}");
    assert!(other.all("signed_in").is_empty());
}

#[test]
fn guests_are_refused_where_they_are_not_welcome() {
    let server = Server::start_with(&["--no-guests"]);
    let errors = Cli::new(&server, "guest-zoe").and(&["--guest"]).start("answer").ends_with(3);
    assert!(errors.contains("sign in"), "{errors}");
}

#[test]
fn guests_call_and_are_called_unverified() {
    let server = Server::start();
    let zoe = Cli::new(&server, "guest-zoe").and(&["--guest"]);
    let mut answering = zoe.start_signed_in("answer");
    let mut alice = Cli::new(&server, "alice").start("call guest-zoe --seconds 0.5");
    assert!(answering.wait_for("incoming").flag("proven"), "an owner of a name proves it, to guests too");
    alice.ends_with(0);
    answering.ends_with(0);

    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    let mut calling = zoe.start("call bob --seconds 0.5");
    let incoming = bob.wait_for("incoming");
    assert!(incoming.text("from").starts_with("guest-zoe/") && !incoming.flag("proven"));
    calling.ends_with(0);
    bob.ends_with(0);
}

#[test]
fn contacts_connect_too_and_may_call_again_at_once() {
    let server = Server::start();
    let bob = Cli::new(&server, "bob").and(&["--contact", "alice", "--contact", "carol"]);
    let mut answering = bob.start_signed_in("answer --calls 2 --delay-ms 300");
    let alice = Cli::new(&server, "alice").and(&["--contact", "bob"]);
    for _ in 0..2 {
        let mut calling = alice.start("call bob --seconds 0.5");
        calling.ends_with(0);
        assert_eq!(calling.wait_for("ringing").text("device"), "ahoy-cli", "contacts are told which device");
    }
    answering.ends_with(0);
    assert_eq!(reasons(&answering), ["hangup", "hangup"]);
}

#[test]
fn an_answering_peer_takes_as_many_calls_as_it_is_told() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --calls 2 --seconds 0.5");
    for caller in ["alice", "carol"] {
        Cli::new(&server, caller).start("call bob").ends_with(0);
    }
    bob.ends_with(0);
    assert_eq!(bob.all("connected").len(), 2);
}

#[test]
fn a_stranger_learns_no_device_and_rings_once_a_minute() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer --decline --calls 2");
    let alice = Cli::new(&server, "alice");
    let mut first = alice.start("call bob");
    first.fails_saying(&["declined"]);
    assert!(first.wait_for("ringing").is_empty("device"), "strangers are not told which device");
    let mut second = alice.start("call bob");
    second.ends_with(4);
    assert!(second.all("ringing").is_empty(), "a stranger rings once a minute");
    Cli::new(&server, "carol").start("call bob").fails_saying(&["declined"]);
    bob.ends_with(0);
    assert_eq!(bob.all("incoming").len(), 2);
}

#[test]
fn wrong_usage_is_told_from_everything_else() {
    let server = Server::start();
    let alice = Cli::new(&server, "alice");
    for words in
        ["", "call", "call Bob!", "dance", "answer --calls 0", "answer --calls many", "call bob --seconds soon"]
    {
        alice.start(words).ends_with(2);
    }
    let odd =
        [("--user", "guest-alice"), ("--user", "-alice"), ("--server", "http://127.0.0.1:1/ws"), ("--codec", "h265")];
    for (option, value) in odd {
        alice.clone().with(option, value).start("call bob").ends_with(2);
    }
    assert!(alice.clone().and(&["--help"]).start("").ends_with(0).is_empty());
}

#[test]
fn a_file_that_cannot_be_used_is_said_before_anybody_is_called() {
    let server = Server::start();
    let mut bob = Cli::new(&server, "bob").start_signed_in("answer");
    for (option, value) in
        [("--camera", "file:/nowhere.y4m"), ("--microphone", "file:/nowhere.wav"), ("--camera", "front")]
    {
        let alice = Cli::new(&server, "alice").with(option, value);
        let mut calling = alice.start("call bob");
        let errors = calling.ends_with(2);
        assert!(errors.contains(value.trim_start_matches("file:")), "{errors}");
        assert!(calling.all("dialling").is_empty());
    }
    bob.process().interrupt();
    bob.ends_with(4);
    assert!(bob.all("incoming").is_empty());
}

#[test]
fn the_devices_are_listed() {
    let alice = Cli::at("ws://127.0.0.1:1/ws", "alice");
    let mut listing = alice.start("devices --json");
    listing.ends_with(0);
    let text = listing.process().output().join("\n");
    let list: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let ids: Vec<&str> = list["devices"].as_array().into_iter().flatten().filter_map(|d| d["id"].as_str()).collect();
    assert!(ids.contains(&"pattern") && ids.contains(&"tone"), "{ids:?}");
    alice.start("devices").ends_with(0);
}

#[test]
fn the_server_ends_cleanly_with_people_signed_in() {
    let server = Server::start();
    let bob = Cli::new(&server, "bob").start_signed_in("answer");
    let _zoe = Peer::guest(&server, "guest-zoe");
    server.stop();
    bob.wait_for("link_lost");
}

fn reasons(running: &Running) -> Vec<String> {
    running.all("ended").iter().map(|event| event.text("reason").to_owned()).collect()
}
