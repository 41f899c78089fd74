//! The command line: what it may say, not what is done about it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use ahoy_app::frames::FramesOptions;
use ahoy_app::{KeyPlace, Options, Overrides};
use clap::{Parser, ValueEnum};

/// Call a person by name.
#[derive(Debug, Clone, Parser)]
#[command(name = "ahoy", version)]
pub(crate) struct Arguments {
    /// Keeps several people apart on one machine: each profile has its own keys, people and settings.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROFILE, value_parser = profile)]
    pub(crate) profile: String,
    /// Keep keys, people and settings here instead of in the system's place for such data.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Whether keys are in the system's keyring, where there is one, or in files beside people and settings [default: on, with
    /// --data-dir and for another profile than "default" off]. A key in a file moves there; one that is in the keyring stays.
    #[arg(long, value_enum, value_name = "on|off")]
    pub(crate) keyring: Option<Switch>,
    /// Sign in at this server.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Sign in by this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Where pictures come from: a camera's id or "default", file:PATH (.y4m), pattern or none.
    #[arg(long, value_name = "SRC")]
    pub(crate) camera: Option<String>,
    /// Where sound comes from: a microphone's id or "default", file:PATH (.wav), tone or none.
    #[arg(long, value_name = "SRC")]
    pub(crate) microphone: Option<String>,
    /// Where sound goes: a speaker's id or "default", file:PATH (.wav) or none.
    #[arg(long, value_name = "SINK")]
    pub(crate) speaker: Option<String>,
    /// Use 127.0.0.1, for two people on a machine without a network.
    #[arg(long)]
    pub(crate) loopback: bool,
    /// Write what happens as JSON lines to a file, or to standard output with '-'.
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// How pictures get into the window: auto, rgba, i420 or encoded, with ",channel" to do without a socket. For measuring.
    #[arg(long, value_name = "FORM", default_value = "auto", hide = true)]
    pub(crate) frames: FramesOptions,
    /// Start without showing the window; calls ring all the same.
    #[arg(long)]
    pub(crate) hidden: bool,
}

impl Arguments {
    /// What the app is told, with its files in `data_dir`.
    pub(crate) fn options(&self, data_dir: PathBuf) -> Options {
        Options {
            keys: self.key_place(),
            server: self.server.clone(),
            user: self.user.clone(),
            device: device_name(),
            devices: Overrides {
                camera: self.camera.as_deref().map(device),
                microphone: self.microphone.as_deref().map(device),
                speaker: self.speaker.as_deref().map(device),
            },
            loopback: self.loopback,
            events: self.events.clone(),
            ..Options::new(data_dir)
        }
    }

    /// A folder of one's own and a second profile stand for themselves: nothing of them goes elsewhere unless that is asked for.
    fn key_place(&self) -> KeyPlace {
        match self.keyring {
            Some(Switch::On) => KeyPlace::Keyring,
            None if self.data_dir.is_none() && self.profile == DEFAULT_PROFILE => KeyPlace::Keyring,
            Some(Switch::Off) | None => KeyPlace::File,
        }
    }
}

/// Something that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// The profile of somebody who needs no second one.
const DEFAULT_PROFILE: &str = "default";

/// Every text names a device, if only one that is not there.
fn device<T: FromStr<Err = Infallible>>(text: &str) -> T {
    match text.parse() {
        Ok(device) => device,
        Err(never) => match never {},
    }
}

/// What this machine is called.
fn device_name() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok()?;
    (!name.trim().is_empty()).then(|| name.trim().to_owned())
}

/// A profile is a folder's name and part of a name on the session's bus.
fn profile(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_');
    if fits { Ok(text.to_owned()) } else { Err("a profile's name is 1 to 32 of a-z, 0-9, '-' and '_'".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_would_leave_its_folder_is_refused() {
        for name in ["default", "bob-2", "a_b", "0"] {
            assert!(Arguments::try_parse_from(["ahoy", "--profile", name]).is_ok(), "{name}");
        }
        for name in ["", "..", "a/b", "a.b", "Bob", "ä", &"a".repeat(33)] {
            assert!(Arguments::try_parse_from(["ahoy", "--profile", name]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_keyring_is_only_touched_for_the_default_profile_or_when_it_is_asked_for() {
        let place = |words: &[&str]| Arguments::try_parse_from([&["ahoy"], words].concat()).unwrap().key_place();
        assert_eq!(place(&[]), KeyPlace::Keyring);
        assert_eq!(place(&["--keyring", "off"]), KeyPlace::File);
        assert_eq!(place(&["--profile", "bob"]), KeyPlace::File);
        assert_eq!(place(&["--data-dir", "/tmp/x"]), KeyPlace::File);
        assert_eq!(place(&["--profile", "bob", "--keyring", "on"]), KeyPlace::Keyring);
    }

    #[test]
    fn nothing_has_to_be_said() {
        let said_nothing = Arguments::try_parse_from(["ahoy"]).unwrap();
        assert_eq!(said_nothing.profile, "default");
        assert!(!said_nothing.hidden && !said_nothing.loopback && said_nothing.user.is_none());
    }
}
