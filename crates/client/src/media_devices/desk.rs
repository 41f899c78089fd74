//! Who wants which device: the one state that calls, the preview and the devices' threads share, changed a few times a
//! minute. Whether pictures may leave this machine is not decided here but by the gate ([`PictureInput::put`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahoy_media::SourceSpec;
use ahoy_protocol::id::CallId;
use tokio::sync::watch;

use super::ChosenDevices;
use crate::call::PictureInput;

/// Where the wishes meet the threads that fulfil them.
pub(super) struct Desk {
    chosen: watch::Sender<ChosenDevices>,
    /// Asked for each block of sound, so no lock.
    noise_suppression: AtomicBool,
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

#[derive(Default)]
struct Wishes {
    preview: bool,
    call: Option<Call>,
    closed: bool,
}

/// A call that has begun to send.
struct Call {
    id: CallId,
    pictures: Pictures,
}

/// Where a call's pictures go.
enum Pictures {
    /// That is about to be said; until then the camera stays as it is.
    Unsaid,
    Sent(PictureInput),
    /// It sends none.
    None,
}

/// A camera that is to be on, and for which call, if for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CameraWish {
    pub(super) spec: SourceSpec,
    pub(super) call: Option<CallId>,
}

impl Desk {
    pub(super) fn new(chosen: ChosenDevices) -> Self {
        Self {
            chosen: watch::Sender::new(chosen),
            noise_suppression: AtomicBool::new(true),
            wishes: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn chosen(&self) -> watch::Receiver<ChosenDevices> {
        self.chosen.subscribe()
    }

    pub(super) fn choose(&self, chosen: ChosenDevices) {
        self.change(|_| {
            self.chosen.send_if_modified(|before| {
                let differs = *before != chosen;
                *before = chosen;
                differs
            });
        });
    }

    pub(super) fn set_noise_suppression(&self, on: bool) {
        self.noise_suppression.store(on, Ordering::Relaxed);
    }

    pub(super) fn noise_suppression(&self) -> bool {
        self.noise_suppression.load(Ordering::Relaxed)
    }

    pub(super) fn set_preview(&self, preview: bool) {
        self.change(|wishes| wishes.preview = preview);
    }

    /// What this call wants. It takes the devices from the preview once it `sends`, and keeps them.
    pub(super) fn follow_call(&self, id: CallId, sends: bool, pictures: Option<PictureInput>) {
        self.change(|wishes| {
            if sends || wishes.call.as_ref().is_some_and(|call| call.id == id) {
                wishes.call = Some(Call { id, pictures: pictures.map_or(Pictures::None, Pictures::Sent) });
            }
        });
    }

    /// The call sends sound from now on.
    pub(super) fn begin_call(&self, id: CallId) {
        self.change(|wishes| {
            if wishes.call.as_ref().is_none_or(|call| call.id != id) {
                wishes.call = Some(Call { id, pictures: Pictures::Unsaid });
            }
        });
    }

    /// The call is over, unless another has taken its place.
    pub(super) fn leave_call(&self, id: CallId) {
        self.change(|wishes| {
            wishes.call.take_if(|call| call.id == id);
        });
    }

    /// Nobody wants anything any more.
    pub(super) fn close(&self) {
        self.change(|wishes| wishes.closed = true);
    }

    /// Where the camera's pictures go, if to a call.
    pub(super) fn pictures(&self) -> Option<PictureInput> {
        match &self.lock().call.as_ref()?.pictures {
            Pictures::Sent(input) => Some(input.clone()),
            Pictures::Unsaid | Pictures::None => None,
        }
    }

    /// Whether a call has the devices.
    pub(super) fn is_in_call(&self) -> bool {
        self.lock().call.is_some()
    }

    /// The camera that is to be on at this moment.
    pub(super) fn camera(&self) -> Option<CameraWish> {
        self.camera_of(&self.lock())
    }

    /// Waits until a camera is to be on; `None` once none ever will be.
    pub(super) fn wait_for_camera(&self) -> Option<CameraWish> {
        self.wait_for(|wishes| self.camera_of(wishes))
    }

    /// Waits until the wish is another, `at_most` for so long.
    pub(super) fn wait_for_other_camera(&self, wish: &CameraWish, at_most: Option<Duration>) {
        self.wait_while(|wishes| self.camera_of(wishes).as_ref() == Some(wish), at_most);
    }

    /// The microphone that is to be on at this moment for the preview.
    pub(super) fn microphone(&self) -> Option<SourceSpec> {
        self.microphone_of(&self.lock())
    }

    /// Waits until a microphone is to be on for the preview; `None` once none ever will be.
    pub(super) fn wait_for_microphone(&self) -> Option<SourceSpec> {
        self.wait_for(|wishes| self.microphone_of(wishes))
    }

    /// Waits until the wish is another.
    pub(super) fn wait_for_other_microphone(&self, spec: &SourceSpec) {
        self.wait_while(|wishes| self.microphone_of(wishes).as_ref() == Some(spec), None);
    }

    fn camera_of(&self, wishes: &Wishes) -> Option<CameraWish> {
        let wanted = match wishes.call.as_ref().map(|call| &call.pictures) {
            Some(Pictures::Sent(_)) => true,
            Some(Pictures::None) => false,
            Some(Pictures::Unsaid) | None => wishes.preview,
        };
        let call = wishes.call.as_ref().map(|call| call.id);
        (wanted && !wishes.closed).then(|| CameraWish { spec: self.chosen.borrow().camera.clone(), call })
    }

    fn microphone_of(&self, wishes: &Wishes) -> Option<SourceSpec> {
        let wanted = wishes.preview && wishes.call.is_none() && !wishes.closed;
        wanted.then(|| self.chosen.borrow().microphone.clone())
    }

    fn wait_for<T>(&self, wish: impl Fn(&Wishes) -> Option<T>) -> Option<T> {
        let mut wishes = self.lock();
        while !wishes.closed {
            if let Some(wish) = wish(&wishes) {
                return Some(wish);
            }
            wishes = self.changed.wait(wishes).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn wait_while(&self, stands: impl Fn(&Wishes) -> bool, at_most: Option<Duration>) {
        let wishes = self.lock();
        match at_most {
            Some(at_most) => drop(self.changed.wait_timeout_while(wishes, at_most, |wishes| stands(wishes))),
            None => drop(self.changed.wait_while(wishes, |wishes| stands(wishes))),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        // A thread that panicked has left each wish whole.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
