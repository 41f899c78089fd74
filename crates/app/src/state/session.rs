//! Who is signed in, or trying to be, as the person sees it: a first sign-in stays on its screen until the server said
//! yes; after that, losing the server is no reason to leave.

use std::time::Duration;

use ahoy_client::{Account, AccountError, ServerUrl, Username};

use crate::server_address::{ServerAddressError, server_from_typed, shown_server};
use crate::settings::RememberedAccount;
use crate::view::{AccountView, LinkView};

/// How long a first sign-in keeps the person waiting. It goes on after that, but they are told.
const BUSY: Duration = Duration::from_secs(8);
/// Longer than any username.
const TYPED_MAX: usize = 256;

/// Who.
#[derive(Debug)]
pub(super) enum Session {
    /// Nobody, and why not, if that needs saying.
    Out { problem: Option<String> },
    /// Somebody's first sign-in.
    Entering { account: SignInAs, busy_until: Duration, busy: bool, why: Option<String> },
    /// Somebody who was let in once.
    In { account: SignInAs, link: Link },
}

/// The way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    SigningIn,
    /// Why it is down.
    Waiting(String),
    SignedIn,
}

/// Who signs in where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignInAs {
    pub(super) username: Username,
    pub(super) server: ServerUrl,
    /// The server as it was typed.
    pub(super) typed: String,
    /// The code of an invitation. For one sign-in: a name that is taken needs none.
    pub(super) invite: Option<String>,
}

/// Why nobody can sign in like that.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    #[error("Say who you are: a name of your choice.")]
    NoName,
    #[error("That is too long for a name.")]
    TooLong,
    #[error("Names that begin with guest- are for guests; choose another.")]
    GuestName,
    #[error("This cannot be your name: {0}.")]
    Name(String),
    #[error("That is too long for an invitation.")]
    Invite,
    #[error(transparent)]
    Server(#[from] ServerAddressError),
}

/// What somebody typed as a name of their own.
pub(super) fn own_name(typed: &str) -> Result<Username, SignInError> {
    if typed.trim().is_empty() {
        return Err(SignInError::NoName);
    }
    if typed.len() > TYPED_MAX {
        return Err(SignInError::TooLong);
    }
    let account = Account::from_typed(Some(typed), false).map_err(|error| match error {
        AccountError::NoName => SignInError::NoName,
        AccountError::GuestName => SignInError::GuestName,
        AccountError::Name(error) => SignInError::Name(error.to_string()),
        AccountError::Random(error) => SignInError::Name(error.to_string()),
    })?;
    Ok(account.username().clone())
}

impl SignInAs {
    pub(super) fn from_typed(username: &str, server: &str) -> Result<Self, SignInError> {
        let username = own_name(username)?;
        let url = server_from_typed(server)?;
        Ok(Self { username, server: url, typed: server.trim().to_owned(), invite: None })
    }

    /// With what somebody typed as the code of an invitation, if anything.
    pub(super) fn invited(self, typed: &str) -> Result<Self, SignInError> {
        let code = typed.trim();
        if code.len() > TYPED_MAX {
            return Err(SignInError::Invite);
        }
        Ok(Self { invite: (!code.is_empty()).then(|| code.to_owned()), ..self })
    }

    /// To be kept for the next start.
    pub(super) fn remembered(&self) -> RememberedAccount {
        RememberedAccount { username: self.username.to_string(), server: self.typed.clone(), signed_in: true }
    }

    fn unreachable(&self, why: &str) -> String {
        format!("{} cannot be reached: {why}", shown_server(&self.server))
    }
}

impl Session {
    pub(super) fn enter(account: SignInAs, now: Duration) -> Self {
        Self::Entering { account, busy_until: now.saturating_add(BUSY), busy: true, why: None }
    }

    pub(super) fn account(&self) -> Option<&SignInAs> {
        match self {
            Self::Out { .. } => None,
            Self::Entering { account, .. } | Self::In { account, .. } => Some(account),
        }
    }

    pub(super) fn is_in(&self) -> bool {
        match self {
            Self::In { .. } => true,
            Self::Out { .. } | Self::Entering { .. } => false,
        }
    }

    /// The server let the user in.
    pub(super) fn signed_in(&mut self) {
        if let Some(account) = self.account().cloned() {
            *self = Self::In { account, link: Link::SignedIn };
        }
    }

    /// The server is away. Returns whether it was there until now.
    pub(super) fn link_lost(&mut self, message: &str) -> bool {
        match self {
            Self::Out { .. } => false,
            Self::Entering { account, why, .. } => {
                *why = Some(account.unreachable(message));
                false
            }
            Self::In { account, link } => {
                let why = format!("{}; trying again.", account.unreachable(message));
                std::mem::replace(link, Link::Waiting(why)) == Link::SignedIn
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Entering { busy_until, busy: true, .. } => Some(*busy_until),
            Self::Out { .. } | Self::Entering { .. } | Self::In { .. } => None,
        }
    }

    /// After the deadline the person is told, while it is still tried.
    pub(super) fn expire(&mut self, now: Duration) {
        match self {
            Self::Entering { busy_until, busy, .. } if *busy_until <= now => *busy = false,
            Self::Out { .. } | Self::Entering { .. } | Self::In { .. } => {}
        }
    }

    pub(super) fn link_view(&self) -> LinkView {
        match self {
            Self::Out { .. } => LinkView::SignedOut,
            Self::Entering { why: Some(why), .. } => LinkView::Waiting { why: format!("{why}; trying again.") },
            Self::Entering { why: None, .. } => LinkView::SigningIn,
            Self::In { link, .. } => match link {
                Link::SigningIn => LinkView::SigningIn,
                Link::Waiting(why) => LinkView::Waiting { why: why.clone() },
                Link::SignedIn => LinkView::SignedIn,
            },
        }
    }

    pub(super) fn account_view(&self) -> Option<AccountView> {
        let account = self.account()?;
        Some(AccountView { username: account.username.to_string(), server: shown_server(&account.server) })
    }

    /// What the sign-in screen says is wrong.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Out { problem } => problem.clone(),
            Self::Entering { why: Some(why), .. } => {
                Some(format!("{why}; check the address and your network while it is tried again."))
            }
            Self::Entering { account, busy: false, why: None, .. } => Some(format!(
                "{} does not answer; check the address and your network while it is tried again.",
                shown_server(&account.server)
            )),
            Self::Entering { .. } | Self::In { .. } => None,
        }
    }
}
