//! Whether a client may have the name that it signs in with: the key is the account (section 3).

use std::time::Instant;

use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::Username;
use ahoy_protocol::identity::{PublicKey, login_statement};
use ahoy_protocol::message::Login;

use crate::accounts::Binding;
use crate::config::Registration;
use crate::dialogue::Dialogue;
use crate::dialogue::refusal::{ECHO_MAX, Refusal};

impl Dialogue {
    pub(super) fn check_guest(&self, login: &Login) -> Result<(), Refusal> {
        if login.key.is_some() || login.signature.is_some() {
            let message = "names that begin with guest- are for guests, who have no key";
            return Err(Refusal::new(ErrorCode::BadUsername, message));
        }
        if !self.shared().config.guests {
            return Err(Refusal::new(ErrorCode::GuestsRefused, "this server takes no guests"));
        }
        Ok(())
    }

    /// The key that the client proved to have, for this server and this connection.
    pub(super) fn check_signature(
        &self,
        login: &Login,
        username: &Username,
        now: Instant,
    ) -> Result<PublicKey, Refusal> {
        let (Some(key), Some(signature)) = (login.key, login.signature) else {
            return Err(self.failed(ErrorCode::BadSignature, "this name needs a key and a signature", now));
        };
        let Some(host) = &login.host else { return Err(Refusal::bad_message("missing member `host`")) };
        if !self.shared().config.hosts.are(host) {
            let host: String = host.chars().take(ECHO_MAX).collect();
            let message = format!("this server is not {host:?}; its operator names it with --public-host");
            return Err(self.failed(ErrorCode::BadSignature, message, now));
        }
        if !key.verifies(&login_statement(host, &self.challenge, username, login.session), &signature) {
            return Err(self.failed(ErrorCode::BadSignature, "the signature is wrong", now));
        }
        Ok(key)
    }

    /// Binds a new name to its first key, within what one network may take, and keeps others from a bound one.
    pub(super) async fn check_account(
        &self,
        username: &Username,
        key: PublicKey,
        invite: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let bound = match self.shared().config.accounts.key_of(username).await? {
            Some(bound) => Binding::To(bound),
            None => self.bind(username, key, invite, now).await?,
        };
        match bound {
            Binding::To(bound) if bound == key => Ok(()),
            Binding::To(_) => Err(self.failed(ErrorCode::UsernameTaken, "this name belongs to another key", now)),
            Binding::Barred => {
                Err(self.failed(ErrorCode::UsernameTaken, "the operator took this name from this key", now))
            }
            Binding::NotInvited => {
                Err(self.failed(ErrorCode::RegistrationClosed, "this invitation is wrong, used up or too old", now))
            }
        }
    }

    /// A name that nobody has, if such names may be had.
    async fn bind(
        &self,
        username: &Username,
        key: PublicKey,
        invite: Option<&str>,
        now: Instant,
    ) -> Result<Binding, Refusal> {
        let config = &self.shared().config;
        let closed = |message: &str| Refusal::new(ErrorCode::RegistrationClosed, message);
        let invitation = match config.registration {
            Registration::Open => None,
            Registration::Invite => {
                let missing = "new names need an invitation; ask the operator of this server for one";
                Some(invite.ok_or_else(|| closed(missing))?.to_owned())
            }
            Registration::Closed => return Err(closed("this server takes no new names")),
        };
        self.take_new_name(now)?;
        Ok(config.accounts.bind(username, key, invitation).await?)
    }

    fn take_new_name(&self, now: Instant) -> Result<(), Refusal> {
        let mut counters = self.shared().counters();
        let wait = counters.new_names.wait_at(self.network, now);
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many new names from your address", wait));
        }
        counters.new_names.note_at(self.network, now);
        Ok(())
    }

    /// A sign-in refused for who the client is. After too many from one network, it is told no more than that; whoever
    /// has the right key never gets here, whatever others on its network do.
    pub(super) fn failed(&self, code: ErrorCode, message: impl Into<String>, now: Instant) -> Refusal {
        let mut counters = self.shared().counters();
        let wait = counters.failed_logins.wait_at(self.network, now);
        if !wait.is_zero() {
            return Refusal::rate_limited("too many failed sign-ins from your address", wait);
        }
        counters.failed_logins.note_at(self.network, now);
        Refusal::new(code, message)
    }
}
