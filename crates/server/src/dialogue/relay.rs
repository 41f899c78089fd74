//! Passing messages on (sections 2 and 5): stamped, otherwise as they were written. What they say is for the clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_protocol::SERVER_FRAME_MAX;
use ahoy_protocol::error::ErrorCode;
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::message::{Relayed, ServerMessage};
use ahoy_protocol::relay::{Body, Relay};
use ahoy_protocol::signal::Signal;

use super::Dialogue;
use super::refusal::Refusal;
use crate::mailbox::{ADDED_MAX, Mailbox};
use crate::receipt::Receipt;
use crate::shared::deliver;

impl Dialogue {
    /// Passes a message on; an opening offer is returned, to be [opened](Self::open).
    pub(super) fn relay(&mut self, relay: Relay) -> Result<Option<Relay>, Refusal> {
        if *relay.to.username() == self.who()?.address.username {
            return Err(Refusal::bad_message("nobody calls himself"));
        }
        if let (Signal::Offer(_), Address::User(_)) = (&relay.signal, &relay.to) {
            return Ok(Some(relay));
        }
        self.pass_on(relay).map(|()| None)
    }

    /// An opening offer: to every device of a user, with how many they are; the caller is told which.
    pub(super) async fn open(&mut self, relay: Relay, now: Instant) -> Result<(), Refusal> {
        let (callee, call) = (relay.to.username().clone(), relay.signal.call());
        let callee = &callee;
        let video = matches!(&relay.signal, Signal::Offer(offer) if offer.video == Some(true));
        self.take_offer(callee, now)?;
        // Dropped where nobody heard the offer, it notes a missed call.
        let me = self.who()?.address.username.clone();
        let book = self.shared().config.accounts.missed_book();
        let receipt = (!callee.is_guest()).then(|| Receipt::offer(call, me, callee.clone(), video, now, book));
        match self.hand_over(callee, call, relay, receipt.as_ref(), now) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(refusal) => {
                receipt.iter().for_each(Receipt::acknowledged);
                return Err(refusal);
            }
        }
        if let Err(refusal) = self.take_unanswerable(now) {
            receipt.iter().for_each(Receipt::acknowledged);
            return Err(refusal);
        }
        drop(receipt);
        let is_bound = !callee.is_guest() && self.shared().config.accounts.key_of(callee).await?.is_some();
        Err(if is_bound {
            Refusal::new(ErrorCode::Offline, format!("{callee} is not signed in"))
        } else {
            Refusal::new(ErrorCode::UnknownUser, format!("nobody here is called {callee}"))
        })
    }

    /// Whether anybody was there to take the offer.
    fn hand_over(
        &mut self,
        callee: &Username,
        call: CallId,
        relay: Relay,
        receipt: Option<&Receipt>,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let who = self.who()?;
        let mut registry = self.shared().registry();
        let devices = u32::try_from(registry.reach(&relay.to).len()).unwrap_or(u32::MAX);
        let text = stamped(relay.body, &who.address, Some(devices))?;
        let reached: Vec<(DeviceAddress, Arc<Mailbox>)> = registry.open(who, callee, call, now);
        if reached.is_empty() {
            return Ok(false);
        }
        // Told before they are: no answer can overtake this.
        let to = reached.iter().map(|(address, _)| address.clone()).collect();
        self.say(&ServerMessage::Relayed(Relayed { call, to }));
        let mut crowded = reached;
        crowded.retain(|(_, mailbox)| mailbox.push_with(text.as_str(), receipt.cloned()));
        drop(registry);
        self.wait_for(crowded.into_iter().map(|(_, mailbox)| mailbox));
        Ok(true)
    }

    fn pass_on(&mut self, relay: Relay) -> Result<(), Refusal> {
        let who = self.who()?;
        let Relay { to, signal, body } = relay;
        let text = stamped(body, &who.address, None)?;
        if let Signal::Answer(_) | Signal::Progress(_) | Signal::Close(_) = signal {
            self.mailbox().heard_of(signal.call());
        }
        let mut registry = self.shared().registry();
        if !registry.is_current(who) {
            return Ok(());
        }
        let mut reached = registry.reach(&to);
        let is_gone = matches!(to, Address::Device(_)) && reached.is_empty();
        // All but one get a copy.
        let last = reached.pop();
        reached.retain(|mailbox| mailbox.push(text.as_str()));
        reached.extend(last.filter(|mailbox| mailbox.push(text)));
        deliver(registry.relayed(who, &to, &signal));
        drop(registry);
        self.wait_for(reached);
        if is_gone {
            let message = format!("{} is no longer signed in with that device", to.username());
            return Err(Refusal::new(ErrorCode::Offline, message));
        }
        Ok(())
    }

    fn take_offer(&self, callee: &Username, now: Instant) -> Result<(), Refusal> {
        let me = self.caller()?;
        let (all, to_one) = (self.shared().config.limits.offers, self.shared().config.limits.offers_to_one);
        let offers = &mut self.shared().counters().offers;
        let mut wait = Duration::ZERO;
        for (caller, many) in me.with_site() {
            let of_all = offers.wait_for(&caller, all.times(many), now, |_| true);
            wait = wait.max(of_all).max(offers.wait_for(&caller, to_one.times(many), now, |called| called == callee));
        }
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many calls", wait));
        }
        me.with_site().for_each(|(caller, _)| offers.note(caller, callee.clone(), now));
        Ok(())
    }

    fn take_unanswerable(&self, now: Instant) -> Result<(), Refusal> {
        let me = self.caller()?;
        let unanswerable = &mut self.shared().counters().unanswerable;
        let allowance = self.shared().config.limits.unanswerable;
        let waits = me.with_site().map(|(me, many)| unanswerable.wait_for(&me, allowance.times(many), now, |()| true));
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(Refusal::rate_limited("too many calls to people who are not there", wait));
        }
        me.with_site().for_each(|(me, _)| unanswerable.note(me, (), now));
        Ok(())
    }
}

/// A message as its receivers get it, but for its number and how long it waited.
fn stamped(body: Body, from: &DeviceAddress, devices: Option<u32>) -> Result<String, Refusal> {
    let text = body.stamped(from, devices);
    // Numbers can be longer written anew than the sender wrote them (`1e15`), and a client that gets a frame longer
    // than it accepts hangs up.
    if text.len() + ADDED_MAX > SERVER_FRAME_MAX {
        return Err(Refusal::bad_message("the message is too long once written anew"));
    }
    Ok(text)
}
