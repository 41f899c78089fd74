//! What a person set, and who is to be signed in at the next start. Kept in `settings.json` of the data folder.

use serde::{Deserialize, Serialize};

use crate::command::DeviceKind;
use crate::view::{HideAddress, SettingsView, Theme};

/// Everything that is kept between runs, apart from keys and people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    /// Who signed in last.
    pub(crate) account: Option<RememberedAccount>,
    /// Which devices were chosen; nothing: the system's.
    pub(crate) devices: ChosenByPerson,
    /// Light, dark, or as the system has it.
    pub(crate) theme: Theme,
    /// Single letters are shortcuts in a call.
    pub(crate) letter_keys: bool,
    /// How loud it rings, from 0 to 1.
    pub(crate) ring_volume: f32,
    /// Steady noise is taken out of what the microphone hears.
    pub(crate) noise_suppression: bool,
    /// From whom this machine's addresses are hidden.
    pub(crate) hide_address: HideAddress,
}

/// Who signed in last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RememberedAccount {
    /// The username.
    pub(crate) username: String,
    /// The server, as it was typed.
    pub(crate) server: String,
    /// Whether to sign in at the start; not after a sign-out.
    pub(crate) signed_in: bool,
}

/// Which devices a person chose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChosenByPerson {
    /// The camera.
    pub(crate) camera: Option<RememberedDevice>,
    /// The microphone.
    pub(crate) microphone: Option<RememberedDevice>,
    /// The speaker.
    pub(crate) speaker: Option<RememberedDevice>,
}

/// A chosen device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RememberedDevice {
    /// The system's id.
    pub(crate) id: String,
    /// Its name: the id of a device that moved to another port may be another.
    pub(crate) name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: None,
            devices: ChosenByPerson::default(),
            theme: Theme::System,
            letter_keys: true,
            ring_volume: 0.7,
            noise_suppression: true,
            hide_address: HideAddress::Never,
        }
    }
}

impl Settings {
    /// What the page shows of it.
    pub(crate) fn view(&self) -> SettingsView {
        // A file may hold any number; the contract is 0 to 1.
        let ring_volume = if self.ring_volume.is_finite() { self.ring_volume.clamp(0.0, 1.0) } else { 0.0 };
        let Self { theme, letter_keys, noise_suppression, hide_address, .. } = *self;
        SettingsView { theme, letter_keys, ring_volume, noise_suppression, hide_address }
    }
}

impl ChosenByPerson {
    pub(crate) fn of(&self, kind: DeviceKind) -> Option<&RememberedDevice> {
        match kind {
            DeviceKind::Camera => self.camera.as_ref(),
            DeviceKind::Microphone => self.microphone.as_ref(),
            DeviceKind::Speaker => self.speaker.as_ref(),
        }
    }

    pub(crate) fn set(&mut self, kind: DeviceKind, device: Option<RememberedDevice>) {
        match kind {
            DeviceKind::Camera => self.camera = device,
            DeviceKind::Microphone => self.microphone = device,
            DeviceKind::Speaker => self.speaker = device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_written() {
        let settings = Settings {
            account: Some(RememberedAccount { username: "alice".into(), server: "localhost".into(), signed_in: true }),
            ring_volume: 0.25,
            theme: Theme::Dark,
            noise_suppression: false,
            hide_address: HideAddress::FromStrangers,
            ..Settings::default()
        };
        let text = crate::files::to_text(&settings);
        assert_eq!(serde_json::from_slice::<Settings>(&text).unwrap(), settings);
    }

    #[test]
    fn settings_of_an_older_version_are_filled_up_and_those_of_a_newer_one_still_read() {
        let settings: Settings = serde_json::from_str(r#"{ "theme": "dark", "from": "the future" }"#).unwrap();
        assert_eq!(settings, Settings { theme: Theme::Dark, ..Settings::default() });
    }

    #[test]
    fn a_ring_volume_from_a_file_is_kept_within_its_range() {
        for (kept, shown) in [(7.0, 1.0), (-1.0, 0.0), (f32::NAN, 0.0), (0.5, 0.5)] {
            assert_eq!(Settings { ring_volume: kept, ..Settings::default() }.view().ring_volume, shown);
        }
    }
}
