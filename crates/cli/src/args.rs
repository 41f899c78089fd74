//! The command line: its grammar, and what it means as a client's configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ahoy_client::{
    Account, ChosenDevices, Config, HideAddress, IceServer, KeyPlace, MediaConfig, MediaDevices, PublicKey, ServerUrl,
    Shown, SinkSpec, SourceSpec, Timers, Username, VideoCodec,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::screen::Screen;

/// Calls a person by name from the command line, with picture and sound from and to devices or files.
///
/// Exit code 0: a call connected and ended by a hang-up or after --seconds (or `answer --decline` declined);
/// 1: anything else went wrong; 2: wrong usage; 3: could not sign in; 4: the call did not come about.
#[derive(Debug, Parser)]
#[command(name = "ahoy-cli", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The longest time that can be asked for; a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The signaling server.
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:4280/ws")]
    server: ServerUrl,
    /// Who you are: 1 to 32 of a-z, 0-9, '.', '_' and '-'.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where your key and the keys of others are kept [default: ahoy in the system's data folder].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Whether your key is in the system's keyring, where there is one, or in a file of the data folder [default: on, with
    /// --data-dir off]. A key in a file moves there; one that is in the keyring stays.
    #[arg(long, value_enum, value_name = "on|off")]
    keyring: Option<Switch>,
    /// Sign in without a key, under a name that begins with guest-.
    #[arg(long)]
    guest: bool,
    /// Somebody you know: calls from them connect at once. Repeatable.
    #[arg(long = "contact", value_name = "NAME", value_parser = typed_username)]
    contacts: Vec<Username>,
    /// The code of an invitation, for a new name on a server that takes new names by invitation only.
    #[arg(long, value_name = "CODE")]
    invite: Option<String>,
    /// Know somebody by another key from now on, if they show it in this run. The key is told when it is refused. Repeatable.
    #[arg(long = "trust-key", value_name = "NAME=KEY", value_parser = trusted_key)]
    pub(crate) trusted: Vec<(Username, PublicKey)>,
    /// Somebody you want to hear nothing of: their calls do not ring here, and nothing tells them so. Repeatable.
    #[arg(long = "block", value_name = "NAME", value_parser = typed_username)]
    blocked: Vec<Username>,
    /// A STUN or TURN server beside the ones that the signaling server names: stun:HOST,
    /// turn:USER:PASSWORD@HOST (with ?transport=tcp at its end over TCP), turns:USER:PASSWORD@HOST over TLS. Repeatable.
    #[arg(long = "ice-server", value_name = "URL", value_parser = ice_server)]
    ice_servers: Vec<IceServer>,
    /// Send media through a TURN server only, so that the other side does not see your address.
    #[arg(long)]
    relay_only: bool,
    /// Use 127.0.0.1, for two peers on a machine without a network.
    #[arg(long)]
    loopback: bool,
    /// The video codec to send, where the other side takes it; else the other one.
    #[arg(long, value_enum, default_value = "h264")]
    codec: Codec,
    /// Where pictures come from: a camera's id or name (see `devices`), "default", file:PATH (.y4m), pattern or none.
    #[arg(long, value_name = "SRC", default_value = "pattern", value_parser = source)]
    camera: SourceSpec,
    /// Where sound comes from: a microphone's id or name (see `devices`), "default", file:PATH (.wav), tone or none.
    #[arg(long, value_name = "SRC", default_value = "tone", value_parser = source)]
    microphone: SourceSpec,
    /// Whether steady noise is taken out of what a microphone hears. What a file brings stays as it is.
    #[arg(long, value_enum, value_name = "on|off", default_value = "on")]
    noise_suppression: Switch,
    /// Where sound goes: a speaker's id or name (see `devices`), "default", file:PATH (.wav) or none.
    #[arg(long, value_name = "SINK", default_value = "none", value_parser = sink)]
    speaker: SinkSpec,
    /// Where pictures go: file:PATH (.y4m) or none.
    #[arg(long, value_name = "SINK", default_value = "none", value_parser = sink)]
    display: SinkSpec,
    /// Tell the other side that its picture is shown in a place of so many pixels, so that it need not send a larger one; 0x0:
    /// that nobody sees it. Without this it sends the largest that the network carries.
    #[arg(long, value_name = "WxH", value_parser = size)]
    shown: Option<Shown>,
    /// Write what happens as JSON lines to a file, or to standard output with '-'.
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// Report each captured and shown picture too.
    #[arg(long, requires = "events")]
    frame_events: bool,
    /// Read commands for a call from standard input, one a line: mute, unmute, camera-off, camera-on, use-camera SRC,
    /// use-microphone SRC, use-speaker SINK, noise-suppression on|off, codes-match, codes-differ, hang-up.
    #[arg(long)]
    pub(crate) commands: bool,
    /// How long this device rings, in milliseconds.
    #[arg(long, value_name = "MS", hide = true)]
    ring_timeout_ms: Option<u64>,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", hide = true)]
    dial_timeout_ms: Option<u64>,
}

/// Video codecs by the names of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    /// H.264 constrained baseline.
    H264,
    /// VP8.
    Vp8,
}

