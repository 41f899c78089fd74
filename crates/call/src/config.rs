//! What the core is told once, at its start. Everything random comes in here or with an input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ahoy_protocol::id::{SessionId, Username};
use ahoy_protocol::identity::PublicKey;

use crate::contacts::Pin;

/// Who this device is, whom it knows, and how patient it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The user of this device.
    pub me: Username,
    /// This device.
    pub session: SessionId,
    /// The user's public key; `None` for a guest. The secret key never enters the core.
    pub own_key: Option<PublicKey>,
    /// The free-text name that goes with an opening offer.
    pub name: Option<String>,
    /// The free-text name of this device, told to contacts only.
    pub device: Option<String>,
    /// Whom the user knows; a guest has no contacts (section 4), so this is ignored for one.
    pub contacts: BTreeSet<Username>,
    /// The keys that names are known by.
    pub pins: BTreeMap<Username, Pin>,
    /// How patient to be.
    pub timers: Timers,
    /// Any number; it spreads out the attempts to sign in again.
    pub seed: u64,
    /// 32 bytes of a cryptographic random source, new at each start: nobody may foresee the nonces of verification codes.
    pub secret: [u8; 32],
}

/// How long each thing may take. The default is the contract (section 5, "Timers"); tests shorten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// A callee's device rings.
    pub ring: Duration,
    /// A caller waits for somebody to accept.
    pub dial: Duration,
    /// From `accepted` to a path on which media may flow.
    pub path: Duration,
    /// The same where no relay is known: who has not met by then does not meet.
    pub unaided: Duration,
    /// A lost path may come back.
    pub lost: Duration,
    /// A restart of ICE takes the old path away; it is called lost if no new one is there after this.
    pub stall: Duration,
    /// A lost path may heal by itself once a way to agree on a new one is known.
    pub heal: Duration,
    /// A caller whose path is lost waits so long for the callee to ask for a new one: that shows that the callee can be
    /// reached. A callee that misses nothing does not ask.
    pub unasked: Duration,
    /// A restart of ICE has this long before it is tried again, or what is unanswered of it said again.
    pub restart: Duration,
    /// After `glare` for the own call, until the other user's call is there.
    pub glare: Duration,
    /// The transport makes, applies or rolls back a description.
    pub work: Duration,
    /// The other side answers a renegotiation.
    pub negotiation: Duration,
    /// The link opens, greets and signs in, each.
    pub link: Duration,
    /// Between two `ping`s while there is no call (section 1).
    pub ping_idle: Duration,
    /// Between two `ping`s while there is one (section 1).
    pub ping_call: Duration,
    /// A `ping` may wait for its `pong`, or for any other sign of life. With the 4 s between two in a call a server that
    /// stands still is noticed within 4 s and twice this.
    pub ping_answer: Duration,
    /// The shortest wait before the link is opened again.
    pub back_off_min: Duration,
    /// The longest wait before the link is opened again.
    pub back_off_max: Duration,
    /// A call that ended is remembered.
    pub ended: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            ring: Duration::from_secs(60),
            dial: Duration::from_secs(65),
            path: Duration::from_secs(20),
            unaided: Duration::from_secs(14),
            lost: Duration::from_secs(45),
            stall: Duration::from_secs(2),
            heal: Duration::from_secs(1),
            unasked: Duration::from_secs(30),
            restart: Duration::from_secs(5),
            glare: Duration::from_secs(2),
            work: Duration::from_secs(10),
            negotiation: Duration::from_secs(15),
            link: Duration::from_secs(10),
            ping_idle: Duration::from_secs(15),
            ping_call: Duration::from_secs(4),
            ping_answer: Duration::from_millis(2_500),
            back_off_min: Duration::from_millis(250),
            back_off_max: Duration::from_secs(5),
            ended: Duration::from_mins(10),
        }
    }
}
