//! What a client is started with for an account of this app.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ahoy_client::{Account, Config, HideAddress, MediaConfig, MediaDevices, ServerUrl, SinkSpec, Username};

use crate::options::Options;

/// The client's configuration.
pub(crate) fn config(
    options: &Options,
    devices: MediaDevices,
    username: Username,
    server: ServerUrl,
    contacts: BTreeSet<Username>,
    blocked: BTreeSet<Username>,
    hide_address: HideAddress,
) -> Config {
    Config {
        server,
        account: Account::Keyed(username),
        invite: None,
        data_dir: options.data_dir.clone(),
        keys: options.keys,
        contacts: contacts.into_iter().collect(),
        blocked: blocked.into_iter().collect(),
        ice_servers: Vec::new(),
        hide_address,
        loopback: options.loopback,
        media: MediaConfig {
            devices,
            display: SinkSpec::None,
            video_codecs: ahoy_client::video_codecs(),
            echo: false,
            frame_events: options.events.is_some(),
        },
        timers: options.timers,
        device: options.device.clone(),
        name: None,
    }
}

/// Where the people of an account are kept: beside its keys.
pub(crate) fn people_path(data_dir: &Path, username: &Username) -> PathBuf {
    data_dir.join(username.as_str()).join("people.json")
}

/// Where the settings are kept.
pub(crate) fn settings_path(data_dir: &Path) -> PathBuf {
    data_dir.join("settings.json")
}
