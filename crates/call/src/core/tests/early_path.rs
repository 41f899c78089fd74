//! A path that was built while it rang, and is gone again before somebody accepts or before anybody uses it. Rows F7 and
//! F8 of `docs/reliability.md` in virtual time.

use ahoy_protocol::description::DescriptionKind;
use ahoy_protocol::signal::{ProgressState, Restart, Signal};

use super::bench::{Bench, CONNECTED, LOST, device, id, progress};
use crate::{Command, Event, PathState, PeerCommand, PeerInput};

fn makes_restart(bench: &Bench) -> bool {
    bench.commands().iter().any(|command| matches!(command, PeerCommand::MakeOffer { ice_restart: true, .. }))
}

fn asks_for_restart(bench: &Bench) -> bool {
    bench.sent().iter().any(|(_, signal)| matches!(signal, Signal::Restart(_)))
}

/// Alice's call, for which Bob's device built the path while it rings there.
fn early_caller() -> Bench {
    let mut bench = Bench::dialling(id(1), &[1]);
    bench.answered("bob", id(1), DescriptionKind::Early);
    bench.applied(id(1));
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench
}

/// Bob's call, for which Alice's device built the path while it rings.
fn early_callee() -> Bench {
    let mut bench = Bench::ringing(id(1));
    bench.made(id(1), "ours");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    bench
}

fn accepted_by_bob(bench: &mut Bench) {
    bench.signal(&device("bob", 1), progress(id(1), ProgressState::Accepted));
}

fn accept(bench: &mut Bench) {
    bench.command(Command::Accept { call: id(1), video: true });
}

#[test]
fn a_path_that_was_lost_before_somebody_accepted_is_looked_for_afterwards() {
    let mut caller = early_caller();
    caller.peer(id(1), LOST);
    caller.pass(5);
    assert!(!caller.asks_for_servers(), "nobody has said yes");
    accepted_by_bob(&mut caller);
    assert!(caller.asks_for_servers());
    caller.fresh_servers();
    assert!(!makes_restart(&caller), "it may heal");
    caller.pass(1);
    assert!(makes_restart(&caller), "that Bob accepted shows that he can be reached");

    let mut callee = early_callee();
    callee.peer(id(1), LOST);
    accept(&mut callee);
    assert!(callee.asks_for_servers());
    callee.fresh_servers();
    callee.pass(1);
    assert!(asks_for_restart(&callee));
}

#[test]
fn a_path_that_is_lost_after_somebody_accepted_and_before_it_is_used_is_looked_for() {
    let mut caller = early_caller();
    accepted_by_bob(&mut caller);
    caller.peer(id(1), LOST);
    assert!(caller.asks_for_servers());
    caller.fresh_servers();
    caller.signal(&device("bob", 1), Signal::Restart(Restart { call: id(1), n: 0 }));
    caller.pass(1);
    assert!(makes_restart(&caller));

    let mut callee = Bench::ringing(id(1));
    accept(&mut callee);
    callee.made(id(1), "ours");
    callee.peer(id(1), PeerInput::Path(PathState::Connecting));
    assert!(!callee.asks_for_servers(), "it is being built");
    callee.peer(id(1), LOST);
    callee.fresh_servers();
    callee.pass(1);
    assert!(asks_for_restart(&callee));
    callee.peer(id(1), PeerInput::Path(CONNECTED));
    assert!(callee.events().iter().any(|event| matches!(event, Event::Connected { .. })));
}

#[test]
fn an_address_that_goes_before_somebody_accepted_is_remembered() {
    for lost in [false, true] {
        let mut caller = early_caller();
        caller.peer(id(1), PeerInput::AddressGone);
        if lost {
            caller.peer(id(1), LOST);
        }
        caller.pass(5);
        assert!(!caller.asks_for_servers() && !makes_restart(&caller));
        accepted_by_bob(&mut caller);
        caller.fresh_servers();
        assert!(makes_restart(&caller), "at once; lost: {lost}");

        let mut callee = early_callee();
        callee.peer(id(1), PeerInput::AddressGone);
        callee.pass(5);
        assert!(!asks_for_restart(&callee));
        accept(&mut callee);
        callee.fresh_servers();
        assert!(asks_for_restart(&callee));
    }
}

#[test]
fn an_address_that_another_path_has_replaced_before_somebody_accepted_is_forgotten() {
    let mut caller = early_caller();
    caller.peer(id(1), PeerInput::AddressGone);
    caller.peer(id(1), LOST);
    caller.peer(id(1), PeerInput::Path(CONNECTED));
    accepted_by_bob(&mut caller);
    assert!(!caller.asks_for_servers());
    caller.peer(id(1), PeerInput::AddressGone);
    caller.fresh_servers();
    assert!(makes_restart(&caller), "before there are media");
}
