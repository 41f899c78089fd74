//! Processes under test, peers made by hand, and the measures by which pictures and speech are compared.

pub mod cli;
pub mod gate;
pub mod media;
pub mod peer;
pub mod process;
pub mod programs;
pub mod proof;
pub mod sdp;
pub mod server;
pub mod speech;
pub mod ssim;
pub mod y4m;

pub use cli::{Cli, Running};
pub use peer::Peer;
pub use server::Server;

use std::time::Duration;

/// How long anything may take that should happen soon. Long enough for a busy machine with two cores.
pub const DEADLINE: Duration = Duration::from_secs(30);