/// Something that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call somebody by name.
    Call {
        /// Whom.
        #[arg(value_parser = typed_username)]
        name: Username,
        /// Hang up this long after the call connected.
        #[arg(long, value_name = "N", value_parser = seconds)]
        seconds: Option<Duration>,
        /// Without pictures from here.
        #[arg(long)]
        audio_only: bool,
    },
    /// Wait for calls and accept them.
    Answer {
        /// Hang up this long after a call connected.
        #[arg(long, value_name = "N", value_parser = seconds)]
        seconds: Option<Duration>,
        /// Stop after so many calls.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        calls: u32,
        /// Say no instead.
        #[arg(long)]
        decline: bool,
        /// Without pictures from here.
        #[arg(long)]
        audio_only: bool,
        /// Let it ring this long first.
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=LONGEST.as_millis() as u64))]
        delay_ms: u64,
    },
    /// Accept every call and send back what comes in, until stopped.
    Echo,
    /// Your key as 24 words for paper, and back.
    Identity {
        /// Which way.
        #[command(subcommand)]
        what: IdentityCommand,
    },
    /// List what --camera, --microphone, --speaker and --display take on this machine.
    Devices {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What can be done with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Write the recovery phrase of --user to standard output. Whoever reads it has the name.
    Export,
    /// Read a recovery phrase from standard input, and keep its key for --user. Another key that is there stays.
    Restore,
}

/// Whose key, and where it is.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) username: Username,
    pub(crate) data_dir: PathBuf,
    pub(crate) place: KeyPlace,
}

impl Options {
    /// Whose key is meant, and where it is.
    ///
    /// # Errors
    /// Without a name, or for a guest, who has no key.
    pub(crate) fn key(&self) -> anyhow::Result<Key> {
        anyhow::ensure!(!self.guest, "a guest has no key; leave --guest out");
        let account = Account::from_typed(self.user.as_deref(), false)?;
        Ok(Key { username: account.username().clone(), data_dir: self.data_dir()?, place: self.key_place() })
    }

    fn data_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(match &self.data_dir {
            Some(dir) => dir.clone(),
            None => ahoy_client::default_data_dir()?,
        })
    }

    /// A folder of one's own stands for itself: nothing of it goes elsewhere unless that is asked for.
    fn key_place(&self) -> KeyPlace {
        match (self.keyring, &self.data_dir) {
            (Some(Switch::On), _) | (None, None) => KeyPlace::Keyring,
            (Some(Switch::Off), _) | (None, Some(_)) => KeyPlace::File,
        }
    }

    /// The client's configuration.
    ///
    /// # Errors
    /// What cannot be done as asked, in words.
    pub(crate) fn into_config(self, echo: bool) -> anyhow::Result<Config> {
        let (data_dir, keys) = (self.data_dir()?, self.key_place());
        let preferred = match self.codec {
            Codec::H264 => VideoCodec::H264,
            Codec::Vp8 => VideoCodec::Vp8,
        };
        let mut video_codecs = ahoy_client::video_codecs();
        anyhow::ensure!(video_codecs.contains(&preferred), "this build has no VP8; use --codec h264");
        video_codecs.sort_by_key(|codec| *codec != preferred);
        let mut timers = Timers::default();
        if let Some(ms) = self.ring_timeout_ms {
            timers.ring = Duration::from_millis(ms);
        }
        if let Some(ms) = self.dial_timeout_ms {
            timers.dial = Duration::from_millis(ms);
        }
        let chosen = ChosenDevices { camera: self.camera, microphone: self.microphone, speaker: self.speaker };
        let devices = MediaDevices::new(chosen, Arc::new(Screen::new(self.shown)));
        devices.set_noise_suppression(self.noise_suppression == Switch::On);
        Ok(Config {
            account: Account::from_typed(self.user.as_deref(), self.guest)?,
            invite: self.invite,
            data_dir,
            keys,
            server: self.server,
            contacts: self.contacts,
            blocked: self.blocked,
            ice_servers: self.ice_servers,
            hide_address: if self.relay_only { HideAddress::Always } else { HideAddress::Never },
            loopback: self.loopback,
            media: MediaConfig { devices, display: self.display, video_codecs, echo, frame_events: self.frame_events },
            timers,
            device: Some("ahoy-cli".into()),
            name: None,
        })
    }
}

fn typed_username(text: &str) -> Result<Username, String> {
    Username::from_typed(text).map_err(|e| e.to_string())
}

fn trusted_key(text: &str) -> Result<(Username, PublicKey), String> {
    let form = "a name and a key look like bob=KEY, where KEY is told when it is refused";
    let (name, key) = text.split_once('=').ok_or(form)?;
    Ok((typed_username(name)?, key.parse().map_err(|_| form)?))
}

