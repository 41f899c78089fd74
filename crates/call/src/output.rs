//! Everything that the core asks for and tells. The driver carries it out in the order of [`crate::Core::poll_output`].

use ahoy_protocol::control::{ControlMessage, Sending};
use ahoy_protocol::description::{DescriptionKind, Hash, ProofError, ProvenDescription, Statement};
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::identity::{Challenge, IdentityKey, PublicKey};
use ahoy_protocol::message::{ClientMessage, IceServer, MissedCall};
use ahoy_protocol::signal::{Answer, Candidate, Offer, Signal};
use ahoy_protocol::verification::Code;

use crate::contacts::Pin;
use crate::end::EndReason;
use crate::gate::Gate;
use crate::input::{PathKind, Serial};

/// One thing to do or to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Open a WebSocket to the server, report with this serial, and close any older one.
    OpenLink {
        /// Names this link.
        serial: Serial,
    },
    /// Close it (code 1000) after what was sent before has left. Sent for links that are open or opening.
    CloseLink {
        /// Which link.
        serial: Serial,
        /// The number of the last message that came over it, to be acknowledged first; 0 if none did.
        seen: u64,
    },
    /// Let it go without a goodbye, so that the server keeps the session for whoever comes back into it.
    DropLink {
        /// Which link.
        serial: Serial,
    },
    /// Sign in: fill in host, key and signature (`identity::login_statement`) and send `login`.
    Login {
        /// Which link.
        serial: Serial,
        /// To be signed.
        challenge: Challenge,
        /// To come back into the session of an earlier link.
        resume: Option<Resume>,
    },
    /// Send this through the server. When the link just broke, drop it.
    Send(ClientMessage),
    /// Sign this ([`UnsignedDescription::sign`]) and send it.
    SendDescription {
        /// Which way.
        via: Via,
        /// What.
        description: UnsignedDescription,
    },
    /// Tell the peer connection of this call something. The commands of one call are carried out one after another.
    Peer {
        /// Which call.
        call: CallId,
        /// What to do.
        command: PeerCommand,
    },
    /// From now on exactly this may be sent, played and shown. A call begins with everything shut.
    Media {
        /// Which call.
        call: CallId,
        /// What is allowed.
        gate: Gate,
    },
    /// Tell the person, the log, or the store.
    Event(Event),
}

/// What brings a client back into its session (section 3, "Coming back").
#[derive(Clone, PartialEq, Eq)]
pub struct Resume {
    /// `resume` of the last `welcome`.
    pub token: String,
    /// The last `seq` seen.
    pub seq: u64,
}

impl std::fmt::Debug for Resume {
    /// Without what gives access.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume").field("seq", &self.seq).finish_non_exhaustive()
    }
}

/// Which way a description goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// Through the server, to this address.
    Server(Address),
    /// Over the control channel of the call.
    Control,
}

/// What a peer connection is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerCommand {
    /// Make it. Nothing leaves the machine before this, not even a STUN request.
    Open,
    /// Make an offer and set it as the local description; report `Made`.
    MakeOffer {
        /// Names this work.
        serial: Serial,
        /// With new ICE credentials.
        ice_restart: bool,
    },
    /// Apply the offer, make an answer and set it as the local description; report `Made`.
    Answer {
        /// Names this work.
        serial: Serial,
        /// What to answer.
        offer: ProvenDescription,
    },
    /// Apply the answer; report `Applied`.
    ApplyAnswer {
        /// Names this work.
        serial: Serial,
        /// What to apply.
        answer: ProvenDescription,
    },
    /// Take back the pending local offer; report `Applied`.
    Rollback {
        /// Names this work.
        serial: Serial,
    },
    /// A remote candidate for a description that was given before, or (empty) the end of its candidates.
    AddCandidate(Candidate),
    /// Send this over the control channel.
    SendControl(ControlMessage),
    /// Close it, once what was given to `SendControl` has left, but within a second. Always the last command of a call.
    Close,
}

/// A description without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedDescription {
    /// The call it belongs to.
    pub call: CallId,
    /// Offer, answer or early answer.
    pub kind: DescriptionKind,
    /// Its number.
    pub n: u32,
    /// The SDP.
    pub sdp: String,
    /// In an opening offer: whether the user dialled with picture.
    pub video: Option<bool>,
    /// In an opening offer: the free-text name.
    pub name: Option<String>,
    /// Whom it is for.
    pub receiver: Username,
    /// The receiver's key where it is pinned.
    pub receiver_key: Option<PublicKey>,
    /// For an answer: the hash of the offer.
    pub offer: Option<Hash>,
}

