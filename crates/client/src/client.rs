//! The handle that a window, a command line or a test holds: commands in, events and the view out. The work is the
//! driver's, in a task of its own.

use std::collections::BTreeSet;

use ahoy_call::{Command, View};
use ahoy_protocol::control::Sending;
use ahoy_protocol::id::{CallId, Username};
use ahoy_protocol::identity::PublicKey;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::call::check_media;
use crate::config::{Config, HideAddress};
use crate::driver::{Driver, Order};
use crate::event::Stamped;
use crate::kept::Kept;
use crate::random::RandomError;
use crate::storage::StorageError;

/// Orders waiting for the driver; a person gives a few a second, and a full queue makes the caller wait.
const ORDERS: usize = 64;
/// Events waiting for the owner. Pictures' events are dropped when it is full; the others wait in the driver.
const EVENTS: usize = 1_024;

/// A running client: signed in, or trying to. Dropped, it is gone at once; [`Client::stop`] hangs up and signs out
/// first.
#[derive(Debug)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Stamped>,
    view: watch::Receiver<View>,
    driver: JoinHandle<()>,
}

/// Why a client cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A camera, microphone, speaker or display that cannot be used.
    #[error("{0}")]
    Media(String),
    /// No certificate for media encryption could be made.
    #[error("cannot make a certificate for media encryption")]
    Certificate(#[from] ahoy_transport::TransportError),
    /// What reads the account panicked.
    #[error("this program has a defect in what it keeps; please report it")]
    Defect,
}

impl Client {
    /// Starts a client on the current tokio runtime; it signs in by itself and stays signed in.
    ///
    /// # Errors
    /// [`StartError`]: what this machine does not allow. A server that cannot be reached is no error but an event. A keyring
    /// that does not answer takes up to 10 s to be one.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        check_media(&config.media).map_err(StartError::Media)?;
        let reading = tokio::task::spawn_blocking(move || Kept::read(&config).map(|kept| (config, kept)));
        let (config, kept) = reading.await.map_err(|_| StartError::Defect)??;
        let (orders, order_queue) = mpsc::channel(ORDERS);
        let (event_queue, events) = mpsc::channel(EVENTS);
        let (driver, view) = Driver::new(config, kept, order_queue, event_queue)?;
        Ok(Self { orders, events, view, driver: tokio::spawn(driver.run()) })
    }

    /// The next event; `None` when the client has stopped. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<Stamped> {
        self.events.recv().await
    }

    /// What a screen shows; changes when a person would notice.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Calls somebody; what comes of it is told by events.
    ///
    /// # Errors
    /// When the system has no randomness to name the call.
    pub async fn dial(&self, to: Username, video: bool) -> Result<CallId, RandomError> {
        let call = CallId::from_random_bytes(crate::random::bytes()?);
        self.command(Command::Dial { call, to, video }).await;
        Ok(call)
    }

    /// Says yes to the ringing call.
    pub async fn accept(&self, call: CallId, video: bool) {
        self.command(Command::Accept { call, video }).await;
    }

    /// Says no to the ringing call.
    pub async fn decline(&self, call: CallId) {
        self.command(Command::Decline { call }).await;
    }

    /// Ends the call, whatever it is doing.
    pub async fn hang_up(&self, call: CallId) {
        self.command(Command::HangUp { call }).await;
    }

    /// Chooses what is sent: microphone, camera, screen.
    pub async fn set_sending(&self, call: CallId, sending: Sending) {
        self.command(Command::SetSending { call, sending }).await;
    }

    /// Replaces whom the user knows: their devices may prepare the path while this one rings, and are told of when they
    /// come and go.
    pub async fn set_contacts(&self, contacts: BTreeSet<Username>) {
        self.command(Command::SetContacts(contacts)).await;
    }

    /// Both people have read the verification code of the call to each other. The same: the key of a contact is verified from
    /// now on. Another: the call ends.
    pub async fn code_compared(&self, call: CallId, same: bool) {
        self.command(Command::CodeCompared { call, same }).await;
    }

    /// Knows somebody by another key from now on: the one that [`crate::Event::KeyChanged`] showed last, or nothing happens.
    pub async fn trust_new_key(&self, username: Username, key: PublicKey) {
        self.command(Command::TrustNewKey { username, key }).await;
    }

    /// Replaces whom the user wants to hear nothing of: their calls do not ring, and they learn nothing.
    pub async fn set_blocked(&self, blocked: BTreeSet<Username>) {
        self.command(Command::SetBlocked(blocked)).await;
    }

    /// From whom this machine's addresses are hidden in the calls to come.
    pub async fn hide_address(&self, hide: HideAddress) {
        // A stopped driver has told so by ending the events.
        let _ = self.orders.send(Order::HideAddress(hide)).await;
    }

    /// Hangs up, signs out, closes files and devices. Waits at most a few seconds.
    pub async fn stop(mut self) {
        self.command(Command::SignOut).await;
        let Self { orders, events, .. } = &mut self;
        let (gone, _) = mpsc::channel(1);
        *orders = gone;
        // The driver ends once nobody can command it; what it still tells is read so that it never waits for room.
        while events.recv().await.is_some() {}
    }

    async fn command(&self, command: Command) {
        // A stopped driver has told so by ending the events.
        let _ = self.orders.send(Order::Core(command)).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
