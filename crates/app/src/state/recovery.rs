//! The recovery phrase: shown to whoever is signed in for as long as they look, and taken on the sign-in screen.

use std::time::Duration;

use ahoy_client::Username;
use ahoy_client::identity::{self, Phrase};

use crate::command::{CommandError, TypedPhrase};
use crate::state::State;
use crate::state::client::sentence;
use crate::state::commands::{invalid, out_of_place};
use crate::state::effect::Effect;
use crate::state::session::{Session, own_name};
use crate::view::{PhraseView, RestoreView, Screen};

/// Who writes 24 words on paper needs some minutes; who went away is not to leave them there.
const SHOWN: Duration = Duration::from_secs(5 * 60);

/// The phrase on the screen.
#[derive(Debug)]
pub(super) struct ShownPhrase {
    pub(super) view: PhraseView,
    pub(super) until: Duration,
}

/// A phrase that was given on the sign-in screen.
#[derive(Debug)]
pub(super) struct Restoring {
    username: Username,
    pub(super) view: RestoreView,
}

impl State {
    pub(super) fn show_phrase(&mut self) -> Result<(), CommandError> {
        let account = self.session.account().filter(|_| self.session.is_in());
        let Some(account) = account else { return Err(out_of_place("You are signed out; sign in first.")) };
        self.effects.push_back(Effect::ReadPhrase(account.username.clone()));
        let until = self.now.elapsed.saturating_add(SHOWN);
        self.phrase = Some(ShownPhrase { view: PhraseView::Reading, until });
        Ok(())
    }

    /// It was read. Who looked away meanwhile does not see it.
    pub(super) fn phrase_read(&mut self, username: &Username, read: Result<Phrase, String>) {
        let is_theirs = self.session.account().is_some_and(|account| account.username == *username);
        if let Some(shown) = self.phrase.as_mut().filter(|_| is_theirs) {
            shown.view = match read {
                Ok(phrase) => PhraseView::Words { words: phrase.as_str().split(' ').map(str::to_owned).collect() },
                Err(why) => PhraseView::Failed { why: sentence(&why) },
            };
        }
    }

    pub(super) fn hide_phrase(&mut self) {
        self.phrase = None;
    }

    /// It is nowhere but on the screens from which it is asked for.
    pub(super) fn settle_phrase(&mut self) {
        let stays = match self.screen() {
            Screen::Home | Screen::Call(_) => true,
            Screen::SignIn { .. } | Screen::Incoming { .. } | Screen::Outgoing { .. } | Screen::Ended { .. } => false,
        };
        if !stays {
            self.hide_phrase();
        }
    }

    pub(super) fn restore_key(&mut self, username: &str, phrase: TypedPhrase) -> Result<(), CommandError> {
        if self.session.is_in() || self.call.is_some() {
            return Err(out_of_place("You are signed in; sign out first."));
        }
        if self.is_keeping_key() {
            return Err(out_of_place("A key is still being kept; wait a moment."));
        }
        let username = own_name(username).map_err(|error| invalid(error.to_string()))?;
        identity::check(&phrase.0).map_err(|error| invalid(sentence(&error.to_string())))?;
        if let Session::Entering { .. } = self.session {
            // It tries with another key, or waits for a server: the key comes first.
            self.leave(None);
        }
        self.typed.0 = username.to_string();
        self.restoring = Some(Restoring { username: username.clone(), view: RestoreView::Keeping });
        self.effects.push_back(Effect::RestoreKey(username, phrase));
        Ok(())
    }

    /// Who signed in now could get another key made.
    pub(super) fn is_keeping_key(&self) -> bool {
        self.restoring.as_ref().is_some_and(|restoring| restoring.view == RestoreView::Keeping)
    }

    pub(super) fn key_restored(&mut self, username: &Username, kept: Result<(), String>) {
        if let Some(restoring) = self.restoring.as_mut().filter(|restoring| restoring.username == *username) {
            restoring.view = match kept {
                Ok(()) => RestoreView::Done { username: username.to_string() },
                Err(why) => RestoreView::Failed { why: sentence(&why) },
            };
        }
    }
}
