//! Notifications by the session's bus (freedesktop.org, Desktop Notifications 1.2).

use notify_rust::{Hint, Notification, NotificationHandle, NotificationResponse, Timeout, Urgency};
use tokio::time::timeout;

use super::{Caller, Choice, Chosen, DEADLINE, lines, no_notification};

/// Shows a call until it is `over` or the person chose.
pub(super) async fn show_call(caller: &Caller, over: impl Future<Output = ()>, chosen: &Chosen) {
    let Some(shown) = show(&calling(caller)).await else { return };
    let mut answer = None;
    tokio::select! {
        () = over => {}
        () = shown.wait_for_action_async(|response| answer = choice(response, caller)) => {}
    }
    if let Some(choice) = answer {
        chosen(choice);
    }
    // Also after a choice: not every desktop takes a notification away by itself then.
    if timeout(DEADLINE, shown.close_async()).await.is_err() {
        tracing::warn!("the desktop does not take the notification away");
    }
}

/// Shows a sentence.
pub(super) async fn show_hint(text: &str) {
    show(notification("Ahoy").body(text)).await;
}

async fn show(notification: &Notification) -> Option<NotificationHandle> {
    match timeout(DEADLINE, notification.show_async()).await {
        Ok(Ok(shown)) => Some(shown),
        Ok(Err(error)) => {
            no_notification(error);
            None
        }
        Err(_) => {
            no_notification("the desktop does not answer");
            None
        }
    }
}

fn calling(caller: &Caller) -> Notification {
    let (who, how) = lines(caller);
    let mut notification = notification(&who);
    notification
        .body(how)
        .hint(Hint::Category("call.incoming".to_owned()))
        // The app rings.
        .hint(Hint::SuppressSound(true))
        .urgency(Urgency::Critical)
        .timeout(Timeout::Never)
        .action("default", "Open")
        .action("open", "Open")
        .action("decline", "Decline");
    notification
}

fn notification(summary: &str) -> Notification {
    let mut notification = Notification::new();
    notification.appname("Ahoy").icon("ahoy").hint(Hint::DesktopEntry("Ahoy".to_owned())).summary(summary);
    notification
}

fn choice(response: &NotificationResponse, caller: &Caller) -> Option<Choice> {
    match response {
        NotificationResponse::Default => Some(Choice::Open),
        NotificationResponse::Action(action) => match action.as_str() {
            "open" => Some(Choice::Open),
            "decline" => Some(Choice::Decline { from: caller.username.clone() }),
            _ => None,
        },
        NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_button_of_a_notification_accepts() {
        let bob = Caller { username: "bob".into(), video: true };
        let notification = calling(&bob);
        let keys: Vec<&String> = notification.actions.iter().step_by(2).collect();
        assert_eq!(keys, ["default", "open", "decline"]);
        let chosen = |response| choice(&response, &bob);
        let choices: Vec<_> = keys.iter().map(|key| chosen(NotificationResponse::Action((*key).clone()))).collect();
        let decline = Choice::Decline { from: "bob".into() };
        assert_eq!(choices, [None, Some(Choice::Open), Some(decline)]);
        assert_eq!(chosen(NotificationResponse::Default), Some(Choice::Open));
    }
}
