//! A connected call whose path is interrupted, lost, or given up for another: what is done about it, and when. Rows F5 to
//! F9 of `docs/reliability.md` in virtual time.

use ahoy_protocol::description::{DescriptionKind, hash};
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::signal::{Restart, Signal};

use super::bench::{Bench, CONNECTED, LOST, device, id, renegotiating, sdp, signed};
use crate::{EndReason, Event, Failure, LinkInput, PathKind, PathState, PeerCommand, PeerInput};

fn makes_restart(bench: &Bench) -> bool {
    matches!(bench.commands()[..], [PeerCommand::MakeOffer { ice_restart: true, .. }])
}

/// How often the other side was asked for a restart over the server.
fn asks_for_restart(bench: &Bench) -> usize {
    bench.sent().iter().filter(|(_, signal)| matches!(signal, Signal::Restart(_))).count()
}

/// Bob asks for a restart: he has seen the offers up to that one.
fn asked(bench: &mut Bench, n: u32) {
    bench.signal(&device("bob", 1), Signal::Restart(Restart { call: id(1), n }));
}

/// A caller whose path is lost, and that has sent an offer to restart ICE.
fn restarting() -> Bench {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), LOST);
    bench.fresh_servers();
    asked(&mut bench, 0);
    bench.pass(1);
    assert!(makes_restart(&bench));
    bench.made(id(1), "again");
    bench
}

fn answer_to_restart(bench: &mut Bench, n: u32) {
    let answer = signed("bob", id(1), DescriptionKind::Answer, n, sdp("theirs again"), Some(hash(&sdp("again"))));
    bench.signal(&device("bob", 1), answer);
}

#[test]
fn an_interrupted_path_that_heals_within_a_second_is_not_restarted() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), LOST);
    assert!(bench.asks_for_servers(), "and so whether there is a way to agree on another path");
    assert!(bench.sends(), "what is sent now may arrive");
    bench.fresh_servers();
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert_eq!(bench.events(), [&Event::Connected { call: id(1), path: PathKind::Host }]);
    bench.pass(60);
    assert_eq!(bench.commands(), Vec::<&PeerCommand>::new());
}

#[test]
fn a_cut_of_8_or_25_s_that_takes_the_server_along_leaves_the_path_to_heal() {
    for seconds in [8, 25] {
        let mut bench = Bench::in_own_call(id(1));
        bench.peer(id(1), LOST);
        bench.link(LinkInput::Closed { code: None });
        bench.pass(seconds);
        assert!(!makes_restart(&bench) && bench.ended().is_none());
        bench.peer(id(1), PeerInput::Path(CONNECTED));
        assert!(bench.sends());
        bench.pass(60);
        assert!(bench.ended().is_none() && !makes_restart(&bench));
    }
}

#[test]
fn a_path_that_both_miss_is_restarted_by_the_caller_after_fresh_servers_were_asked_for() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), LOST);
    assert!(bench.asks_for_servers());
    bench.fresh_servers();
    assert!(matches!(bench.events()[..], [Event::IceServers(_)]), "the driver sets them before the offer is made");
    asked(&mut bench, 0);
    assert_eq!(bench.commands(), Vec::<&PeerCommand>::new());
    bench.pass(1);
    assert!(makes_restart(&bench));
}

#[test]
fn a_cut_of_8_or_25_s_at_the_callee_leaves_the_path_to_heal_though_the_callers_server_answers() {
    for seconds in [8, 25] {
        let mut bench = Bench::in_own_call(id(1));
        bench.peer(id(1), LOST);
        for _ in 0..seconds {
            bench.fresh_servers();
            bench.pass(1);
            assert_eq!((bench.commands(), bench.ended()), (Vec::new(), None));
        }
        bench.peer(id(1), PeerInput::Path(CONNECTED));
        bench.pass(60);
        assert!(bench.ended().is_none() && bench.commands().is_empty());
    }
}

#[test]
fn a_path_that_only_the_caller_misses_is_restarted_after_half_a_minute() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), LOST);
    bench.fresh_servers();
    bench.pass(29);
    assert_eq!(bench.commands(), Vec::<&PeerCommand>::new());
    bench.pass(1);
    assert!(makes_restart(&bench));
}

