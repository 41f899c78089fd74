//! `--commands`: what a script, or somebody at the keyboard, wants of a call while it goes on, a line each on standard input.

use std::io::{BufRead as _, Read as _};
use std::str::FromStr;

use tokio::sync::mpsc;

/// Commands that may wait.
const QUEUE: usize = 16;

/// Bytes of a line at most; what is longer is none.
const LONGEST_LINE: u64 = 256;

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveCommand {
    /// `mute`: the microphone is not sent.
    Mute,
    /// `unmute`
    Unmute,
    /// `camera-off`: the camera is closed.
    CameraOff,
    /// `camera-on`
    CameraOn,
    /// `hang-up`
    HangUp,
}

impl FromStr for LiveCommand {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        Ok(match line.trim() {
            "mute" => Self::Mute,
            "unmute" => Self::Unmute,
            "camera-off" => Self::CameraOff,
            "camera-on" => Self::CameraOn,
            "hang-up" => Self::HangUp,
            other => {
                return Err(format!(
                    "\"{}\" is no command; there are mute, unmute, camera-off, camera-on and hang-up",
                    other.escape_debug()
                ));
            }
        })
    }
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
                Ok(command) if commands.blocking_send(command).is_err() => return,
                Ok(_) => {}
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
        let refused = "sing\u{1b}".parse::<LiveCommand>().unwrap_err();
        assert!(refused.contains("camera-off") && !refused.contains('\u{1b}'), "{refused}");
    }
}
