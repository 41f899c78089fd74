//! The link: signing in, noticing that it broke, opening it again, and coming back into the session (section 3).

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_protocol::VERSION;
use ahoy_protocol::error::{ErrorCode, ErrorMessage};
use ahoy_protocol::message::{ClientMessage, Hello, ServerMessage, Welcome};

use crate::config::Timers;
use crate::input::{LinkInput, Serial};
use crate::link::back_off::BackOff;
use crate::link::session::Session;
use crate::link::waiting::Waiting;
use crate::output::{Event, Output};
use crate::time::Time;
use crate::view::LinkView;

mod back_off;
mod session;
mod waiting;

/// Another sign-in took this session's place (section 3).
const CODE_REPLACED: u16 = 4001;
/// A `login` that was under way when its connection was let go may arrive for so long: the system goes on sending what
/// it has taken.
const ASTRAY: Duration = Duration::from_secs(60);
/// So many pings without a sign of life mean that the link is dead (section 1).
const UNANSWERED_MAX: u32 = 2;
/// Nobody wants to ask more often, however short the credentials live.
const REFRESH_MIN: Duration = Duration::from_secs(5);

/// The way to the server.
#[derive(Debug)]
pub(crate) struct Link {
    state: State,
    timers: Timers,
    back_off: BackOff,
    last_serial: u64,
    /// The last connection that was signed in, once it is gone: what it had brought was acknowledged, so it comes only
    /// from there.
    left: Option<Serial>,
    /// Whether the user is a guest, whose name is free again when its session is over.
    is_guest: bool,
    /// Whether it was signed in, or may have been, since the answer to a `login` was lost: then the server's refusal of
    /// a guest's own name is a matter of waiting.
    known_there: bool,
    /// Until then a `login` that was never answered may take the place of the one that was.
    astray_until: Option<Time>,
    session: Session,
    waiting: Waiting,
}

#[derive(Debug)]
enum State {
    SignedOut,
    Waiting { until: Time },
    Opening { serial: Serial, until: Time },
    Greeting { serial: Serial, until: Time },
    SigningIn { serial: Serial, until: Time },
    SignedIn { serial: Serial, pinged_at: Time, unanswered: u32, refresh_at: Option<Time> },
}

/// What the rest of the core has to know.
#[derive(Debug)]
pub(crate) enum LinkNews {
    /// Signed in.
    SignedIn {
        /// Into the session of before, of which nothing was lost.
        resumed: bool,
    },
    /// Was signed in, is not any more.
    Lost,
    /// A message for the rest of the core.
    Message(ServerMessage),
    /// One that a connection had brought before it was let go.
    Late(ServerMessage),
    /// Nothing for the rest of the core.
    Nothing,
    /// Of a link that is no more, or not possible now.
    Stale,
}

impl Link {
    pub(crate) fn new(timers: Timers, seed: u64, is_guest: bool) -> Self {
        let back_off = BackOff::new(timers.back_off_min, timers.back_off_max, seed);
        Self {
            state: State::SignedOut,
            timers,
            back_off,
            last_serial: 0,
            left: None,
            is_guest,
            known_there: false,
            astray_until: None,
            session: Session::default(),
            waiting: Waiting::default(),
        }
    }

