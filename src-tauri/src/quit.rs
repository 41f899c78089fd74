//! The end of the program: the call is hung up and the server told, then the window and the rest go.

use tauri::{AppHandle, Manager as _};

use crate::shell::Running;
use crate::window;

/// Begins to quit, from any thread, at once for the eye. A second time does nothing.
pub(crate) fn start(app: &AppHandle) {
    let Some(running) = app.try_state::<Running>() else { return app.exit(0) };
    if !running.begin_quitting() {
        return;
    }
    window::hide(app);
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let running = app.state::<Running>();
        // Both have deadlines of their own.
        running.app().quit().await;
        running.notifier().finish().await;
        app.exit(0);
    });
}

/// Quits when the system asks the program to end.
#[cfg(unix)]
pub(crate) fn on_signals(app: &AppHandle) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The terminal that it was started from goes away.
    let mut hangup = signal(SignalKind::hangup())?;
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        start(&app);
    });
    Ok(())
}
