//! What is wrong with the devices at this moment, one sentence a device at most.

use std::sync::Arc;

use ahoy_media::SoundNotice;
use ahoy_media::sound_card::DEFAULT_ID;
use tokio::sync::watch;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Gives pictures.
    Camera,
    /// Hears.
    Microphone,
    /// Plays.
    Speaker,
}

/// Something is wrong with a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProblem {
    /// Which.
    pub kind: DeviceKind,
    /// What, why, and what to do, in words.
    pub message: String,
}

/// Whether one microphone or speaker was chosen, and not whichever is the system's default.
pub(crate) fn is_by_id(id: &str) -> bool {
    id != DEFAULT_ID
}

/// The list of problems; clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems(Arc<watch::Sender<Vec<DeviceProblem>>>);

impl Problems {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Vec<DeviceProblem>> {
        self.0.subscribe()
    }

    /// This is wrong from now on.
    pub(crate) fn set(&self, kind: DeviceKind, message: String) {
        self.0.send_modify(|problems| {
            problems.retain(|problem| problem.kind != kind);
            problems.push(DeviceProblem { kind, message });
        });
    }

    /// All is well, or the device is not in use any more.
    pub(crate) fn clear(&self, kind: DeviceKind) {
        self.0.send_if_modified(|problems| {
            let before = problems.len();
            problems.retain(|problem| problem.kind != kind);
            problems.len() < before
        });
    }

    /// Takes note of what a microphone or speaker has to say; `by_id` says that one device was chosen, not the system's
    /// default, which nothing can stand in for.
    pub(crate) fn note(&self, kind: DeviceKind, notice: &SoundNotice, by_id: bool) {
        match notice {
            SoundNotice::Failed(_) => self.set(kind, notice.to_string()),
            SoundNotice::Replaced { .. } if by_id => self.set(kind, notice.to_string()),
            SoundNotice::Replaced { .. } | SoundNotice::Recovered(_) => self.clear(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced() -> SoundNotice {
        SoundNotice::Replaced { missing: "Headset".into(), unplugged: true, instead: "Speakers".into() }
    }

    #[test]
    fn a_device_has_one_problem_at_most_and_none_once_it_works() {
        let problems = Problems::default();
        let seen = problems.subscribe();
        problems.set(DeviceKind::Camera, "is in use".into());
        problems.note(DeviceKind::Microphone, &SoundNotice::Failed("is muted".into()), true);
        problems.note(DeviceKind::Microphone, &replaced(), true);
        let messages = |seen: &watch::Receiver<Vec<DeviceProblem>>| -> Vec<String> {
            seen.borrow().iter().map(|problem| problem.message.clone()).collect()
        };
        assert_eq!(messages(&seen), ["is in use", "\"Headset\" was unplugged; using \"Speakers\" instead"]);
        problems.note(DeviceKind::Microphone, &SoundNotice::Recovered("Headset".into()), true);
        problems.clear(DeviceKind::Camera);
        assert_eq!(messages(&seen), Vec::<String>::new());
    }

    #[test]
    fn that_the_systems_default_is_another_now_is_no_problem() {
        let problems = Problems::default();
        problems.note(DeviceKind::Speaker, &SoundNotice::Failed("nothing plays".into()), false);
        problems.note(DeviceKind::Speaker, &replaced(), false);
        assert!(problems.subscribe().borrow().is_empty());
    }
}
