//! What the user is told while devices come and go: each change once, and nothing of what heals by itself.

use std::mem;

use super::error::SoundCardError;
use super::session::Opened;
use crate::notice::SoundNotice;

/// What was told last, and what was in use.
#[derive(Debug)]
pub(super) struct Telling {
    chosen: String,
    told: Told,
    /// Id and name of the device in use, or last in use.
    last: Option<(String, String)>,
    /// That device was unplugged.
    gone: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or that all is well.
    Well,
    /// The id of the device that stands in.
    Replaced(String),
    Failed(String),
}

impl Telling {
    pub(super) fn new(chosen: String) -> Self {
        Self { chosen, told: Told::Well, last: None, gone: false }
    }

    /// A device delivers.
    pub(super) fn works(&mut self, opened: &Opened) -> Option<SoundNotice> {
        let last = self.last.replace((opened.id.clone(), opened.name.clone()));
        let left = last.filter(|(id, _)| mem::take(&mut self.gone) && *id != opened.id).map(|(_, name)| name);
        let replaced = |missing, unplugged| SoundNotice::Replaced { missing, unplugged, instead: opened.name.clone() };
        let now = if opened.is_chosen { Told::Well } else { Told::Replaced(opened.id.clone()) };
        let before = mem::replace(&mut self.told, now);
        match (opened.is_chosen, before, left) {
            (true, Told::Well, None) => None,
            // The default moved on because the device behind it went.
            (true, Told::Well, Some(name)) => Some(replaced(name, true)),
            (true, Told::Replaced(_) | Told::Failed(_), _) => Some(SoundNotice::Recovered(opened.name.clone())),
            (false, Told::Replaced(id), _) if id == opened.id => None,
            (false, Told::Well | Told::Replaced(_) | Told::Failed(_), Some(name)) => Some(replaced(name, true)),
            (false, Told::Well | Told::Replaced(_) | Told::Failed(_), None) => {
                Some(replaced(self.chosen.clone(), false))
            }
        }
    }

    /// The device in use was unplugged; another may take over.
    pub(super) fn is_gone(&mut self) {
        self.gone = true;
    }

    /// There is no sound.
    pub(super) fn failed(&mut self, error: &SoundCardError) -> Option<SoundNotice> {
        let told = Told::Failed(error.to_string());
        let is_new = self.told != told;
        self.told = told;
        is_new.then(|| SoundNotice::failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound_card::SoundEnd;
    use crate::sound_card::heartbeat::Heartbeat;
    use std::sync::Arc;

    fn opened(name: &str, is_chosen: bool) -> Opened {
        let heartbeat = Arc::new(Heartbeat::new());
        Opened { id: name.to_lowercase(), name: name.into(), is_chosen, rate_hz: 48_000, heartbeat }
    }

    fn said(notice: Option<SoundNotice>) -> String {
        notice.map_or_else(String::new, |notice| notice.to_string())
    }

    #[test]
    fn an_unplugged_device_is_named_with_its_stand_in_and_welcomed_back() {
        let mut telling = Telling::new("headset".into());
        assert_eq!(telling.works(&opened("Headset", true)), None);
        telling.is_gone();
        let expected = "\"Headset\" was unplugged; using \"Speakers\" instead";
        assert_eq!(said(telling.works(&opened("Speakers", false))), expected);
        assert_eq!(telling.works(&opened("Speakers", false)), None);
        assert_eq!(said(telling.works(&opened("Headset", true))), "\"Headset\" is back");
        assert_eq!(telling.works(&opened("Headset", true)), None);
    }

    #[test]
    fn a_device_that_was_never_there_is_named_by_its_id() {
        let mut telling = Telling::new("usb-headset".into());
        let expected = "\"usb-headset\" is not connected; using \"Speakers\" instead";
        assert_eq!(said(telling.works(&opened("Speakers", false))), expected);
    }

    #[test]
    fn a_default_that_moves_is_told_only_when_the_old_one_went() {
        let mut telling = Telling::new("default".into());
        assert_eq!(telling.works(&opened("Speakers", true)), None);
        assert_eq!(telling.works(&opened("Headset", true)), None);
        telling.is_gone();
        let expected = "\"Headset\" was unplugged; using \"Speakers\" instead";
        assert_eq!(said(telling.works(&opened("Speakers", true))), expected);
    }

    #[test]
    fn the_same_failure_is_told_once_and_its_end_too() {
        let mut telling = Telling::new("default".into());
        let none = SoundCardError::NoDevice(SoundEnd::Microphone);
        assert_eq!(said(telling.failed(&none)), "there is no microphone; plug one in");
        assert_eq!(telling.failed(&none), None);
        assert!(telling.failed(&SoundCardError::ServerGone).is_some());
        assert_eq!(said(telling.works(&opened("Webcam", true))), "\"Webcam\" is back");
        assert!(telling.failed(&none).is_some());
    }
}
