//! Why a call ended: data, with one sentence for people that names the cause and the next step. No error.

use std::fmt;

use ahoy_protocol::description::ProofError;

use crate::tried::Tried;

/// Which of the two people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The user of this device.
    Local,
    /// The other.
    Remote,
}

/// Why a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody hung up a call that both were in.
    HungUp(Side),
    /// The callee said no.
    Declined(Side),
    /// The caller gave up, or went offline, before an answer.
    Cancelled(Side),
    /// Every device of the callee is in another call, or rang too often of late.
    Busy,
    /// The callee did not answer in time: on this side the user has missed a call.
    NoAnswer(Side),
    /// No device of the callee is signed in.
    Offline,
    /// Nobody has ever had that name on this server.
    UnknownUser,
    /// Another device of this user answered.
    AnsweredElsewhere,
    /// Another device of this user declined.
    DeclinedElsewhere,
    /// Both dialled at once, and the other user's call rings on another device of this user.
    CallingYouElsewhere,
    /// Both dialled at once; a call that rang here gave way. Not a missed call.
    Glare,
    /// The same user called again, so the old call was over.
    CalledAgain,
    /// This device is in a call already.
    AlreadyInCall,
    /// Nobody calls himself.
    Yourself,
    /// This device is signed out, or could not sign in for as long as it dialled.
    NotSignedIn,
    /// The server lets this user dial no more for now.
    RateLimited {
        /// Seconds to wait, where the server says so.
        retry_s: Option<u32>,
    },
    /// The server refused the call.
    Refused {
        /// The server's sentence.
        message: String,
    },
    /// The other side's description is not proven to be theirs.
    NotProven(ProofError),
    /// The other side's nonce is not the one that it was bound to: somebody tries to choose the verification code.
    CodeBroken,
    /// The people read different verification codes to each other.
    CodesDiffer,
    /// Something went wrong on the way.
    Failed(Failure),
}

/// What went wrong, and what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Accepted, but no path came about in time.
    NoPath {
        /// Own candidates that were sent.
        local_candidates: u32,
        /// The other side's candidates that were tried.
        remote_candidates: u32,
        /// The servers that were to help.
        tried: Tried,
    },
    /// Accepted, but the other side's answer or word never came.
    NoConfirmation,
    /// The path of a connected call is gone and did not come back.
    PathLost,
    /// The path is gone, and the server says that so is the other device.
    PeerGone,
    /// The peer connection could not do its part.
    Transport(String),
    /// The peer connection never reported back.
    TransportSilent,
    /// The other side says that it failed.
    Remote,
    /// A device of the callee's refused the call before it rang: most likely the call was not proven there, because one of the
    /// two has a new key that the other does not know. The contract has no word for which.
    RefusedThere,
}

impl EndReason {
    /// A short stable word for logs and programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HungUp(_) => "hangup",
            Self::Declined(_) => "declined",
            Self::Cancelled(_) => "cancelled",
            Self::Busy => "busy",
            Self::NoAnswer(_) => "timeout",
            Self::Offline => "offline",
            Self::UnknownUser => "unknown_user",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::DeclinedElsewhere => "declined_elsewhere",
            Self::CallingYouElsewhere => "calling_you_elsewhere",
            Self::Glare => "glare",
            Self::CalledAgain => "called_again",
            Self::AlreadyInCall => "already_in_call",
            Self::Yourself => "yourself",
            Self::NotSignedIn => "not_signed_in",
            Self::RateLimited { .. } => "rate_limited",
            Self::Refused { .. } => "refused",
            Self::NotProven(ProofError::KeyChanged) => "key_changed",
            Self::NotProven(_) => "not_proven",
            Self::CodeBroken => "code_broken",
            Self::CodesDiffer => "codes_differ",
            Self::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::HungUp(Side::Local) => "You hung up.",
            Self::HungUp(Side::Remote) => "They hung up.",
            Self::Declined(Side::Local) => "You declined the call.",
            Self::Declined(Side::Remote) => "They declined the call; try again later.",
            Self::Cancelled(Side::Local) => "You cancelled the call.",
            Self::Cancelled(Side::Remote) => "They gave up before you answered; call them back.",
            Self::Busy => "They are busy; try again later.",
            Self::NoAnswer(Side::Local) => "You did not answer; call them back.",
            Self::NoAnswer(Side::Remote) => "Nobody answered; try again later.",
            Self::Offline => "They are not signed in; try again later.",
            Self::UnknownUser => "Nobody has that name on this server; check the spelling.",
            Self::AnsweredElsewhere => "Answered on another of your devices.",
            Self::DeclinedElsewhere => "Declined on another of your devices.",
            Self::CallingYouElsewhere => "They are calling you on another device; answer there.",
            Self::Glare => "You both called at once; the call goes on where you dialled.",
            Self::CalledAgain => "They called again; the new call replaces this one.",
            Self::AlreadyInCall => "You are in a call already; hang up first.",
            Self::Yourself => "You cannot call yourself; choose another name.",
            Self::NotSignedIn => "You are not signed in, so nobody was called; call again once you are.",
            Self::RateLimited { retry_s: Some(seconds) } => {
                return write!(f, "Too many calls in a short time; try again in {seconds} s.");
            }
            Self::RateLimited { retry_s: None } => "Too many calls in a short time; try again in a minute.",
            Self::Refused { message } => return write!(f, "The server refused the call: {message}."),
            Self::NotProven(ProofError::KeyChanged) => {
                "Their key is not the one you know, so somebody else may have their name; ask them before you call again."
            }
            Self::NotProven(error) => {
                return write!(f, "The call could not be proven to come from them ({error}); call again.");
            }
            Self::CodeBroken => {
                "Somebody may sit between you and them: their side changed its word while the code was made. Call again \
                 over another network, and compare the code."
            }
            Self::CodesDiffer => {
                "Your codes differ, so somebody may sit between you and them. Say nothing that must stay between you, and \
                 call again over another network or server."
            }
            Self::Failed(failure) => return failure.fmt(f),
        };
        f.write_str(sentence)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPath { local_candidates, remote_candidates, tried } => match tried.obstacle() {
                Some(obstacle) => obstacle.fmt(f),
                None => write!(
                    f,
                    "No path between you was found ({local_candidates} of your addresses and {remote_candidates} of \
                     theirs were tried); check the network, then call again."
                ),
            },
            Self::NoConfirmation => f.write_str("They accepted, but nothing more came from them; call again."),
            Self::PathLost => f.write_str("The connection was lost and did not come back; call again."),
            Self::PeerGone => f.write_str("They are gone; call again when they are back."),
            Self::Transport(detail) => write!(f, "The connection could not be set up ({detail}); call again."),
            Self::TransportSilent => f.write_str("The connection could not be set up in time; call again."),
            Self::Remote => f.write_str("The call failed on their side; call again."),
            Self::RefusedThere => f.write_str(
                "Their device refused the call; one of you may have a new key that the other does not know, so ask them in \
                 another way to call you, or to trust your key.",
            ),
        }
    }
}
