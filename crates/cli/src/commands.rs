//! `--commands`: what a script, or somebody at the keyboard, wants of a call while it goes on, a line each on standard
//! input.

use std::io::{BufRead as _, Read as _};
use std::str::FromStr;

use ahoy_client::{ChosenDevices, SinkSpec, SourceSpec};
use tokio::sync::mpsc;

/// Commands that may wait.
const QUEUE: usize = 16;

/// Bytes of a line at most; what is longer is none. A path has 4096 at most.
const LONGEST_LINE: u64 = 4_096 + 64;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LiveCommand {
    /// `mute`: the microphone is not sent.
    Mute,
    /// `unmute`
    Unmute,
    /// `camera-off`: the camera is closed.
    CameraOff,
    /// `camera-on`
    CameraOn,
    /// `use-camera SRC`, `use-microphone SRC` or `use-speaker SINK`: another device from now on.
    Use(Device),
    /// `noise-suppression on` or `noise-suppression off`
    NoiseSuppression(bool),
    /// `codes-match` or `codes-differ`: the two have read the verification code to each other.
    CodeCompared { same: bool },
    /// `hang-up`
    HangUp,
    /// `panic task`, `panic encoder`, `panic decoder` or `panic audio`, in builds for tests: a bug in that part.
    #[cfg(debug_assertions)]
    Panic(ahoy_client::Part),
}

/// A device in place of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Device {
    Camera(SourceSpec),
    Microphone(SourceSpec),
    Speaker(SinkSpec),
}

impl Device {
    /// What is chosen then.
    pub(crate) fn among(self, mut chosen: ChosenDevices) -> ChosenDevices {
        match self {
            Self::Camera(camera) => chosen.camera = camera,
            Self::Microphone(microphone) => chosen.microphone = microphone,
            Self::Speaker(speaker) => chosen.speaker = speaker,
        }
        chosen
    }
}

impl FromStr for LiveCommand {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let line = line.trim();
        Ok(match line.split_once(' ').unwrap_or((line, "")) {
            ("mute", "") => Self::Mute,
            ("unmute", "") => Self::Unmute,
            ("camera-off", "") => Self::CameraOff,
            ("camera-on", "") => Self::CameraOn,
            ("hang-up", "") => Self::HangUp,
            ("codes-match", "") => Self::CodeCompared { same: true },
            ("codes-differ", "") => Self::CodeCompared { same: false },
            ("noise-suppression", "on") => Self::NoiseSuppression(true),
            ("noise-suppression", "off") => Self::NoiseSuppression(false),
            #[cfg(debug_assertions)]
            ("panic", part) => Self::Panic(part_of(part).ok_or_else(|| no_command(line))?),
            (device, id) if !id.is_empty() => Self::Use(device_of(device, id).ok_or_else(|| no_command(line))?),
            _ => return Err(no_command(line)),
        })
    }
}

#[cfg(debug_assertions)]
fn part_of(word: &str) -> Option<ahoy_client::Part> {
    use ahoy_client::Part;
    Some(match word {
        "task" => Part::Task,
        "encoder" => Part::Encoder,
        "decoder" => Part::Decoder,
        "audio" => Part::Audio,
        _ => return None,
    })
}

fn device_of(word: &str, id: &str) -> Option<Device> {
    let id = id.trim();
    Some(match word {
        "use-camera" => Device::Camera(id.parse().ok()?),
        "use-microphone" => Device::Microphone(id.parse().ok()?),
        "use-speaker" => Device::Speaker(id.parse().ok()?),
        _ => return None,
    })
}

fn no_command(line: &str) -> String {
    let line = line.escape_debug();
    format!(
        "\"{line}\" is no command; there are mute, unmute, camera-off, camera-on, use-camera SRC, use-microphone SRC, \
         use-speaker SINK, noise-suppression on|off, codes-match, codes-differ and hang-up"
    )
}

/// Reads standard input until it ends; what is no command is told on standard error. The thread ends with the program.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn read() -> std::io::Result<mpsc::Receiver<LiveCommand>> {
    let (commands, queue) = mpsc::channel(QUEUE);
    let reader = move || {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        while let Ok(1..) = (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            match String::from_utf8_lossy(&line).parse() {
                Ok(command) => {
                    if commands.blocking_send(command).is_err() {
                        return;
                    }
                }
                Err(message) => eprintln!("ahoy-cli: {message}"),
            }
            line.clear();
        }
    };
    std::thread::Builder::new().name("commands".into()).spawn(reader)?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_or_is_told_what_commands_there_are() {
        assert_eq!(" mute\r".parse(), Ok(LiveCommand::Mute));
        assert_eq!("hang-up".parse(), Ok(LiveCommand::HangUp));
        assert_eq!("codes-match".parse(), Ok(LiveCommand::CodeCompared { same: true }));
        let device = Device::Speaker(SinkSpec::File("a b.wav".into()));
        assert_eq!("use-speaker file:a b.wav\n".parse(), Ok(LiveCommand::Use(device)));
        assert_eq!("noise-suppression off".parse(), Ok(LiveCommand::NoiseSuppression(false)));
        for line in ["use-speaker", "use-screen 1", "mute now", "noise-suppression", "noise-suppression no"] {
            assert!(line.parse::<LiveCommand>().is_err(), "{line}");
        }
        let refused = "sing\u{1b}".parse::<LiveCommand>().unwrap_err();
        assert!(refused.contains("camera-off") && !refused.contains('\u{1b}'), "{refused}");
    }
}