fn ice_server(text: &str) -> Result<IceServer, String> {
    let form = "a STUN or TURN server looks like stun:HOST:3478, turn:USER:PASSWORD@HOST:3478, the same with \
                ?transport=tcp, or turns:USER:PASSWORD@HOST:5349";
    let (scheme, rest) = text.split_once(':').ok_or(form)?;
    let (username, credential, host) = match (scheme, rest.rsplit_once('@')) {
        ("stun", None) => ("", "", rest),
        ("turn" | "turns", Some((login, host))) => {
            let (username, credential) = login.split_once(':').ok_or(form)?;
            (username, credential, host)
        }
        _ => return Err(form.into()),
    };
    if host.is_empty() {
        return Err(form.into());
    }
    Ok(IceServer { urls: vec![format!("{scheme}:{host}")], username: username.into(), credential: credential.into() })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is not a number of seconds");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number).ok().filter(|time| *time <= LONGEST).ok_or_else(wrong)
}

fn size(text: &str) -> Result<Shown, String> {
    let size = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let (width, height) = size.ok_or_else(|| format!("{text} is no size; one looks like 640x480"))?;
    Ok(Shown { width, height })
}

fn source(text: &str) -> Result<SourceSpec, String> {
    text.parse().map_err(|never: std::convert::Infallible| never.to_string())
}

fn sink(text: &str) -> Result<SinkSpec, String> {
    text.parse().map_err(|never: std::convert::Infallible| never.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("ahoy-cli").chain(line.split_whitespace()))
    }

    #[test]
    fn the_grammar_is_the_documented_one() {
        for good in [
            "--server ws://127.0.0.1:1/ws --user alice --data-dir /tmp/x --contact bob --contact carol call bob --seconds 5 --audio-only",
            "--guest --ice-server stun:127.0.0.1:3478 --relay-only --loopback --codec h264 answer --calls 2 --delay-ms 10",
            "--user bob --camera file:a.y4m --microphone tone --speaker file:b.wav --display none --events - --frame-events echo",
            "--user bob --commands answer",
            "--user bob --invite q3ZK answer",
            "--user bob --shown 640x480 answer",
            "--user bob --noise-suppression off answer",
            "--user bob --trust-key carol=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA answer",
            "devices --json",
            "--user bob --data-dir /tmp/x identity export",
            "--user bob identity restore",
            "--user bob --data-dir /tmp/x --keyring on answer",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
        }
        for bad in [
            "",
            "call",
            "identity",
            "call Bob!",
            "answer --calls 0",
            "--codec h265 echo",
            "--noise-suppression perhaps echo",
            "--keyring perhaps echo",
            "--server http://x echo",
            "call bob --seconds -1",
            "call bob --seconds 1e19",
            "answer --delay-ms 18446744073709551615",
            "--frame-events echo",
            "--shown 640 echo",
            "--trust-key carol=AAAA echo",
            "--trust-key carol echo",
            "--shown 640x-1 echo",
            "--shown 65536x1 echo",
        ] {
            assert_eq!(parse(bad).err().map(|e| e.exit_code()), Some(2), "{bad}");
        }
    }

    #[test]
    fn a_turn_servers_login_is_part_of_its_url() {
        let turn = ice_server("turn:alice:se:cret@127.0.0.1:3478?transport=udp").unwrap();
        assert_eq!(turn.urls, ["turn:127.0.0.1:3478?transport=udp"]);
        assert_eq!((turn.username.as_str(), turn.credential.as_str()), ("alice", "se:cret"));
        let turns = ice_server("turns:alice:secret@turn.example.org:443").unwrap();
        assert_eq!(turns.urls, ["turns:turn.example.org:443"]);
        let over_tcp = ice_server("turn:alice:secret@[::1]?transport=tcp").unwrap();
        assert_eq!(over_tcp.urls, ["turn:[::1]?transport=tcp"]);
        for bad in ["", "stun", "stun:", "turn:host", "turn:user@host", "turns:host", "turns:a:b@", "http:host"] {
            assert!(ice_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_needed_and_that_is_said() {
        let config = parse("echo").unwrap().options.into_config(true);
        assert!(config.unwrap_err().to_string().contains("--user"));
    }

    #[test]
    fn the_codec_asked_for_comes_first_and_the_others_stay() {
        for (name, codec) in [("h264", VideoCodec::H264), ("vp8", VideoCodec::Vp8)] {
            let config = parse(&format!("--user alice --codec {name} echo")).unwrap().options.into_config(true);
            if !ahoy_client::video_codecs().contains(&codec) {
                assert!(config.unwrap_err().to_string().contains("h264"));
                continue;
            }
            let codecs = config.unwrap().media.video_codecs;
            assert_eq!(codecs.first(), Some(&codec));
            assert_eq!(codecs.len(), ahoy_client::video_codecs().len());
        }
    }

    #[test]
    fn a_keyring_is_only_touched_for_the_default_folder_or_when_it_is_asked_for() {
        let place = |line: &str| parse(&format!("--user bob {line} answer")).unwrap().options.key_place();
        assert_eq!(place(""), KeyPlace::Keyring);
        assert_eq!(place("--keyring off"), KeyPlace::File);
        assert_eq!(place("--data-dir /tmp/x"), KeyPlace::File);
        assert_eq!(place("--data-dir /tmp/x --keyring on"), KeyPlace::Keyring);
    }
}