#[test]
fn what_the_server_said_before_the_link_broke_does_not_count() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), LOST);
    bench.fresh_servers();
    bench.sign_in_again(true);
    asked(&mut bench, 0);
    assert_eq!(bench.commands(), Vec::<&PeerCommand>::new(), "it may heal now");
    bench.pass(1);
    assert!(makes_restart(&bench));
}

#[test]
fn a_callee_asks_for_the_restart_again_and_again_while_the_server_answers() {
    let mut bench = Bench::in_call(id(1));
    bench.peer(id(1), LOST);
    bench.fresh_servers();
    bench.pass(1);
    assert_eq!(bench.sent(), [(device("bob", 1).to_string(), &Signal::Restart(Restart { call: id(1), n: 0 }))]);
    let mut asked = 0;
    for _ in 0..20 {
        bench.pass(1);
        asked += asks_for_restart(&bench);
        if bench.asks_for_servers() {
            bench.fresh_servers();
            asked += asks_for_restart(&bench);
        }
    }
    assert!((3..=4).contains(&asked), "each 5 s: {asked}");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench.pass(30);
    assert_eq!(asks_for_restart(&bench), 0);
}

#[test]
fn a_path_whose_own_address_is_gone_is_restarted_as_soon_as_the_server_answers() {
    let mut caller = Bench::in_own_call(id(1));
    caller.peer(id(1), PeerInput::AddressGone);
    assert!(caller.asks_for_servers() && !makes_restart(&caller));
    caller.fresh_servers();
    assert!(makes_restart(&caller), "though the path was not even missed");
    assert!(matches!(caller.events()[..], [Event::IceServers(_)]));
    let mut callee = Bench::in_call(id(1));
    callee.peer(id(1), PeerInput::AddressGone);
    callee.fresh_servers();
    assert_eq!(asks_for_restart(&callee), 1);
}

#[test]
fn a_restart_on_a_path_that_is_well_neither_shuts_the_gate_nor_tells_the_user() {
    let mut bench = Bench::in_call(id(1));
    bench.signal(&device("bob", 1), renegotiating(id(1), 1, "theirs again"));
    bench.made(id(1), "ours again");
    bench.peer(id(1), PeerInput::Path(PathState::Connecting));
    assert!(bench.sends() && bench.gate().play);
    assert_eq!(bench.out, []);
    bench.pass(1);
    assert_eq!(bench.events(), Vec::<&Event>::new());
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert_eq!(bench.out, []);
    bench.pass(60);
    assert_eq!(bench.events(), Vec::<&Event>::new());
}

#[test]
fn a_restart_that_brings_no_path_within_2_s_is_told_as_a_lost_path_and_ends_after_45_s_more() {
    let mut bench = Bench::in_call(id(1));
    bench.peer(id(1), PeerInput::Path(PathState::Connecting));
    bench.pass(2);
    assert_eq!(bench.events(), [&Event::PathLost { call: id(1) }]);
    assert!(bench.sends());
    bench.pass(44);
    assert_eq!(bench.ended(), None);
    bench.pass(1);
    assert_eq!(bench.ended(), Some(&EndReason::Failed(Failure::PathLost)));
}

#[test]
fn a_restart_stands_until_it_is_answered_and_is_said_again() {
    let mut bench = restarting();
    let first = bench.descriptions().last().map(|(_, description)| (*description).clone());
    let mut again = 0;
    for _ in 0..40 {
        bench.pass(1);
        assert!(!bench.commands().iter().any(|command| matches!(command, PeerCommand::Rollback { .. })));
        if bench.asks_for_servers() {
            bench.fresh_servers();
        }
        again += bench.descriptions().iter().filter(|(_, one)| Some((*one).clone()) == first).count();
    }
    assert!(again >= 5, "{again}");
    answer_to_restart(&mut bench, 1);
    assert!(matches!(bench.commands()[..], [PeerCommand::ApplyAnswer { .. }]));
}

#[test]
fn a_lost_call_ends_at_once_when_the_server_says_that_the_other_side_is_gone() {
    let mut up = Bench::in_own_call(id(1));
    up.error(id(1), ErrorCode::Offline);
    assert_eq!(up.ended(), None, "media go on");
    let mut lost = restarting();
    lost.error(id(1), ErrorCode::Offline);
    assert_eq!(lost.ended(), Some(&EndReason::Failed(Failure::PeerGone)));
}

