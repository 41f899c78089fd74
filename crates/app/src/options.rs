//! What a program says when it starts the app: where its files are, and what overrides them for this run.

use std::path::PathBuf;

use ahoy_client::{KeyPlace, SinkSpec, SourceSpec, Timers};

/// How this run differs from what is remembered.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of keys, settings and people. Each profile has its own.
    pub data_dir: PathBuf,
    /// Where keys are kept.
    pub keys: KeyPlace,
    /// The server, as typed.
    pub server: Option<String>,
    /// Who signs in, as typed.
    pub user: Option<String>,
    /// What this machine is called; contacts are told when it rings here.
    pub device: Option<String>,
    /// Devices in place of the chosen ones.
    pub devices: Overrides,
    /// Use 127.0.0.1, for machines without a network.
    pub loopback: bool,
    /// Write what happens as JSON lines, also each picture; `-` is standard output.
    pub events: Option<PathBuf>,
    /// How patient the rules of a call are.
    pub timers: Timers,
}

/// Devices in place of the chosen ones, until somebody chooses others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The camera.
    pub camera: Option<SourceSpec>,
    /// The microphone.
    pub microphone: Option<SourceSpec>,
    /// The speaker.
    pub speaker: Option<SinkSpec>,
}

impl Options {
    /// Nothing is overridden.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            keys: KeyPlace::File,
            server: None,
            user: None,
            device: None,
            devices: Overrides::default(),
            loopback: false,
            events: None,
            timers: Timers::default(),
        }
    }
}
