//! Whom the user knows (section 4).

use ahoy_protocol::message::{ClientMessage, Contacts, Presence, ServerMessage};

use super::bench::{Bench, name};
use crate::{Command, ContactView, Event, LinkInput, Output};

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
