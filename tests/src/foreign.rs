//! Calls between the command-line peer and WebRTC that nobody here wrote: what must hold, whoever the other is. The guest
//! shows and says one thing, the command-line peer the same turned round, so that each end can tell what it got.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::harness::cli::{Cli, Event, Running, file};
use crate::harness::guest::{Codec, Flow, Picture};
use crate::harness::likeness::{Clip, Likeness};
use crate::harness::media::{Source, Sources, unpack};
use crate::harness::speech::{self, Found};
use crate::harness::y4m::Recording;
use crate::harness::{Guest, Server, skipped};

/// Somebody else's WebRTC.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// Opens a guest that shows and says this, or tells on standard error why this machine cannot.
    pub open: fn(&Server, &str, &Source) -> Option<Guest>,
    /// Whether it shows and says what it is given, and not something of its own.
    pub has_files: bool,
    /// A video codec that it has, where any will do.
    pub codec: Codec,
    /// For files that tests share.
    pub folder: &'static str,
}

/// The least mean SSIM, and the least correlation of the best second of sound: 0.99 and 0.98 are usual, of other pictures and
/// other speech 0.7 and 0.5. A second in which the receiver stretches the sound or conceals some is less like the one that was
/// sent, but is found in its place; the others' programs do so where the machine is busy. How well we hear is measured
/// among our own peers.
const LEAST_SSIM: f64 = 0.90;
const LEAST_CORRELATION: f32 = 0.90;

impl Making {
    /// The guest calls, each sees and hears the other, and the guest hangs up.
    #[track_caller]
    pub fn guest_calls_and_hangs_up(self, codec: Codec) {
        let Some(mut meeting) = Meeting::guest_calls(self, codec, true) else { return };
        meeting.cli.wait_for("first_frame");
        let guest_got = meeting.assert_guest_receives(true);
        meeting.guest.hang_up();
        meeting.ends();
        guest_got.assert_is(&self.sources().turned);
        meeting.assert_cli_got(true);
    }

    /// The guest is called, each sees and hears the other, and the caller hangs up.
    #[track_caller]
    pub fn guest_is_called_and_hung_up_on(self, codec: Codec) {
        let Some(mut meeting) = Meeting::cli_calls(self, codec, true) else { return };
        meeting.cli.wait_for("first_frame");
        let guest_got = meeting.assert_guest_receives(true);
        meeting.cli.process().interrupt();
        assert_eq!(meeting.guest.wait_for("ended")["reason"], "hangup");
        meeting.ends();
        guest_got.assert_is(&self.sources().turned);
        meeting.assert_cli_got(true);
    }

    /// The guest calls without picture; the command-line peer hangs up.
    #[track_caller]
    pub fn guest_calls_with_sound_alone(self) {
        let Some(mut meeting) = Meeting::guest_calls(self, self.codec, false) else { return };
        let guest_got = meeting.assert_guest_receives(false);
        meeting.cli.process().interrupt();
        assert_eq!(meeting.guest.wait_for("ended")["reason"], "hangup");
        meeting.ends();
        guest_got.assert_is(&self.sources().turned);
        meeting.assert_cli_got(false);
    }

    /// The guest is called without picture, and hangs up.
    #[track_caller]
    pub fn guest_is_called_with_sound_alone(self) {
        let Some(mut meeting) = Meeting::cli_calls(self, self.codec, false) else { return };
        let guest_got = meeting.assert_guest_receives(false);
        meeting.guest.hang_up();
        meeting.ends();
        guest_got.assert_is(&self.sources().turned);
        meeting.assert_cli_got(false);
    }

    /// The guest mutes its microphone and switches its camera off, and on again.
    #[track_caller]
    pub fn guest_mutes(self) {
        let Some(mut meeting) = Meeting::guest_calls(self, self.codec, true) else { return };
        meeting.cli.wait_for("first_frame");
        meeting.assert_said_to_send(0, true);
        meeting.pass_seconds(2);
        meeting.guest.mute(true, true);
        meeting.assert_said_to_send(1, false);
        meeting.pass_seconds(3);
        meeting.guest.mute(false, false);
        meeting.assert_said_to_send(2, true);
        meeting.assert_flowing();
        meeting.pass_seconds(1);
        meeting.guest.hang_up();
        meeting.ends();
        assert_was_muted(&meeting.bob.file("heard.wav"), &meeting.bob.file("seen.y4m"));
    }

