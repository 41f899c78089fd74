//! A connected call: both channels, renegotiation, the gate, and how it ends.

use ahoy_protocol::control::{ControlMessage, Sending};
use ahoy_protocol::description::{DescriptionKind, hash};
use ahoy_protocol::message::{ClientMessage, IceServerList, ServerMessage};
use ahoy_protocol::signal::{CloseReason, Restart, Signal};

use super::bench::{Bench, CONNECTED, candidate, candidate_signal, close, device, id, renegotiating, sdp, signed};
use crate::{
    Command, EndReason, Event, Failure, Gate, LinkInput, LinkView, Output, PathKind, PathState, PeerCommand, PeerInput,
    Side, Via,
};

#[test]
fn in_a_connected_call_every_message_goes_over_the_control_channel_and_the_server() {
    let mut bench = Bench::in_own_call(id(1));
    bench.command(Command::RestartIce { call: id(1) });
    bench.made(id(1), "again");
    let vias: Vec<Via> = bench.descriptions().into_iter().map(|(via, _)| via).collect();
    assert_eq!(vias, [Via::Control, Via::Server(device("bob", 1).into())]);
    bench.peer(id(1), PeerInput::Candidate(candidate("again", 1)));
    assert!(matches!(bench.commands()[..], [PeerCommand::SendControl(ControlMessage::Signal(Signal::Candidate(_)))]));
    assert_eq!(bench.sent().len(), 1);
    bench.command(Command::HangUp { call: id(1) });
    let closes =
        [PeerCommand::SendControl(ControlMessage::Signal(close(id(1), CloseReason::Hangup))), PeerCommand::Close];
    assert_eq!(bench.commands(), closes.iter().collect::<Vec<_>>());
    assert_eq!(bench.closes(), [(device("bob", 1).to_string(), CloseReason::Hangup)]);
}

#[test]
fn the_second_copy_of_anything_is_ignored() {
    let mut bench = Bench::in_call(id(1));
    let (bob, offer, extra) = (device("bob", 1), renegotiating(id(1), 1, "again"), candidate_signal(id(1), "again", 1));
    bench.peer(id(1), PeerInput::Control(ControlMessage::Signal(offer.clone())));
    assert!(matches!(bench.commands()[..], [PeerCommand::Answer { .. }]));
    bench.signal(&bob, offer.clone());
    assert_eq!(bench.out, []);
    bench.made(id(1), "our answer");
    assert_eq!(bench.descriptions()[0].1.n, 1, "an answer repeats the number that it answers");
    bench.signal(&bob, offer);
    assert_eq!(bench.out, [], "nor after it was answered");
    bench.signal(&bob, extra.clone());
    assert_eq!(bench.commands(), [&PeerCommand::AddCandidate(candidate("again", 1))]);
    bench.peer(id(1), PeerInput::Control(ControlMessage::Signal(extra)));
    assert_eq!(bench.out, []);
    bench.peer(id(1), PeerInput::Control(ControlMessage::Signal(close(id(1), CloseReason::Hangup))));
    assert_eq!(bench.ended(), Some(&EndReason::HungUp(Side::Remote)));
    bench.signal(&bob, close(id(1), CloseReason::Hangup));
    assert_eq!(bench.out, []);
}

#[test]
fn a_renegotiation_that_is_not_proven_leaves_the_call_as_it_was() {
    let mut bench = Bench::in_call(id(1));
    let forged = match renegotiating(id(1), 1, "again") {
        Signal::Offer(offer) => Signal::Offer(ahoy_protocol::signal::Offer { n: 2, ..offer }),
        other => other,
    };
    bench.signal(&device("bob", 1), forged);
    assert_eq!(bench.out, []);
    assert_eq!(bench.core.view().counters.refused, 1);
    assert!(bench.sends());
}

#[test]
fn a_callee_asks_for_an_ice_restart_with_the_last_number_and_a_caller_heeds_it_once() {
    let mut callee = Bench::in_call(id(1));
    callee.command(Command::RestartIce { call: id(1) });
    let restart = Signal::Restart(Restart { call: id(1), n: 0 });
    assert_eq!(callee.sent(), [(device("bob", 1).to_string(), &restart)]);
    let mut caller = Bench::in_own_call(id(1));
    caller.signal(&device("bob", 1), Signal::Restart(Restart { call: id(1), n: 7 }));
    assert_eq!(caller.out, [], "there was no such offer");
    caller.signal(&device("bob", 1), restart.clone());
    assert_eq!(caller.out, [Output::Send(ClientMessage::IceServers)], "is there a signaling path?");
    caller.signal(&device("bob", 1), restart.clone());
    assert_eq!(caller.out, []);
    caller.receive(ServerMessage::IceServers(IceServerList { ice_servers: Vec::new(), ttl_s: 60 }));
    assert!(matches!(caller.commands()[..], [PeerCommand::MakeOffer { ice_restart: true, .. }]));
    caller.signal(&device("bob", 1), restart);
    assert_eq!(caller.out, []);
}

