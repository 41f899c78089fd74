//! What one client says and what it is answered: every text frame in, answers into its mailbox (sections 1 to 5 and 7 of
//! `docs/signaling.md`). It knows nothing of sockets and pings.

mod login;
mod refusal;
mod relay;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::identity::{Binary, Challenge};
use ahoy_protocol::json::{Object, parse_object};
use ahoy_protocol::message::{
    ClientMessage, Contacts, Hello, IceServerList, Login, MessageError, Relay, ServerMessage,
};
use ahoy_protocol::{CONTACTS_MAX, VERSION};
use serde_json::Value;

use crate::ice;
use crate::limits::{Bucket, Network, Sender, SharedBuckets, Window, retry_s};
use crate::mailbox::{End, Mailbox, SLOW};
use crate::registry::SignedIn;
use crate::shared::{Caller, Line, Shared, deliver, now, text_of};
use crate::turn::unix_now;
use refusal::Refusal;

/// A `call` no longer than this is repeated in an error about it; a UUID has 36 characters.
const CALL_MAX: usize = 64;
/// So many names of a contact list count as one more message.
const NAMES_A_MESSAGE: usize = 20;

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
    /// What it may ask while it sends too much.
    pings: Bucket,
    /// How often it may be refused before it is made to wait.
    refusals: Bucket,
    /// Until when nothing more is to be heard.
    rest: Option<Instant>,
    /// To whom it sent more than they may leave waiting, and until when it waits for them.
    crowded: Vec<Arc<Mailbox>>,
    crowded_until: Instant,
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

/// What was heard and takes longer than a moment to do.
#[derive(Debug)]
pub(crate) struct Unfinished {
    deed: Deed,
    call: Named,
    began: Instant,
}

#[derive(Debug)]
enum Deed {
    Login(Login),
    /// An opening offer.
    Open(Relay),
}

/// How soon it is looked again whether those read whom a client sends too much to.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a message says its call is, to be repeated in an error about it.
#[derive(Debug)]
enum Named {
    Nothing,
    Text(String),
    Call(CallId),
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
        line.mailbox().push(text_of(&ServerMessage::Hello(hello)));
        let state = State::WaitingForLogin { since: now(), tried: false };
        let (network, bad_messages) = (Network::from(address), Window::new());
        let host = ice::host_without_login(&line.shared().config.hosts, local);
        let network_messages = line.shared().buckets_of(network, Sender::Unsigned);
        let limits = line.shared().config.limits;
        let (pings, refusals) = (Bucket::new(limits.pings, now()), Bucket::new(limits.refusals, now()));
        Ok(Self {
            line,
            network,
            challenge,
            host,
            state,
            network_messages,
            bad_messages,
            pings,
            refusals,
            rest: None,
            crowded: Vec::new(),
            crowded_until: now(),
        })
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

    /// Until when nothing more is to be heard from the client, so that TCP makes it wait: it goes on although it is refused, or
    /// more waits for those whom it sends to than they may leave waiting.
    pub(crate) fn rests_until(&mut self) -> Option<Instant> {
        if self.rest.is_none() && self.crowded.is_empty() {
            return None;
        }
        let now = now();
        self.rest = self.rest.filter(|until| *until > now);
        self.crowded.retain(|mailbox| now < self.crowded_until && mailbox.is_crowded());
        let looks_again = (!self.crowded.is_empty()).then(|| now + LOOK_AGAIN);
        self.rest.max(looks_again)
    }

    /// Nothing more is to be heard until there is room in these, or they have had their time.
    fn wait_for(&mut self, crowded: impl IntoIterator<Item = Arc<Mailbox>>) {
        self.crowded.extend(crowded);
        if !self.crowded.is_empty() {
            self.crowded_until = now() + SLOW;
        }
    }

    /// Takes one text message and answers it, unless that may take long: then that is still to be done by
    /// [`finish`](Self::finish), before anything else is heard.
    pub(crate) fn hear(&mut self, text: &str) -> Option<Box<Unfinished>> {
        // Of what the message before put into mailboxes, too.
        self.shared().relieve();
        let now = now();
        let (call, understood) = understand(text);
        self.shared().metrics.received(&understood, text.len());
        let is_ping = matches!(understood, Ok(ClientMessage::Ping));
        // Whoever shares an address with somebody noisy gets in: a connection's first attempt is heard in any case, and a
        // flood of connections is the gate's to end.
        let is_first_login = matches!(understood, Ok(ClientMessage::Login(_)) | Err(MessageError::Version))
            && matches!(self.state, State::WaitingForLogin { tried: false, .. });
        let outcome: Result<(), Refusal> =
            match (self.spend((cost_of(&understood), text.len()), !is_ping, is_first_login, now), understood) {
                // Clients count the answers to their pings, to know whether the server is there. It is, however much else they
                // say.
                (Err(refusal), _) if !(is_ping && self.may_ping(now)) => Err(refusal),
                (_, Ok(message)) => match self.act(message) {
                    Ok(None) => return None,
                    Ok(Some(deed)) => return Some(Box::new(Unfinished { deed, call, began: now })),
                    Err(refusal) => Err(refusal),
                },
                (_, Err(error @ MessageError::Version)) => self.begin_login(now).and(Err(error.into())),
                (_, Err(error)) => Err(error.into()),
            };
        self.refuse(outcome.err()?, call, now);
        None
    }

