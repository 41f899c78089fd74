//! One run of `call`, `answer` or `echo`: what the command does at each event, and how it went.

use std::time::Duration;

use ahoy_client::{CallId, Client, Event, MediaDevices, PublicKey, Sending, StartError, Username};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::args::{Cli, Command};
use crate::commands::{self, LiveCommand};
use crate::report::Report;

/// How long the server may take to let this peer in, tries included.
const SIGN_IN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a call that was ended here may take to be over.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// How a run went; `main` turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked.
    Done,
    /// A call connected and then failed.
    BrokenOff,
    /// Wrong usage that the grammar alone cannot see.
    Usage,
    /// The server did not let this peer in.
    NotSignedIn,
    /// No call came about.
    NoCall,
}

/// Runs the command.
///
/// # Errors
/// What the machine did not allow: files, threads, standard output.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let events = cli.options.events.clone();
    let reads_commands = cli.options.commands;
    let trusted = cli.options.trusted.clone();
    let plan = match Plan::of(cli.command) {
        Some(plan) => plan,
        None => return Ok(Outcome::Done),
    };
    let config = match cli.options.into_config(plan.echo) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("ahoy-cli: {error:#}");
            return Ok(Outcome::Usage);
        }
    };
    if let Err(why) = ahoy_client::devices::check_camera(&config.media) {
        eprintln!("ahoy-cli: {why}");
        return Ok(Outcome::Usage);
    }
    let devices = config.media.devices.clone();
    let mut report = Report::open(events.as_deref())?;
    let mut client = match Client::start(config).await {
        Ok(client) => client,
        Err(StartError::Media(why)) => {
            eprintln!("ahoy-cli: {why}");
            return Ok(Outcome::Usage);
        }
        Err(
            error @ (StartError::Storage(_) | StartError::Random(_) | StartError::Certificate(_) | StartError::Defect),
        ) => return Err(error.into()),
    };
    let commands = if reads_commands { Some(commands::read()?) } else { None };
    let sending = Sending { audio: true, video: plan.video, screen: false };
    let mut run = Run {
        plan,
        phase: Phase::SigningIn,
        sending,
        devices,
        commands,
        stopping: false,
        last_link_error: None,
        trusted,
        tells_code: events.is_none(),
    };
    let outcome = run.until_over(&mut client, &mut report).await;
    client.stop().await;
    outcome
}

/// What the command line asks for.
struct Plan {
    dial: Option<Username>,
    video: bool,
    hang_up_after: Option<Duration>,
    calls_left: Option<u32>,
    decline: bool,
    delay: Duration,
    echo: bool,
}

impl Plan {
    fn of(command: Command) -> Option<Self> {
        let answer = Self {
            dial: None,
            video: true,
            hang_up_after: None,
            calls_left: None,
            decline: false,
            delay: Duration::ZERO,
            echo: false,
        };
        match command {
            Command::Call { name, seconds, audio_only } => Some(Self {
                dial: Some(name),
                video: !audio_only,
                hang_up_after: seconds,
                calls_left: Some(1),
                ..answer
            }),
            Command::Answer { seconds, calls, decline, audio_only, delay_ms } => Some(Self {
                video: !audio_only,
                hang_up_after: seconds,
                calls_left: Some(calls),
                decline,
                delay: Duration::from_millis(delay_ms),
                ..answer
            }),
            Command::Echo => Some(Self { echo: true, ..answer }),
            Command::Devices { .. } | Command::Identity { .. } => None,
        }
    }
}

/// Where the run stands. Each phase with a deadline says what happens then.
enum Phase {
    SigningIn,
    Idle,
    /// It rings here; answer it at that time.
    Ringing {
        call: CallId,
        video: bool,
        answer_at: Instant,
    },
    /// Dialling or connecting.
    Calling {
        call: CallId,
    },
    /// The call goes on; hang up at that time, if ever.
    Connected {
        call: CallId,
        hang_up_at: Option<Instant>,
    },
}

struct Run {
    plan: Plan,
    phase: Phase,
    /// What this side sends, as the last command left it.
    sending: Sending,
    devices: MediaDevices,
    commands: Option<mpsc::Receiver<LiveCommand>>,
    stopping: bool,
    last_link_error: Option<String>,
    /// The new keys that the user takes for somebody's.
    trusted: Vec<(Username, PublicKey)>,
    /// Whether a person is told the code: a program has the event.
    tells_code: bool,
}

enum Step {
    Event(Option<ahoy_client::Stamped>),
    Command(Option<LiveCommand>),
    Deadline,
    Stop,
}

