//! Everything that can happen to the core. Nothing here is trusted to come in order, once, or at all.

use std::collections::BTreeSet;

use ahoy_protocol::control::{ControlMessage, Sending};
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::message::ServerMessage;
use ahoy_protocol::signal::Candidate;

use crate::tried::Tried;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A deadline of [`crate::Core::poll_timeout`] has come.
    Tick,
    /// The person did something.
    Person(Command),
    /// The machine slept, or this program stood still, for longer than a server waits for a sign of life.
    Woke,
    /// The machine is in another network, or has another address in it.
    NetworkChanged,
    /// The link that was opened with this serial; a stale one is dropped.
    Link {
        /// From [`crate::Output::OpenLink`].
        serial: Serial,
        /// What happened to it.
        input: LinkInput,
    },
    /// The peer connection of this call; one for a call that has none is dropped.
    Peer {
        /// Which call.
        call: CallId,
        /// What happened to it.
        input: PeerInput,
    },
}

/// Names one piece of work, so that a late completion is not taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Serial(pub u64);

/// What a person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Be reachable.
    SignIn,
    /// Be gone: hangs up first.
    SignOut,
    /// Replaces whom the user knows.
    SetContacts(BTreeSet<Username>),
    /// Replaces whom the user wants to hear nothing of. Their calls do not ring and are not answered by a word; they are no
    /// contacts while they are blocked, so they do not learn when this user is here. One that rings is declined; one that was
    /// accepted goes on.
    SetBlocked(BTreeSet<Username>),
    /// Call somebody. A call of theirs that rings here is accepted instead (`Event::GaveWay`); what cannot begin at
    /// all ends at once (`Event::Ended` without `Event::Dialling`).
    Dial {
        /// A new id from 16 random bytes.
        call: CallId,
        /// Whom.
        to: Username,
        /// Whether with picture.
        video: bool,
    },
    /// Say yes to the ringing call.
    Accept {
        /// Which call.
        call: CallId,
        /// Whether with picture.
        video: bool,
    },
    /// Say no to the ringing call.
    Decline {
        /// Which call.
        call: CallId,
    },
    /// End the call, whatever it is doing: cancels a dialled one, declines a ringing one.
    HangUp {
        /// Which call.
        call: CallId,
    },
    /// What the user wants to be sent: unmuted microphone, camera, screen. Obeyed as soon as the gate is open.
    SetSending {
        /// Which call.
        call: CallId,
        /// What to send.
        sending: Sending,
    },
    /// Both people have read the code of the call to each other. The same: a contact's key is verified from now on.
    /// Another: the call ends, and the key is verified no more.
    CodeCompared {
        /// Which call.
        call: CallId,
        /// Whether both read the same.
        same: bool,
    },
    /// Know somebody by another key from now on. Only the last one that was shown ([`crate::Event::KeyChanged`]) is taken.
    TrustNewKey {
        /// Who.
        username: Username,
        /// The key that was shown.
        key: PublicKey,
    },
    /// The network has changed: find a new path. A callee asks the caller to.
    RestartIce {
        /// Which call.
        call: CallId,
    },
}

/// What happens to a link.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are messages; a box would only cost an allocation")]
pub enum LinkInput {
    /// The WebSocket is open.
    Opened,
    /// A frame came.
    Received {
        /// Its number in the session, if it has one.
        seq: Option<u64>,
        /// What it says; `None` for what does not parse or is of an unknown type, which the driver logs.
        message: Option<ServerMessage>,
    },
    /// It could not be opened, broke, or was closed; also after [`crate::Output::CloseLink`].
    Closed {
        /// The WebSocket close code, if the server gave one.
        code: Option<u16>,
    },
}

/// What happens to a peer connection.
#[derive(Debug, Clone)]
pub enum PeerInput {
    /// `MakeOffer` or `Answer` is done: the local description is set, and this is its SDP.
    Made {
        /// From the command.
        serial: Serial,
        /// The SDP, or what went wrong.
        result: Result<String, String>,
    },
    /// `ApplyAnswer` or `Rollback` is done.
    Applied {
        /// From the command.
        serial: Serial,
        /// What went wrong, if anything.
        result: Result<(), String>,
    },
    /// A local candidate, or (empty) the end of a generation. It names its description by `username_fragment`.
    Candidate(Candidate),
    /// The state of the path.
    Path(PathState),
    /// The own address that the path leaves by is no longer one of this machine's.
    AddressGone,
    /// The transport needs a new offer and answer (`negotiationneeded`, webrtc-pc §4.7.3), the opening one excepted.
    NegotiationNeeded,
    /// What came of the servers so far that are to help find a path; each time it is all of it.
    Tried(Tried),
    /// The control channel is open.
    ControlOpened,
    /// A message came over the control channel.
    Control(ControlMessage),
    /// The control channel is gone.
    ControlClosed,
}

/// Whether there is a path to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathState {
    /// Nothing was tried yet.
    #[default]
    New,
    /// Candidate pairs are being tried, or DTLS shakes hands.
    Connecting,
    /// ICE and DTLS are up.
    Connected(PathKind),
    /// Nothing comes through any more; it may come back.
    Lost,
    /// Given up.
    Failed,
}

impl PathState {
    /// What the path runs over, while there is one.
    #[must_use]
    pub fn kind(self) -> Option<PathKind> {
        match self {
            Self::Connected(kind) => Some(kind),
            Self::New | Self::Connecting | Self::Lost | Self::Failed => None,
        }
    }
}

/// What the path runs over: the more indirect end of the candidate pair in use (RFC 8445 §5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Directly.
    Host,
    /// Through an address that a STUN server saw.
    ServerReflexive,
    /// Through an address that only the other side saw.
    PeerReflexive,
    /// Through a TURN server.
    Relay,
}
