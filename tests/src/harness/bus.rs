//! A session bus of our own, and on it who shows notifications on a desktop: what it is asked to show is kept for the
//! test, which may press what a person would.

use std::collections::HashMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedVariant};

use super::process::Process;
use super::{DEADLINE, skipped};

/// A bus on which nothing is started by asking for it, so that no desktop of the machine takes part.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// The name, the interface and the path of the Desktop Notifications Specification 1.2.
const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// How soon somebody presses again.
const AGAIN: Duration = Duration::from_millis(200);

/// What `Notify` takes: the application, what it replaces, an icon, summary, body, actions, hints, and how long.
type Notify = (String, u32, String, String, String, Vec<String>, HashMap<String, OwnedVariant>, i32);

/// A running bus; ends with its owner.
#[derive(Debug)]
pub struct Bus {
    address: String,
    connection: Connection,
    shown: Arc<Shown>,
    runtime: Runtime,
    _folder: TempDir,
    _daemon: Process,
}

/// What somebody asked to be shown.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its number.
    pub id: u32,
    /// The first line.
    pub summary: String,
    /// What is below it; may have markup.
    pub body: String,
    /// What can be pressed: its name for programs, and what is written on it.
    pub actions: Vec<(String, String)>,
    /// It was taken away again.
    pub closed: bool,
}

#[derive(Debug, Default)]
struct Shown {
    notifications: Mutex<Vec<Notification>>,
    changed: Condvar,
}

impl Bus {
    /// Starts one. `None`, and a word about it, where there is no D-Bus.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        if Command::new("dbus-daemon").arg("--version").stdout(Stdio::null()).status().is_err() {
            skipped("no dbus-daemon is installed (Debian's package is dbus-daemon)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let configuration = folder.path().join("bus.conf");
        fs::write(&configuration, CONFIGURATION).expect("the folder is writable");
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(configuration).args(["--nofork", "--print-address"]);
        let daemon = Process::start("dbus-daemon", &mut command);
        let address = daemon.wait_for("its address", DEADLINE, |lines| lines.first().cloned());
        let runtime = Runtime::new().expect("threads can be started");
        let shown = Arc::new(Shown::default());
        let connection = runtime.block_on(serve(&address, Arc::clone(&shown)));
        Some(Self { address, connection, shown, runtime, _folder: folder, _daemon: daemon })
    }

    /// For `DBUS_SESSION_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until somebody has this name, or nobody.
    ///
    /// # Panics
    /// When it stays otherwise.
    #[track_caller]
    pub fn wait_for_owner(&self, name: &str, wanted: bool) {
        let deadline = Instant::now() + DEADLINE;
        let is_there = || async {
            let (bus, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
            let answer = self.connection.call_method(Some(bus), path, Some(bus), "NameHasOwner", &name).await?;
            answer.body().deserialize::<bool>()
        };
        while self.runtime.block_on(is_there()).expect("the bus runs") != wanted {
            assert!(Instant::now() < deadline, "{name} has an owner: {}", !wanted);
            thread::sleep(AGAIN);
        }
    }

    /// All that were to be shown so far.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.shown.lock().clone()
    }

    /// Waits for a notification like this.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Notification) -> bool) -> Notification {
        let deadline = Instant::now() + DEADLINE;
        let mut notifications = self.shown.lock();
        loop {
            if let Some(found) = notifications.iter().find(|notification| wanted(notification)) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} was shown, only {notifications:#?}");
            let waited = self.shown.changed.wait_timeout(notifications, left);
            notifications = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Presses what a notification offers, and again until it is taken away: who shows one may not listen yet.
    ///
    /// # Panics
    /// When it stays.
    #[track_caller]
    pub fn press(&self, notification: &Notification, action: &str) {
        let deadline = Instant::now() + DEADLINE;
        let is_there = |other: &Notification| other.id == notification.id && !other.closed;
        while self.notifications().iter().any(is_there) {
            assert!(Instant::now() < deadline, "pressing {action:?} does not take {notification:?} away");
            let body = (notification.id, action);
            let sent = self.connection.emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &body);
            self.runtime.block_on(sent).expect("the bus runs");
            thread::sleep(AGAIN);
        }
    }
}

impl Shown {
    /// Shows one more, or another in place of one that it replaces. Gives its number.
    fn add(&self, notify: Notify) -> u32 {
        let (_, replaces, _, summary, body, actions, _, _) = notify;
        let mut notifications = self.lock();
        let id = if replaces == 0 { notifications.len() as u32 + 1 } else { replaces };
        let actions = actions.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        notifications.retain(|notification| notification.id != id);
        notifications.push(Notification { id, summary, body, actions, closed: false });
        self.changed.notify_all();
        id
    }

    fn close(&self, id: u32) {
        let mut notifications = self.lock();
        notifications.iter_mut().filter(|notification| notification.id == id).for_each(|found| found.closed = true);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Notification>> {
        self.notifications.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the name of the notification service, and answers for it from then on.
async fn serve(address: &str, shown: Arc<Shown>) -> Connection {
    let connection = Builder::address(address).build().await.expect("the bus takes everybody");
    let mut messages = MessageStream::from(&connection);
    connection.request_name(NAME).await.expect("nobody else has it");
    let answering = connection.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if message.message_type() == Type::MethodCall {
                // Who asked may be gone; one who asks in no way of the specification waits in vain, and says so.
                let _ = answer(&answering, &message, &shown).await;
            }
        }
    });
    connection
}

async fn answer(connection: &Connection, message: &Message, shown: &Shown) -> zbus::Result<()> {
    let header = message.header();
    let body = message.body();
    match header.member().map(|member| member.as_str()) {
        Some("Notify") => {
            let id = shown.add(body.deserialize()?);
            connection.reply(&header, &id).await
        }
        Some("CloseNotification") => {
            let id: u32 = body.deserialize()?;
            shown.close(id);
            connection.reply(&header, &()).await?;
            // 3: closed by a call to CloseNotification.
            connection.emit_signal(None::<&str>, PATH, NAME, "NotificationClosed", &(id, 3_u32)).await
        }
        Some("GetCapabilities") => connection.reply(&header, &["actions", "body", "body-markup"].as_slice()).await,
        Some("GetServerInformation") => connection.reply(&header, &("tests", "Ahoy", "1", "1.2")).await,
        Some(_) | None => {
            connection.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &"not here").await
        }
    }
}