    /// The guest, who called, puts the call on hold and takes it up again.
    #[track_caller]
    pub fn calling_guest_holds(self) {
        let Some(mut meeting) = Meeting::guest_calls(self, self.codec, true) else { return };
        meeting.assert_is_held_and_taken_up();
        meeting.guest.hang_up();
        meeting.ends();
    }

    /// The guest, who was called, puts the call on hold and takes it up again.
    #[track_caller]
    pub fn called_guest_holds(self) {
        let Some(mut meeting) = Meeting::cli_calls(self, self.codec, true) else { return };
        meeting.assert_is_held_and_taken_up();
        meeting.guest.hang_up();
        meeting.ends();
    }

    /// The guest, who called, makes an offer that restarts ICE.
    #[track_caller]
    pub fn calling_guest_restarts_ice(self) {
        let Some(mut meeting) = Meeting::guest_calls(self, self.codec, true) else { return };
        meeting.assert_survives_ice_restart();
        meeting.guest.hang_up();
        meeting.ends();
    }

    /// The guest, who was called, asks for such an offer.
    #[track_caller]
    pub fn called_guest_asks_for_ice_restart(self) {
        let Some(mut meeting) = Meeting::cli_calls(self, self.codec, true) else { return };
        meeting.assert_survives_ice_restart();
        meeting.guest.hang_up();
        meeting.ends();
    }

    fn sources(self) -> &'static Sources {
        static SOURCES: OnceLock<Sources> = OnceLock::new();
        SOURCES.get_or_init(|| unpack(Path::new(self.folder)))
    }
}

/// A guest and a command-line peer, bob, in a call.
struct Meeting {
    making: Making,
    codec: Codec,
    guest: Guest,
    bob: Cli,
    cli: Running,
    _server: Server,
    // These load the machine, so they take turns. The last to go.
    _turn: MutexGuard<'static, ()>,
}

impl Meeting {
    #[track_caller]
    fn guest_calls(making: Making, codec: Codec, video: bool) -> Option<Self> {
        let (mut guest, server, bob, turn) = prepare(making, codec, video)?;
        let cli = bob.start_signed_in("answer");
        guest.call("bob", video, codec);
        for report in ["relayed", "ringing", "accepted", "connected", "control_open"] {
            guest.wait_for(report);
        }
        let incoming = cli.wait_for("incoming");
        assert!(incoming.text("from").starts_with(guest.username()));
        assert_eq!(incoming.flag("video"), video);
        assert!(!incoming.flag("proven"), "nobody vouches for a guest");
        Some(Self { making, codec, guest, bob, cli, _server: server, _turn: turn }.connected())
    }

    #[track_caller]
    fn cli_calls(making: Making, codec: Codec, video: bool) -> Option<Self> {
        let (mut guest, server, bob, turn) = prepare(making, codec, video)?;
        guest.answer(video, codec);
        let name = guest.username();
        let cli = bob.start(&if video { format!("call {name}") } else { format!("call {name} --audio-only") });
        let incoming = guest.wait_for("incoming");
        assert!(incoming["from"].as_str().is_some_and(|from| from.starts_with("bob/")));
        assert_eq!(incoming["video"], video);
        for event in ["ringing", "accepted"] {
            cli.wait_for(event);
        }
        for report in ["connected", "control_open"] {
            guest.wait_for(report);
        }
        Some(Self { making, codec, guest, bob, cli, _server: server, _turn: turn }.connected())
    }

    #[track_caller]
    fn connected(self) -> Self {
        assert_eq!(self.cli.wait_for("connected").text("path"), "host");
        self
    }

    /// Waits until the command-line peer has told of so many more seconds.
    #[track_caller]
    fn pass_seconds(&self, seconds: usize) -> Event {
        let passed = self.cli.all("stats").len();
        self.cli.wait_for_nth("stats", passed + seconds - 1)
    }

    /// Both ends of the call are over, and ended well.
    #[track_caller]
    fn ends(&mut self) {
        self.cli.ends_with(0);
        assert_eq!(self.cli.wait_for("ended").text("reason"), "hangup");
    }

