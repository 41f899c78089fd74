//! Keys of others: the verification code of a call, and a key that changed.

use ahoy_client::{Code, Username};

use crate::command::CommandError;
use crate::state::State;
use crate::state::commands::{invalid, out_of_place};
use crate::state::effect::{Effect, ToClient};
use crate::state::ongoing::{Ongoing, Phase};
use crate::view::{CodeView, Tone};

/// What the screen knows of a call's code.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallCode {
    pub(super) code: Code,
    /// The person compared one under the same key, in this call or an earlier one.
    pub(super) verified: bool,
    /// There is a key to remember that for: guests have none.
    pub(super) lasts: bool,
}

impl CallCode {
    pub(super) fn view(self) -> CodeView {
        CodeView { digits: self.code.to_string(), verified: self.verified, lasts: self.lasts }
    }
}

impl State {
    /// Both people read the code to each other. One that differs ends the call.
    pub(super) fn compare_code(&mut self, same: bool) -> Result<(), CommandError> {
        let ongoing = self.call.as_ref().filter(|ongoing| ongoing.has_code());
        let Some(call) = ongoing.and_then(|ongoing| ongoing.id) else {
            return Err(out_of_place("There is no code to compare yet."));
        };
        self.effects.push_back(Effect::Tell(ToClient::CodeCompared { call, same }));
        Ok(())
    }

    /// Only the key that the screen shows: another one may have been shown a moment ago.
    pub(super) fn trust_new_key(&mut self, username: &str, key: &str) -> Result<(), CommandError> {
        let username = self.somebody(username)?;
        let shown = self.contact(&username).and_then(|contact| contact.shown_key);
        let key = key.parse().map_err(|_| invalid("That is no key."))?;
        if shown != Some(key) {
            return Err(out_of_place("They have shown yet another key; look at it first."));
        }
        self.effects.push_back(Effect::Tell(ToClient::TrustNewKey { username, key }));
        Ok(())
    }

    /// Somebody known signed with another key.
    pub(super) fn key_changed(&mut self, username: &Username) {
        // Who is being dialled: that call ends by it, and its screen says so.
        let ends_by_it =
            |call: &Ongoing| call.outgoing && call.user == *username && !matches!(call.phase, Phase::Accepted(_));
        if self.call.as_ref().is_some_and(ends_by_it) {
            return;
        }
        self.notice(
            Tone::Danger,
            format!(
                "{username} shows another key than the one you know; ask {username} in another way before you trust it."
            ),
        );
    }
}
