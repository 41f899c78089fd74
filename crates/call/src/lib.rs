//! The rules of a call, pure: no clock, socket, thread or randomness. A driver tells what happened
//! ([`Core::handle_input`]), does what is asked ([`Core::poll_output`]) and wakes the core in time ([`Core::poll_timeout`]).
//! The contract is `docs/signaling.md`; section numbers in this crate are that page's.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod call;
mod candidates;
mod config;
mod contacts;
mod core;
mod device;
mod end;
mod ended;
mod gate;
mod input;
mod link;
mod negotiation;
mod output;
mod recovery;
mod rings;
mod time;
mod tried;
mod verification;
mod view;

pub use config::{Config, Timers};
pub use contacts::Pin;
pub use core::Core;
pub use end::{EndReason, Failure, Side};
pub use gate::Gate;
pub use input::{Command, Input, LinkInput, PathKind, PathState, PeerInput, Serial};
pub use output::{Event, Output, PeerCommand, RefusedReason, Resume, Trust, UnsignedDescription, Via};
pub use time::Time;
pub use tried::{Help, Obstacle, Outcome, Tried, TriedServer};
pub use view::{CallView, ContactView, Counters, LinkView, PeopleView, View};
