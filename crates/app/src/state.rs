//! The rules of the window: what happened and what was asked for go in, what to show and what to do come out. No clock,
//! no I/O, no window system; `now` is an argument.

mod client;
mod commands;
mod devices;
mod effect;
mod ending;
mod input;
mod keys;
mod notices;
mod ongoing;
mod quality;
mod recovery;
mod session;

use std::collections::VecDeque;
use std::time::Duration;

use ahoy_client::view::ContactView;
use ahoy_client::{ChosenDevices, DeviceProblem, EndReason, PictureView, Side, Username};

pub use effect::Alerting;
pub(crate) use effect::{Effect, Sound, ToClient};
pub(crate) use input::Input;

use crate::files::FileError;
use crate::options::Options;
use crate::people::People;
use crate::settings::Settings;
use crate::state::client::sentence;
use crate::state::devices::Devices;
use crate::state::ending::{Shown, aftermath, is_nobody};
use crate::state::notices::Notices;
use crate::state::ongoing::Ongoing;
use crate::state::recovery::{Restoring, ShownPhrase};
use crate::state::session::{Link, Session, SignInAs};
use crate::view::{AppView, LastCall, PartyView, PersonView, PreviewView, Screen, Tone};

/// An ended call that needs no answer leaves the screen by itself.
const ENDED_SHOWN: Duration = Duration::from_secs(20);

/// A moment: on a clock that never jumps, and in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since any beginning.
    pub(crate) elapsed: Duration,
    /// For people.
    pub(crate) unix_ms: u64,
}

/// Everything that the window shows follows from this.
#[derive(Debug)]
pub(crate) struct State {
    now: Now,
    settings: Settings,
    /// Unless a file that could not be read would be written over.
    keeps_settings: bool,
    keeps_people: bool,
    /// What the sign-in screen begins with.
    typed: (String, String),
    session: Session,
    people: People,
    /// Whose people they are, once they were read.
    people_of: Option<Username>,
    contacts: Vec<ContactView>,
    call: Option<Ongoing>,
    /// Somebody whom only the current call put on the list.
    newcomer: Option<Username>,
    ended: Option<Ended>,
    devices: Devices,
    preview: Preview,
    phrase: Option<ShownPhrase>,
    restoring: Option<Restoring>,
    alerting: bool,
    notices: Notices,
    effects: VecDeque<Effect>,
}

/// A call that is over, and still on the screen.
#[derive(Debug)]
struct Ended {
    party: PartyView,
    video: bool,
    sentence: String,
    tone: Tone,
    seconds: Option<u32>,
    call_again: bool,
    until: Option<Duration>,
}

/// The camera and microphone check.
#[derive(Debug, Default)]
struct Preview {
    /// The page asks for it.
    wanted: bool,
    hidden: bool,
    on: bool,
    picture: bool,
    problems: Vec<DeviceProblem>,
}

