//! The one gate: media flows when the people have said yes and there is a path. One function answers that; the driver
//! obeys [`crate::Output::Media`] and nothing else.

use ahoy_protocol::control::Sending;

use crate::input::PathState;

/// What may be sent now, and whether what arrives may be played and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// The tracks that may leave this machine.
    pub send: Sending,
    /// Whether what arrives may be played and shown.
    pub play: bool,
}

impl Gate {
    /// Nothing goes, nothing comes: how every call begins and ends.
    pub const SHUT: Self = Self { send: NOTHING, play: false };
}

const NOTHING: Sending = Sending { audio: false, video: false, screen: false };

/// What the people have said, as far as it can be relied on (section 5, "answer").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Consent {
    /// The callee has not accepted.
    Missing,
    /// The server says that the callee accepted: good for the screen, not for sending.
    Said,
    /// This device's user accepted, or the callee signed an answer that is not early, or said `accepted` over the
    /// control channel of an early one (a guest's word is taken).
    Given,
}

/// What may flow, given what the people said, the path, and what the user wants to send.
pub(crate) fn gate(consent: Consent, path: PathState, wanted: Sending) -> Gate {
    match path {
        PathState::New | PathState::Connecting | PathState::Failed => Gate::SHUT,
        // A path that is lost may be back at any moment; cutting the senders off would only lengthen the gap.
        PathState::Connected(_) | PathState::Lost => match consent {
            Consent::Missing => Gate::SHUT,
            Consent::Said => Gate { send: NOTHING, play: true },
            Consent::Given => Gate { send: wanted, play: true },
        },
    }
}
