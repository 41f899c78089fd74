//! What follows from what the client tells.

use ahoy_client::{CallId, Event, MissedCall, PictureView, ProofError, RefusedReason, Username, View};

use crate::state::effect::{Alerting, Effect, Sound};
use crate::state::ongoing::Ongoing;
use crate::state::session::Session;
use crate::state::{Ended, State};
use crate::view::{Direction, LastCall, Tone};

impl State {
    pub(super) fn handle_view(&mut self, view: View) {
        // A caller whose key was not known is new here, also once the core, proving their offer, has pinned that key.
        let new_here = view.call.as_ref().filter(|seen| !self.call.as_ref().is_some_and(|call| call.is(seen.call)));
        let new_here = new_here.map(|seen| seen.user.clone()).filter(|user| !self.is_pinned(user));
        self.contacts = view.contacts;
        if let Some(contact) = self.contacts.iter_mut().find(|contact| Some(&contact.username) == new_here.as_ref()) {
            contact.pinned = false;
        }
        if let (Some(call), Some(seen)) = (&mut self.call, &view.call)
            && call.is(seen.call)
        {
            let contact = self.contacts.iter().find(|contact| contact.username == seen.user);
            call.take_view(seen, contact);
        }
    }

    pub(super) fn handle_event(&mut self, event: Event) {
        match event {
            Event::SignedIn { .. } => self.signed_in(),
            Event::SignInFailed { message } => self.refused_for_good(message),
            Event::LinkLost { message } => {
                if self.session.link_lost(&message) && self.call.is_some() {
                    self.notice(Tone::Warning, "The server is out of reach; the call goes on without it.".into());
                }
            }
            Event::Ringing { call, device } => self.rings_there(call, device),
            Event::Incoming { call, from, name, video, proven } => {
                self.rings_here(call, from.username, name, video, proven);
            }
            Event::KeyChanged { username, .. } => self.key_changed(&username),
            Event::Missed { from, video, .. } => {
                self.notice(Tone::Neutral, format!("{from} called while you were away."));
                self.missed(&from, video);
            }
            Event::MissedWhileAway { calls } => self.missed_while_away(&calls),
            Event::Refused { from, why, .. } => self.refused(&from, why),
            Event::GaveWay { dialled, to } => {
                if let Some(call) = self.call.as_mut().filter(|call| call.is(dialled)) {
                    call.id = Some(to);
                }
            }
            Event::Accepted { call, video, .. } => self.accepted(call, video),
            Event::Connected { call, path } => self.connected(call, path == "relay"),
            Event::PathLost { call } => self.with_accepted(call, |accepted| accepted.lose_path()),
            Event::RemoteSending { call, audio, video } => {
                self.with_accepted(call, |accepted| accepted.remote_sends(audio, video));
                if video {
                    self.effects.push_back(Effect::WatchForPicture(PictureView::Remote));
                }
            }
            Event::Stats(stats) => {
                if let Some(call) = self.call.as_mut().filter(|call| call.is(stats.call)) {
                    let name = call.user.clone();
                    if let Some(accepted) = call.accepted() {
                        accepted.take_stats(&stats, name.as_str());
                    }
                }
            }
            Event::Ended { call, message, why, .. } => {
                if self.call.as_ref().is_some_and(|ongoing| ongoing.is(call)) {
                    self.end_call(&why, &message);
                }
            }
            Event::MediaFailed { message, .. } => self.device_told(Tone::Warning, &message),
            Event::DeviceChanged { message, .. } => self.device_told(Tone::Neutral, &message),
            // The view says who is there; the screen knows of the dialling; pictures are watched for on their way.
            Event::Code { .. }
            | Event::Presence { .. }
            | Event::Dialling { .. }
            | Event::FirstFrame { .. }
            | Event::FrameCaptured { .. }
            | Event::FrameShown { .. } => {}
        }
    }

    fn signed_in(&mut self) {
        self.session.signed_in();
        let remembered = self.session.account().map(super::SignInAs::remembered);
        if self.settings.account != remembered {
            self.settings.account = remembered;
            self.keep_settings();
        }
    }

    fn refused_for_good(&mut self, message: String) {
        let message = sentence(&message);
        if self.call.as_ref().is_some_and(Ongoing::is_accepted) {
            // An accepted call needs no server; the person is told when it is over.
            self.session = Session::Out { problem: Some(message) };
        } else {
            self.leave(Some(message));
        }
    }

