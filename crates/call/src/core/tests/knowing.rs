//! Whom the user knows (section 4).

use ahoy_protocol::description::DescriptionKind;
use ahoy_protocol::message::{ClientMessage, Contacts, Presence, ServerMessage};
use ahoy_protocol::signal::{CloseReason, ProgressState};

use super::bench::{Bench, candidate_signal, device, id, name, progress, sdp, signed};
use crate::{Command, ContactView, EndReason, Event, LinkInput, Output, Side};

fn contacts(usernames: &[&str]) -> Output {
    let usernames = usernames.iter().map(ToString::to_string).collect();
    Output::Send(ClientMessage::Contacts(Contacts { usernames }))
}

#[test]
fn the_server_is_told_of_the_contacts_after_each_sign_in_and_each_change() {
    let mut bench = Bench::new();
    assert_eq!(bench.out[1..], [contacts(&["bob"])]);
    bench.command(Command::SetContacts([name("bob"), name("carol")].into()));
    assert_eq!(bench.out, [contacts(&["bob", "carol"])]);
    bench.link(LinkInput::Closed { code: None });
    bench.command(Command::SetContacts([].into()));
    assert_eq!(bench.out, [], "the next sign-in tells");
}

#[test]
fn presence_is_shown_for_contacts_and_forgotten_with_the_link() {
    let mut bench = Bench::new();
    for who in ["bob", "carol"] {
        bench.receive(ServerMessage::Presence(Presence { username: name(who), online: true }));
    }
    assert_eq!(bench.out, [], "carol is none");
    let shown =
        |online| [ContactView { username: name("bob"), online, pinned: false, verified: false, shown_key: None }];
    assert_eq!(bench.core.view().contacts, shown(Some(true)));
    bench.receive(ServerMessage::Presence(Presence { username: name("bob"), online: false }));
    assert_eq!(bench.events(), [&Event::Presence { username: name("bob"), online: false }]);
    bench.link(LinkInput::Closed { code: None });
    assert_eq!(bench.core.view().contacts, shown(None));
}

#[test]
fn to_somebody_who_is_blocked_not_a_word_is_said_whatever_they_send() {
    for blocked in ["bob", "carol", "guest-c"] {
        let mut bench = Bench::new();
        bench.command(Command::SetBlocked([name(blocked)].into()));
        bench.offered(blocked, id(1), 1);
        assert_eq!(bench.out, [], "{blocked}: it does not ring, and is not refused");
        let from = device(blocked, 1);
        bench.offered_by(&from, signed(blocked, id(2), DescriptionKind::Offer, 0, "v=0".into(), None), 1, 90_000);
        for signal in [
            signed(blocked, id(3), DescriptionKind::Offer, 1, sdp("theirs"), None),
            signed(blocked, id(4), DescriptionKind::Answer, 0, sdp("theirs"), None),
            progress(id(5), ProgressState::Accepted),
            candidate_signal(id(1), "theirs", 1),
        ] {
            bench.signal(&from, signal);
            assert_eq!(bench.out, [], "{blocked}");
        }
        assert_eq!((bench.core.view().counters.blocked, bench.call()), (6, None));
        bench.command(Command::SetBlocked([].into()));
        bench.offered(blocked, id(6), 1);
        assert_eq!(bench.call(), Some(id(6)), "until they are not blocked any more");
    }
}

#[test]
fn a_contact_who_is_blocked_is_none_until_that_is_taken_back() {
    let mut bench = Bench::new();
    bench.receive(ServerMessage::Presence(Presence { username: name("bob"), online: true }));
    bench.command(Command::SetBlocked([name("bob"), name("carol")].into()));
    assert_eq!(bench.out, [contacts(&[])], "so the server tells them nothing");
    bench.receive(ServerMessage::Presence(Presence { username: name("bob"), online: true }));
    assert_eq!(bench.out, [], "what was on its way counts no more");
    let nothing = ContactView { username: name("bob"), online: None, pinned: false, verified: false, shown_key: None };
    assert_eq!(bench.core.view().contacts, [nothing]);
    bench.command(Command::SetBlocked([name("carol")].into()));
    assert_eq!(bench.out, [contacts(&["bob"])]);
    bench.command(Command::SetBlocked([].into()));
    assert_eq!(bench.out, [], "carol is no contact: nothing to tell");
}

#[test]
fn a_call_that_rings_is_declined_when_its_caller_is_blocked_and_one_that_was_accepted_goes_on() {
    let mut ringing = Bench::ringing(id(1));
    ringing.command(Command::SetBlocked([name("carol")].into()));
    assert_eq!(ringing.call(), Some(id(1)), "somebody else");
    ringing.command(Command::SetBlocked([name("bob")].into()));
    assert_eq!(ringing.closes(), [(device("bob", 1).to_string(), CloseReason::Declined)]);
    assert_eq!(ringing.ended(), Some(&EndReason::Declined(Side::Local)));
    let mut accepted = Bench::in_call(id(1));
    accepted.command(Command::SetBlocked([name("bob")].into()));
    assert!(accepted.sends());
    accepted.signal(&device("bob", 1), super::bench::close(id(1), CloseReason::Hangup));
    assert_eq!(accepted.ended(), Some(&EndReason::HungUp(Side::Remote)), "its own messages are heard");
}
