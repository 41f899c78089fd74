//! GTK and WebKitGTK.

use std::cell::Cell;
use std::time::{Duration, Instant};

use gtk::gdk::{EventKey, ModifierType};
use gtk::glib::{self, Propagation};
use gtk::prelude::*;
use tauri::{AppHandle, Manager as _, WebviewWindow};
use webkit2gtk::{WebView, WebViewExt as _};

use crate::{quit, window};

/// A page whose process goes away more often than this is given more and more time to come back.
const CALM: Duration = Duration::from_secs(60);
const SHORTEST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Watches over the window. On the main thread.
pub(crate) fn attend(window: &WebviewWindow) -> tauri::Result<()> {
    let app = window.app_handle().clone();
    let gtk = window.gtk_window()?;
    // Who wants the keyboard for the window asks for it.
    gtk.set_focus_on_map(false);
    gtk.connect_key_press_event(move |_, key| on_key(&app, key));
    window.with_webview(|webview| reload_after_crash(&webview.inner()))
}

/// Ctrl+Q quits, Ctrl+W closes.
fn on_key(app: &AppHandle, key: &EventKey) -> Propagation {
    if key.state() & gtk::accelerator_get_default_mod_mask() != ModifierType::CONTROL_MASK {
        return Propagation::Proceed;
    }
    match key.keyval().to_unicode() {
        Some('q') => quit::start(app),
        Some('w') => window::close(app),
        _ => return Propagation::Proceed,
    }
    Propagation::Stop
}

/// The process that draws the page may die, of a bug of its own or of too little memory. Nothing but the picture is lost.
fn reload_after_crash(webview: &WebView) {
    let last = Cell::new(None::<Instant>);
    let delay = Cell::new(Duration::ZERO);
    webview.connect_web_process_terminated(move |webview, reason| {
        let now = Instant::now();
        let often = last.replace(Some(now)).is_some_and(|last| now.duration_since(last) < CALM);
        delay.set(if often { (delay.get() * 2).clamp(SHORTEST_DELAY, LONGEST_DELAY) } else { Duration::ZERO });
        tracing::error!(?reason, delay_ms = delay.get().as_millis(), "the page's process is gone; it starts anew");
        let webview = webview.clone();
        glib::timeout_add_local_once(delay.get(), move || webview.reload());
    });
}
