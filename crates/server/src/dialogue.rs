//! What one client says and what it is answered: every text frame in, answers into its mailbox (sections 1 to 5 and 7 of
//! `docs/signaling.md`). It knows nothing of sockets and pings.

mod login;
mod relay;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::Username;
use ahoy_protocol::identity::{Binary, Challenge};
use ahoy_protocol::json::{Object, parse_object};
use ahoy_protocol::message::{ClientMessage, Contacts, Hello, IceServerList, MessageError, ServerMessage};
use ahoy_protocol::{CONTACTS_MAX, VERSION};

use crate::ice;
use crate::limits::{Network, Sender, SharedBuckets, Window, retry_s};
use crate::mailbox::{End, Mailbox};
use crate::registry::SignedIn;
use crate::shared::{Caller, Line, Shared, deliver, now, text_of};
use crate::turn::unix_now;

/// No echo of what a client wrote is longer, in characters.
const ECHO_MAX: usize = 200;
/// A `call` no longer than this is repeated in an error about it; a UUID has 36 characters.
const CALL_MAX: usize = 64;

/// One connection's talk. When dropped, its session lingers.
#[derive(Debug)]
pub(crate) struct Dialogue {
    line: Line,
    network: Network,
    challenge: Challenge,
    /// Under which host the client reached this server, as far as is known.
    host: String,
    state: State,
    /// What all from its address that are signed in as it is, or are not, may send together.
    network_messages: SharedBuckets,
    bad_messages: Window,
}

#[derive(Debug)]
enum State {
    WaitingForLogin {
        /// It came, or made its last attempt.
        since: Instant,
        tried: bool,
    },
    SignedIn(SignedIn),
}

/// An `error` to be: why something is not done.
#[derive(Debug)]
struct Refusal {
    code: ErrorCode,
    message: String,
    wait: Option<Duration>,
}