    fn may_ping(&mut self, now: Instant) -> bool {
        let may = self.pings.wait(1, now).is_zero();
        if may {
            self.pings.spend(1);
        }
        may
    }

    /// Does what [`hear`](Self::hear) left to be done.
    pub(crate) async fn finish(&mut self, unfinished: Box<Unfinished>) {
        let Unfinished { deed, call, began } = *unfinished;
        let outcome = match deed {
            Deed::Login(login) => self.login(login, began).await,
            Deed::Open(relay) => self.open(relay, began).await,
        };
        if let Err(refusal) = outcome {
            self.refuse(refusal, call, began);
        }
    }

    /// Takes one binary message, which is never right.
    pub(crate) fn hear_binary(&mut self, length: usize) {
        let now = now();
        let spent = self.spend((1, length), true, false, now);
        let refusal =
            spent.err().unwrap_or_else(|| Refusal::bad_message("a message is a text frame, not a binary one"));
        self.refuse(refusal, Named::Nothing, now);
    }

    /// Does what can be done at once, and returns the rest.
    fn act(&mut self, message: ClientMessage) -> Result<Option<Deed>, Refusal> {
        match message {
            ClientMessage::Ping => self.say(&ServerMessage::Pong { waited: false }),
            ClientMessage::Login(login) => return Ok(Some(Deed::Login(login))),
            ClientMessage::Contacts(contacts) => self.contacts(&contacts)?,
            ClientMessage::IceServers => {
                let username = self.who()?.address.username.clone();
                self.say(&ServerMessage::IceServers(self.ice_servers(&username)));
            }
            ClientMessage::Relay(relay) => return Ok(self.relay(relay)?.map(Deed::Open)),
        }
        Ok(None)
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

    /// Takes a message off what may be sent now. What this session may not send costs its neighbours nothing. A client that
    /// comes back is told how many of those that count were taken (section 3). A first `login` takes nothing off what the
    /// session may send that it begins.
    fn spend(
        &self,
        (messages, bytes): (u32, usize),
        counts: bool,
        whatever_others_send: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let counts = counts && matches!(self.state, State::SignedIn(_));
        let of_session = if whatever_others_send { (0, 0) } else { (messages, bytes) };
        let spent = self.mailbox().spend(of_session, counts, now);
        spent.map_err(|wait| Refusal::rate_limited("too many messages at once", wait))?;
        match self.network_messages.spend(messages, now) {
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
        self.mailbox().push(text_of(message));
    }

    /// Says why something is not done. Who goes on although it sends too much [rests](Self::rests_until) then, so that nobody
    /// else waits for its refusals.
    fn refuse(&mut self, refusal: Refusal, call: Named, now: Instant) {
        let Refusal { code, message, wait } = refusal;
        let call = match call {
            Named::Nothing => None,
            Named::Text(text) => Some(text),
            Named::Call(call) => Some(call.to_string()),
        };
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
        if code == ErrorCode::RateLimited {
            let rest = self.refusals.wait(1, now);
            self.refusals.spend(1);
            self.rest = (!rest.is_zero()).then(|| now + rest);
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

/// What a text says, and the call it is about, if it names one, even if the rest is wrong.
fn understand(text: &str) -> (Named, Result<ClientMessage, MessageError>) {
    if let Some(relay) = Relay::read(text) {
        return (Named::Call(relay.signal.call()), Ok(ClientMessage::Relay(relay)));
    }
    match parse_object(text) {
        Ok(object) => (call_of(&object), ClientMessage::from_object(object)),
        Err(error) => (Named::Nothing, Err(error.into())),
    }
}

/// How many messages one counts as: what it makes the server do while everybody else waits.
fn cost_of(understood: &Result<ClientMessage, MessageError>) -> u32 {
    let Ok(ClientMessage::Contacts(contacts)) = understood else { return 1 };
    // Of a longer list nothing is done, nor of a guest's or of one before the sign-in: they cost no less for it.
    let names = contacts.usernames.len().min(CONTACTS_MAX);
    1 + u32::try_from(names / NAMES_A_MESSAGE).unwrap_or(u32::MAX)
}

fn call_of(object: &Object) -> Named {
    let call = object.get("call").and_then(Value::as_str).filter(|call| call.len() <= CALL_MAX);
    call.map_or(Named::Nothing, |call| Named::Text(call.to_owned()))
}
