//! Why something is not done, as the client will read it (section 7).

use std::time::Duration;

use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::message::MessageError;

/// No echo of what a client wrote is longer, in characters.
pub(super) const ECHO_MAX: usize = 200;

/// An `error` to be: why something is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) wait: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), wait: None }
    }

    pub(super) fn bad_message(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadMessage, message)
    }

    pub(super) fn rate_limited(message: impl Into<String>, wait: Duration) -> Self {
        Self { code: ErrorCode::RateLimited, message: message.into(), wait: Some(wait) }
    }
}

impl From<MessageError> for Refusal {
    fn from(error: MessageError) -> Self {
        let code = match &error {
            MessageError::UnknownType(_) => ErrorCode::UnknownType,
            MessageError::Name(_) => ErrorCode::BadUsername,
            MessageError::Version => ErrorCode::UnsupportedProtocol,
            MessageError::Json(_) | MessageError::Member(_) => ErrorCode::BadMessage,
        };
        Self::new(code, error.to_string().chars().take(ECHO_MAX).collect::<String>())
    }
}