    /// What the guest gets for some seconds.
    #[track_caller]
    fn assert_guest_receives(&mut self, video: bool) -> Got {
        self.pass_seconds(1);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let sound = folder.path().join("heard.wav");
        let (rate_hz, samples) = self.guest.hear(5);
        speech::write_wav(&sound, rate_hz, &samples);
        let looks = if video { 3 } else { 0 };
        let pictures = (0..looks).map(|_| self.guest.look()).collect();
        let figures = self.guest.figures();
        let codec = format!("video/{}", self.codec.name());
        for flow in [Flow::VideoIn, Flow::VideoOut] {
            assert_eq!(figures.codec(flow), video.then_some(codec.as_str()), "{flow:?}: {figures:?}");
            assert_eq!(figures.frames(flow) > 60, video, "{flow:?}: {figures:?}");
        }
        Got { pictures, sound, _folder: folder }
    }

    /// What the command-line peer recorded is what the guest showed and said.
    #[track_caller]
    fn assert_cli_got(&self, video: bool) {
        let own = &self.making.sources().plain;
        if !video {
            assert!(self.cli.all("first_frame").is_empty(), "no picture is shown");
        } else if self.making.has_files {
            let mut recording = Recording::open(&self.bob.file("seen.y4m"));
            let (width, count) = (recording.width, recording.pictures);
            assert!(count > 90, "only {count} pictures were recorded");
            // Steady after two seconds: an encoder of a browser's begins with few bits.
            let seen: Vec<Vec<u8>> = (60..count).step_by((count - 60) / 8).map(|at| recording.luma(at)).collect();
            assert_seen(&seen.iter().map(|luma| (luma.as_slice(), width)).collect::<Vec<_>>(), &own.clip);
        } else {
            assert_moves(&self.bob.file("seen.y4m"));
        }
        let heard = self.bob.file("heard.wav");
        if self.making.has_files {
            assert_heard(&heard, &own.speech);
        } else {
            assert!(speech::rms(&speech::read_wav(&heard)) > 0.01, "something is heard");
        }
    }

    /// The command-line peer was told so, once more than `before` times.
    #[track_caller]
    fn assert_said_to_send(&self, before: usize, is_sent: bool) {
        let said = self.cli.wait_for_nth("remote_sending", before);
        assert_eq!((said.flag("audio"), said.flag("video")), (is_sent, is_sent));
    }

    #[track_caller]
    fn assert_is_held_and_taken_up(&mut self) {
        self.assert_flowing();
        self.guest.hold(true);
        self.assert_still();
        self.guest.hold(false);
        self.assert_flowing();
    }

    #[track_caller]
    fn assert_survives_ice_restart(&mut self) {
        self.assert_flowing();
        let (before, after) = self.guest.restart_ice();
        assert_ne!(before, after, "ICE began anew");
        self.assert_flowing();
    }

    /// Media flow both ways, by what both count.
    #[track_caller]
    fn assert_flowing(&mut self) {
        let before = self.count();
        let mut now = before;
        for _ in 0..10 {
            now = self.count();
            if now.exceeds(before) {
                return;
            }
        }
        panic!("media do not flow both ways: {before:?}, then {now:?}");
    }

    /// Nothing flows. What was under way may still arrive in the first second.
    #[track_caller]
    fn assert_still(&mut self) {
        self.pass_seconds(1);
        let before = self.count();
        assert_eq!(self.count(), before, "no media flow");
    }

    /// What both count, at the next second.
    #[track_caller]
    fn count(&mut self) -> Counted {
        let cli = self.pass_seconds(1);
        let guest = self.guest.figures();
        Counted([
            guest.packets(Flow::AudioIn),
            guest.packets(Flow::AudioOut),
            guest.frames(Flow::VideoIn),
            guest.frames(Flow::VideoOut),
            cli.number("frames_shown"),
            cli.number("frames_sent"),
        ])
    }
}

/// A guest, and bob, who is not started yet.
#[track_caller]
fn prepare(making: Making, codec: Codec, video: bool) -> Option<(Guest, Server, Cli, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    if video && !codec.is_available() {
        skipped(format_args!("the command-line peer has no {}", codec.name()));
        return None;
    }
    // A failed test must not fail the others.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start();
    let sources = making.sources();
    let guest = (making.open)(&server, "guest-zoe", &sources.plain)?;
    let bob = Cli::new(&server, "bob");
    let [seen, heard] = ["seen.y4m", "heard.wav"].map(|name| file(&bob.file(name)));
    let bob = bob
        .with("--camera", &file(&sources.turned.clip))
        .with("--microphone", &file(&sources.turned.speech))
        .with("--display", &seen)
        .with("--speaker", &heard);
    let bob = if video { bob.with("--codec", &codec.name().to_lowercase()) } else { bob };
    Some((guest, server, bob, turn))
}