impl State {
    /// Before the start. `settings` is what was read, or what went wrong.
    #[must_use]
    pub(crate) fn new(options: &Options, settings: Result<Option<Settings>, FileError>, now: Now) -> Self {
        let mut notices = Notices::default();
        let mut keeps_settings = true;
        let settings = settings.unwrap_or_else(|error| {
            keeps_settings = may_be_written_over(&error);
            notices.add(now.elapsed, Tone::Danger, format!("Your settings: {error}."));
            None
        });
        let settings = settings.unwrap_or_default();
        let account = settings.account.clone();
        let of_account = |part: fn(&crate::settings::RememberedAccount) -> &String| account.as_ref().map(part).cloned();
        let username = options.user.clone().or_else(|| of_account(|account| &account.username)).unwrap_or_default();
        let server = options.server.clone().or_else(|| of_account(|account| &account.server)).unwrap_or_default();
        let wants_in = options.user.is_some() || account.is_some_and(|account| account.signed_in);
        let account = (wants_in && !server.is_empty()).then(|| SignInAs::from_typed(&username, &server));
        let session = match account {
            None => Session::Out { problem: None },
            Some(Ok(account)) => Session::In { account, link: Link::SigningIn },
            Some(Err(error)) => Session::Out { problem: Some(error.to_string()) },
        };
        Self {
            now,
            settings,
            keeps_settings,
            keeps_people: true,
            typed: (username, server),
            session,
            people: People::default(),
            people_of: None,
            contacts: Vec::new(),
            call: None,
            newcomer: None,
            ended: None,
            devices: Devices::new(options.devices.clone()),
            preview: Preview::default(),
            phrase: None,
            restoring: None,
            alerting: false,
            notices,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Now, input: Input) {
        self.begin(now);
        match input {
            Input::Started => self.start(),
            Input::Event(event) => self.handle_event(event),
            Input::View(view) => self.handle_view(view),
            Input::ClientFailed(message) => self.client_failed(message),
            Input::Dialled(Ok(id)) => {
                if let Some(call) = self.call.as_mut().filter(|call| call.id.is_none()) {
                    call.id = Some(id);
                }
            }
            Input::Dialled(Err(message)) => {
                self.call = None;
                self.newcomer = None;
                self.notice(Tone::Danger, format!("The call could not begin: {message}."));
            }
            Input::PeopleRead(username, read) => self.people_read(username, read),
            Input::PhraseRead(username, read) => self.phrase_read(&username, read),
            Input::KeyRestored(username, kept) => self.key_restored(&username, kept),
            Input::NotKept(error) => self.notice(Tone::Danger, format!("{error}.")),
            Input::Hardware(found) => self.take_hardware(found),
            Input::Problems(problems) => {
                self.preview.problems = problems;
                // A device that fails may be one that was pulled out.
                self.list_hardware();
            }
            Input::Picture(view) => self.picture_came(view),
            Input::Visible(visible) => {
                self.preview.hidden = !visible;
                // It does not come back by itself: a call from anybody shows the window.
                self.preview.wanted &= visible;
                if !visible {
                    self.hide_phrase();
                }
            }
            Input::Attached => {
                self.preview.wanted = false;
                self.hide_phrase();
            }
            Input::Quitting => self.end_call(&EndReason::HungUp(Side::Local), ""),
            Input::Tick => {}
        }
        self.settle();
    }

    /// What to do next; `None` when all is said.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to come back with [`Input::Tick`] at the latest.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let ended = self.ended.as_ref().and_then(|ended| ended.until);
        let listing = self.devices.deadline().filter(|_| self.watches_devices());
        let phrase = self.phrase.as_ref().map(|shown| shown.until);
        let deadlines = [self.notices.deadline(), self.session.deadline(), ended, listing, phrase];
        deadlines.into_iter().flatten().min()
    }

    /// What is chosen now.
    #[must_use]
    pub(crate) fn chosen_devices(&self) -> ChosenDevices {
        self.devices.chosen(&self.settings.devices)
    }

    /// What is to be kept of the settings.
    #[must_use]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is to be kept of the people.
    #[must_use]
    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    /// Everything that a person may see.
    #[must_use]
    pub(crate) fn view(&self) -> AppView {
        AppView {
            screen: self.screen(),
            account: self.session.account_view(),
            link: self.session.link_view(),
            people: self.people.by_recency().into_iter().map(|person| self.person_view(person)).collect(),
            devices: self.devices.view(&self.settings.devices),
            settings: self.settings.view(),
            preview: PreviewView {
                on: self.preview.on,
                picture: self.preview.picture,
                problems: self.preview.problems.iter().map(|problem| problem.message.clone()).collect(),
            },
            phrase: self.phrase.as_ref().map(|shown| shown.view.clone()),
            notices: self.notices.view(),
        }
    }

