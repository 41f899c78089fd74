//! The one loop: brings what happens to the state, and carries out what the state asks for. It decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ahoy_client::alert::{Alert, Tone};
use ahoy_client::{
    Client, Config, DeviceProblem, FrameSink, Levels, MediaDevices, Stamped, StartError, View, identity,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::app::hardware::Lister;
use crate::app::journal::Journal;
use crate::app::keeper::{Keeper, Writer};
use crate::app::pictures::WatchedPictures;
use crate::app::{Request, Shell, account, levels};
use crate::files;
use crate::options::Options;
use crate::state::{Effect, Input, Now, Sound, State, ToClient};
use crate::view::{AppView, Meters};

/// What threads and tasks of the app report and waits for the loop; full, they wait.
const INPUTS: usize = 64;
/// Without a deadline, the loop looks at the clock this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How loud it is at the ear while it rings there, and afterwards.
const TONE_VOLUME: f32 = 0.5;

/// What the window shows, and the meters.
type Shown = (watch::Receiver<Arc<AppView>>, watch::Receiver<Meters>);

pub(crate) struct Run {
    state: State,
    began: Instant,
    options: Options,
    shell: Arc<dyn Shell>,
    journal: Journal,
    keeper: Keeper,
    writer: Writer,
    lister: Lister,
    pictures: Arc<WatchedPictures>,
    devices: MediaDevices,
    levels: watch::Receiver<Levels>,
    problems: watch::Receiver<Vec<DeviceProblem>>,
    /// A client that reads its account; a keyring may take its time.
    starting: JoinSet<Result<Client, StartError>>,
    client: Option<Client>,
    client_view: Option<watch::Receiver<View>>,
    playing: Option<Alert>,
    /// Clients that sign out.
    farewells: JoinSet<()>,
    inputs: mpsc::Sender<Input>,
    input_queue: mpsc::Receiver<Input>,
    requests: mpsc::Receiver<Request>,
    view: watch::Sender<Arc<AppView>>,
    meters: watch::Sender<Meters>,
}

enum Step {
    Request(Option<Request>),
    Started(Result<Client, StartError>),
    Event(Option<Stamped>),
    View(View),
    Input(Input),
    Levels(Levels),
    Problems(Vec<DeviceProblem>),
    Tick,
}

impl Run {
    /// Reads the settings, so that the first view is the right one.
    pub(crate) fn new(
        options: Options,
        shell: Arc<dyn Shell>,
        pictures: Arc<dyn FrameSink>,
        journal: Journal,
        requests: mpsc::Receiver<Request>,
    ) -> std::io::Result<(Self, Shown)> {
        let (inputs, input_queue) = mpsc::channel(INPUTS);
        let failed = inputs.clone();
        // A full queue means that the person is told enough already.
        let (keeper, writer) = Keeper::start(move |error| drop(failed.try_send(Input::NotKept(error))))?;
        let began = Instant::now();
        let settings = files::read(&account::settings_path(&options.data_dir));
        let state = State::new(&options, settings, now_since(began));
        let pictures = Arc::new(WatchedPictures::new(pictures, inputs.clone()));
        let devices = MediaDevices::new(state.chosen_devices(), Arc::clone(&pictures) as Arc<dyn FrameSink>);
        let (view, view_reader) = watch::channel(Arc::new(state.view()));
        let (meters, meters_reader) = watch::channel(Meters::default());
        let run = Self {
            state,
            began,
            options,
            shell,
            journal,
            keeper,
            writer,
            lister: Lister::default(),
            pictures,
            levels: devices.levels(),
            problems: devices.problems(),
            devices,
            starting: JoinSet::new(),
            client: None,
            client_view: None,
            playing: None,
            farewells: JoinSet::new(),
            inputs,
            input_queue,
            requests,
            view,
            meters,
        };
        Ok((run, (view_reader, meters_reader)))
    }

    pub(crate) async fn until_quit(mut self) {
        self.handle(Input::Started).await;
        let asked = loop {
            match self.next_step().await {
                Step::Request(None) => break None,
                Step::Request(Some(Request::Quit(answer))) => break Some(answer),
                Step::Request(Some(Request::Command(command, answer))) => {
                    let done = self.state.command(self.now(), command);
                    self.carry_out_all().await;
                    // A page that was reloaded meanwhile does not wait for it.
                    let _ = answer.send(done);
                }
                Step::Request(Some(Request::Attach(answer))) => {
                    self.handle(Input::Attached).await;
                    let _ = answer.send(Arc::clone(&self.view.borrow()));
                }
                Step::Request(Some(Request::Visible(visible))) => self.handle(Input::Visible(visible)).await,
                Step::Started(started) => self.client_started(started).await,
                Step::Event(Some(stamped)) => {
                    self.journal.write(&stamped);
                    self.handle(Input::Event(stamped.event)).await;
                }
                Step::Event(None) => {
                    self.client = None;
                    self.handle(Input::ClientFailed("Ahoy's connection stopped by itself; sign in again".into())).await;
                }
                Step::View(view) => self.handle(Input::View(view)).await,
                Step::Input(input) => self.handle(input).await,
                Step::Levels(levels) => drop(self.meters.send_replace(levels::meters(levels))),
                Step::Problems(problems) => self.handle(Input::Problems(problems)).await,
                Step::Tick => self.handle(Input::Tick).await,
            }
        };
        self.handle(Input::Quitting).await;
        self.close(asked).await;
    }

    async fn next_step(&mut self) -> Step {
        let deadline = self.state.poll_timeout().and_then(|at| self.began.checked_add(at));
        let wake = deadline.unwrap_or_else(|| Instant::now() + LONGEST_SLEEP);
        tokio::select! {
            request = self.requests.recv() => Step::Request(request),
            Some(started) = self.starting.join_next() => Step::Started(started.unwrap_or(Err(StartError::Defect))),
            event = next_event(&mut self.client) => Step::Event(event),
            view = changed(self.client_view.as_mut()) => Step::View(view),
            Some(input) = self.input_queue.recv() => Step::Input(input),
            levels = changed(Some(&mut self.levels)) => Step::Levels(levels),
            problems = changed(Some(&mut self.problems)) => Step::Problems(problems),
            () = sleep_until(wake.into()) => Step::Tick,
        }
    }

    async fn handle(&mut self, input: Input) {
        self.state.handle(self.now(), input);
        self.carry_out_all().await;
    }

    async fn carry_out_all(&mut self) {
        while let Some(effect) = self.state.poll_effect() {
            if let Some(answer) = self.carry_out(effect).await {
                self.state.handle(self.now(), answer);
            }
        }
        let view = self.state.view();
        self.view.send_if_modified(|shown| {
            let changed = **shown != view;
            if changed {
                *shown = Arc::new(view);
            }
            changed
        });
    }

    /// Does one thing; what it led to at once is for the state to know before the next.
    async fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::ReadPeople(username) => self.read_people(username),
            Effect::WritePeople(username, people) => {
                let path = account::people_path(&self.options.data_dir, &username);
                self.keeper.write(path, files::to_text(&people));
            }
            Effect::WriteSettings => {
                let path = account::settings_path(&self.options.data_dir);
                self.keeper.write(path, files::to_text(self.state.settings()));
            }
            Effect::ReadPhrase(username) => {
                let (data_dir, keys) = (self.options.data_dir.clone(), self.options.keys);
                self.in_background(move || {
                    let read = identity::export(&data_dir, &username, keys);
                    Input::PhraseRead(username, read.map_err(|error| error.to_string()))
                });
            }
            Effect::RestoreKey(username, phrase) => {
                let (data_dir, keys) = (self.options.data_dir.clone(), self.options.keys);
                self.in_background(move || {
                    let kept = identity::restore(&data_dir, &username, &phrase.0, keys);
                    Input::KeyRestored(username, kept.map_err(|error| error.to_string()))
                });
            }
            Effect::StartClient { username, server, invite } => self.start_client(username, server, invite),
            Effect::StopClient => self.stop_client(),
            Effect::ChooseDevices(chosen) => self.devices.choose(chosen),
            Effect::SuppressNoise(on) => self.devices.set_noise_suppression(on),
            Effect::SetPreview(on) => self.devices.set_preview(on),
            Effect::ListHardware => self.lister.ask(self.inputs.clone()),
            Effect::WatchForPicture(view) => self.pictures.watch_for(view),
            Effect::Play(sound) => self.play(sound),
            Effect::Silence => self.playing = None,
            Effect::Alert(alerting) => self.shell.alert(alerting),
            Effect::Calm => self.shell.calm(),
            Effect::Tell(told) => return self.tell_client(told).await,
        }
        None
    }

    async fn tell_client(&self, told: ToClient) -> Option<Input> {
        let Some(client) = &self.client else {
            debug!("a command for a client that is gone");
            let is_dial = matches!(told, ToClient::Dial { .. });
            return is_dial.then(|| Input::Dialled(Err("nobody is signed in yet; try again".into())));
        };
        match told {
            ToClient::SetContacts(contacts) => client.set_contacts(contacts).await,
            ToClient::SetBlocked(blocked) => client.set_blocked(blocked).await,
            ToClient::Dial { to, video } => {
                let dialled = client.dial(to, video).await;
                return Some(Input::Dialled(dialled.map_err(|error| error.to_string())));
            }
            ToClient::Accept { call, video } => client.accept(call, video).await,
            ToClient::Decline(call) => client.decline(call).await,
            ToClient::HangUp(call) => client.hang_up(call).await,
            ToClient::CodeCompared { call, same } => client.code_compared(call, same).await,
            ToClient::TrustNewKey { username, key } => client.trust_new_key(username, key).await,
            ToClient::HideAddress(hide) => client.hide_address(hide).await,
            ToClient::SetSending { call, sending } => client.set_sending(call, sending).await,
        }
        None
    }

    fn read_people(&self, username: ahoy_client::Username) {
        let keeper = self.keeper.clone();
        let path = account::people_path(&self.options.data_dir, &username);
        self.in_background(move || {
            let read = keeper.read(&path);
            Input::PeopleRead(username, read)
        });
    }

    /// Does what waits for disks or a keyring; what comes of it is an input like any other.
    fn in_background(&self, work: impl FnOnce() -> Input + Send + 'static) {
        let inputs = self.inputs.clone();
        tokio::task::spawn_blocking(move || {
            // An app that is gone does not want to know.
            let _ = inputs.blocking_send(work());
        });
    }

    fn start_client(
        &mut self,
        username: ahoy_client::Username,
        server: ahoy_client::ServerUrl,
        invite: Option<String>,
    ) {
        self.stop_client();
        let (contacts, blocked) = (self.state.people().contacts(), self.state.people().blocked());
        let hide = self.state.settings().hide_address.into();
        let config = account::config(&self.options, self.devices.clone(), username, server, contacts, blocked, hide);
        self.starting.spawn(Client::start(Config { invite, ..config }));
    }

    async fn client_started(&mut self, started: Result<Client, StartError>) {
        let input = match started {
            Ok(client) => {
                // What changed while it read its account.
                client.set_contacts(self.state.people().contacts()).await;
                client.set_blocked(self.state.people().blocked()).await;
                client.hide_address(self.state.settings().hide_address.into()).await;
                let mut view = client.view();
                let first = view.borrow_and_update().clone();
                self.client_view = Some(view);
                self.client = Some(client);
                Input::View(first)
            }
            Err(error) => Input::ClientFailed(error.to_string()),
        };
        self.handle(input).await;
    }

    fn stop_client(&mut self) {
        // Dropped, it is signed in nowhere.
        self.starting = JoinSet::new();
        self.client_view = None;
        if let Some(client) = self.client.take() {
            while self.farewells.try_join_next().is_some() {}
            self.farewells.spawn(client.stop());
        }
    }

    fn play(&mut self, sound: Sound) {
        let (tone, volume) = match sound {
            Sound::Ring => (Tone::Ring, self.state.settings().view().ring_volume),
            Sound::Ringback => (Tone::Ringback, TONE_VOLUME),
            Sound::Ended => (Tone::Ended, TONE_VOLUME),
            Sound::Busy => (Tone::Busy, TONE_VOLUME),
            Sound::Test => (Tone::Test, TONE_VOLUME),
        };
        // The one before dies away first.
        self.playing = None;
        self.playing = Some(Alert::play(tone, self.state.chosen_devices().speaker, volume));
    }

    fn now(&self) -> Now {
        now_since(self.began)
    }

    /// Ends everything in order; whoever asked bounds the time.
    async fn close(mut self, asked: Option<oneshot::Sender<()>>) {
        self.playing = None;
        self.shell.calm();
        self.stop_client();
        while self.farewells.join_next().await.is_some() {}
        let Self { keeper, writer, journal, devices, pictures, .. } = self;
        let closed = tokio::task::spawn_blocking(move || {
            keeper.finish(writer);
            drop((devices, pictures));
            journal.finish();
        });
        if closed.await.is_err() {
            warn!("closing files and devices panicked");
        }
        if let Some(asked) = asked {
            // Nobody waits any more, if it took too long.
            let _ = asked.send(());
        }
    }
}

fn now_since(began: Instant) -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { elapsed: began.elapsed(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}

async fn next_event(client: &mut Option<Client>) -> Option<Stamped> {
    match client {
        Some(client) => client.next_event().await,
        None => std::future::pending().await,
    }
}

/// The next value; never, where there is nothing to wait for.
async fn changed<T: Clone>(watched: Option<&mut watch::Receiver<T>>) -> T {
    if let Some(watched) = watched
        && watched.changed().await.is_ok()
    {
        return watched.borrow_and_update().clone();
    }
    std::future::pending().await
}
