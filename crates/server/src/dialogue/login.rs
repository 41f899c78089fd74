//! Signing in (section 3): who may have which name. The key is the account.

mod account;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::{DeviceAddress, Username};
use ahoy_protocol::identity::{Binary, PublicKey};
use ahoy_protocol::message::{Login, MissedCalls, ServerMessage, Welcome};

use super::refusal::Refusal;
use super::{Dialogue, State};
use crate::accounts::AccountsError;
use crate::ice;
use crate::limits::Network;
use crate::mailbox::Resumption;
use crate::receipt::Receipt;
use crate::registry::{Entry, Refused};
use crate::shared::{deliver, text_of};

/// A connection that is told to end is gone sooner, unless what it does for its client hangs.
const OLD_CONNECTION_MAX: Duration = Duration::from_secs(2);
/// Only a client that comes back on several connections at once needs a second one.
const RESUME_TRIES: usize = 3;

impl Dialogue {
    /// An attempt to sign in, whatever comes of it.
    pub(super) fn begin_login(&mut self, now: Instant) -> Result<(), Refusal> {
        match &mut self.state {
            State::WaitingForLogin { since, tried } => (*since, *tried) = (now, true),
            State::SignedIn(_) => return Err(Refusal::bad_message("already signed in on this connection")),
        }
        Ok(())
    }

    pub(super) async fn login(&mut self, login: Login, now: Instant) -> Result<(), Refusal> {
        self.begin_login(now)?;
        let bad_name = |error: ahoy_protocol::id::IdError| Refusal::new(ErrorCode::BadUsername, error.to_string());
        let username: Username = login.username.parse().map_err(bad_name)?;
        let key = if username.is_guest() {
            self.check_guest(&login)?;
            None
        } else {
            let key = self.check_signature(&login, &username, now)?;
            self.check_account(&username, key, login.invite.as_deref(), now).await?;
            Some(key)
        };
        self.enter(username, &login, key, now).await?;
        self.shared().gate().leave(self.line.number());
        Ok(())
    }

    /// A session of a guest, of which one network begins only so many.
    fn take_new_guest(&self, network: Network, now: Instant) -> Result<(), Refusal> {
        let mut counters = self.shared().counters();
        let wait = counters.new_guests.wait_at(network, now);
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many guests from your address", wait));
        }
        counters.new_guests.note_at(network, now);
        Ok(())
    }

    async fn enter(
        &mut self,
        username: Username,
        login: &Login,
        key: Option<PublicKey>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if let Some(host) = login.host.as_deref().filter(|host| self.shared().config.hosts.are(host)) {
            self.host = ice::name_of(host).to_owned();
        }
        let address = DeviceAddress { username, session: login.session };
        if let Some(token) = &login.resume
            && self.resume(&address, token, login.seq.unwrap_or(0)).await
        {
            tracing::debug!(%address, "back");
            self.shared().metrics.resumptions.add(1);
            return Ok(());
        }
        self.begin_session(address, login.resume.as_deref(), key, now)?;
        self.shared().metrics.sign_ins.add(1);
        self.tell_missed().await;
        Ok(())
    }

    /// Goes on with the device's earlier session, if there is nothing that the client would miss.
    async fn resume(&mut self, address: &DeviceAddress, token: &str, seq: u64) -> bool {
        let shared = Arc::clone(self.shared());
        for _ in 0..RESUME_TRIES {
            let gone = {
                let mut registry = shared.registry();
                let Some((who, mailbox)) = registry.returning(address, token) else { return false };
                match mailbox.resume(seq) {
                    Resumption::Lost => return false,
                    Resumption::Busy(gone) => gone,
                    Resumption::Resumed { received } => {
                        registry.attach(&who);
                        // The token stays: the client may never get to see this `welcome`.
                        let welcome = self.welcome(address, Some(received), token.to_owned());
                        mailbox.welcome_back(self.mailbox().take_plain(), welcome);
                        self.line.switch_to(mailbox);
                        self.is_now(who);
                        return true;
                    }
                }
            };
            // What the old connection has begun to do, it does before it counts what it took.
            if tokio::time::timeout(OLD_CONNECTION_MAX, gone).await.is_err() {
                return false;
            }
        }
        false
    }

    fn begin_session(
        &mut self,
        address: DeviceAddress,
        shown: Option<&str>,
        key: Option<PublicKey>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let guest_of = self.network_of_guest(&address.username);
        if let Some(network) = guest_of {
            self.take_new_guest(network, now)?;
        }
        let resume = new_token()?;
        let welcome = self.welcome(&address, None, resume.clone());
        let shared = Arc::clone(self.shared());
        let mut registry = shared.registry();
        match registry.sign_in(address, shown, resume, (key, guest_of), Arc::clone(self.line.mailbox())) {
            Ok(Entry { who, replaced, notices }) => {
                if let Some(earlier) = replaced {
                    self.mailbox().inherit(&earlier);
                    earlier.replace();
                }
                // Before the lock is let go: nobody may reach this session before its `welcome`.
                self.mailbox().push(welcome);
                self.mailbox().start_numbering();
                deliver(notices);
                drop(registry);
                tracing::debug!(address = %who.address, "signed in");
                self.is_now(who);
                Ok(())
            }
            Err(refused) => {
                drop(registry);
                Err(match refused {
                    Refused::NameInUse => self.failed(ErrorCode::UsernameTaken, "another guest has this name", now),
                    Refused::TooManyGuests => {
                        let wait = shared.config.timing.linger;
                        Refusal::rate_limited("too many guests are here from your address", wait)
                    }
                    Refused::TooManySessions => {
                        Refusal::new(ErrorCode::TooMany, "this name is signed in on as many devices as may be")
                    }
                })
            }
        }
    }

    /// The text of `welcome`; `received` is there for a session that goes on.
    fn welcome(&self, address: &DeviceAddress, received: Option<u64>, resume: String) -> String {
        let config = &self.shared().config;
        let ice = self.ice_servers(&address.username);
        text_of(&ServerMessage::Welcome(Welcome {
            username: address.username.clone(),
            session: address.session,
            resumed: received.is_some(),
            received: received.unwrap_or(0),
            resume,
            linger_s: u32::try_from(config.timing.linger.as_secs()).unwrap_or(u32::MAX),
            ice_servers: ice.ice_servers,
            ttl_s: ice.ttl_s,
        }))
    }

    /// What came while no device of this user was here (section 6).
    async fn tell_missed(&self) {
        let Ok(who) = self.who() else { return };
        let username = &who.address.username;
        if username.is_guest() {
            return;
        }
        let accounts = &self.shared().config.accounts;
        match accounts.missed_by(username).await {
            Ok(told) if told.is_empty() => {}
            Ok(told) => {
                let calls = told.iter().map(|told| told.call.clone()).collect();
                let text = text_of(&ServerMessage::Missed(MissedCalls { calls }));
                let receipt = Receipt::missed(username.clone(), told, accounts.missed_book());
                self.mailbox().push_with(text, Some(receipt));
            }
            // Not worth a sign-in: they stay, and are told the next time.
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "missed calls"),
        }
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