impl Dialogue {
    /// Begins with `hello`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn begin(line: Line, address: IpAddr, local: Option<IpAddr>) -> Result<Self, getrandom::Error> {
        let mut challenge = [0; 32];
        getrandom::fill(&mut challenge)?;
        let challenge = Binary(challenge);
        let server = concat!("ahoy-server/", env!("CARGO_PKG_VERSION")).to_owned();
        let hello = Hello { protocols: vec![VERSION], server, challenge, guests: line.shared().config.guests };
        line.mailbox().push(&text_of(&ServerMessage::Hello(hello)));
        let state = State::WaitingForLogin { since: now(), tried: false };
        let (network, bad_messages) = (Network::from(address), Window::new());
        let host = ice::host_without_login(&line.shared().config.hosts, local);
        let network_messages = line.shared().buckets_of(network, Sender::Unsigned);
        Ok(Self { line, network, challenge, host, state, network_messages, bad_messages })
    }

    /// Since when the server waits for a `login`, or for another after one that was refused.
    pub(crate) fn waits_for_login_since(&self) -> Option<Instant> {
        match &self.state {
            State::WaitingForLogin { since, .. } => Some(*since),
            State::SignedIn(_) => None,
        }
    }

    /// What waits to be written.
    pub(crate) fn mailbox(&self) -> &Mailbox {
        self.line.mailbox()
    }

    /// The connection is gone. Whoever signed out by it is gone at once; any other session lingers.
    pub(crate) fn leave(mut self, signs_out: bool) {
        let before = State::WaitingForLogin { since: now(), tried: true };
        if signs_out && let State::SignedIn(who) = std::mem::replace(&mut self.state, before) {
            let mut registry = self.shared().registry();
            self.mailbox().sign_out();
            deliver(registry.sign_out(&who));
        }
    }

    /// Takes one text message and answers it.
    pub(crate) async fn hear(&mut self, text: &str) {
        let now = now();
        let (call, understood) = understand(text);
        self.shared().metrics.received(&understood, text.len());
        let is_ping = matches!(understood, Ok(ClientMessage::Ping));
        if !is_ping {
            self.count();
        }
        // Whoever shares an address with somebody noisy gets in: a connection's first attempt is heard in any case, and a
        // flood of connections is the gate's to end.
        let is_first_login = matches!(understood, Ok(ClientMessage::Login(_)))
            && matches!(self.state, State::WaitingForLogin { tried: false, .. });
        let outcome = match (self.spend(text.len(), is_first_login, now), understood) {
            // Clients count the answers to their pings, to know whether the server is there. It is, however much they say,
            // and a `pong` is shorter than the refusal would be.
            (Err(refusal), _) if !is_ping => Err(refusal),
            (_, Ok(message)) => self.act(message, now).await,
            (_, Err(error)) => Err(error.into()),
        };
        if let Err(refusal) = outcome {
            self.refuse(refusal, call, now);
        }
        self.shared().relieve();
    }

    /// Takes one binary message, which is never right.
    pub(crate) fn hear_binary(&mut self, length: usize) {
        let now = now();
        self.count();
        let spent = self.spend(length, false, now);
        let refusal =
            spent.err().unwrap_or_else(|| Refusal::bad_message("a message is a text frame, not a binary one"));
        self.refuse(refusal, None, now);
    }

    async fn act(&mut self, message: ClientMessage, now: Instant) -> Result<(), Refusal> {
        match message {
            ClientMessage::Ping => {
                self.say(&ServerMessage::Pong { waited: false });
                Ok(())
            }
            ClientMessage::Login(login) => self.login(login, now).await,
            ClientMessage::Contacts(contacts) => self.contacts(&contacts),
            ClientMessage::IceServers => {
                let username = self.who()?.address.username.clone();
                self.say(&ServerMessage::IceServers(self.ice_servers(&username)));
                Ok(())
            }
            ClientMessage::Relay(relay) => self.relay(relay, now).await,
        }
    }

    /// STUN and TURN servers with credentials for this user.
    fn ice_servers(&self, username: &Username) -> IceServerList {
        ice::list(&self.shared().config.ice, username, &self.host, unix_now())
    }

    fn contacts(&self, contacts: &Contacts) -> Result<(), Refusal> {
        let who = self.who()?;
        if who.address.username.is_guest() {
            return Ok(());
        }
        if contacts.usernames.len() > CONTACTS_MAX {
            return Err(Refusal::new(ErrorCode::TooMany, format!("a contact list has at most {CONTACTS_MAX} names")));
        }
        let usernames: HashSet<Username> = contacts.usernames.iter().filter_map(|name| name.parse().ok()).collect();
        let mut registry = self.shared().registry();
        deliver(registry.contacts(who, usernames));
        Ok(())
    }

    fn who(&self) -> Result<&SignedIn, Refusal> {
        match &self.state {
            State::SignedIn(who) => Ok(who),
            State::WaitingForLogin { .. } => Err(Refusal::new(ErrorCode::NotSignedIn, "sign in first")),
        }
    }

    /// A client that comes back is told how many of its messages were taken (section 3).
    fn count(&self) {
        if let State::SignedIn(_) = self.state {
            self.mailbox().count_received();
        }
    }

    /// Takes a message off what may be sent now. What this session may not send costs its neighbours nothing.
    fn spend(&self, bytes: usize, whatever_others_send: bool, now: Instant) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let spent = self.mailbox().spend(bytes, now);
        spent.map_err(|wait| Refusal::rate_limited("too many messages at once", wait))?;
        match self.network_messages.spend(1, now) {
            Err(wait) if !whatever_others_send => {
                Err(Refusal::rate_limited("too many messages from your address", wait))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Signed in, by a new session or an earlier one.
    fn is_now(&mut self, who: SignedIn) {
        let sender = if who.address.username.is_guest() { Sender::Guest } else { Sender::User };
        self.network_messages = self.shared().buckets_of(self.network, sender);
        self.state = State::SignedIn(who);
    }

    /// The address of a guest, where it is somebody's.
    fn network_of_guest(&self, username: &Username) -> Option<Network> {
        (username.is_guest() && !self.network.is_loopback()).then_some(self.network)
    }

    /// With whom this client's calls are counted.
    fn caller(&self) -> Result<Caller, Refusal> {
        let username = &self.who()?.address.username;
        let guest = self.network_of_guest(username).map(Caller::GuestsOf);
        Ok(guest.unwrap_or_else(|| Caller::Named(username.clone())))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.line.shared()
    }

    fn say(&self, message: &ServerMessage) {
        self.mailbox().push(&text_of(message));
    }

    fn refuse(&mut self, refusal: Refusal, call: Option<String>, now: Instant) {
        let Refusal { code, message, wait } = refusal;
        tracing::debug!(?code, message, "refused");
        self.shared().metrics.refused(code);
        self.say(&ServerMessage::Error(ErrorMessage { code, message, call, retry_s: wait.map(retry_s) }));
        if code == ErrorCode::BadMessage {
            let allowance = self.shared().config.limits.bad_messages;
            self.bad_messages.note((), allowance.span, now);
            if !self.bad_messages.wait(allowance, now, |()| true).is_zero() {
                self.mailbox().end(End::BadMessages);
            }
        }
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        if let State::SignedIn(who) = &self.state {
            let mut registry = self.shared().registry();
            registry.detach(who, now());
            // Under the same lock: whoever waits for this end finds the session without a connection.
            self.mailbox().detach();
        }
    }
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), wait: None }
    }

    fn bad_message(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadMessage, message)
    }

    fn rate_limited(message: impl Into<String>, wait: Duration) -> Self {
        Self { code: ErrorCode::RateLimited, message: message.into(), wait: Some(wait) }
    }
}

impl From<MessageError> for Refusal {
    fn from(error: MessageError) -> Self {
        let code = match &error {
            MessageError::UnknownType(_) => ErrorCode::UnknownType,
            MessageError::Json(_) | MessageError::Member(_) => ErrorCode::BadMessage,
        };
        Self::new(code, error.to_string().chars().take(ECHO_MAX).collect::<String>())
    }
}

/// What a text says, and the call it is about, if it names one, even if the rest is wrong.
fn understand(text: &str) -> (Option<String>, Result<ClientMessage, MessageError>) {
    match parse_object(text) {
        Ok(object) => (call_of(&object), ClientMessage::from_object(object)),
        Err(error) => (None, Err(error.into())),
    }
}

fn call_of(object: &Object) -> Option<String> {
    let call = object.get("call")?.as_str()?;
    (call.len() <= CALL_MAX).then(|| call.to_owned())
}