    /// Whether the user wants to be reachable; then what is sent now arrives now or when the link is back.
    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self.state, State::SignedOut)
    }

    pub(crate) fn sign_in(&mut self, now: Time, out: &mut VecDeque<Output>) {
        match self.state {
            State::SignedOut | State::Waiting { .. } => self.open(now, out),
            State::Opening { .. } | State::Greeting { .. } | State::SigningIn { .. } | State::SignedIn { .. } => {}
        }
    }

    pub(crate) fn sign_out(&mut self, now: Time, out: &mut VecDeque<Output>) {
        self.note_leaving(now);
        if let Some(serial) = self.serial() {
            // Before the welcome it may be another session's number.
            let seen = if matches!(self.state, State::SignedIn { .. }) { self.session.seen() } else { 0 };
            out.push_back(Output::CloseLink { serial, seen });
        }
        self.known_there = false;
        self.forget();
    }

    /// The machine slept, or is in another network: whatever the link looks like, it is opened anew at once, and what
    /// the earlier one still brings does not count.
    pub(crate) fn open_again(&mut self, now: Time, out: &mut VecDeque<Output>) -> LinkNews {
        let was_signed_in = matches!(self.state, State::SignedIn { .. });
        if matches!(self.state, State::SignedOut) {
            return LinkNews::Nothing;
        }
        self.let_go(now, out);
        self.back_off.reset();
        self.open(now, out);
        if was_signed_in { LinkNews::Lost } else { LinkNews::Nothing }
    }

    /// Sends, or keeps until the link is back. Returns whether it was taken: a full queue drops the newest.
    pub(crate) fn send(&mut self, output: Output, out: &mut VecDeque<Output>) -> bool {
        match self.state {
            State::SignedIn { .. } => {
                self.session.note_sent(&output);
                out.push_back(output);
                true
            }
            State::SignedOut => false,
            State::Waiting { .. } | State::Opening { .. } | State::Greeting { .. } | State::SigningIn { .. } => {
                self.waiting.push(output)
            }
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Time,
        serial: Serial,
        input: LinkInput,
        out: &mut VecDeque<Output>,
    ) -> LinkNews {
        if self.serial() != Some(serial) {
            return self.late(serial, input);
        }
        match input {
            LinkInput::Opened => self.opened(now, serial),
            LinkInput::Received { seq, message } => self.received(now, serial, seq, message, out),
            LinkInput::Closed { code } => self.closed(now, code, out),
        }
    }

    pub(crate) fn deadline(&self, in_call: bool) -> Option<Time> {
        match self.state {
            State::SignedOut => None,
            State::Waiting { until }
            | State::Opening { until, .. }
            | State::Greeting { until, .. }
            | State::SigningIn { until, .. } => Some(until),
            State::SignedIn { pinged_at, unanswered, refresh_at, .. } => {
                let interval = self.ping_interval(in_call);
                // Once nothing answers, the rest comes quickly.
                let patience = if unanswered > 0 { interval.min(self.timers.ping_answer) } else { interval };
                let ping_at = pinged_at + patience;
                Some(refresh_at.map_or(ping_at, |refresh_at| refresh_at.min(ping_at)))
            }
        }
    }

    /// Acts on a deadline that has come.
    pub(crate) fn handle_deadline(&mut self, now: Time, in_call: bool, out: &mut VecDeque<Output>) -> LinkNews {
        if self.deadline(in_call).is_none_or(|deadline| deadline > now) {
            return LinkNews::Nothing;
        }
        match &mut self.state {
            State::SignedOut => LinkNews::Nothing,
            State::Waiting { .. } => {
                self.open(now, out);
                LinkNews::Nothing
            }
            State::Opening { .. } | State::Greeting { .. } | State::SigningIn { .. } => {
                self.let_go(now, out);
                self.wait(now, Duration::ZERO);
                LinkNews::Nothing
            }
            State::SignedIn { refresh_at, .. } if refresh_at.is_some_and(|refresh_at| refresh_at <= now) => {
                // Asked once; the answer says when to ask again.
                *refresh_at = None;
                self.send(Output::Send(ClientMessage::IceServers), out);
                LinkNews::Nothing
            }
            State::SignedIn { unanswered, .. } if *unanswered >= UNANSWERED_MAX => {
                self.let_go(now, out);
                self.open(now, out);
                LinkNews::Lost
            }
            State::SignedIn { pinged_at, unanswered, .. } => {
                *pinged_at = now;
                *unanswered += 1;
                self.ping(out);
                LinkNews::Nothing
            }
        }
    }

    pub(crate) fn view(&self) -> LinkView {
        match self.state {
            State::SignedOut => LinkView::SignedOut,
            State::Waiting { .. } => LinkView::Waiting,
            State::Opening { .. } | State::Greeting { .. } | State::SigningIn { .. } => LinkView::SigningIn,
            State::SignedIn { .. } => LinkView::SignedIn,
        }
    }

    fn serial(&self) -> Option<Serial> {
        match self.state {
            State::SignedOut | State::Waiting { .. } => None,
            State::Opening { serial, .. }
            | State::Greeting { serial, .. }
            | State::SigningIn { serial, .. }
            | State::SignedIn { serial, .. } => Some(serial),
        }
    }

    fn ping_interval(&self, in_call: bool) -> Duration {
        if in_call { self.timers.ping_call } else { self.timers.ping_idle }
    }

    fn ping(&mut self, out: &mut VecDeque<Output>) {
        self.session.note_ping();
        out.push_back(Output::Send(ClientMessage::Ping));
    }

    /// Lets go of a link that may be dead, without a goodbye, which would end the session.
    fn let_go(&mut self, now: Time, out: &mut VecDeque<Output>) {
        self.note_leaving(now);
        if let Some(serial) = self.serial() {
            out.push_back(Output::DropLink { serial });
            out.push_back(Output::Event(Event::LinkLost));
        }
    }

    /// The connection goes.
    fn note_leaving(&mut self, now: Time) {
        match self.state {
            // Nobody knows what came or will come of its `login`.
            State::SigningIn { .. } => {
                self.known_there = true;
                self.astray_until = Some(now + ASTRAY);
            }
            State::SignedIn { serial, .. } => self.left = Some(serial),
            State::SignedOut | State::Waiting { .. } | State::Opening { .. } | State::Greeting { .. } => {}
        }
    }

    /// What a connection that is gone had brought before. Only until the next `login`, which tells the last number seen.
    fn late(&mut self, serial: Serial, input: LinkInput) -> LinkNews {
        let is_before_login =
            matches!(self.state, State::Waiting { .. } | State::Opening { .. } | State::Greeting { .. });
        match input {
            LinkInput::Received { seq: Some(seq), message } if is_before_login && self.left == Some(serial) => {
                if !self.session.is_new(Some(seq)) {
                    return LinkNews::Stale;
                }
                if matches!(message, Some(ServerMessage::Pong { waited: false })) {
                    self.session.note_pong();
                }
                message.map_or(LinkNews::Nothing, LinkNews::Late)
            }
            LinkInput::Opened | LinkInput::Received { .. } | LinkInput::Closed { .. } => LinkNews::Stale,
        }
    }

    /// Signed out: nothing is to be sent any more, and there is nothing to come back into.
    fn forget(&mut self) {
        self.left = None;
        self.waiting.clear();
        self.session.end();
        self.state = State::SignedOut;
    }

    fn open(&mut self, now: Time, out: &mut VecDeque<Output>) {
        self.last_serial += 1;
        let serial = Serial(self.last_serial);
        self.state = State::Opening { serial, until: now + self.timers.link };
        out.push_back(Output::OpenLink { serial });
    }

    /// Opens the link again after a random while, but not before `at_least`.
    fn wait(&mut self, now: Time, at_least: Duration) {
        self.state = State::Waiting { until: now + self.back_off.next_delay().max(at_least) };
    }

    fn opened(&mut self, now: Time, serial: Serial) -> LinkNews {
        match self.state {
            State::Opening { .. } => {
                self.state = State::Greeting { serial, until: now + self.timers.link };
                LinkNews::Nothing
            }
            State::SignedOut
            | State::Waiting { .. }
            | State::Greeting { .. }
            | State::SigningIn { .. }
            | State::SignedIn { .. } => LinkNews::Stale,
        }
    }

    fn closed(&mut self, now: Time, code: Option<u16>, out: &mut VecDeque<Output>) -> LinkNews {
        let was_signed_in = matches!(self.state, State::SignedIn { .. });
        self.note_leaving(now);
        // What took its place may be an own `login` of before.
        if code == Some(CODE_REPLACED) && self.astray_until.is_none_or(|until| until <= now) {
            self.forget();
            out.push_back(Output::Event(Event::SignedInElsewhere));
        } else {
            out.push_back(Output::Event(Event::LinkLost));
            self.wait(now, Duration::ZERO);
        }
        if was_signed_in { LinkNews::Lost } else { LinkNews::Nothing }
    }

    fn received(
        &mut self,
        now: Time,
        serial: Serial,
        seq: Option<u64>,
        message: Option<ServerMessage>,
        out: &mut VecDeque<Output>,
    ) -> LinkNews {
        match &mut self.state {
            State::SignedOut | State::Waiting { .. } | State::Opening { .. } => LinkNews::Stale,
            State::Greeting { .. } => {
                let Some(ServerMessage::Hello(hello)) = message else { return LinkNews::Stale };
                self.greeted(now, serial, &hello, out)
            }
            State::SigningIn { .. } => match message {
                None => LinkNews::Stale,
                Some(message) => self.answered(now, serial, message, out),
            },
            State::SignedIn { unanswered, refresh_at: at, .. } => {
                // Whatever comes is a sign of life.
                *unanswered = 0;
                if !self.session.is_new(seq) {
                    return LinkNews::Stale;
                }
                let Some(message) = message else { return LinkNews::Nothing };
                match &message {
                    ServerMessage::IceServers(list) => *at = refresh_at(now, list.ttl_s),
                    ServerMessage::Pong { waited: false } => self.session.note_pong(),
                    // To a ping of an earlier connection; `welcome` has said how much of that one was taken.
                    ServerMessage::Pong { waited: true } => {}
                    ServerMessage::Hello(_)
                    | ServerMessage::Welcome(_)
                    | ServerMessage::Error(_)
                    | ServerMessage::Presence(_)
                    | ServerMessage::Relayed(_)
                    | ServerMessage::Missed(_)
                    | ServerMessage::Signal(_) => {}
                }
                LinkNews::Message(message)
            }
        }
    }

    /// What the server says to a `login`.
    fn answered(&mut self, now: Time, serial: Serial, message: ServerMessage, out: &mut VecDeque<Output>) -> LinkNews {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(now, serial, welcome, out),
            ServerMessage::Error(error) => self.refused(now, serial, error, out),
            ServerMessage::Hello(_)
            | ServerMessage::Presence(_)
            | ServerMessage::Relayed(_)
            | ServerMessage::Pong { .. }
            | ServerMessage::IceServers(_)
            | ServerMessage::Missed(_)
            | ServerMessage::Signal(_) => LinkNews::Stale,
        }
    }

    fn greeted(&mut self, now: Time, serial: Serial, hello: &Hello, out: &mut VecDeque<Output>) -> LinkNews {
        if hello.protocols.contains(&VERSION) {
            self.state = State::SigningIn { serial, until: now + self.timers.link };
            out.push_back(Output::Login { serial, challenge: hello.challenge, resume: self.session.resume() });
        } else {
            let message = format!("the server does not speak version {VERSION} of the protocol; update one of the two");
            self.give_up(serial, ErrorCode::UnsupportedProtocol, message, out);
        }
        LinkNews::Nothing
    }

    fn welcomed(&mut self, now: Time, serial: Serial, welcome: Welcome, out: &mut VecDeque<Output>) -> LinkNews {
        let refresh_at = refresh_at(now, welcome.ttl_s);
        self.state = State::SignedIn { serial, pinged_at: now, unanswered: 0, refresh_at };
        self.back_off.reset();
        self.known_there = true;
        let Welcome { resumed, received, resume, linger_s, ice_servers, .. } = welcome;
        out.push_back(Output::Event(Event::SignedIn { ice_servers }));
        let resumed = resumed && self.session.resume().is_some();
        let unsaid = if resumed {
            let lost = self.session.come_back(resume, linger_s, received);
            self.waiting.take_after(lost)
        } else {
            let lost = self.session.end();
            self.session.begin(resume, linger_s);
            self.waiting.take_closes(lost)
        };
        for output in unsaid {
            self.send(output, out);
        }
        if resumed {
            // Its answer comes behind all that waited.
            self.ping(out);
        }
        LinkNews::SignedIn { resumed }
    }

    fn refused(&mut self, now: Time, serial: Serial, error: ErrorMessage, out: &mut VecDeque<Output>) -> LinkNews {
        let retrying = match error.code {
            ErrorCode::RateLimited | ErrorCode::TooMany | ErrorCode::Internal => true,
            // A guest's own earlier session may still linger under its name. A name with a key is another's for good.
            ErrorCode::UsernameTaken => self.is_guest && self.known_there,
            ErrorCode::BadMessage
            | ErrorCode::UnknownType
            | ErrorCode::UnsupportedProtocol
            | ErrorCode::NotSignedIn
            | ErrorCode::BadUsername
            | ErrorCode::BadSignature
            | ErrorCode::GuestsRefused
            | ErrorCode::RegistrationClosed
            | ErrorCode::UnknownUser
            | ErrorCode::Offline
            | ErrorCode::Unknown => false,
        };
        if retrying {
            let ErrorMessage { code, message, call: _, retry_s } = error;
            out.push_back(Output::Event(Event::SignInFailed { code, message, retrying }));
            out.push_back(Output::CloseLink { serial, seen: 0 });
            self.wait(now, Duration::from_secs(retry_s.unwrap_or(0).into()));
        } else {
            self.give_up(serial, error.code, error.message, out);
        }
        LinkNews::Nothing
    }

    fn give_up(&mut self, serial: Serial, code: ErrorCode, message: String, out: &mut VecDeque<Output>) {
        out.push_back(Output::Event(Event::SignInFailed { code, message, retrying: false }));
        out.push_back(Output::CloseLink { serial, seen: 0 });
        self.forget();
    }
}

/// When to ask for fresh ICE servers: at half of their credentials' life (section 3). Those without a life are not refreshed.
fn refresh_at(now: Time, ttl_s: u32) -> Option<Time> {
    let half = Duration::from_secs((ttl_s / 2).into());
    (ttl_s > 0).then(|| now + half.max(REFRESH_MIN))
}

#[cfg(test)]
mod tests;
