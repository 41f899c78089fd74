//! The icon in the desktop's tray: says how things stand, opens the window, quits. Desktops without a tray have none, and
//! nothing depends on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tauri::menu::{Menu, MenuItem};
use tauri::tray::TrayIconBuilder;
use tauri::{AppHandle, Wry};

use crate::{quit, window};

/// The icon, if there is one.
pub(crate) struct Tray {
    state: Option<MenuItem<Wry>>,
    seen: Arc<AtomicBool>,
}

impl Tray {
    /// Makes the icon. On the main thread.
    pub(crate) fn create(app: &AppHandle) -> Self {
        // The library that draws it on Linux is looked for at this moment, and where it is missing there is a panic.
        let made = catch_unwind(AssertUnwindSafe(|| build(app)));
        let state = match made {
            Ok(Ok(state)) => Some(state),
            Ok(Err(error)) => {
                tracing::warn!(%error, "no icon in the tray");
                None
            }
            Err(_) => {
                tracing::warn!("no icon in the tray: libayatana-appindicator3 is not installed");
                None
            }
        };
        let seen = Arc::new(AtomicBool::new(false));
        if state.is_some() {
            watch_for_trays(&seen);
        }
        Self { state, seen }
    }

    /// Whether a person can see the icon: a closed window can be opened from it.
    pub(crate) fn is_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Says how things stand.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(item) = &self.state
            && let Err(error) = item.set_text(state)
        {
            tracing::debug!(%error, "the tray's menu cannot be changed");
        }
    }
}

fn build(app: &AppHandle) -> tauri::Result<MenuItem<Wry>> {
    let state = MenuItem::with_id(app, "state", "Not signed in", false, None::<&str>)?;
    let open = MenuItem::with_id(app, "open", "Open Ahoy", true, None::<&str>)?;
    let quit = MenuItem::with_id(app, "quit", "Quit", true, None::<&str>)?;
    let menu = Menu::with_items(app, &[&state, &open, &quit])?;
    let mut icon = TrayIconBuilder::with_id("ahoy").menu(&menu).tooltip("Ahoy").on_menu_event(|app, event| match event
        .id()
        .as_ref()
    {
        "open" => window::open(app),
        "quit" => quit::start(app),
        _ => {}
    });
    if let Some(picture) = app.default_window_icon() {
        icon = icon.icon(picture.clone());
    }
    icon.build(app)?;
    Ok(state)
}

/// Keeps `seen` true while the desktop shows trays. GNOME, for one, does so only with an extension.
#[cfg(target_os = "linux")]
fn watch_for_trays(seen: &Arc<AtomicBool>) {
    use gtk::gio::{BusNameWatcherFlags, BusType, bus_watch_name};
    let (appeared, vanished) = (Arc::clone(seen), Arc::clone(seen));
    bus_watch_name(
        BusType::Session,
        "org.kde.StatusNotifierWatcher",
        BusNameWatcherFlags::NONE,
        move |_, _, _| appeared.store(true, Ordering::Relaxed),
        move |_, _| vanished.store(false, Ordering::Relaxed),
    );
}

/// macOS and Windows always show it.
#[cfg(not(target_os = "linux"))]
fn watch_for_trays(seen: &Arc<AtomicBool>) {
    seen.store(true, Ordering::Relaxed);
}
