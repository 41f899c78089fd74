//! What a person asked for, checked: the page may be wrong, or somebody else's.

use ahoy_client::Username;

use crate::command::{Command, CommandError, CommandErrorCode, DeviceKind};
use crate::state::effect::{Effect, Sound, ToClient};
use crate::state::ongoing::{Ongoing, Phase};
use crate::state::session::{Session, SignInAs};
use crate::state::{Now, State};

/// The longest name or device id that a page may send, in bytes.
const TEXT_MAX: usize = 512;

type Done = Result<(), CommandError>;

impl State {
    /// Does what was asked for.
    ///
    /// # Errors
    /// [`CommandError`]: nothing was done, and why.
    pub(crate) fn command(&mut self, now: Now, command: Command) -> Done {
        self.begin(now);
        let done = self.carry_out(command);
        self.settle();
        done
    }

    fn carry_out(&mut self, command: Command) -> Done {
        match command {
            Command::SignIn { username, server, invite } => self.sign_in_typed(&username, &server, &invite),
            Command::SignOut => self.sign_out(),
            Command::Dial { username, video } => self.dial(&username, video),
            Command::Accept { from, video } => self.accept(&from, video),
            Command::Decline { from } => {
                let call = self.ringing_here(&from)?;
                self.effects.push_back(Effect::Tell(ToClient::Decline(call)));
                Ok(())
            }
            Command::HangUp => self.hang_up(),
            Command::CompareCode { same } => self.compare_code(same),
            Command::TrustNewKey { username, key } => self.trust_new_key(&username, &key),
            Command::SetMuted { muted } => self.set_sending(|sending| sending.audio = !muted),
            Command::SetCamera { on } => self.set_sending(|sending| sending.video = on),
            Command::ChooseDevice { device, id } => self.choose_device(device, id),
            Command::RefreshDevices => {
                self.list_hardware();
                Ok(())
            }
            Command::SetPreview { on } => self.set_preview(on),
            Command::TestSpeaker => self.test_speaker(),
            Command::SetTheme { theme } => {
                self.settings.theme = theme;
                self.keep_settings();
                Ok(())
            }
            Command::SetLetterKeys { on } => {
                self.settings.letter_keys = on;
                self.keep_settings();
                Ok(())
            }
            Command::SetRingVolume { volume } => self.set_ring_volume(volume),
            Command::SetNoiseSuppression { on } => {
                self.settings.noise_suppression = on;
                self.effects.push_back(Effect::SuppressNoise(on));
                self.keep_settings();
                Ok(())
            }
            Command::SetHideAddress { from } => {
                self.settings.hide_address = from;
                self.effects.push_back(Effect::Tell(ToClient::HideAddress(from.into())));
                self.keep_settings();
                Ok(())
            }
            Command::ShowPhrase => self.show_phrase(),
            Command::HidePhrase => {
                self.hide_phrase();
                Ok(())
            }
            Command::RestoreKey { username, phrase } => self.restore_key(&username, phrase),
            Command::CloseEnded => {
                self.close_ended().map(drop).ok_or_else(|| out_of_place("There is no ended call to close."))
            }
            Command::Dismiss { id } => {
                // One that went by itself at the same moment is no mistake.
                self.notices.dismiss(id);
                Ok(())
            }
            Command::RemovePerson { username } => {
                let username = self.somebody(&username)?;
                if self.people.is_blocked(&username) {
                    return Err(out_of_place("They are blocked, which only this list knows; unblock them first."));
                }
                if self.people.remove(&username) {
                    self.contacts_changed();
                }
                Ok(())
            }
            Command::SetBlocked { username, blocked } => self.set_blocked(&username, blocked),
            Command::SeenMissed { username } => {
                let username = self.somebody(&username)?;
                if self.people.see_missed(&username) {
                    self.keep_people();
                }
                Ok(())
            }
        }
    }

    fn sign_in_typed(&mut self, username: &str, server: &str, invite: &str) -> Done {
        if self.session.is_in() || self.call.is_some() {
            return Err(out_of_place("You are signed in already; sign out first."));
        }
        if self.is_keeping_key() {
            return Err(out_of_place("The key is still being kept; wait a moment."));
        }
        let account = SignInAs::from_typed(username, server).and_then(|account| account.invited(invite));
        self.sign_in(account.map_err(|error| invalid(error.to_string()))?);
        Ok(())
    }

    fn sign_out(&mut self) -> Done {
        if matches!(self.session, Session::Out { .. }) {
            return Err(out_of_place("You are signed out already."));
        }
        self.leave(None);
        if let Some(account) = &mut self.settings.account {
            account.signed_in = false;
            self.keep_settings();
        }
        Ok(())
    }

    fn dial(&mut self, username: &str, video: bool) -> Done {
        if !self.session.is_in() {
            return Err(out_of_place("You are signed out; sign in first."));
        }
        if self.people_of.is_none() {
            return Err(out_of_place("Ahoy is still starting; try again."));
        }
        if self.call.is_some() {
            return Err(out_of_place("You are in a call already; hang up first."));
        }
        let to = username_from(username)?;
        if self.session.account().is_some_and(|account| account.username == to) {
            return Err(invalid("You cannot call yourself; choose another name."));
        }
        if self.people.is_blocked(&to) {
            return Err(out_of_place("You have blocked them; unblock them first."));
        }
        let was_known = self.contact(&to).is_some_and(|contact| contact.pinned);
        let is_new = self.people.find(&to).is_none();
        // Before it is dialled: only a contact's key is kept.
        if self.people.befriend(&to) {
            self.contacts_changed();
        }
        self.newcomer = is_new.then(|| to.clone());
        self.ended = None;
        self.call = Some(Ongoing::dialled(to.clone(), was_known, video, self.now));
        self.preview.wanted &= video;
        self.effects.push_back(Effect::Silence);
        self.effects.push_back(Effect::Tell(ToClient::Dial { to, video }));
        Ok(())
    }