    fn screen(&self) -> Screen {
        if let Some(call) = &self.call {
            return call.screen(self.camera_problem());
        }
        if let (true, Some(ended)) = (self.session.is_in(), &self.ended) {
            return ended.screen();
        }
        match &self.session {
            Session::In { .. } => Screen::Home,
            Session::Out { .. } | Session::Entering { .. } => {
                let (username, server) = self.typed.clone();
                let busy = matches!(self.session, Session::Entering { busy: true, .. });
                let restore = self.restoring.as_ref().map(|restoring| restoring.view.clone());
                Screen::SignIn { username, server, busy, problem: self.session.problem(), restore }
            }
        }
    }

    fn camera_problem(&self) -> Option<String> {
        let camera = |problem: &&DeviceProblem| problem.kind == ahoy_client::DeviceKind::Camera;
        self.preview.problems.iter().find(camera).map(|problem| problem.message.clone())
    }

    fn person_view(&self, person: &crate::people::Person) -> PersonView {
        let contact = self.contact(&person.username);
        PersonView {
            username: person.username.to_string(),
            online: contact.and_then(|contact| contact.online),
            known: contact.is_some_and(|contact| contact.pinned),
            verified: contact.is_some_and(|contact| contact.verified),
            new_key: contact.and_then(|contact| contact.shown_key).map(|key| key.to_string()),
            last: person.last.clone(),
            missed: person.missed,
            blocked: person.blocked,
        }
    }

    fn contact(&self, username: &Username) -> Option<&ContactView> {
        self.contacts.iter().find(|contact| contact.username == *username)
    }

    fn start(&mut self) {
        self.list_hardware();
        self.effects.push_back(Effect::SuppressNoise(self.settings.noise_suppression));
        if let Some(account) = self.session.account() {
            self.effects.push_back(Effect::ReadPeople(account.username.clone()));
        }
    }

    /// The person signs in, and waits on that screen until the server said yes.
    fn sign_in(&mut self, account: SignInAs) {
        self.typed = (account.username.to_string(), account.typed.clone());
        self.forget_people();
        self.ended = None;
        self.restoring = None;
        self.effects.push_back(Effect::ReadPeople(account.username.clone()));
        self.session = Session::enter(account, self.now.elapsed);
    }

    fn forget_people(&mut self) {
        self.people = People::default();
        self.people_of = None;
        self.contacts.clear();
    }

    fn people_read(&mut self, username: Username, read: Result<Option<People>, FileError>) {
        let Some(account) = self.session.account().filter(|account| account.username == username) else {
            // Somebody else signs in by now.
            return;
        };
        let (server, invite) = (account.server.clone(), account.invite.clone());
        self.keeps_people = true;
        self.people_of = Some(username.clone());
        self.people = read
            .unwrap_or_else(|error| {
                self.keeps_people = may_be_written_over(&error);
                self.notice(Tone::Danger, format!("Your list of people: {error}."));
                None
            })
            .unwrap_or_default();
        self.effects.push_back(Effect::StartClient { username, server, invite });
    }

    /// Signs out, for good until somebody signs in again; `problem` says why, if the person did not do it.
    fn leave(&mut self, problem: Option<String>) {
        if self.call.is_some() {
            self.end_call(&EndReason::HungUp(Side::Local), "");
        }
        self.ended = None;
        self.preview.wanted = false;
        self.session = Session::Out { problem };
        self.forget_people();
        self.effects.push_back(Effect::StopClient);
    }

    fn client_failed(&mut self, message: String) {
        self.leave(Some(sentence(&message)));
    }

