//! What a screen shows: a snapshot of the core, without anything that must not be shown.

use ahoy_protocol::control::Sending;
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::verification::Code;

use crate::gate::Gate;
use crate::input::PathState;
use crate::output::Trust;

/// The core at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The way to the server.
    pub link: LinkView,
    /// The call: a device has at most one.
    pub call: Option<CallView>,
    /// Whom the user knows, by name.
    pub contacts: Vec<ContactView>,
    /// What was ignored.
    pub counters: Counters,
}

/// The way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkView {
    /// Not signed in, and not trying to.
    SignedOut,
    /// On the way.
    SigningIn,
    /// Lost; to be opened again soon.
    Waiting,
    /// Reachable.
    SignedIn,
}

/// A call at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Which call.
    pub call: CallId,
    /// With whom.
    pub user: Username,
    /// The caller's free-text name, if one came with the call.
    pub name: Option<String>,
    /// What the people have said.
    pub people: PeopleView,
    /// Whether there is a path.
    pub path: PathState,
    /// What may flow.
    pub gate: Gate,
    /// What the user wants to send.
    pub wanted: Sending,
    /// What the other side says that it sends.
    pub remote: Option<Sending>,
    /// Who vouches for the other side; `None` until a description of theirs was proven.
    pub trust: Option<Trust>,
    /// The verification code, once both sides know it.
    pub code: Option<Code>,
}

/// What the people have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeopleView {
    /// The user dialled; nothing rings yet.
    Dialling,
    /// It rings there.
    RingingThere,
    /// It rings here.
    RingingHere,
    /// Both dialled at once; the other user's call is awaited.
    GivingWay,
    /// The callee said yes.
    Accepted,
}

/// A contact at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactView {
    /// Who.
    pub username: Username,
    /// Whether a device of theirs is signed in; `None` while that is not known.
    pub online: Option<bool>,
    /// Whether their key is known.
    pub pinned: bool,
    /// Whether the user has compared a verification code made with that key.
    pub verified: bool,
    /// Another key that they showed last, and that was refused.
    pub shown_key: Option<PublicKey>,
}

/// What was ignored, and why. For logs; a person never sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// From somebody who may not speak in that call.
    pub foreign: u64,
    /// A second copy, or something that was overtaken.
    pub passed: u64,
    /// About a call that is over or was never here.
    pub unknown_call: u64,
    /// Not possible in the state that the call was in.
    pub out_of_place: u64,
    /// Too long, too many, or not proven.
    pub refused: u64,
    /// From somebody who is blocked.
    pub blocked: u64,
    /// Reports of work that is no longer wanted.
    pub stale: u64,
}
