//! Which microphones and speakers there are, and which of them an id means right now.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cpal::DeviceDirection;
use cpal::traits::{DeviceTrait as _, HostTrait as _};

use super::SoundEnd;
use super::abandoned::LISTERS;
use super::error::SoundCardError;
use super::host::{self, Host, HostKind};

/// The id of whatever the system's settings say.
pub const DEFAULT_ID: &str = "default";

/// How long the sound system may take to say what there is.
const DEADLINE: Duration = Duration::from_secs(5);

/// What can be chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoundDevices {
    /// Sound comes in.
    pub microphones: Vec<SoundDeviceInfo>,
    /// Sound goes out.
    pub speakers: Vec<SoundDeviceInfo>,
}

/// A device that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundDeviceInfo {
    /// What names it on the command line and in settings; the same after a restart.
    pub id: String,
    /// For people.
    pub name: String,
    /// The one that [`DEFAULT_ID`] means now.
    pub default: bool,
}

/// The device that an id means now.
pub(super) struct Found {
    pub(super) device: cpal::Device,
    pub(super) id: String,
    pub(super) name: String,
    /// It is what was asked for, and no stand-in.
    pub(super) is_chosen: bool,
}

/// Lists what can be chosen: no plug-ins, no null devices, not what speakers play. Opens no device. Blocks for some
/// milliseconds, five seconds at most.
///
/// # Errors
/// If the sound system does not answer or there is none.
pub fn list() -> Result<SoundDevices, SoundCardError> {
    if LISTERS.is_full() {
        return Err(SoundCardError::Stuck(SoundEnd::Speaker));
    }
    let (sender, answer) = mpsc::sync_channel(1);
    let lister = thread::Builder::new().name("sound-list".into()).spawn(move || {
        // Nobody listens any more after the deadline.
        let _ = sender.send(list_now());
    });
    let lister = lister.map_err(SoundCardError::Thread)?;
    answer.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        LISTERS.add(lister);
        Err(SoundCardError::Stuck(SoundEnd::Speaker))
    })
}

fn list_now() -> Result<SoundDevices, SoundCardError> {
    host::quiet();
    let listed = |host: &Host| {
        let all = devices(host)?;
        let of = |end| {
            let default = default_device(host, end).and_then(|device| id_of(&device));
            offered(all.iter().filter(|device| serves(device, end)), host.kind, end, default.as_deref())
        };
        Ok(SoundDevices { microphones: of(SoundEnd::Microphone), speakers: of(SoundEnd::Speaker) })
    };
    let host = host::connect()?;
    let found = listed(&host);
    let Err(SoundCardError::ServerGone) = found else { return found };
    // The connection may be an old one to a server that was restarted.
    host::forget(&host);
    listed(&host::connect()?)
}

/// What `chosen` means now: the device of that id, else the first of that name, else the default. May block.
pub(super) fn find(host: &Host, end: SoundEnd, chosen: &str) -> Result<Found, SoundCardError> {
    if chosen != DEFAULT_ID {
        let is_it = |device: &cpal::Device| {
            id_of(device).is_some_and(|id| id == chosen && !is_null(&id)) && serves(device, end)
        };
        let devices = devices(host)?;
        let id = match devices.iter().any(is_it) {
            true => Some(chosen.to_owned()),
            // People say names, and a device that moved to another port may have another id.
            false => {
                let offered = offered(devices.iter().filter(|device| serves(device, end)), host.kind, end, None);
                offered.into_iter().find(|info| info.name == chosen).map(|info| info.id)
            }
        };
        let is_it = |device: &cpal::Device| id_of(device) == id && serves(device, end);
        if let Some(id) = &id
            && let Some(device) = devices.into_iter().find(is_it)
        {
            return Ok(Found { name: name_of(&device, id), device, id: id.clone(), is_chosen: true });
        }
    }
    // cpal does not say whether there is no default or no server; asking for the devices does.
    let Some(device) = default_device(host, end) else {
        devices(host)?;
        return Err(match chosen {
            DEFAULT_ID => SoundCardError::NoDevice(end),
            _ => SoundCardError::NotConnected { end, id: chosen.to_owned() },
        });
    };
    let id = id_of(&device).unwrap_or_else(|| DEFAULT_ID.to_owned());
    Ok(Found { name: name_of(&device, &id), device, id, is_chosen: chosen == DEFAULT_ID })
}

/// Whether a device of this id is connected. May block.
pub(super) fn is_connected(host: &Host, end: SoundEnd, id: &str) -> Result<bool, SoundCardError> {
    Ok(devices(host)?.iter().any(|device| id_of(device).as_deref() == Some(id) && serves(device, end)))
}

fn devices(host: &Host) -> Result<Vec<cpal::Device>, SoundCardError> {
    let devices = host.cpal.devices();
    Ok(devices.map_err(|error| SoundCardError::of_system(error, host.kind == HostKind::Server))?.collect())
}

fn default_device(host: &Host, end: SoundEnd) -> Option<cpal::Device> {
    let device = match end {
        SoundEnd::Microphone => host.cpal.default_input_device(),
        SoundEnd::Speaker => host.cpal.default_output_device(),
    }?;
    // A server without a microphone names the monitor of its speaker as the default: everybody would hear themselves.
    let id = id_of(&device)?;
    (host.kind != HostKind::Server || is_real(&id)).then_some(device)
}

