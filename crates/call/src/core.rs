//! The whole machine: the link and the one call that a device may have, joined.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use ahoy_protocol::MISSED_CALLS_MAX;
use ahoy_protocol::error::ErrorMessage;
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::message::{Received, ServerMessage};
use ahoy_protocol::signal::{CloseReason, ProgressState, Signal};

use crate::call::{Call, Ending, Flow};
use crate::config::Config;
use crate::device::Device;
use crate::end::EndReason;
use crate::input::{Command, Input, PeerInput};
use crate::link::LinkNews;
use crate::output::{Event, Output};
use crate::time::Time;
use crate::view::{LinkView, View};

mod again;
mod held;
mod opening;

pub(crate) use again::Said;

/// The rules of a call.
#[derive(Debug)]
pub struct Core {
    device: Device,
    call: Option<Call>,
    again: Option<again::Again>,
    /// The link was lost while this machine was awake: the others may have lost theirs, too.
    server_may_be_new: bool,
    held: held::Held,
}

impl Core {
    /// Signed out, without a call.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            device: Device::new(config),
            call: None,
            again: None,
            server_may_be_new: false,
            held: held::Held::default(),
        }
    }

    /// Takes in what happened at `now`. Deadlines that have come by then are acted on first.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        self.device.now = now.max(self.device.now);
        self.handle_deadlines();
        match input {
            Input::Tick => {}
            Input::Person(command) => self.handle_command(command),
            input @ (Input::Woke | Input::NetworkChanged) => {
                let server_may_be_new = self.server_may_be_new && !matches!(input, Input::Woke);
                let news = self.device.link.open_again(self.device.now, &mut self.device.outputs);
                self.handle_link_news(news);
                // That the link is let go for this says nothing of the server.
                self.server_may_be_new = server_may_be_new;
            }
            Input::Link { serial, input } => {
                let now = self.device.now;
                let news = self.device.link.handle(now, serial, input, &mut self.device.outputs);
                self.handle_link_news(news);
            }
            Input::Peer { call, input } => self.handle_peer(call, input),
        }
    }

    /// What to do next; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.device.outputs.pop_front()
    }

    /// When to come back with [`Input::Tick`] at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let link = self.device.link.deadline(self.call.is_some());
        let call = self.call.as_ref().and_then(Call::deadline);
        link.into_iter().chain(call).chain(self.again_at()).chain(self.held_until()).min()
    }

    /// A snapshot for the screen.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            link: self.device.link.view(),
            call: self.call.as_ref().map(Call::view),
            contacts: self.device.contacts.view(),
            counters: self.device.counters,
        }
    }

    fn handle_deadlines(&mut self) {
        let (now, in_call) = (self.device.now, self.call.is_some());
        let news = self.device.link.handle_deadline(now, in_call, &mut self.device.outputs);
        self.handle_link_news(news);
        if self.held_until().is_some_and(|until| until <= now) {
            self.release_held();
        }
        self.handle_again_deadline();
        if let Some(call) = &mut self.call {
            let flow = call.handle_deadline(&mut self.device);
            self.go_on_or_end(flow);
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::SignIn => self.device.link.sign_in(self.device.now, &mut self.device.outputs),
            Command::SignOut => {
                if let Some(call) = &self.call {
                    let ending = call.hang_up();
                    self.go_on_or_end(ControlFlow::Break(ending));
                }
                self.device.link.sign_out(self.device.now, &mut self.device.outputs);
                self.server_may_be_new = false;
                self.device.contacts.forget_presence();
                self.miss_held();
            }
            Command::SetContacts(usernames) => {
                self.device.contacts.replace(usernames);
                if let Some(call) = &mut self.call {
                    call.contacts_changed(&mut self.device);
                }
                self.send_contacts();
            }
            Command::SetBlocked(usernames) => self.block(usernames),
            Command::Dial { call, to, video } => self.dial(call, to, video),
            Command::Accept { call, video } => self.in_call(call, |call, device| call.accept(device, video)),
            Command::Decline { call } => self.in_call(call, |call, device| {
                if call.is_ringing_here() {
                    return ControlFlow::Break(call.hang_up());
                }
                device.counters.out_of_place += 1;
                ControlFlow::Continue(())
            }),
            Command::HangUp { call } => self.in_call(call, |call, _| ControlFlow::Break(call.hang_up())),
            Command::SetSending { call, sending } => self.in_call(call, |call, device| {
                call.set_sending(device, sending);
                ControlFlow::Continue(())
            }),
            Command::CodeCompared { call, same } => {
                self.in_call(call, |call, device| call.code_compared(device, same));
            }
            Command::TrustNewKey { username, key } => {
                if self.device.contacts.trust_new_key(&username, key) {
                    self.device.tell_pin(&username);
                } else {
                    self.device.counters.out_of_place += 1;
                }
            }
            Command::RestartIce { call } => self.in_call(call, Call::restart_ice),
        }
    }

    fn block(&mut self, usernames: BTreeSet<Username>) {
        if self.device.contacts.block(usernames) {
            self.send_contacts();
        }
        let blocked = |call: &&Call| call.is_ringing_here() && self.device.contacts.is_blocked(call.user());
        if let Some(call) = self.call.as_ref().filter(blocked) {
            let ending = call.hang_up();
            self.go_on_or_end(ControlFlow::Break(ending));
        }
    }

    fn dial(&mut self, id: CallId, to: Username, video: bool) {
        let refused = match &mut self.call {
            Some(call) if call.id() == id => {
                self.device.counters.out_of_place += 1;
                return;
            }
            // Dialling a user whose call is ringing here accepts that call (section 5).
            Some(call) if call.is_ringing_here() && *call.user() == to => {
                self.device.event(Event::GaveWay { dialled: id, to: call.id() });
                let flow = call.accept(&mut self.device, video);
                self.go_on_or_end(flow);
                return;
            }
            Some(_) => EndReason::AlreadyInCall,
            None if to == self.device.config.me => EndReason::Yourself,
            None if !self.device.link.is_wanted() => EndReason::NotSignedIn,
            None => {
                let call = self.call.insert(Call::dialled(&self.device, id, to, video));
                let flow = call.start(&mut self.device);
                self.go_on_or_end(flow);
                return;
            }
        };
        self.device.event(Event::Ended { call: id, reason: refused });
    }

    fn handle_peer(&mut self, id: CallId, input: PeerInput) {
        match &mut self.call {
            Some(call) if call.id() == id => {
                let flow = call.handle_peer(&mut self.device, input);
                self.go_on_or_end(flow);
            }
            Some(_) | None => self.device.counters.stale += 1,
        }
    }

    fn handle_link_news(&mut self, news: LinkNews) {
        // Before anything is said again, and whatever the news are: the link may be up, or be given up for good.
        self.begin_what_was_dialled();
        match news {
            LinkNews::SignedIn { resumed } => {
                self.server_heard(true);
                // Also when nothing was lost: the answer says who is here now.
                if !self.device.contacts.view().is_empty() {
                    self.send_contacts();
                }
                if resumed {
                    self.begin_to_hold();
                } else {
                    self.miss_held();
                    self.begin_to_say_again();
                }
                self.server_may_be_new = false;
                // A sign-in brings them, too.
                self.take_ice_servers();
            }
            LinkNews::Lost => {
                self.server_may_be_new = self.device.link.is_wanted();
                self.device.contacts.forget_presence();
                if let Some(call) = &mut self.call {
                    call.server_lost();
                }
                self.hold_until_back();
            }
            LinkNews::Late(message) => match message {
                ServerMessage::Signal(_)
                | ServerMessage::Relayed(_)
                | ServerMessage::Error(_)
                | ServerMessage::Missed(_) => self.handle_message(message),
                // True at the time; the next sign-in says what is true then.
                ServerMessage::Hello(_)
                | ServerMessage::Welcome(_)
                | ServerMessage::Presence(_)
                | ServerMessage::IceServers(_)
                | ServerMessage::Pong { .. } => {}
            },
            LinkNews::Message(message) => {
                self.server_heard(matches!(message, ServerMessage::IceServers(_)));
                self.handle_message(message);
            }
            LinkNews::Nothing => {}
            LinkNews::Stale => self.device.counters.stale += 1,
        }
    }

    /// A call that was dialled while the link was not up begins when it is.
    fn begin_what_was_dialled(&mut self) {
        if let Some(call) = &mut self.call {
            let flow = call.begin(&mut self.device);
            self.go_on_or_end(flow);
        }
    }

    /// The link is up: what a call waits for that looks for a new path.
    fn server_heard(&mut self, with_servers: bool) {
        if let Some(call) = &mut self.call {
            call.server_heard(&self.device, with_servers);
        }
    }

    fn take_ice_servers(&mut self) {
        if let Some(call) = &mut self.call {
            let flow = call.take_ice_servers(&mut self.device);
            self.go_on_or_end(flow);
        }
    }

    /// Tells the server whom the user knows; without a link, the next sign-in does.
    fn send_contacts(&mut self) {
        if let (LinkView::SignedIn, Some(message)) = (self.device.link.view(), self.device.contacts.message()) {
            self.device.through_link(Output::Send(message));
        }
    }

    fn handle_message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Signal(received) => self.handle_signal(received),
            ServerMessage::Relayed(relayed) => {
                self.in_call(relayed.call, |call, device| call.relayed(device, relayed.to));
            }
            ServerMessage::Error(error) => self.handle_error(error),
            ServerMessage::Presence(presence) => {
                if self.device.contacts.set_online(&presence.username, presence.online) {
                    self.device.event(Event::Presence { username: presence.username, online: presence.online });
                }
            }
            ServerMessage::IceServers(list) => {
                self.device.event(Event::IceServers(list.ice_servers));
                self.take_ice_servers();
            }
            ServerMessage::Missed(missed) => {
                let mut calls = missed.calls;
                // What more there is the server has made up.
                calls.truncate(MISSED_CALLS_MAX);
                // Whoever is in the call has been reached, or rings at this moment.
                let in_call = self.call.as_ref().map(Call::user);
                let contacts = &self.device.contacts;
                calls.retain(|call| {
                    let from = &call.from;
                    *from != self.device.config.me && Some(from) != in_call && !contacts.is_blocked(from)
                });
                if !calls.is_empty() {
                    self.device.event(Event::MissedWhileAway(calls));
                }
            }
            // It comes behind all that waited.
            ServerMessage::Pong { waited } => {
                if !waited {
                    self.release_held();
                }
            }
            // What has no place after the sign-in.
            ServerMessage::Hello(_) | ServerMessage::Welcome(_) => {}
        }
    }

    fn handle_error(&mut self, error: ErrorMessage) {
        match error.call.as_deref().map(str::parse::<CallId>) {
            Some(Ok(id)) if self.is_not_back_yet(&error, id) => {}
            Some(Ok(id)) => self.in_call(id, |call, device| call.server_error(device, error)),
            Some(Err(_)) | None => self.device.counters.unknown_call += 1,
        }
    }

    fn handle_signal(&mut self, received: Received) {
        if let Some(received) = self.hold(received) {
            self.handle_signal_now(received);
        }
    }

    fn handle_signal_now(&mut self, received: Received) {
        let Received { from, devices, age_ms, signal } = received;
        let id = signal.call();
        if let Some(call) = &mut self.call
            && call.id() == id
        {
            // A second copy of the opening offer is told by what only the server adds to one.
            if devices.is_some() && matches!(signal, Signal::Offer(_)) {
                self.device.counters.passed += 1;
                return;
            }
            let flow = call.handle_signal(&mut self.device, &from, signal);
            self.go_on_or_end(flow);
            return;
        }
        // Not a word to whoever is blocked, as if nobody were here: a refusal would tell that somebody is.
        if self.device.contacts.is_blocked(&from.username) {
            self.device.counters.blocked += 1;
            return;
        }
        if self.device.ended.contains(self.device.now, id) {
            self.device.counters.unknown_call += 1;
            return;
        }
        match (signal, devices) {
            (Signal::Offer(offer), Some(devices)) => self.handle_opening_offer(from, devices, age_ms, offer),
            (signal, _) => {
                self.device.counters.unknown_call += 1;
                if expects_a_call(&signal) {
                    self.device.send_close(from.into(), id, CloseReason::Failed);
                    // Once: from now on it is a call that is over.
                    self.device.ended.insert(self.device.now, id);
                }
            }
        }
    }

    fn in_call(&mut self, id: CallId, act: impl FnOnce(&mut Call, &mut Device) -> Flow) {
        match &mut self.call {
            Some(call) if call.id() == id => {
                let flow = act(call, &mut self.device);
                self.go_on_or_end(flow);
            }
            Some(_) | None => self.device.counters.unknown_call += 1,
        }
    }

    fn go_on_or_end(&mut self, flow: Flow) {
        if let ControlFlow::Break(ending) = flow {
            self.end_call(ending);
        }
    }

    fn end_call(&mut self, ending: Ending) {
        if let Some(call) = self.call.take() {
            call.end(&mut self.device, ending);
            self.forget_what_was_said();
        }
    }
}

/// Whether the sender believes in a call that must be told to be over (section 5, "close").
fn expects_a_call(signal: &Signal) -> bool {
    match signal {
        Signal::Offer(_) | Signal::Answer(_) | Signal::Restart(_) => true,
        Signal::Progress(progress) => progress.state == ProgressState::Accepted,
        Signal::Candidate(_) | Signal::Close(_) => false,
    }
}

#[cfg(test)]
mod tests;
