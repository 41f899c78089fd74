//! The way out for pictures where no socket opens: the same bytes through a channel of the web view. It costs more, and the
//! thread that draws the window carries it.

use std::sync::Arc;

use ahoy_app::frames::wire::{PageMessage, Showing, View};
use ahoy_app::frames::{Frames, Line, LineClosed, LineId};
use bytes::Bytes;
use tauri::State;
use tauri::ipc::{Channel, InvokeResponseBody};

/// Sends a view's pictures through `pictures` from now on. What comes back names the line in [`frames_hear`].
#[tauri::command]
pub(crate) fn frames_by_channel(
    view: View,
    showing: Showing,
    pictures: Channel<InvokeResponseBody>,
    frames: State<'_, Arc<Frames>>,
) -> LineId {
    frames.open_line(view, showing, Arc::new(ChannelLine(pictures)))
}

/// What the page says over such a line.
///
/// # Errors
/// If the line is not in use any more; the page then asks for another.
#[tauri::command]
pub(crate) fn frames_hear(line: LineId, message: PageMessage, frames: State<'_, Arc<Frames>>) -> Result<(), String> {
    frames.hear(line, message).map_err(|error| error.to_string())
}

struct ChannelLine(Channel<InvokeResponseBody>);

impl Line for ChannelLine {
    fn send(&self, message: Bytes) -> Result<(), LineClosed> {
        self.0.send(InvokeResponseBody::Raw(message.into())).map_err(|_| LineClosed)
    }
}
