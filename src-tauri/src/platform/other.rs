//! macOS and Windows: their menu has the keys, their web views come back by themselves.

use tauri::WebviewWindow;

/// Nothing is missing.
pub(crate) fn attend(_window: &WebviewWindow) -> tauri::Result<()> {
    Ok(())
}
