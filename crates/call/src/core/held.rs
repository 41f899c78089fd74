//! What waited at the server while this device was away: an opening offer in it does not ring before all of it was
//! read, since its caller may have given up meanwhile (section 5, "Timers").

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
    signals: Vec<Received>,
}

impl Core {
    /// This device came back into its session: what waited follows, and behind it the answer to a ping.
    pub(super) fn begin_to_hold(&mut self) {
        self.held.until = Some(self.device.now + self.device.config.timers.ping_answer);
    }

    /// When what is held rings at the latest.
    pub(super) fn held_until(&self) -> Option<Time> {
        self.held.until
    }

    /// Keeps a signal that waited and opens a call, or is about a call that is kept. Gives back any other.
    pub(super) fn hold(&mut self, received: Received) -> Option<Received> {
        let call = received.signal.call();
        let waited = received.age_ms > 0 && received.devices.is_some() && matches!(received.signal, Signal::Offer(_));
        let is_known = self.call.as_ref().is_some_and(|own| own.id() == call);
        let belongs = self.held.signals.iter().any(|held| held.signal.call() == call);
        if self.held.until.is_none() || is_known || !(waited || belongs) || self.held.signals.len() >= MAX {
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