#[test]
fn when_both_offer_the_polite_callee_rolls_back_and_offers_again_afterwards() {
    let mut bench = Bench::in_call(id(1));
    bench.peer(id(1), PeerInput::NegotiationNeeded);
    bench.made(id(1), "our offer");
    bench.signal(&device("bob", 1), renegotiating(id(1), 1, "their offer"));
    assert!(matches!(bench.commands()[..], [PeerCommand::Rollback { .. }]));
    bench.applied(id(1));
    assert!(matches!(bench.commands()[..], [PeerCommand::Answer { .. }]));
    bench.made(id(1), "our answer");
    assert!(matches!(
        bench.commands()[..],
        [PeerCommand::SendControl(_), PeerCommand::MakeOffer { .. }] | [PeerCommand::MakeOffer { .. }]
    ));
    bench.made(id(1), "our offer again");
    assert_eq!(bench.descriptions()[0].1.n, 1);
}

#[test]
fn when_both_offer_the_impolite_caller_goes_on_with_its_own() {
    let mut bench = Bench::in_own_call(id(1));
    bench.peer(id(1), PeerInput::NegotiationNeeded);
    bench.made(id(1), "our offer");
    bench.signal(&device("bob", 1), renegotiating(id(1), 0, "their offer"));
    assert_eq!(bench.out, []);
    let answer = signed("bob", id(1), DescriptionKind::Answer, 1, sdp("their answer"), Some(hash(&sdp("our offer"))));
    bench.signal(&device("bob", 1), answer);
    assert!(matches!(bench.commands()[..], [PeerCommand::ApplyAnswer { .. }]));
}

#[test]
fn what_is_sent_follows_the_user_and_is_told_to_the_other_side() {
    let mut bench = Bench::in_call(id(1));
    let muted = Sending { audio: false, video: true, screen: false };
    bench.command(Command::SetSending { call: id(1), sending: muted });
    let gate = Gate { send: muted, play: true };
    let media = PeerCommand::SendControl(ControlMessage::Media(muted));
    assert_eq!(bench.out, [Output::Media { call: id(1), gate }, Output::Peer { call: id(1), command: media }]);
    bench.peer(id(1), PeerInput::Control(ControlMessage::Media(muted)));
    assert_eq!(bench.events(), [&Event::RemoteSending { call: id(1), sending: muted }]);
}

#[test]
fn muting_while_it_rings_is_heeded_when_the_gate_opens() {
    let mut bench = Bench::ringing(id(1));
    bench.command(Command::SetSending { call: id(1), sending: Sending { audio: false, video: true, screen: false } });
    assert_eq!(bench.out, []);
    bench.command(Command::Accept { call: id(1), video: false });
    bench.made(id(1), "ours");
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert_eq!(bench.gate(), Gate { send: Sending { audio: false, video: false, screen: false }, play: true });
}

#[test]
fn a_lost_path_may_come_back_within_45_s() {
    let mut bench = Bench::in_call(id(1));
    bench.peer(id(1), PeerInput::Path(PathState::Lost));
    assert_eq!(bench.events(), [&Event::PathLost { call: id(1) }]);
    bench.pass(44);
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert_eq!(bench.events(), [&Event::Connected { call: id(1), path: PathKind::Host }]);
    bench.peer(id(1), PeerInput::Path(PathState::Lost));
    bench.pass(45);
    assert_eq!(bench.ended(), Some(&EndReason::Failed(Failure::PathLost)));
    let mut failed = Bench::in_call(id(1));
    failed.peer(id(1), PeerInput::Path(PathState::Failed));
    assert_eq!(failed.ended(), Some(&EndReason::Failed(Failure::PathLost)));
}

#[test]
fn a_lost_link_ends_no_call_and_what_was_said_meanwhile_is_sent_when_it_is_back() {
    let mut bench = Bench::in_call(id(1));
    bench.link(LinkInput::Closed { code: None });
    assert!(bench.sends());
    assert_eq!(bench.core.view().link, LinkView::Waiting);
    bench.command(Command::HangUp { call: id(1) });
    assert!(bench.closes().is_empty());
    assert_eq!(bench.commands().len(), 2, "over the control channel at once");
}

#[test]
fn a_call_that_ends_shuts_the_gate_before_anything_else_ends() {
    let mut bench = Bench::in_call(id(1));
    bench.command(Command::HangUp { call: id(1) });
    let shut = bench.out.iter().position(|o| *o == Output::Media { call: id(1), gate: Gate::SHUT }).unwrap();
    let closed = Output::Peer { call: id(1), command: PeerCommand::Close };
    assert!(shut < bench.out.iter().position(|o| *o == closed).unwrap());
    bench.peer(id(1), PeerInput::Path(CONNECTED));
    assert_eq!(bench.out, [], "a late report of a call that is over");
}
