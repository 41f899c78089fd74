//! The shell around the app: what the app asks of the desktop, and what the desktop's events mean for the app.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahoy_app::frames::Frames;
use ahoy_app::view::Screen;
use ahoy_app::{Alerting, App, AppView, Command, PictureView};
use serde_json::Map;
use tauri::{AppHandle, Manager as _};
use tokio::sync::watch;

use crate::notify::{Caller, Choice, Notifier};
use crate::tray::Tray;
use crate::{window, words};

/// Everything that runs behind the window.
pub(crate) struct Running {
    app: Arc<App>,
    frames: Arc<Frames>,
    notifier: Arc<Notifier>,
    tray: Tray,
    quitting: AtomicBool,
    was_hidden: AtomicBool,
}

impl Running {
    pub(crate) fn new(app: App, frames: Arc<Frames>, notifier: Arc<Notifier>, tray: Tray) -> Self {
        let app = Arc::new(app);
        Self { app, frames, notifier, tray, quitting: AtomicBool::new(false), was_hidden: AtomicBool::new(false) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Whether the program has a reason to run without a window, and a person a way back to it.
    pub(crate) fn stays_without_window(&self) -> bool {
        self.tray.is_seen() && self.app.view().borrow().account.is_some()
    }

    /// Ends what a person sees and hears of another, not what only rings: that has its notification.
    pub(crate) fn leave_call(&self) {
        let view = self.app.view().borrow().clone();
        match view.screen {
            Screen::Outgoing { .. } | Screen::Call(_) => self.do_later(Command::HangUp),
            Screen::SignIn { .. } | Screen::Home | Screen::Incoming { .. } | Screen::Ended { .. } => {}
        }
    }

    /// True the first time that it is asked.
    pub(crate) fn first_time_hidden(&self) -> bool {
        !self.was_hidden.swap(true, Ordering::Relaxed)
    }

    /// True the first time that it is asked.
    pub(crate) fn begin_quitting(&self) -> bool {
        !self.quitting.swap(true, Ordering::Relaxed)
    }

    /// Tells the app whether somebody can look at the window.
    pub(crate) fn set_visible(&self, visible: bool) {
        let app = Arc::clone(&self.app);
        tauri::async_runtime::spawn(async move { app.set_visible(visible).await });
    }

    fn do_later(&self, command: Command) {
        let app = Arc::clone(&self.app);
        tauri::async_runtime::spawn(async move {
            if let Err(error) = app.send(command).await {
                tracing::info!(%error, "what the desktop asked for was not done");
            }
        });
    }
}

/// What the app asks of the desktop.
pub(crate) struct Desktop {
    handle: AppHandle,
    notifier: Arc<Notifier>,
}

impl Desktop {
    pub(crate) fn new(handle: AppHandle, notifier: Arc<Notifier>) -> Self {
        Self { handle, notifier }
    }
}

impl ahoy_app::Shell for Desktop {
    fn alert(&self, alerting: Alerting) {
        self.notifier.ring(Caller { username: alerting.username, video: alerting.video });
        window::ring(&self.handle);
    }

    fn calm(&self) {
        self.notifier.calm();
        window::calm(&self.handle);
    }
}

/// Does what was chosen in a notification.
pub(crate) fn on_choice(handle: &AppHandle, choice: Choice) {
    match choice {
        Choice::Open => window::open(handle),
        Choice::Decline { from } => {
            if let Some(running) = handle.try_state::<Running>() {
                running.do_later(Command::Decline { from });
            }
        }
    }
}

/// Writes down what the page drew, where somebody measures.
pub(crate) fn note_drawn(frames: &Frames, app: &App) {
    let notes = app.notes();
    frames.when_drawn(move |drawn| {
        let view = match drawn.view {
            PictureView::Local => "local",
            PictureView::Remote => "remote",
        };
        notes.note(
            "frame_drawn",
            Map::from_iter([("view".to_owned(), view.into()), ("rtp".to_owned(), drawn.rtp.into())]),
        );
    });
}

/// Keeps the window's title and theme and the tray's words true, until the app is gone.
pub(crate) async fn tell_state(handle: AppHandle, mut views: watch::Receiver<Arc<AppView>>) {
    let (mut title, mut state) = (String::new(), String::new());
    let mut theme = views.borrow().settings.theme;
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let (new_title, new_state) = (words::title(&view), words::state(&view));
        if title != new_title {
            window::set_title(&handle, &new_title);
            title = new_title;
        }
        if state != new_state {
            handle.state::<Running>().tray.tell(&new_state);
            state = new_state;
        }
        if theme != view.settings.theme {
            theme = view.settings.theme;
            window::set_theme(&handle, theme);
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}
