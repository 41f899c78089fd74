//! Opening offers: what rings, what is refused, and what happens when both users dial at once (section 5).

use std::time::Duration;

use ahoy_protocol::description::{DescriptionKind, SignedDescription};
use ahoy_protocol::id::{CallId, DeviceAddress, shown_name};
use ahoy_protocol::signal::{CloseReason, Offer};

use crate::call::{Call, Ending, OpeningOffer};
use crate::core::Core;
use crate::end::EndReason;
use crate::output::{Event, RefusedReason};

/// An opening offer that waited longer is a missed call (section 5, "Timers").
const AGE_MAX: Duration = Duration::from_secs(60);

/// What becomes of an opening offer.
enum Verdict {
    /// It rings.
    Rings,
    /// The user dialled the caller at the same moment: the incoming call goes on.
    Accept,
    /// The user dialled the caller at the same moment: the own call goes on.
    KeepOwn,
    /// It does not ring.
    Refuse(RefusedReason),
}

impl Core {
    /// An opening offer with an id that is news.
    pub(super) fn handle_opening_offer(&mut self, from: DeviceAddress, devices: u32, age_ms: u64, offer: Offer) {
        if from.username == self.device.config.me {
            self.device.counters.foreign += 1;
            return;
        }
        let Offer { call, n, sdp, video, name, key, signature } = offer;
        let signed = SignedDescription::new(DescriptionKind::Offer, n, sdp, key, signature);
        let proven = match self.device.prove(call, &from.username, signed, None, None) {
            Ok(proven) => proven,
            Err(error) => {
                self.refuse(&from, call, CloseReason::Failed, RefusedReason::Proof(error));
                return;
            }
        };
        let name = name.as_deref().and_then(shown_name);
        let (video, age) = (video.unwrap_or(false), Duration::from_millis(age_ms));
        if age > AGE_MAX {
            self.device.ended.insert(self.device.now, call);
            self.device.event(Event::Missed { call, from: from.username, video });
            return;
        }
        let opening = OpeningOffer { call, from, name, video, devices, age, offer: proven };
        match self.judge(&opening) {
            Verdict::Rings => self.ring(opening),
            Verdict::Accept => self.accept_instead(opening),
            Verdict::KeepOwn => {
                self.device.send_close(opening.from.into(), call, CloseReason::Glare);
                self.device.ended.insert(self.device.now, call);
            }
            Verdict::Refuse(reason) => self.refuse(&opening.from, call, CloseReason::Busy, reason),
        }
    }

    /// An opening offer that its caller took back before it could ring.
    pub(super) fn miss(&mut self, from: DeviceAddress, offer: Offer) {
        let Offer { call, n, sdp, video, name: _, key, signature } = offer;
        let signed = SignedDescription::new(DescriptionKind::Offer, n, sdp, key, signature);
        let is_news = from.username != self.device.config.me && !self.device.ended.contains(self.device.now, call);
        if is_news && self.device.prove(call, &from.username, signed, None, None).is_ok() {
            self.device.event(Event::Missed { call, from: from.username, video: video.unwrap_or(false) });
        }
        self.device.ended.insert(self.device.now, call);
    }

    fn judge(&mut self, opening: &OpeningOffer) -> Verdict {
        let caller = &opening.from.username;
        let called_again = match &self.call {
            None => false,
            Some(own) if own.user() != caller => return Verdict::Refuse(RefusedReason::Busy),
            // Both dial at once.
            Some(own) if own.is_unaccepted_outgoing() => {
                let keeps_own = own.id() < opening.call && own.may_have_reached(&opening.from);
                return if keeps_own { Verdict::KeepOwn } else { Verdict::Accept };
            }
            // Called again: their side of the old call is gone, or it never came about.
            Some(own) if own.is_with(&opening.from) || !own.has_path() => true,
            Some(_) => return Verdict::Refuse(RefusedReason::Busy),
        };
        if called_again {
            self.end_call(Ending::telling(EndReason::CalledAgain, CloseReason::Failed));
        }
        let is_contact = self.device.contacts.contains(caller);
        if self.device.rings.allows(self.device.now, caller, is_contact) {
            Verdict::Rings
        } else {
            Verdict::Refuse(RefusedReason::TooOften)
        }
    }

    fn ring(&mut self, opening: OpeningOffer) {
        self.device.rings.insert(self.device.now, opening.from.username.clone());
        let (call, incoming) = Call::incoming(&mut self.device, opening);
        let flow = self.call.insert(call).ring(&mut self.device, &incoming);
        self.go_on_or_end(flow);
    }

    fn accept_instead(&mut self, opening: OpeningOffer) {
        let Some(own) = self.call.take() else { return };
        let video = own.wants_video();
        own.give_way(&mut self.device, opening.call);
        self.forget_what_was_said();
        let (call, _) = Call::incoming(&mut self.device, opening);
        let flow = self.call.insert(call).accept(&mut self.device, video);
        self.go_on_or_end(flow);
    }

    fn refuse(&mut self, from: &DeviceAddress, call: CallId, close: CloseReason, reason: RefusedReason) {
        self.device.send_close(from.clone().into(), call, close);
        self.device.ended.insert(self.device.now, call);
        self.device.event(Event::Refused { call, from: from.username.clone(), reason });
    }
}
