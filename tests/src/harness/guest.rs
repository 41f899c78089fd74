//! Somebody else's WebRTC as a guest: a program (a page in a browser, a Python script) that makes and takes calls by
//! `docs/signaling.md`, and does what it is told over a WebSocket. This is the telling end.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ahoy_media::VideoCodec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Error, Message, WebSocket};

use super::DEADLINE;
use super::page::Page;
use super::peer::text;
use super::process::Process;

/// A video codec, the only one that a guest is to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264, constrained baseline.
    H264,
    /// VP8.
    Vp8,
}

/// A running guest, signed in.
#[derive(Debug)]
pub struct Guest {
    socket: WebSocket<TcpStream>,
    username: String,
    process: Process,
    // Removed when dropped, after the program has ended.
    folder: Option<TempDir>,
    next_id: u64,
    /// What it reported and was not asked for yet.
    inbox: VecDeque<Value>,
    /// Everything that it said, for messages.
    heard: Vec<String>,
}

/// A picture that a guest showed.
#[derive(Debug)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// The brightness, a byte a pixel, rows packed.
    pub luma: Vec<u8>,
}

/// One way of one kind of media, in figures.
#[derive(Debug, Clone, Copy)]
pub enum Flow {
    /// Sound that comes to the guest.
    AudioIn,
    /// Sound that goes out from it.
    AudioOut,
    /// Pictures that come.
    VideoIn,
    /// Pictures that go out.
    VideoOut,
}

/// What a guest counts.
#[derive(Debug)]
pub struct Figures(Value);

impl Codec {
    /// As in SDP and in a command line's `--codec`, but for the case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
        }
    }

    /// Whether the command-line peer has it: one workspace is built with one set of features.
    #[must_use]
    pub fn is_available(self) -> bool {
        VideoCodec::available().contains(match self {
            Self::H264 => &VideoCodec::H264,
            Self::Vp8 => &VideoCodec::Vp8,
        })
    }
}

impl Guest {
    /// Starts `program`, which is to come to `page`, and signs it in.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    #[track_caller]
    pub fn start(page: &Page, program: &mut Command, server_url: &str, username: &str) -> Self {
        let process = Process::start(username, program);
        let socket = page.wait().unwrap_or_else(|| panic!("{username} did not come"));
        let mut guest = Self {
            socket,
            username: username.into(),
            process,
            folder: None,
            next_id: 0,
            inbox: VecDeque::new(),
            heard: Vec::new(),
        };
        guest.ask("sign_in", json!({"server": server_url, "username": username}));
        guest
    }

    /// Keeps the program's own folder until it has ended.
    #[must_use]
    pub(super) fn keeping(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Its username.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Calls `user`.
    #[track_caller]
    pub fn call(&mut self, user: &str, video: bool, codec: Codec) {
        self.ask("call", json!({"to": user, "video": video, "codec": codec.name()}));
    }

    /// Will accept the next call that comes in.
    #[track_caller]
    pub fn answer(&mut self, video: bool, codec: Codec) {
        self.ask("answer", json!({"video": video, "codec": codec.name()}));
    }

    /// Has the sound of its microphone processed as it is for people, from the next call on: echoes cancelled, noise
    /// suppressed, loudness levelled.
    #[track_caller]
    pub fn process_sound(&mut self) {
        self.ask("process_sound", json!({}));
    }

    /// Mutes its microphone, switches its camera off, or the reverse, and says so.
    #[track_caller]
    pub fn mute(&mut self, audio: bool, video: bool) {
        self.ask("mute", json!({"audio": audio, "video": video}));
    }

    /// Stops media both ways by an offer of its own, or lets them flow again. Returns when that is answered.
    #[track_caller]
    pub fn hold(&mut self, held: bool) {
        self.ask("hold", json!({"held": held}));
    }

    /// Asks for a new path. Returns when it is agreed on: the other side's ICE user name before and after.
    #[track_caller]
    pub fn restart_ice(&mut self) -> (String, String) {
        let ufrags = self.ask("restart_ice", json!({}));
        (text(&ufrags, "before").to_owned(), text(&ufrags, "after").to_owned())
    }

    /// Hangs up.
    #[track_caller]
    pub fn hang_up(&mut self) {
        self.ask("hang_up", json!({}));
    }

    /// What it counts now.
    #[track_caller]
    pub fn figures(&mut self) -> Figures {
        Figures(self.ask("stats", json!({})))
    }

    /// The next picture that it shows.
    ///
    /// # Panics
    /// When it shows none.
    #[track_caller]
    pub fn look(&mut self) -> Picture {
        let picture = self.ask("look", json!({}));
        let width = picture["width"].as_u64().expect("a picture has a width") as usize;
        Picture { width, luma: bytes(&picture, "luma") }
    }

    /// So many seconds of what it hears from now on: the rate in hertz, and the samples, mono.
    ///
    /// # Panics
    /// When it hears nothing.
    #[track_caller]
    pub fn hear(&mut self, seconds: u32) -> (u32, Vec<i16>) {
        let sound = self.ask("hear", json!({"seconds": seconds}));
        let rate_hz = sound["rate_hz"].as_u64().and_then(|rate| rate.try_into().ok()).expect("sound has a rate");
        let samples = bytes(&sound, "samples");
        (rate_hz, samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    /// Waits for the next report of this name; others wait for their turn.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn wait_for(&mut self, report: &str) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.inbox.iter().position(|message| message["report"] == report) {
                return self.inbox.remove(at).expect("it was found just now");
            }
            self.read(deadline, report);
        }
    }