    fn end_call(&mut self, reason: &EndReason, message: &str) {
        let Some(call) = self.call.take() else { return };
        self.stop_alerting();
        let after = aftermath(call.over(), reason, message);
        let newcomer = self.newcomer.take();
        if let Some(name) = newcomer.filter(|_| is_nobody(reason)) {
            self.people.remove(&name);
            self.contacts_changed();
        }
        let seconds = call.seconds(self.now);
        if let Some(direction) = after.recorded {
            let last = LastCall { direction, at_ms: call.began_ms, seconds, video: call.video };
            self.people.record(&call.user, last);
            self.keep_people();
        }
        self.effects.push_back(after.sound.map_or(Effect::Silence, Effect::Play));
        match after.shown {
            Shown::Nowhere => {}
            Shown::Notice(text) => self.notice(Tone::Neutral, text),
            Shown::Screen { sentence, tone, call_again } => {
                let until = (tone == Tone::Neutral).then(|| self.now.elapsed.saturating_add(ENDED_SHOWN));
                let (party, video) = (call.party(), call.video);
                self.ended = Some(Ended { party, video, sentence, tone, seconds, call_again, until });
            }
        }
        if matches!(self.session, Session::Out { .. }) {
            // The server refused this device while the call went on without it.
            self.forget_people();
            self.effects.push_back(Effect::StopClient);
        }
    }

    fn stop_alerting(&mut self) {
        if std::mem::take(&mut self.alerting) {
            self.effects.push_back(Effect::Calm);
        }
    }

    fn picture_came(&mut self, view: PictureView) {
        match view {
            PictureView::Local => self.preview.picture = self.preview.on,
            PictureView::Remote => {
                if let Some(accepted) = self.call.as_mut().and_then(Ongoing::accepted) {
                    accepted.picture_came();
                }
            }
        }
    }

    fn contacts_changed(&mut self) {
        self.effects.push_back(Effect::Tell(ToClient::SetContacts(self.people.contacts())));
        self.keep_people();
    }

    fn keep_people(&mut self) {
        if let (true, Some(username)) = (self.keeps_people, &self.people_of) {
            self.effects.push_back(Effect::WritePeople(username.clone(), self.people.clone()));
        }
    }

    fn keep_settings(&mut self) {
        if self.keeps_settings {
            self.effects.push_back(Effect::WriteSettings);
        }
    }

    fn notice(&mut self, tone: Tone, text: String) {
        self.notices.add(self.now.elapsed, tone, text);
    }

    /// The time goes on: what was to happen by now happens first.
    fn begin(&mut self, now: Now) {
        self.now = now;
        let elapsed = now.elapsed;
        self.notices.expire(elapsed);
        self.session.expire(elapsed);
        self.ended.take_if(|ended| ended.until.is_some_and(|until| until <= elapsed));
        self.phrase.take_if(|shown| shown.until <= elapsed);
        if self.watches_devices() && self.devices.deadline().is_some_and(|due| due <= elapsed) {
            self.list_hardware();
        }
    }

    /// What follows from the state as a whole.
    fn settle(&mut self) {
        self.settle_phrase();
        let sends = self.call.as_ref().is_some_and(Ongoing::has_connected);
        let is_shown = match self.screen() {
            Screen::Ended { .. } => false,
            Screen::SignIn { .. }
            | Screen::Home
            | Screen::Incoming { .. }
            | Screen::Outgoing { .. }
            | Screen::Call(_) => true,
        };
        if sends || !is_shown {
            self.preview.wanted = false;
        }
        let on = self.preview.wanted && !self.preview.hidden;
        if on != self.preview.on {
            self.preview.on = on;
            self.preview.picture = false;
            self.effects.push_back(Effect::SetPreview(on));
            if on {
                self.effects.push_back(Effect::WatchForPicture(PictureView::Local));
                self.list_hardware();
            }
        }
    }
}

impl Ended {
    fn screen(&self) -> Screen {
        Screen::Ended {
            party: self.party.clone(),
            video: self.video,
            sentence: self.sentence.clone(),
            tone: self.tone,
            seconds: self.seconds,
            call_again: self.call_again,
        }
    }
}

/// A damaged file was moved aside; one that could not even be read may be whole.
fn may_be_written_over(error: &FileError) -> bool {
    match error {
        FileError::Damaged { .. } | FileError::Write { .. } => true,
        FileError::Read { .. } => false,
    }
}

#[cfg(test)]
mod tests;
