//! Passing messages on (sections 2 and 5): stamped, otherwise as they were written. What they say is for the clients.

use std::sync::Arc;
use std::time::Instant;

use ahoy_protocol::SERVER_FRAME_MAX;
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::json::Object;
use ahoy_protocol::message::{Received, Relay, Relayed, ServerMessage};
use ahoy_protocol::signal::Signal;
use serde_json::Value;

use super::{Dialogue, Refusal};
use crate::outbox::{Outbox, SEQ_MAX};
use crate::shared::deliver;

impl Dialogue {
    pub(super) async fn relay(&self, relay: Relay, now: Instant) -> Result<(), Refusal> {
        if *relay.to.username() == self.who()?.address.username {
            return Err(Refusal::bad_message("nobody calls himself"));
        }
        if let (Signal::Offer(offer), Address::User(callee)) = (&relay.signal, &relay.to) {
            let (call, callee) = (offer.call, callee.clone());
            self.open(&callee, call, relay, now).await
        } else {
            self.pass_on(relay)
        }
    }

    /// An opening offer: to every device of `callee`, with how many they are; the caller is told which.
    async fn open(&self, callee: &Username, call: CallId, relay: Relay, now: Instant) -> Result<(), Refusal> {
        self.take_offer(callee, now)?;
        if self.hand_over(callee, call, relay, now)? {
            return Ok(());
        }
        self.take_unanswerable(now)?;
        let is_bound = !callee.is_guest() && self.shared.config.accounts.key_of(callee).await?.is_some();
        Err(if is_bound {
            Refusal::new(ErrorCode::Offline, format!("{callee} is not signed in"))
        } else {
            Refusal::new(ErrorCode::UnknownUser, format!("nobody here is called {callee}"))
        })
    }

    /// Whether anybody was there to take the offer.
    fn hand_over(&self, callee: &Username, call: CallId, relay: Relay, now: Instant) -> Result<bool, Refusal> {
        let who = self.who()?;
        let mut registry = self.shared.registry();
        let devices = u32::try_from(registry.reach(&relay.to).len()).unwrap_or(u32::MAX);
        let text = stamped(&who.address, Some(devices), relay.signal, relay.members)?;
        let reached: Vec<(DeviceAddress, Arc<Outbox>)> = registry.open(who, callee, call, now);
        if reached.is_empty() {
            return Ok(false);
        }
        // Told before they are: no answer can overtake this.
        let to = reached.iter().map(|(address, _)| address.clone()).collect();
        self.say(&ServerMessage::Relayed(Relayed { call, to }));
        for (_, outbox) in &reached {
            outbox.push(&text);
        }
        Ok(true)
    }

    fn pass_on(&self, relay: Relay) -> Result<(), Refusal> {
        let who = self.who()?;
        let Relay { to, signal, members } = relay;
        let text = stamped(&who.address, None, signal.clone(), members)?;
        let mut registry = self.shared.registry();
        if !registry.is_current(who) {
            return Ok(());
        }
        let reached = registry.reach(&to);
        for outbox in &reached {
            outbox.push(&text);
        }
        deliver(registry.relayed(who, &to, &signal));
        match &to {
            Address::Device(device) if reached.is_empty() => {
                let message = format!("{} is no longer signed in with that device", device.username);
                Err(Refusal::new(ErrorCode::Offline, message))
            }
            Address::Device(_) | Address::User(_) => Ok(()),
        }
    }

    fn take_offer(&self, callee: &Username, now: Instant) -> Result<(), Refusal> {
        let me = &self.who()?.address.username;
        let to_one = self.shared.config.limits.offers_to_one;
        let offers = &mut self.shared.counters().offers;
        let wait = offers.wait(me, now).max(offers.wait_for(me, to_one, now, |called| called == callee));
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many calls", wait));
        }
        offers.note(me.clone(), callee.clone(), now);
        Ok(())
    }

    fn take_unanswerable(&self, now: Instant) -> Result<(), Refusal> {
        let me = &self.who()?.address.username;
        let unanswerable = &mut self.shared.counters().unanswerable;
        let wait = unanswerable.wait(me, now);
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many calls to people who are not there", wait));
        }
        unanswerable.note(me.clone(), (), now);
        Ok(())
    }
}

/// A message as its receivers get it, but for its number.
fn stamped(from: &DeviceAddress, devices: Option<u32>, signal: Signal, members: Object) -> Result<String, Refusal> {
    let received = Received { from: from.clone(), devices, age_ms: 0, signal };
    let text = Value::Object(received.stamp(members)).to_string();
    // Numbers can be longer written anew than the sender wrote them (`1e15`), and a client that gets a frame longer
    // than it accepts hangs up.
    if text.len() + SEQ_MAX > SERVER_FRAME_MAX {
        return Err(Refusal::bad_message("the message is too long once written anew"));
    }
    Ok(text)
}