impl Run {
    async fn until_over(&mut self, client: &mut Client, report: &mut Report) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let mut stop_deadline = None;
        // One listener for the whole run: a signal between two waits is not lost.
        let mut stop = tokio::spawn(stop_signal());
        loop {
            let deadline = stop_deadline.or_else(|| self.deadline(started));
            let in_call = self.call().is_some();
            let step = tokio::select! {
                event = client.next_event() => Step::Event(event),
                // Those that come before the call is there wait for it.
                command = next_command(&mut self.commands), if in_call => Step::Command(command),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Step::Deadline,
                _ = &mut stop, if !self.stopping => Step::Stop,
            };
            let over = match step {
                Step::Event(Some(stamped)) => {
                    report.write(&stamped)?;
                    self.handle_event(client, stamped.event).await?
                }
                Step::Command(Some(command)) => {
                    self.handle_command(client, command).await;
                    None
                }
                Step::Command(None) => {
                    self.commands = None;
                    None
                }
                Step::Event(None) => anyhow::bail!("the client stopped by itself"),
                Step::Deadline if self.stopping => {
                    eprintln!("ahoy-cli: stopped before the call was over");
                    Some(Outcome::BrokenOff)
                }
                Step::Deadline => self.handle_deadline(client).await,
                Step::Stop => {
                    self.stopping = true;
                    stop_deadline = Some(Instant::now() + END_DEADLINE);
                    self.handle_stop(client).await
                }
            };
            if let Some(outcome) = over {
                return Ok(outcome);
            }
        }
    }

    /// The call that commands are about: from ringing on.
    fn call(&self) -> Option<CallId> {
        match self.phase {
            Phase::SigningIn | Phase::Idle => None,
            Phase::Ringing { call, .. } | Phase::Calling { call } | Phase::Connected { call, .. } => Some(call),
        }
    }

    fn deadline(&self, started: Instant) -> Option<Instant> {
        match &self.phase {
            Phase::SigningIn => Some(started + SIGN_IN_DEADLINE),
            Phase::Idle => None,
            Phase::Ringing { answer_at, .. } => Some(*answer_at),
            Phase::Calling { .. } => None,
            Phase::Connected { hang_up_at, .. } => *hang_up_at,
        }
    }

    async fn handle_command(&mut self, client: &Client, command: LiveCommand) {
        let Some(call) = self.call() else { return };
        match command {
            LiveCommand::Mute => self.sending.audio = false,
            LiveCommand::Unmute => self.sending.audio = true,
            LiveCommand::CameraOff => self.sending.video = false,
            LiveCommand::CameraOn => self.sending.video = true,
            LiveCommand::Use(device) => return self.devices.choose(device.among(self.devices.chosen())),
            LiveCommand::NoiseSuppression(on) => return self.devices.set_noise_suppression(on),
            LiveCommand::CodeCompared { same } => return client.code_compared(call, same).await,
            LiveCommand::HangUp if matches!(self.phase, Phase::Ringing { .. }) => return client.decline(call).await,
            LiveCommand::HangUp => return client.hang_up(call).await,
            #[cfg(debug_assertions)]
            LiveCommand::Panic(part) => return ahoy_client::panic_in(part),
        }
        client.set_sending(call, self.sending).await;
    }

    async fn handle_deadline(&mut self, client: &Client) -> Option<Outcome> {
        match self.phase {
            Phase::SigningIn => {
                let why = self.last_link_error.take().unwrap_or_else(|| "the server does not answer".into());
                eprintln!("ahoy-cli: could not sign in: {why}");
                return Some(Outcome::NotSignedIn);
            }
            Phase::Idle => {}
            Phase::Ringing { call, .. } if self.plan.decline => {
                self.phase = Phase::Calling { call };
                client.decline(call).await;
            }
            Phase::Ringing { call, video, .. } => {
                self.phase = Phase::Calling { call };
                self.sending.video &= video;
                client.accept(call, self.sending.video).await;
                client.set_sending(call, self.sending).await;
            }
            Phase::Calling { .. } => {}
            Phase::Connected { call, .. } => {
                self.phase = Phase::Connected { call, hang_up_at: None };
                client.hang_up(call).await;
            }
        }
        None
    }

    async fn handle_stop(&mut self, client: &Client) -> Option<Outcome> {
        match self.phase {
            Phase::SigningIn => Some(Outcome::NotSignedIn),
            Phase::Idle if self.plan.echo => Some(Outcome::Done),
            Phase::Idle => Some(Outcome::NoCall),
            Phase::Ringing { call, .. } => {
                client.decline(call).await;
                None
            }
            Phase::Calling { call } | Phase::Connected { call, .. } => {
                client.hang_up(call).await;
                None
            }
        }
    }

    async fn handle_event(&mut self, client: &Client, event: Event) -> anyhow::Result<Option<Outcome>> {
        Ok(match event {
            Event::SignedIn { .. } => {
                if let Phase::SigningIn = self.phase {
                    self.phase = Phase::Idle;
                    if let Some(name) = self.plan.dial.clone() {
                        let call = client.dial(name, self.plan.video).await?;
                        self.phase = Phase::Calling { call };
                    }
                }
                None
            }
            Event::SignInFailed { message } => {
                eprintln!("ahoy-cli: could not sign in: {message}");
                // A connected call needs no server; this is the last of it.
                let in_call = matches!(self.phase, Phase::Connected { .. });
                self.plan.calls_left = in_call.then_some(1);
                (!in_call).then_some(Outcome::NotSignedIn)
            }
            Event::LinkLost { message } => {
                if self.last_link_error.as_ref() != Some(&message) {
                    eprintln!("ahoy-cli: {message}; trying again");
                }
                self.last_link_error = Some(message);
                None
            }
            Event::Incoming { call, video, .. } => {
                // While it dials, a caller's own call comes first: the rules of the call settle both.
                if self.plan.dial.is_none() {
                    self.phase = Phase::Ringing { call, video, answer_at: Instant::now() + self.plan.delay };
                    self.sending = Sending { audio: true, video: self.plan.video, screen: false };
                }
                None
            }
            Event::GaveWay { to, .. } => {
                // Both dialled at once: this run's call is now the other one.
                self.phase = Phase::Calling { call: to };
                None
            }
            Event::Connected { call, .. } => {
                // It comes again after a lost path; the time goes on from the first.
                if !matches!(self.phase, Phase::Connected { .. }) {
                    let hang_up_at = self.plan.hang_up_after.map(|after| Instant::now() + after);
                    self.phase = Phase::Connected { call, hang_up_at };
                }
                None
            }
            Event::MediaFailed { message, .. } | Event::DeviceChanged { message, .. } => {
                eprintln!("ahoy-cli: {message}");
                None
            }
            Event::Ended { call, reason, message, connected, .. } => {
                self.handle_ended(call, reason, &message, connected)
            }
            Event::Missed { from, .. } => {
                eprintln!("ahoy-cli: {from} called while this device was away");
                None
            }
            Event::MissedWhileAway { calls } => {
                for call in calls {
                    eprintln!("ahoy-cli: {} called while you were away, {} times in all", call.from, call.count);
                }
                None
            }
            Event::Refused { from, message, .. } => {
                eprintln!("ahoy-cli: a call from {from} was refused: {message}");
                None
            }
            Event::Code { code, verified, .. } if self.tells_code => {
                let known = if verified { ", compared in an earlier call" } else { "" };
                eprintln!(
                    "ahoy-cli: both sides see the code {code}{known}; another one there means that somebody listens"
                );
                None
            }
            Event::KeyChanged { username, shown, .. } => {
                if self.trusted.contains(&(username.clone(), shown)) {
                    client.trust_new_key(username.clone(), shown).await;
                    eprintln!("ahoy-cli: {username} is known by the new key from now on; call again");
                } else {
                    eprintln!(
                        "ahoy-cli: {username} shows another key than the one you know. Ask them in another way; if it is \
                         theirs, run this again with --trust-key {username}={shown}"
                    );
                }
                None
            }
            Event::Presence { .. }
            | Event::PathLost { .. }
            | Event::Dialling { .. }
            | Event::Ringing { .. }
            | Event::Accepted { .. }
            | Event::FirstFrame { .. }
            | Event::RemoteSending { .. }
            | Event::Stats(_)
            | Event::FrameCaptured { .. }
            | Event::FrameShown { .. }
            | Event::Code { .. } => None,
        })
    }

    fn handle_ended(&mut self, call: CallId, reason: &str, message: &str, connected: bool) -> Option<Outcome> {
        match self.phase {
            Phase::Ringing { call: own, .. } | Phase::Calling { call: own } | Phase::Connected { call: own, .. }
                if own == call =>
            {
                self.phase = Phase::Idle
            }
            // Another call that ended while this one goes on: one that came in while busy, or gave way to the other's.
            Phase::Ringing { .. }
            | Phase::Calling { .. }
            | Phase::Connected { .. }
            | Phase::SigningIn
            | Phase::Idle => return None,
        }
        let outcome = match reason {
            "hangup" if connected => Outcome::Done,
            _ if connected => Outcome::BrokenOff,
            "declined" if self.plan.decline => Outcome::Done,
            _ => Outcome::NoCall,
        };
        if outcome != Outcome::Done {
            eprintln!("ahoy-cli: {message}");
        }
        if let Some(left) = &mut self.plan.calls_left {
            *left = left.saturating_sub(1);
        }
        let over = self.stopping || self.plan.calls_left == Some(0);
        over.then_some(if self.plan.echo { Outcome::Done } else { outcome })
    }
}

/// The next command; never where none are read.
async fn next_command(commands: &mut Option<mpsc::Receiver<LiveCommand>>) -> Option<LiveCommand> {
    match commands {
        Some(commands) => commands.recv().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the user or the system asks the program to stop.
async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
