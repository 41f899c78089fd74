//! Notifications of macOS and Windows: they tell, and go by themselves. The window comes to the front beside them.

use notify_rust::Notification;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Caller, Chosen, DEADLINE, lines, no_notification};

/// Shows a call.
pub(super) async fn show_call(caller: &Caller, _over: impl Future<Output = ()>, _chosen: &Chosen) {
    let (who, how) = lines(caller);
    show(Notification::new().appname("Ahoy").summary(&who).body(how)).await;
}

/// Shows a sentence.
pub(super) async fn show_hint(text: &str) {
    show(Notification::new().appname("Ahoy").summary("Ahoy").body(text)).await;
}

async fn show(notification: &Notification) {
    let notification = notification.clone();
    match timeout(DEADLINE, spawn_blocking(move || notification.show().map(drop))).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => no_notification(error),
        Ok(Err(error)) => no_notification(error),
        Err(_) => no_notification("the system does not answer"),
    }
}
