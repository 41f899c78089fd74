//! Signing in (section 3): who may have which name. The key is the account.

use std::time::Instant;

use ahoy_protocol::VERSION;
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::{DeviceAddress, Username};
use ahoy_protocol::identity::{Binary, PublicKey, login_statement};
use ahoy_protocol::message::{Login, ServerMessage, Welcome};

use super::{Dialogue, ECHO_MAX, Refusal, State};
use crate::accounts::AccountsError;
use crate::ice;
use crate::outbox::End;
use crate::registry::{Entry, Refused};
use crate::shared::{deliver, text_of};

/// Sessions end with their connection.
const LINGER_S: u32 = 0;

impl Dialogue {
    pub(super) async fn login(&mut self, login: Login, now: Instant) -> Result<(), Refusal> {
        match &mut self.state {
            State::WaitingForLogin { since } => *since = now,
            State::SignedIn(_) => return Err(Refusal::bad_message("already signed in on this connection")),
        }
        if login.protocol != VERSION {
            let message = format!("this server speaks version {VERSION} of the protocol");
            return Err(Refusal::new(ErrorCode::UnsupportedProtocol, message));
        }
        let bad_name = |error: ahoy_protocol::id::IdError| Refusal::new(ErrorCode::BadUsername, error.to_string());
        let username: Username = login.username.parse().map_err(bad_name)?;
        if username.is_guest() {
            self.check_guest(&login)?;
        } else {
            let key = self.check_signature(&login, &username, now)?;
            self.check_account(&username, key, now).await?;
        }
        self.enter(username, &login, now)
    }

    fn check_guest(&self, login: &Login) -> Result<(), Refusal> {
        if login.key.is_some() || login.signature.is_some() {
            let message = "names that begin with guest- are for guests, who have no key";
            return Err(Refusal::new(ErrorCode::BadUsername, message));
        }
        if !self.shared.config.guests {
            return Err(Refusal::new(ErrorCode::GuestsRefused, "this server takes no guests"));
        }
        Ok(())
    }

    /// The key that the client proved to have, for this server and this connection.
    fn check_signature(&self, login: &Login, username: &Username, now: Instant) -> Result<PublicKey, Refusal> {
        let (Some(key), Some(signature)) = (login.key, login.signature) else {
            return Err(self.failed(ErrorCode::BadSignature, "this name needs a key and a signature", now));
        };
        let Some(host) = &login.host else { return Err(Refusal::bad_message("missing member `host`")) };
        if !self.shared.config.hosts.are(host) {
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
    async fn check_account(&self, username: &Username, key: PublicKey, now: Instant) -> Result<(), Refusal> {
        let accounts = &self.shared.config.accounts;
        let bound = match accounts.key_of(username).await? {
            Some(bound) => bound,
            None => {
                self.take_new_name(now)?;
                accounts.bind(username, key).await?
            }
        };
        if bound == key {
            return Ok(());
        }
        Err(self.failed(ErrorCode::UsernameTaken, "this name belongs to another key", now))
    }

    fn take_new_name(&self, now: Instant) -> Result<(), Refusal> {
        let mut counters = self.shared.counters();
        let wait = counters.new_names.wait(&self.network, now);
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many new names from your address", wait));
        }
        counters.new_names.note(self.network, (), now);
        Ok(())
    }

    fn enter(&mut self, username: Username, login: &Login, now: Instant) -> Result<(), Refusal> {
        let resume = new_token()?;
        if let Some(host) = login.host.as_deref().filter(|host| self.shared.config.hosts.are(host)) {
            self.host = ice::name_of(host).to_owned();
        }
        let ice = self.ice_servers(&username);
        let welcome = text_of(&ServerMessage::Welcome(Welcome {
            username: username.clone(),
            session: login.session,
            resumed: false,
            received: 0,
            resume: resume.clone(),
            linger_s: LINGER_S,
            ice_servers: ice.ice_servers,
            ttl_s: ice.ttl_s,
        }));
        let address = DeviceAddress { username, session: login.session };
        let mut registry = self.shared.registry();
        match registry.sign_in(address, login.resume.as_deref(), resume, self.outbox.clone()) {
            Ok(Entry { who, replaced, notices }) => {
                // Before the lock is let go: nobody may reach this session before its `welcome`.
                self.outbox.push(&welcome);
                self.outbox.start_numbering();
                if let Some(earlier) = replaced {
                    earlier.end(End::Replaced);
                }
                deliver(notices);
                drop(registry);
                tracing::debug!(address = %who.address, "signed in");
                self.state = State::SignedIn(who);
                Ok(())
            }
            Err(refused) => {
                drop(registry);
                Err(match refused {
                    Refused::NameInUse => self.failed(ErrorCode::UsernameTaken, "another guest has this name", now),
                    Refused::TooManySessions => {
                        Refusal::new(ErrorCode::TooMany, "this name is signed in on as many devices as may be")
                    }
                })
            }
        }
    }

    /// A sign-in refused for who the client is. After too many from one network, it is told no more than that; whoever
    /// has the right key never gets here, whatever others on its network do.
    fn failed(&self, code: ErrorCode, message: impl Into<String>, now: Instant) -> Refusal {
        let mut counters = self.shared.counters();
        let wait = counters.failed_logins.wait(&self.network, now);
        if !wait.is_zero() {
            return Refusal::rate_limited("too many failed sign-ins from your address", wait);
        }
        counters.failed_logins.note(self.network, (), now);
        Refusal::new(code, message)
    }
}

impl From<AccountsError> for Refusal {
    fn from(error: AccountsError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "accounts");
        internal()
    }
}

/// 32 random bytes that only this client will know.
fn new_token() -> Result<String, Refusal> {
    let mut token = [0; 32];
    getrandom::fill(&mut token).map_err(|error| {
        tracing::error!(%error, "no randomness");
        internal()
    })?;
    Ok(Binary(token).to_string())
}

fn internal() -> Refusal {
    Refusal::new(ErrorCode::Internal, "the server failed; try again later")
}
