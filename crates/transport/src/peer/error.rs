//! Why a peer connection does not do what it is asked for.

use crate::candidate::CandidateError;
use crate::control::MAX_CONTROL_BYTES;
use crate::description::DescriptionError;
use thiserror::Error;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The connection was closed.
    #[error("the peer connection is closed")]
    Closed,
    /// It should have been quick.
    #[error("the peer connection did not answer in time")]
    Timeout,
    /// Only relays may be used, and none is known that can be.
    #[error(
        "your address is to stay hidden, and the server offers no relay to hide it; ask who runs it for one, or let it be seen"
    )]
    NoRelay,
    /// The peer's description.
    #[error("the description is refused")]
    Description(#[from] DescriptionError),
    /// The peer's candidate.
    #[error("the candidate is refused")]
    Candidate(#[from] CandidateError),
    /// A candidate came before any description.
    #[error("there is no description of the peer yet")]
    NoRemoteDescription,
    /// An offer came while one of our own is out; it has to be rolled back first.
    #[error("an offer of our own is pending")]
    OfferPending,
    /// An answer or a rollback came where no offer is out.
    #[error("no offer is pending")]
    NoOfferPending,
    /// More than [`MAX_CONTROL_BYTES`].
    #[error("the text is larger than {MAX_CONTROL_BYTES} bytes")]
    ControlTooLarge,
    /// The peer does not take what is sent.
    #[error("too much is waiting to be sent on the control channel")]
    ControlFull,
    /// The control channel is not open, or is closed.
    #[error("the control channel is not open")]
    ControlNotOpen,
    /// The peer connection refused.
    #[error("{doing} failed")]
    Connection {
        /// What was being done.
        doing: &'static str,
        /// Why it was refused.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TransportError {
    /// What the peer connection says, with what was being done.
    pub(super) fn connection(doing: &'static str, source: webrtc::error::Error) -> Self {
        Self::Connection { doing, source: Box::new(source) }
    }
}
