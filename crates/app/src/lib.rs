//! The app without its window: what a window shows ([`AppView`]) and what its buttons do ([`Command`]). It knows no
//! window system, so that it can be tested without a display.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
#[cfg(test)]
mod bindings;
pub mod command;
mod files;
pub mod frames;
mod options;
pub mod page;
mod people;
mod server_address;
mod settings;
mod state;
pub mod view;

pub use ahoy_client::{KeyPlace, PictureView};
pub use app::{App, Notes, Shell, StartError};
pub use command::{Command, CommandError};
pub use options::{Options, Overrides};
pub use page::{Attached, FramesAddress, PageEvent};
pub use state::Alerting;
pub use view::AppView;