    /// The program, to see what it costs.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Has a command done.
    #[track_caller]
    pub(super) fn ask(&mut self, command: &str, mut message: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        message["id"] = id.into();
        message["command"] = command.into();
        let sent = self.socket.send(Message::text(message.to_string()));
        sent.unwrap_or_else(|error| panic!("{} takes no commands: {error}; it said {:#?}", self.username, self.heard));
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.inbox.iter().position(|message| message["id"] == id) {
                let mut answer = self.inbox.remove(at).expect("it was found just now");
                assert!(answer.get("error").is_none(), "{}: {}", self.username, answer["error"]);
                return answer["value"].take();
            }
            self.read(deadline, command);
        }
    }

    /// Reads one message.
    ///
    /// # Panics
    /// When none comes, or it says that something failed.
    #[track_caller]
    fn read(&mut self, deadline: Instant, what: &str) {
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.get_ref().set_read_timeout(Some(left)).expect("the time is not zero");
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.heard.push(text.chars().take(300).collect());
                    let message: Value = serde_json::from_str(&text).expect("a guest speaks JSON");
                    assert!(message["report"] != "failed", "{} failed: {}", self.username, message["message"]);
                    self.inbox.push_back(message);
                    return;
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no {what} from {}: {error}; it said {:#?}", self.username, self.heard),
            }
            assert!(Instant::now() < deadline, "no {what} from {}; it said {:#?}", self.username, self.heard);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} said:", self.username);
            self.heard.iter().for_each(|line| eprintln!("    {line}"));
        }
        self.process.kill();
    }
}

impl Figures {
    /// The codec in use, as `video/H264`; `None` where nothing flowed yet.
    #[must_use]
    pub fn codec(&self, flow: Flow) -> Option<&str> {
        self.of(flow)["codec"].as_str()
    }

    /// How many packets have come or gone.
    #[must_use]
    #[track_caller]
    pub fn packets(&self, flow: Flow) -> u64 {
        self.number(flow, "packets")
    }

    /// How many pictures were decoded or sent.
    #[must_use]
    #[track_caller]
    pub fn frames(&self, flow: Flow) -> u64 {
        self.number(flow, "frames")
    }

    /// How much sound was played since the beginning, in samples.
    #[must_use]
    #[track_caller]
    pub fn played_samples(&self) -> u64 {
        self.number(Flow::AudioIn, "samples")
    }

    /// How much of that was invented for lost packets, in samples.
    #[must_use]
    #[track_caller]
    pub fn concealed_samples(&self) -> u64 {
        self.number(Flow::AudioIn, "concealed")
    }

    fn number(&self, flow: Flow, member: &str) -> u64 {
        let value = &self.of(flow)[member];
        value.as_u64().unwrap_or_else(|| panic!("no {member} of {flow:?} in {}", self.0))
    }

    fn of(&self, flow: Flow) -> &Value {
        let name = match flow {
            Flow::AudioIn => "inbound_audio",
            Flow::AudioOut => "outbound_audio",
            Flow::VideoIn => "inbound_video",
            Flow::VideoOut => "outbound_video",
        };
        &self.0[name]
    }
}

pub(super) fn bytes(message: &Value, member: &str) -> Vec<u8> {
    STANDARD.decode(text(message, member)).expect("a guest writes base64")
}