#[test]
fn a_restart_that_was_asked_for_before_the_last_one_is_not_made_again() {
    let mut bench = restarting();
    asked(&mut bench, 0);
    assert_eq!(bench.out, [], "it is under way");
    answer_to_restart(&mut bench, 1);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    asked(&mut bench, 0);
    assert_eq!(bench.out, [], "the answer shows that it crossed the offer");
    asked(&mut bench, 1);
    assert_eq!(bench.out, [], "the path has just come back");
    bench.pass(5);
    asked(&mut bench, 1);
    bench.fresh_servers();
    assert!(makes_restart(&bench));
}

#[test]
fn a_restart_is_heeded_though_the_last_offer_never_arrived() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), PeerInput::NegotiationNeeded);
    bench.made(id(1), "lost");
    bench.pass(15);
    assert!(bench.commands().iter().any(|command| matches!(command, PeerCommand::Rollback { .. })));
    bench.applied(id(1));
    asked(&mut bench, 0);
    bench.fresh_servers();
    assert!(makes_restart(&bench));
}

#[test]
fn a_relay_in_use_is_told_of_fresh_servers_by_a_plain_offer() {
    for (path, offers) in [(PathKind::Relay, 1), (PathKind::Host, 0)] {
        let mut bench = Bench::in_own_call(id(1));
        bench.peer(id(1), PeerInput::Path(PathState::Connected(path)));
        bench.fresh_servers();
        assert_eq!(plain_offers(&bench), offers, "{path:?}");
    }
}

#[test]
fn a_relay_in_use_is_told_of_the_servers_that_a_sign_in_brought() {
    for resumed in [true, false] {
        let mut bench = Bench::in_own_call(id(1));
        bench.peer(id(1), PeerInput::Path(PathState::Connected(PathKind::Relay)));
        bench.sign_in_again(resumed);
        assert_eq!(plain_offers(&bench), 1, "resumed: {resumed}");
    }
}

#[test]
fn servers_that_a_restart_waits_for_bring_no_other_offer() {
    let mut caller = Bench::in_own_call(id(1));
    caller.peer(id(1), PeerInput::Path(PathState::Connected(PathKind::Relay)));
    caller.peer(id(1), PeerInput::AddressGone);
    caller.fresh_servers();
    assert!(makes_restart(&caller));
    let mut callee = Bench::in_call(id(1));
    callee.peer(id(1), PeerInput::Path(PathState::Connected(PathKind::Relay)));
    callee.peer(id(1), PeerInput::AddressGone);
    callee.fresh_servers();
    assert_eq!((asks_for_restart(&callee), callee.commands().len()), (1, 1), "over the control channel, too");
    assert!(matches!(callee.commands()[..], [PeerCommand::SendControl(_)]));
}

#[test]
fn a_restart_that_is_said_again_is_answered_again() {
    let mut bench = Bench::in_call(id(1));
    let bob = device("bob", 1);
    bench.signal(&bob, renegotiating(id(1), 1, "theirs again"));
    bench.signal(&bob, renegotiating(id(1), 1, "theirs again"));
    assert_eq!(bench.out, [], "it is being answered");
    bench.made(id(1), "ours again");
    let answers = |bench: &Bench| {
        let descriptions = bench.descriptions().into_iter().map(|(_, one)| one.clone());
        descriptions.collect::<Vec<_>>()
    };
    let first = answers(&bench);
    assert!(!first.is_empty() && first.iter().all(|answer| answer.kind == DescriptionKind::Answer && answer.n == 1));
    bench.signal(&bob, renegotiating(id(1), 1, "theirs again"));
    assert_eq!(bench.out, [], "a copy that came another way");
    bench.pass(5);
    bench.signal(&bob, renegotiating(id(1), 1, "theirs again"));
    assert_eq!(answers(&bench), first);
    bench.pass(5);
    bench.signal(&bob, renegotiating(id(1), 1, "another"));
    assert_eq!(bench.out, [], "it was not that offer that was answered");
    bench.signal(&device("bob", 2), renegotiating(id(1), 1, "theirs again"));
    assert_eq!(answers(&bench), []);
}

/// How many offers are made that restart nothing.
fn plain_offers(bench: &Bench) -> usize {
    let plain = |command: &&PeerCommand| matches!(command, PeerCommand::MakeOffer { ice_restart: false, .. });
    bench.commands().into_iter().filter(plain).count()
}