impl UnsignedDescription {
    /// The message to send, signed with `key` where there is one (guests have none).
    #[must_use]
    pub fn sign(self, maker: &Username, key: Option<&IdentityKey>) -> Signal {
        let Self { call, kind, n, sdp, video, name, receiver, receiver_key, offer } = self;
        let statement = Statement { kind, call, n, maker, receiver: &receiver, offer, receiver_key };
        let signature = key.map(|key| statement.sign(&sdp, key));
        let key = key.map(IdentityKey::public);
        match kind {
            DescriptionKind::Offer => Signal::Offer(Offer { call, n, sdp, video, name, key, signature }),
            DescriptionKind::Answer => Signal::Answer(Answer { call, n, sdp, early: false, key, signature }),
            DescriptionKind::Early => Signal::Answer(Answer { call, n, sdp, early: true, key, signature }),
        }
    }
}

/// What a person, a log or a store wants to know. Names in it are fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Reachable. After a lost link it comes again.
    SignedIn {
        /// STUN and TURN for the calls to come.
        ice_servers: Vec<IceServer>,
    },
    /// Fresh STUN and TURN servers came.
    IceServers(Vec<IceServer>),
    /// The server refused the sign-in.
    SignInFailed {
        /// Why; programs decide by this.
        code: ErrorCode,
        /// One sentence.
        message: String,
        /// Whether the core tries again by itself. If not, it is signed out now.
        retrying: bool,
    },
    /// The link could not be opened, or is lost; the core opens it again by itself.
    LinkLost,
    /// Another process signed in as this device; signed out.
    SignedInElsewhere,
    /// A contact came or went.
    Presence {
        /// Who.
        username: Username,
        /// Whether a device of theirs is signed in.
        online: bool,
    },
    /// The user dials.
    Dialling {
        /// Which call.
        call: CallId,
        /// Whom.
        to: Username,
    },
    /// The offer has reached this many devices.
    Relayed {
        /// Which call.
        call: CallId,
        /// How many.
        devices: usize,
    },
    /// A device of the callee rings.
    Ringing {
        /// Which call.
        call: CallId,
        /// What the device calls itself, if it says so.
        device: Option<String>,
    },
    /// Somebody calls: alert the user until `Accepted` or `Ended`.
    Incoming {
        /// Which call.
        call: CallId,
        /// From whom.
        from: DeviceAddress,
        /// The free-text name, to be shown beside the username, never instead of it.
        name: Option<String>,
        /// Whether with picture.
        video: bool,
        /// Who vouches for the caller.
        trust: Trust,
    },
    /// A call came while this device could not ring for it in time.
    Missed {
        /// Which call.
        call: CallId,
        /// From whom.
        from: Username,
        /// Whether with picture.
        video: bool,
    },
    /// Calls came while no device of the user was signed in.
    MissedWhileAway(Vec<MissedCall>),
    /// A call was refused without ringing.
    Refused {
        /// Which call.
        call: CallId,
        /// From whom.
        from: Username,
        /// Why.
        reason: RefusedReason,
    },
    /// The callee said yes.
    Accepted {
        /// Which call.
        call: CallId,
        /// On which device; one's own for an incoming call.
        by: DeviceAddress,
        /// Whether with picture, where it is said.
        video: Option<bool>,
    },
    /// People have said yes and there is a path: the call goes on. Comes again after `PathLost`.
    Connected {
        /// Which call.
        call: CallId,
        /// What the path runs over.
        path: PathKind,
    },
    /// The path of a connected call is lost; it may come back.
    PathLost {
        /// Which call.
        call: CallId,
    },
    /// What the other side says that it sends.
    RemoteSending {
        /// Which call.
        call: CallId,
        /// What.
        sending: Sending,
    },
    /// Both dialled at once (or one dialled the caller that rings here): the dialled call goes on as the other.
    /// `Ended` never comes for `dialled`.
    GaveWay {
        /// The id that the user's dialling had.
        dialled: CallId,
        /// The call that goes on.
        to: CallId,
    },
    /// The call is over. The last event of a call.
    Ended {
        /// Which call.
        call: CallId,
        /// Why.
        reason: EndReason,
    },
    /// The verification code of a call is known: both people may read it to each other.
    Code {
        /// Which call.
        call: CallId,
        /// What both screens show.
        code: Code,
        /// Whether it was compared in an earlier call under the same keys.
        verified: bool,
    },
    /// A description of somebody's was good, but under another key than the one known; it was refused.
    KeyChanged {
        /// Who.
        username: Username,
        /// What they are known by.
        known: PublicKey,
        /// What they signed with.
        shown: PublicKey,
    },
    /// Keep this: the name is known by it from now on, in place of what it was known by before.
    Pin {
        /// The name.
        username: Username,
        /// What it is known by.
        pin: Pin,
    },
}

/// Who vouches for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A contact, signed with the contact's key.
    Contact,
    /// Signed, but not a contact.
    Stranger,
    /// A guest, who cannot sign: shown as unverified.
    Guest,
}

/// Why a call did not ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedReason {
    /// This device is in another call.
    Busy,
    /// The caller made this device ring too often within a minute.
    TooOften,
    /// The offer proves nothing.
    Proof(ProofError),
}