/// What a guest saw and heard.
struct Got {
    pictures: Vec<Picture>,
    sound: PathBuf,
    _folder: TempDir,
}

impl Got {
    #[track_caller]
    fn assert_is(&self, source: &Source) {
        if !self.pictures.is_empty() {
            let seen: Vec<_> = self.pictures.iter().map(|picture| (picture.luma.as_slice(), picture.width)).collect();
            assert_seen(&seen, &source.clip);
        }
        assert_heard(&self.sound, &source.speech);
    }
}

/// Everything that is counted on both sides, to see what flows: sound to and from the guest, pictures to and from the
/// guest by its own count, then by the command-line peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted([u64; 6]);

impl Counted {
    /// Whether all has grown, by more than what was under way.
    fn exceeds(self, before: Self) -> bool {
        self.0.iter().zip(before.0).all(|(now, before)| *now > before + 5)
    }
}

/// The pictures, given with their width, are different ones of the clip's.
#[track_caller]
fn assert_seen(pictures: &[(&[u8], usize)], clip: &Path) {
    let mut clip = Clip::open(clip);
    let found: Vec<Likeness> = pictures.iter().map(|(luma, width)| clip.find(luma, *width)).collect();
    println!("{found:?}");
    let mean = found.iter().map(|likeness| likeness.ssim).sum::<f64>() / found.len() as f64;
    assert!(mean >= LEAST_SSIM, "mean SSIM {mean:.3}: {found:?}");
    assert!(found.iter().any(|likeness| likeness.number != found[0].number), "the picture froze: {found:?}");
}

#[track_caller]
fn assert_heard(recorded: &Path, sent: &Path) {
    let sent = speech::read_wav(sent);
    let recorded = speech::read_wav(recorded);
    let found = speech::find(&recorded, &sent);
    println!("{found:?}");
    let best = found.iter().max_by(|one, two| one.correlation.total_cmp(&two.correlation));
    let best = best.unwrap_or_else(|| panic!("no sound in {} samples", recorded.len()));
    assert!(best.correlation >= LEAST_CORRELATION, "the speech is not alike: {found:?}");
    // Where a second of the speech begins, with the recording moved onto it. A loop has no end.
    let length = sent.len();
    let offset = |window: &Found| (window.sent + length - window.recorded % length) % length;
    let in_place = found.iter().filter(|window| {
        let off = offset(window).abs_diff(offset(best));
        off.min(length - off) <= speech::RATE_HZ / 4
    });
    assert!(in_place.count() >= 3, "the speech is out of place: {found:?}");
}

/// A recording that nobody knows shows something, and not always the same.
#[track_caller]
fn assert_moves(recorded: &Path) {
    let mut recording = Recording::open(recorded);
    assert!(recording.pictures > 60, "only {} pictures were recorded", recording.pictures);
    let [early, late] = [recording.pictures / 2, recording.pictures - 1].map(|number| recording.luma(number));
    let bright = early.iter().filter(|pixel| **pixel > 32).count();
    assert!(bright > early.len() / 10, "the picture is dark");
    assert_ne!(early, late, "the picture is frozen");
}

/// Silence for a while, and no picture meanwhile, or a dark one.
#[track_caller]
fn assert_was_muted(heard: &Path, seen: &Path) {
    speech::assert_fell_silent(heard);
    let mut recording = Recording::open(seen);
    let mut last = Vec::new();
    let mut blank = String::new();
    for number in 0..recording.pictures {
        let luma = recording.luma(number);
        let is_dark = luma.iter().all(|pixel| *pixel < 32);
        blank.push(if is_dark || luma == last { '.' } else { '#' });
        last = luma;
    }
    println!("{blank}");
    // A recording keeps no more pictures of a gap than the receiver had time to write.
    let gap = blank.find(&".".repeat(20)).unwrap_or_else(|| panic!("nothing without a picture: {blank}"));
    assert!(blank[..gap].matches('#').count() > 10, "pictures before: {blank}");
    assert!(blank[gap..].matches('#').count() > 10, "pictures after: {blank}");
}
