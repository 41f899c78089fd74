//! The window: made here, shown and hidden from here, and what it does when it is closed. What is in it is the page's.

use std::path::Path;

use ahoy_app::view;
use tauri::webview::NewWindowResponse;
use tauri::window::Color;
use tauri::{AppHandle, Manager as _, Theme, UserAttentionType, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use crate::shell::Running;
use crate::{platform, quit};

const LABEL: &str = "main";
/// The page's `--bg`.
const LIGHT: Color = Color(0xf5, 0xf7, 0xf9, 0xff);
const DARK: Color = Color(0x0d, 0x14, 0x1c, 0xff);

/// Makes the window. What the web view itself keeps goes into a folder in `data`.
pub(crate) fn create(app: &AppHandle, data: &Path, theme: view::Theme) -> tauri::Result<()> {
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("Ahoy")
        .inner_size(1080.0, 720.0)
        .min_inner_size(320.0, 480.0)
        .visible(false)
        .theme(chosen(theme))
        .data_directory(data.join("webview"))
        .disable_drag_drop_handler()
        .general_autofill_enabled(false)
        // The page is the program's own; there is nowhere else to go, and nothing to open.
        .on_navigation(|url| is_own(url.as_str()))
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    // Until the page has painted, so that a dark window does not begin with a white flash.
    let background = match window.theme()? {
        Theme::Dark => DARK,
        _ => LIGHT,
    };
    window.set_background_color(Some(background))?;
    platform::attend(&window)
}

/// Shows the window and gives it the keyboard: a person asked for it.
pub(crate) fn open(app: &AppHandle) {
    with(app, |window| {
        window.unminimize()?;
        window.show()?;
        window.set_focus()
    });
    tell_visible(app, true);
}

/// Shows the window before others, without the keyboard: what a person is typing elsewhere must not reach it.
pub(crate) fn ring(app: &AppHandle) {
    with(app, |window| {
        window.unminimize()?;
        window.show()?;
        window.set_always_on_top(true)?;
        window.request_user_attention(Some(UserAttentionType::Critical))
    });
    tell_visible(app, true);
}

/// Lets other windows come before it again.
pub(crate) fn calm(app: &AppHandle) {
    with(app, |window| {
        window.set_always_on_top(false)?;
        window.request_user_attention(None)
    });
}

/// Hides the window; what runs goes on.
pub(crate) fn hide(app: &AppHandle) {
    with(app, WebviewWindow::hide);
    tell_visible(app, false);
}

pub(crate) fn set_title(app: &AppHandle, title: &str) {
    with(app, |window| window.set_title(title));
}

/// Follows what a person chose, in what the page does not draw too.
pub(crate) fn set_theme(app: &AppHandle, theme: view::Theme) {
    with(app, |window| window.set_theme(chosen(theme)));
}

/// What closing the window does. Where its icon is in the tray and calls can come, the program stays, and says so the first
/// time; elsewhere nobody could see that it runs, and it quits. A call ends either way: without its window, nobody would
/// know that the camera is on. A second start of the program opens the window again.
pub(crate) fn close(app: &AppHandle) {
    let running = app.state::<Running>();
    if !running.stays_without_window() {
        return quit::start(app);
    }
    hide(app);
    running.leave_call();
    if running.first_time_hidden() {
        running.notifier().hint("Ahoy keeps running, so that people can call you. Quit it from its icon in the tray.");
    }
}

fn chosen(theme: view::Theme) -> Option<Theme> {
    match theme {
        view::Theme::System => None,
        view::Theme::Light => Some(Theme::Light),
        view::Theme::Dark => Some(Theme::Dark),
    }
}

fn tell_visible(app: &AppHandle, visible: bool) {
    if let Some(running) = app.try_state::<Running>() {
        running.set_visible(visible);
    }
}

fn with(app: &AppHandle, act: impl FnOnce(&WebviewWindow) -> tauri::Result<()>) {
    let Some(window) = app.get_webview_window(LABEL) else { return };
    if let Err(error) = act(&window) {
        tracing::warn!(%error, "the window does not do as it is told");
    }
}

/// Whether an address is of the page inside the program: `tauri://localhost`, on Windows `http://tauri.localhost`.
fn is_own(url: &str) -> bool {
    ["tauri://localhost/", "http://tauri.localhost/"].iter().any(|own| url.starts_with(own))
        || url == "tauri://localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_to_no_address_but_its_own() {
        assert!(
            is_own("tauri://localhost") && is_own("tauri://localhost/index.html") && is_own("http://tauri.localhost/")
        );
        for other in ["http://tauri.localhost.example/", "https://example.org/", "file:///etc/passwd", "about:blank"] {
            assert!(!is_own(other), "{other}");
        }
    }
}