fn offered<'a>(
    devices: impl Iterator<Item = &'a cpal::Device>,
    kind: HostKind,
    end: SoundEnd,
    default: Option<&str>,
) -> Vec<SoundDeviceInfo> {
    let infos = devices.filter_map(|device| {
        let id = id_of(device)?;
        Some(SoundDeviceInfo { name: name_of(device, &id), default: default == Some(id.as_str()), id })
    });
    let infos: Vec<SoundDeviceInfo> = infos.collect();
    let ids: Vec<String> = infos.iter().map(|info| info.id.clone()).collect();
    infos.into_iter().filter(|info| is_offered(&info.id, &ids, kind, end)).collect()
}

/// Whether a device of this id is worth showing, among all `ids` of its kind.
fn is_offered(id: &str, ids: &[String], kind: HostKind, end: SoundEnd) -> bool {
    match kind {
        HostKind::Server => is_real(id) && (end == SoundEnd::Speaker || !id.ends_with(MONITOR)),
        // Each card once, with ALSA's own conversions, by its name; by its number only where ALSA gives no name.
        HostKind::Alsa => {
            let any_named = ids.iter().any(|id| card_of(id).is_some_and(|card| !is_number(card)));
            match card_of(id) {
                Some(card) => !(any_named && is_number(card)),
                None => id == DEFAULT_ID && ids.iter().any(|id| card_of(id).is_some()),
            }
        }
        HostKind::System => true,
    }
}

/// How PulseAudio names the source that hears what a sink plays.
const MONITOR: &str = ".monitor";

/// Not the stand-in that PulseAudio and PipeWire load when there is no device at all, and not a monitor.
fn is_real(id: &str) -> bool {
    id != "auto_null" && !id.ends_with(MONITOR)
}

/// ALSA's null device, which spins.
fn is_null(id: &str) -> bool {
    id == "null" || id.starts_with("null:")
}

/// `PCH` of `plughw:CARD=PCH,DEV=0`.
fn card_of(id: &str) -> Option<&str> {
    id.strip_prefix("plughw:CARD=")?.split(',').next()
}

fn is_number(card: &str) -> bool {
    card.bytes().all(|byte| byte.is_ascii_digit())
}

fn id_of(device: &cpal::Device) -> Option<String> {
    Some(device.id().ok()?.id().to_owned())
}

fn name_of(device: &cpal::Device, id: &str) -> String {
    device.description().map_or_else(|_| id.to_owned(), |description| description.name().to_owned())
}

fn serves(device: &cpal::Device, end: SoundEnd) -> bool {
    let direction = device.description().map_or(DeviceDirection::Unknown, |description| description.direction());
    match (direction, end) {
        (DeviceDirection::Duplex, _)
        | (DeviceDirection::Input, SoundEnd::Microphone)
        | (DeviceDirection::Output, SoundEnd::Speaker) => true,
        (DeviceDirection::Input | DeviceDirection::Output, _) => false,
        (_, SoundEnd::Microphone) => device.supports_input(),
        (_, SoundEnd::Speaker) => device.supports_output(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: HostKind, end: SoundEnd, ids: &[&str]) -> Vec<String> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        ids.iter().filter(|id| is_offered(id, &ids, kind, end)).cloned().collect()
    }

    #[test]
    fn of_alsa_only_the_default_and_each_card_once_are_shown() {
        let all = [
            "null",
            "lavrate",
            "jack",
            "pulse",
            "default",
            "sysdefault:CARD=PCH",
            "front:CARD=PCH,DEV=0",
            "surround71:CARD=PCH,DEV=0",
            "dmix:CARD=PCH,DEV=0",
            "hw:CARD=PCH,DEV=0",
            "plughw:CARD=PCH,DEV=0",
            "plughw:CARD=Webcam,DEV=0",
            "hw:CARD=0,DEV=0",
            "plughw:CARD=0,DEV=0",
        ];
        let expected = ["default", "plughw:CARD=PCH,DEV=0", "plughw:CARD=Webcam,DEV=0"];
        assert_eq!(shown(HostKind::Alsa, SoundEnd::Speaker, &all), expected);
    }

    #[test]
    fn cards_without_a_name_are_shown_by_number_and_no_card_means_no_default() {
        let numbered = ["default", "hw:CARD=0,DEV=0", "plughw:CARD=0,DEV=0"];
        assert_eq!(shown(HostKind::Alsa, SoundEnd::Microphone, &numbered), ["default", "plughw:CARD=0,DEV=0"]);
        assert!(shown(HostKind::Alsa, SoundEnd::Microphone, &["default", "null", "pulse"]).is_empty());
    }

    #[test]
    fn what_a_speaker_plays_is_no_microphone() {
        let sources = ["spk.monitor", "alsa_input.usb", "auto_null.monitor"];
        assert_eq!(shown(HostKind::Server, SoundEnd::Microphone, &sources), ["alsa_input.usb"]);
        assert_eq!(shown(HostKind::Server, SoundEnd::Speaker, &["auto_null", "spk"]), ["spk"]);
    }
}
