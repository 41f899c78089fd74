//! Processes under test, desktops for those with a window, peers made by hand, and the measures by which pictures and
//! speech are compared.

pub mod bus;
pub mod camera;
pub mod chromium;
pub mod cli;
pub mod datagrams;
pub mod desktop;
pub mod display;
pub mod ear;
pub mod family;
pub mod firefox;
pub mod gate;
pub mod guest;
pub mod keyring;
pub mod lab;
pub mod likeness;
pub mod link;
pub mod media;
pub mod pace;
pub mod page;
pub mod peer;
pub mod probe;
pub mod process;
pub mod programs;
pub mod proof;
pub mod pulse;
pub mod python;
pub mod rig;
pub mod sdp;
pub mod server;
pub mod skipped;
pub mod speech;
pub mod ssim;
pub mod vm;
pub mod watch;
pub mod webdriver;
pub mod window;
pub mod wire;
pub mod y4m;

pub use cli::{Cli, Running};
pub use guest::Guest;
pub use peer::Peer;
pub use server::Server;
pub use skipped::skipped;

use std::time::Duration;

/// How long anything may take that should happen soon. Long enough for a busy machine with two cores.
pub const DEADLINE: Duration = Duration::from_secs(30);
