//! All of this device that is not a call: who the user is, the link, whom the user knows, which calls are over, and the
//! outputs that wait for the driver.

use std::collections::VecDeque;

use ahoy_protocol::description::{Expectation, Hash, Proof, ProofError, ProvenDescription, SignedDescription};
use ahoy_protocol::id::{Address, CallId, DeviceAddress, Username};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::message::{ClientMessage, Relay};
use ahoy_protocol::signal::{Close, CloseReason, Signal};
use ahoy_protocol::verification::Nonces;

use crate::config::Config;
use crate::contacts::Contacts;
use crate::core::Said;
use crate::ended::EndedCalls;
use crate::link::Link;
use crate::output::{Event, Output, PeerCommand, Trust, UnsignedDescription, Via};
use crate::rings::Rings;
use crate::time::Time;
use crate::view::{Counters, LinkView};

/// This device, apart from its call.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) config: Config,
    /// The moment of the input that is being handled.
    pub(crate) now: Time,
    pub(crate) link: Link,
    pub(crate) contacts: Contacts,
    pub(crate) ended: EndedCalls,
    pub(crate) rings: Rings,
    pub(crate) said: Said,
    pub(crate) nonces: Nonces,
    pub(crate) counters: Counters,
    pub(crate) outputs: VecDeque<Output>,
}

impl Device {
    pub(crate) fn new(mut config: Config) -> Self {
        let usernames = std::mem::take(&mut config.contacts);
        let keys = std::mem::take(&mut config.pins);
        Self {
            now: Time::START,
            link: Link::new(config.timers, config.seed, config.me.is_guest()),
            contacts: Contacts::new(&config.me, usernames, keys),
            ended: EndedCalls::new(config.timers.ended),
            rings: Rings::default(),
            said: Said::default(),
            nonces: Nonces::new(std::mem::take(&mut config.secret)),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress { username: self.config.me.clone(), session: self.config.session }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn peer(&mut self, call: CallId, command: PeerCommand) {
        self.outputs.push_back(Output::Peer { call, command });
    }

    /// Sends through the server, now or when the link is back.
    pub(crate) fn send(&mut self, to: Address, signal: Signal) {
        self.said.note_signal(&to, &signal);
        self.through_link(Output::Send(ClientMessage::Relay(Relay::new(to, signal))));
    }

    pub(crate) fn send_close(&mut self, to: Address, call: CallId, reason: CloseReason) {
        self.send(to, Signal::Close(Close { call, reason, by: None }));
    }

    /// Asks the server for fresh ICE servers, unless the link is away: then the next sign-in brings them.
    pub(crate) fn ask_ice_servers(&mut self) {
        if self.link.view() == LinkView::SignedIn {
            self.through_link(Output::Send(ClientMessage::IceServers));
        }
    }

    /// Sends through the server, now or when the link is back.
    pub(crate) fn send_description(&mut self, to: Address, description: UnsignedDescription) {
        self.said.note_description(&to, &description);
        self.through_link(Output::SendDescription { via: Via::Server(to), description });
    }

    /// Checks a description of `maker`'s. `met` is the key that signed earlier in this call.
    pub(crate) fn prove(
        &mut self,
        call: CallId,
        maker: &Username,
        description: SignedDescription,
        offer: Option<Hash>,
        met: Option<PublicKey>,
    ) -> Result<ProvenDescription, ProofError> {
        let shown = description.key();
        let proven = description.prove(&Expectation {
            call,
            maker,
            receiver: &self.config.me,
            offer,
            own_key: self.config.own_key,
            pinned: self.contacts.key(maker).or(met),
        });
        if proven == Err(ProofError::KeyChanged)
            && let (Some(known), Some(shown)) = (self.contacts.key(maker), shown)
        {
            self.contacts.key_changed(maker, shown);
            self.event(Event::KeyChanged { username: maker.clone(), known, shown });
        }
        proven
    }

    /// A contact is known by this key from the first call on. Called only for calls that the user sees: an offer that
    /// does not ring makes nobody known.
    pub(crate) fn pin(&mut self, username: &Username, key: PublicKey) {
        if self.contacts.pin(username, key) {
            self.tell_pin(username);
        }
    }

    /// What the store keeps of a name changed.
    pub(crate) fn tell_pin(&mut self, username: &Username) {
        if let Some(pin) = self.contacts.known_by(username) {
            self.event(Event::Pin { username: username.clone(), pin });
        }
    }

    /// Who vouches for the maker of a proven description.
    pub(crate) fn trust(&self, maker: &Username, proof: Proof) -> Trust {
        match proof {
            Proof::Guest => Trust::Guest,
            Proof::Key(_) if self.contacts.contains(maker) => Trust::Contact,
            Proof::Key(_) => Trust::Stranger,
        }
    }

    /// Sends through the server, now or when the link is back. One that finds no room is counted.
    pub(crate) fn through_link(&mut self, output: Output) {
        if !self.link.send(output, &mut self.outputs) {
            self.counters.refused += 1;
        }
    }
}