    fn is_pinned(&self, user: &Username) -> bool {
        self.contact(user).is_some_and(|contact| contact.pinned)
    }

    fn rings_there(&mut self, call: CallId, device: Option<String>) {
        if let Some(ongoing) = self.call.as_mut().filter(|ongoing| ongoing.is(call))
            && ongoing.rings_there(device)
        {
            self.effects.push_back(Effect::Play(Sound::Ringback));
        }
    }

    fn rings_here(&mut self, call: CallId, user: Username, name: Option<String>, video: bool, proven: bool) {
        let known = self.is_pinned(&user) && proven;
        self.ended = None;
        self.newcomer = None;
        let alerting = Alerting { username: user.to_string(), video, known };
        // The client has at most one call: this one, whatever was on the screen.
        self.call = Some(Ongoing::incoming(call, user, name, video, proven, known, self.now));
        self.alerting = true;
        self.effects.push_back(Effect::Alert(alerting));
        self.effects.push_back(Effect::Play(Sound::Ring));
    }

    fn refused(&mut self, from: &Username, why: RefusedReason) {
        match why {
            RefusedReason::Busy => {
                let which = if self.call.is_some() { "this" } else { "another" };
                self.notice(Tone::Neutral, format!("{from} called while you were in {which} call."));
                self.missed(from, false);
            }
            // That they insist is no reason to show it each time.
            RefusedReason::TooOften => self.missed(from, false),
            // Who it was is not proven: nobody's list changes for it.
            // Told by the event of the key.
            RefusedReason::Proof(ProofError::KeyChanged) => {}
            // Who knows this user by an older key signs for that one, which is all that can be seen here.
            RefusedReason::Proof(ProofError::BadSignature) => self.notice(
                Tone::Warning,
                format!(
                    "A call in the name of {from} was refused, as it was not proven; if your key is new, call {from}, who \
                     may know an older one, and can trust the new one then."
                ),
            ),
            RefusedReason::Proof(ProofError::Unsigned | ProofError::NoFingerprint) => {
                self.notice(Tone::Warning, format!("A call in the name of {from} was refused: it was not proven."));
            }
        }
    }

    fn missed(&mut self, from: &Username, video: bool) {
        let last = LastCall { direction: Direction::Missed, at_ms: self.now.unix_ms, seconds: None, video };
        self.people.record(from, last);
        self.keep_people();
    }

    fn missed_while_away(&mut self, calls: &[MissedCall]) {
        for call in calls {
            // A clock that is ahead must not keep somebody on top of the list.
            let at_ms = call.at_ms.map_or(self.now.unix_ms, |at_ms| at_ms.min(self.now.unix_ms));
            let last = LastCall { direction: Direction::Missed, at_ms, seconds: None, video: call.video };
            self.people.record_missed(&call.from, last, call.count);
        }
        match calls {
            [] => return,
            [call] => self.notice(Tone::Neutral, format!("{} called while you were away.", call.from)),
            calls => self.notice(Tone::Neutral, format!("{} people called while you were away.", calls.len())),
        }
        self.keep_people();
    }

    fn accepted(&mut self, call: CallId, video: Option<bool>) {
        let Some(ongoing) = self.call.as_mut().filter(|ongoing| ongoing.is(call)) else { return };
        // On the callee's side `video` is what was answered here; on the caller's, what the callee sends.
        let sends_picture = if ongoing.outgoing { ongoing.video } else { video.unwrap_or(ongoing.video) };
        ongoing.accept(sends_picture);
        self.stop_alerting();
        self.effects.push_back(Effect::Silence);
        self.effects.push_back(Effect::WatchForPicture(PictureView::Remote));
    }

    fn connected(&mut self, call: CallId, relayed: bool) {
        let now = self.now;
        self.with_accepted(call, |accepted| {
            accepted.connect(relayed, now);
        });
    }

    fn with_accepted(&mut self, call: CallId, act: impl FnOnce(&mut super::ongoing::Accepted)) {
        let ongoing = self.call.as_mut().filter(|ongoing| ongoing.is(call));
        if let Some(accepted) = ongoing.and_then(Ongoing::accepted) {
            act(accepted);
        }
    }

    fn device_told(&mut self, tone: Tone, message: &str) {
        self.notice(tone, sentence(message));
        self.list_hardware();
    }

    /// Looks away from an ended call.
    pub(super) fn close_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }
}

/// A message of the lower layers as a sentence: capital first, full stop last.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.trim().chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let text = format!("{first}{}", letters.as_str());
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}
