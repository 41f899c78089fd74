//! What the page may ask of the program, and how it is told what changed. Nothing is decided here.

use std::sync::{Arc, Mutex, PoisonError};

use ahoy_app::view::Meters;
use ahoy_app::{AppView, Attached, Command, CommandError, PageEvent};
use serde_json::Map;
use tauri::State;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::watch;

use crate::shell::Running;

/// The page that is told. There is one at a time: a reloaded one takes the place of what it was.
#[derive(Default)]
pub(crate) struct AttachedPage(Mutex<Option<JoinHandle<()>>>);

/// Gives a page everything to draw, and then what changes, on `events`.
#[tauri::command]
pub(crate) async fn attach(
    events: Channel<PageEvent>,
    running: State<'_, Running>,
    page: State<'_, AttachedPage>,
) -> Result<Attached, ()> {
    let app = running.app();
    let begin = app.attach().await;
    let (mut views, mut meters) = (app.view(), app.meters());
    // What came meanwhile is told as a change.
    if Arc::ptr_eq(&begin, &views.borrow()) {
        views.mark_unchanged();
    } else {
        views.mark_changed();
    }
    meters.mark_changed();
    let told = tauri::async_runtime::spawn(tell(views, meters, events));
    let before = page.0.lock().unwrap_or_else(PoisonError::into_inner).replace(told);
    if let Some(before) = before {
        before.abort();
    }
    Ok(Attached {
        view: AppView::clone(&begin),
        frames: running.frames().address(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: std::env::consts::OS.to_owned(),
    })
}

/// Does what a person wants, or says why not.
#[tauri::command]
pub(crate) async fn send(command: Command, running: State<'_, Running>) -> Result<(), CommandError> {
    running.app().send(command).await
}

/// The page, newly loaded, has been painted: who measures wants to know.
#[tauri::command]
pub(crate) fn painted(running: State<'_, Running>) {
    running.app().note("window_painted", Map::new());
}

/// Tells a page what changes, until it or the app is gone.
async fn tell(
    mut views: watch::Receiver<Arc<AppView>>,
    mut meters: watch::Receiver<Meters>,
    events: Channel<PageEvent>,
) {
    enum Change {
        View,
        Meters,
    }
    loop {
        let change = tokio::select! {
            changed = views.changed() => changed.map(|()| Change::View),
            changed = meters.changed() => changed.map(|()| Change::Meters),
        };
        let event = match change {
            Ok(Change::View) => PageEvent::View { view: Box::new(AppView::clone(&views.borrow_and_update())) },
            Ok(Change::Meters) => PageEvent::Meters { meters: *meters.borrow_and_update() },
            Err(_) => return,
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
