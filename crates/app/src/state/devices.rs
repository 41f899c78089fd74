//! What is plugged in, what is chosen, and when to ask the system again.

use std::time::Duration;

use ahoy_client::devices::{DeviceChoice, Hardware};
use ahoy_client::{ChosenDevices, SinkSpec, SourceSpec};

use crate::command::DeviceKind;
use crate::options::Overrides;
use crate::settings::{ChosenByPerson, RememberedDevice};
use crate::state::ongoing::Phase;
use crate::state::{Effect, State};
use crate::view::{DeviceList, DeviceView, DevicesView};

/// So often the system is asked while somebody may look at the lists, or a call may lose a device.
const AGAIN: Duration = Duration::from_secs(3);
/// The longest list that the page gets.
const FOUND_MAX: usize = 64;

/// The devices.
#[derive(Debug)]
pub(super) struct Devices {
    /// What the command line says, until the person chooses otherwise.
    overrides: Overrides,
    found: Option<Result<Hardware, String>>,
    listing: Listing,
}

#[derive(Debug)]
enum Listing {
    Idle { since: Duration },
    Running { again: bool },
}

impl Devices {
    pub(super) fn new(overrides: Overrides) -> Self {
        Self { overrides, found: None, listing: Listing::Idle { since: Duration::ZERO } }
    }

    /// Asks for a new list. Returns whether the system is to be asked now; if it is being asked, it will be once more.
    #[must_use]
    pub(super) fn ask(&mut self) -> bool {
        match &mut self.listing {
            Listing::Idle { .. } => {
                self.listing = Listing::Running { again: false };
                true
            }
            Listing::Running { again } => {
                *again = true;
                false
            }
        }
    }

    /// Takes the list. Returns whether the system is to be asked once more.
    #[must_use]
    pub(super) fn take(&mut self, now: Duration, found: Result<Hardware, String>) -> bool {
        self.found = Some(found);
        let again = matches!(self.listing, Listing::Running { again: true });
        self.listing = if again { Listing::Running { again: false } } else { Listing::Idle { since: now } };
        again
    }

    /// When to ask next while somebody looks.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.listing {
            Listing::Idle { since } => Some(since.saturating_add(AGAIN)),
            Listing::Running { .. } => None,
        }
    }

    /// A device of that kind that is plugged in.
    pub(super) fn find(&self, kind: DeviceKind, id: &str) -> Option<RememberedDevice> {
        let device = self.of(kind).iter().find(|device| device.id == id)?;
        Some(RememberedDevice { id: device.id.clone(), name: device.name.clone() })
    }

    /// The person has chosen: what the command line said is over.
    pub(super) fn forget_override(&mut self, kind: DeviceKind) {
        match kind {
            DeviceKind::Camera => self.overrides.camera = None,
            DeviceKind::Microphone => self.overrides.microphone = None,
            DeviceKind::Speaker => self.overrides.speaker = None,
        }
    }

    /// Where a chosen device is under another id now, since it moved to another port: exactly one of its name is there.
    pub(super) fn moved(&self, kind: DeviceKind, chosen: &RememberedDevice) -> Option<RememberedDevice> {
        if self.find(kind, &chosen.id).is_some() {
            return None;
        }
        let mut namesakes = self.of(kind).iter().filter(|device| device.name == chosen.name);
        match (namesakes.next(), namesakes.next()) {
            (Some(device), None) => Some(RememberedDevice { id: device.id.clone(), name: device.name.clone() }),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// What to use.
    pub(super) fn chosen(&self, by_person: &ChosenByPerson) -> ChosenDevices {
        let usual = ChosenDevices::default();
        let source = |given: &Option<SourceSpec>, chosen: &Option<RememberedDevice>, usual| {
            let chosen = || chosen.as_ref().map(|device| SourceSpec::Device(device.id.clone()));
            given.clone().or_else(chosen).unwrap_or(usual)
        };
        let speaker = || by_person.speaker.as_ref().map(|device| SinkSpec::Device(device.id.clone()));
        ChosenDevices {
            camera: source(&self.overrides.camera, &by_person.camera, usual.camera),
            microphone: source(&self.overrides.microphone, &by_person.microphone, usual.microphone),
            speaker: self.overrides.speaker.clone().or_else(speaker).unwrap_or(usual.speaker),
        }
    }

    pub(super) fn view(&self, by_person: &ChosenByPerson) -> DevicesView {
        let list = |kind, given: Option<String>| DeviceList {
            found: self.of(kind).iter().take(FOUND_MAX).map(shown).collect(),
            chosen: given.or_else(|| by_person.of(kind).map(|device| device.id.clone())),
            problem: self.problem(kind),
        };
        let Overrides { camera, microphone, speaker } = &self.overrides;
        DevicesView {
            cameras: list(DeviceKind::Camera, camera.as_ref().map(ToString::to_string)),
            microphones: list(DeviceKind::Microphone, microphone.as_ref().map(ToString::to_string)),
            speakers: list(DeviceKind::Speaker, speaker.as_ref().map(ToString::to_string)),
        }
    }

    fn of(&self, kind: DeviceKind) -> &[DeviceChoice] {
        match (&self.found, kind) {
            (None | Some(Err(_)), _) => &[],
            (Some(Ok(hardware)), DeviceKind::Camera) => &hardware.cameras,
            (Some(Ok(hardware)), DeviceKind::Microphone) => &hardware.microphones,
            (Some(Ok(hardware)), DeviceKind::Speaker) => &hardware.speakers,
        }
    }

    fn problem(&self, kind: DeviceKind) -> Option<String> {
        if !self.of(kind).is_empty() {
            return None;
        }
        let hardware = match &self.found {
            // It is being asked for the first time.
            None => return None,
            Some(Err(why)) => return Some(why.clone()),
            Some(Ok(hardware)) => hardware,
        };
        let (problem, nothing) = match kind {
            DeviceKind::Camera => (&hardware.camera_problem, "No camera was found; plug one in."),
            DeviceKind::Microphone => (&hardware.sound_problem, "No microphone was found; plug one in."),
            DeviceKind::Speaker => (&hardware.sound_problem, "No speaker was found; plug one in."),
        };
        Some(problem.clone().unwrap_or_else(|| nothing.to_owned()))
    }
}

impl State {
    pub(super) fn take_hardware(&mut self, found: Result<Hardware, String>) {
        if self.devices.take(self.now.elapsed, found) {
            self.effects.push_back(Effect::ListHardware);
        }
        let mut moved = false;
        for kind in [DeviceKind::Camera, DeviceKind::Microphone, DeviceKind::Speaker] {
            let chosen = self.settings.devices.of(kind);
            if let Some(device) = chosen.and_then(|chosen| self.devices.moved(kind, chosen)) {
                self.settings.devices.set(kind, Some(device));
                moved = true;
            }
        }
        if moved {
            self.devices_chosen();
        }
    }

    pub(super) fn devices_chosen(&mut self) {
        self.effects.push_back(Effect::ChooseDevices(self.chosen_devices()));
        self.keep_settings();
    }

    pub(super) fn list_hardware(&mut self) {
        if self.devices.ask() {
            self.effects.push_back(Effect::ListHardware);
        }
    }

    /// Whether what is plugged in matters at this moment.
    pub(super) fn watches_devices(&self) -> bool {
        self.preview.on || self.call.as_ref().is_some_and(|call| matches!(call.phase, Phase::Accepted(_)))
    }
}

fn shown(device: &DeviceChoice) -> DeviceView {
    DeviceView { id: device.id.clone(), name: device.name.clone() }
}
