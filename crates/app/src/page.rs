//! What the page is given: the whole when it attaches, then what changed. How it gets there is the window's business.

use serde::Serialize;
use ts_rs::TS;

use crate::view::{AppView, Meters};

/// What a page that was just loaded, or loaded anew, begins with.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Everything to draw.
    pub view: AppView,
    /// Where pictures come from; `None` where no socket could be opened, then they come over a channel.
    pub frames: Option<FramesAddress>,
    /// The version of the program.
    pub version: String,
    /// `linux`, `macos` or `windows`: which keys to name in a shortcut.
    pub platform: String,
}

/// Where the page gets pictures: a WebSocket on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FramesAddress {
    /// On 127.0.0.1.
    pub port: u16,
    /// What the page proves itself with; new in each run of the program.
    pub token: String,
}

/// What the page is told from then on.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PageEvent {
    /// Something that a person may see has changed: everything anew.
    View {
        /// Everything to draw.
        view: Box<AppView>,
    },
    /// The meters moved.
    Meters {
        /// How they stand.
        meters: Meters,
    },
}