    fn accept(&mut self, from: &str, video: bool) -> Done {
        let call = self.ringing_here(from)?;
        self.preview.wanted &= video;
        self.effects.push_back(Effect::Tell(ToClient::Accept { call, video }));
        let caller = self.call.as_ref().map(|ongoing| ongoing.user.clone());
        if caller.is_some_and(|caller| self.people.befriend(&caller)) {
            self.contacts_changed();
        }
        Ok(())
    }

    fn set_blocked(&mut self, username: &str, blocked: bool) -> Done {
        let username = self.somebody(username)?;
        if self.people_of.is_none() {
            return Err(out_of_place("Ahoy is still starting; try again."));
        }
        if !self.people.block(&username, blocked).map_err(|error| invalid(error.to_string()))? {
            return Ok(());
        }
        self.effects.push_back(Effect::Tell(ToClient::SetBlocked(self.people.blocked())));
        self.contacts_changed();
        Ok(())
    }

    fn hang_up(&mut self) -> Done {
        match &self.call {
            None => Err(out_of_place("There is no call to end.")),
            Some(Ongoing { phase: Phase::RingingHere, .. }) => {
                Err(out_of_place("Nobody answered this call yet; decline it instead."))
            }
            Some(Ongoing { id: None, .. }) => Err(out_of_place("The call is only just beginning; try again.")),
            Some(Ongoing { id: Some(call), .. }) => {
                self.effects.push_back(Effect::Tell(ToClient::HangUp(*call)));
                Ok(())
            }
        }
    }

    fn set_sending(&mut self, change: impl FnOnce(&mut ahoy_client::Sending)) -> Done {
        let ongoing = self.call.as_mut();
        let id = ongoing.as_ref().and_then(|ongoing| ongoing.id);
        let (Some(call), Some(accepted)) = (id, ongoing.and_then(Ongoing::accepted)) else {
            return Err(out_of_place("There is no call yet in which that could change."));
        };
        change(&mut accepted.sending);
        let sending = accepted.sending;
        self.effects.push_back(Effect::Tell(ToClient::SetSending { call, sending }));
        Ok(())
    }

    fn choose_device(&mut self, kind: DeviceKind, id: Option<String>) -> Done {
        let chosen = match id {
            None => None,
            Some(id) if id.len() > TEXT_MAX => return Err(invalid("No device has such a long id.")),
            Some(id) => {
                let found = self.devices.find(kind, &id);
                Some(found.ok_or_else(|| invalid("That device is not plugged in any more; choose another."))?)
            }
        };
        self.devices.forget_override(kind);
        self.settings.devices.set(kind, chosen);
        self.devices_chosen();
        Ok(())
    }

    fn set_preview(&mut self, on: bool) -> Done {
        if on && self.call.as_ref().is_some_and(Ongoing::has_connected) {
            return Err(out_of_place("In a call the camera belongs to the call."));
        }
        self.preview.wanted = on;
        Ok(())
    }

    fn test_speaker(&mut self) -> Done {
        match &self.call {
            Some(Ongoing { phase: Phase::Reaching | Phase::RingingThere { .. } | Phase::RingingHere, .. }) => {
                Err(out_of_place("It rings; test the speaker later."))
            }
            Some(Ongoing { phase: Phase::Accepted(_), .. }) | None => {
                self.effects.push_back(Effect::Play(Sound::Test));
                Ok(())
            }
        }
    }

    fn set_ring_volume(&mut self, volume: f32) -> Done {
        if !(0.0..=1.0).contains(&volume) {
            return Err(invalid("A volume is from 0 to 1."));
        }
        self.settings.ring_volume = volume;
        self.keep_settings();
        Ok(())
    }

    fn ringing_here(&self, from: &str) -> Result<ahoy_client::CallId, CommandError> {
        let ringing = self.call.as_ref().filter(|call| call.is_ringing_here() && call.user.as_str() == from);
        ringing.and_then(|call| call.id).ok_or_else(|| out_of_place("They are not calling any more."))
    }

    /// Somebody on the list of whoever is signed in.
    pub(super) fn somebody(&self, username: &str) -> Result<Username, CommandError> {
        if !self.session.is_in() {
            return Err(out_of_place("You are signed out; sign in first."));
        }
        username_from(username)
    }
}

fn username_from(text: &str) -> Result<Username, CommandError> {
    if text.trim().is_empty() {
        return Err(invalid("Say whom: a name."));
    }
    if text.len() > TEXT_MAX {
        return Err(invalid("That is too long for a name."));
    }
    Username::from_typed(text).map_err(|error| invalid(format!("Nobody can have that name: {error}.")))
}

pub(super) fn invalid(message: impl Into<String>) -> CommandError {
    CommandError { code: CommandErrorCode::Invalid, message: message.into() }
}

pub(super) fn out_of_place(message: &str) -> CommandError {
    CommandError { code: CommandErrorCode::OutOfPlace, message: message.into() }
}
