//! What waited at the server while this device was away: an opening offer in it does not ring before all of it was
//! read, since its caller may have given up meanwhile (section 5, "Timers"). Nor does one that the connection had brought
//! before it was lost, and that is read only now: this device may have slept since.

use ahoy_protocol::id::CallId;
use ahoy_protocol::message::Received;
use ahoy_protocol::signal::Signal;

use crate::core::Core;
use crate::time::Time;

/// More signals than this ring without having waited: the server keeps no more than 256 messages for a session.
const MAX: usize = 256;

/// Signals of calls that do not ring yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Until then the rest of what waited is expected; `None` while nothing is.
    until: Option<Time>,
    /// The link is lost: what is still read of it may be old.
    away: bool,
    signals: Vec<Received>,
}

impl Core {
    /// This device came back into its session: what waited follows, and behind it the answer to a ping.
    pub(super) fn begin_to_hold(&mut self) {
        self.held.away = false;
        self.held.until = Some(self.device.now + self.device.config.timers.ping_answer);
    }

    /// The link is lost: what it still brought is held until this device is back.
    pub(super) fn hold_until_back(&mut self) {
        self.held.away = true;
        self.held.until = None;
    }

    /// The session is over: what is held is missed. A caller who has not given up says the same offer again, which rings.
    pub(super) fn miss_held(&mut self) {
        (self.held.away, self.held.until) = (false, None);
        let signals = std::mem::take(&mut self.held.signals);
        let closed: Vec<CallId> = signals
            .iter()
            .filter(|held| matches!(held.signal, Signal::Close(_)))
            .map(|held| held.signal.call())
            .collect();
        for Received { from, devices, signal, .. } in signals {
            let call = signal.call();
            match (devices, signal) {
                (Some(_), Signal::Offer(offer)) if !self.device.contacts.is_blocked(&from.username) => {
                    let is_over = closed.contains(&call) || self.device.ended.contains(self.device.now, call);
                    self.miss(from, offer);
                    if !is_over {
                        self.device.ended.forget(call);
                    }
                }
                _ => self.device.counters.passed += 1,
            }
        }
    }

    /// When what is held rings at the latest.
    pub(super) fn held_until(&self) -> Option<Time> {
        self.held.until
    }

    /// Keeps a signal that waited and opens a call, or is about a call that is kept. Gives back any other.
    pub(super) fn hold(&mut self, received: Received) -> Option<Received> {
        let call = received.signal.call();
        let may_be_old = received.age_ms > 0 || self.held.away;
        let waited = may_be_old && received.devices.is_some() && matches!(received.signal, Signal::Offer(_));
        let is_known = self.call.as_ref().is_some_and(|own| own.id() == call);
        let belongs = self.held.signals.iter().any(|held| held.signal.call() == call);
        let is_holding = self.held.away || self.held.until.is_some();
        if !is_holding || is_known || !(waited || belongs) || self.held.signals.len() >= MAX {
            return Some(received);
        }
        self.held.signals.push(received);
        None
    }

    /// All that waited was read: now it rings, where nobody has ended it.
    pub(super) fn release_held(&mut self) {
        self.held.until = None;
        let signals = std::mem::take(&mut self.held.signals);
        let closes: Vec<Received> =
            signals.iter().filter(|held| matches!(held.signal, Signal::Close(_))).cloned().collect();
        for held in signals {
            let call = held.signal.call();
            let is_over =
                closes.iter().any(|close| close.signal.call() == call && close.from.username == held.from.username);
            match (is_over, held) {
                (false, held) => self.handle_signal_now(held),
                (true, Received { from, devices: Some(_), signal: Signal::Offer(offer), .. })
                    if !self.device.contacts.is_blocked(&from.username) =>
                {
                    self.miss(from, offer);
                }
                (true, _) => self.device.counters.passed += 1,
            }
        }
    }
}
