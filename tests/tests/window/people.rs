//! Who takes part, and what it is to see somebody.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ahoy_tests::harness::Server;
use ahoy_tests::harness::cli::{Cli, file};
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::likeness::{Clip, Likeness};
use ahoy_tests::harness::media::{Source, Sources, unpack};
use ahoy_tests::harness::window::{Opening, View, Window};

/// The least mean SSIM of pictures that went through a call and a window with what was sent. Others have 0.7 at most.
const LEAST_SSIM: f64 = 0.85;

/// Two people at their windows, signed in. Alice shows the clip, bob its mirror image.
pub(crate) struct Couple {
    pub(crate) alice: Window,
    pub(crate) bob: Window,
    _server: Server,
    // The last to go.
    _turn: MutexGuard<'static, ()>,
}

impl Couple {
    /// Both sign in, by typing. `None`, and a word about it, where a window cannot be had.
    #[track_caller]
    pub(crate) fn meet() -> Option<Self> {
        let turn = take_turn();
        let (alice, bob) = (Desktop::start()?, Desktop::start()?);
        let server = Server::start();
        let alice = showing(&alice, &sources().plain).open("alice")?;
        let bob = showing(&bob, &sources().turned).open("bob")?;
        alice.sign_in(&server);
        bob.sign_in(&server);
        Some(Self { alice, bob, _server: server, _turn: turn })
    }

    /// The picture of each moves at the other's.
    #[track_caller]
    pub(crate) fn see_each_other(&self) {
        assert_sees(&self.alice, View::Remote, &sources().turned);
        assert_sees(&self.bob, View::Remote, &sources().plain);
    }
}

/// One test at a time.
pub(crate) fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A failed test must not fail the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What there is to show and to say.
pub(crate) fn sources() -> &'static Sources {
    static SOURCES: OnceLock<Sources> = OnceLock::new();
    SOURCES.get_or_init(|| unpack(Path::new(env!("CARGO_TARGET_TMPDIR"))))
}

/// An app that shows and says `source`, and is silent.
pub(crate) fn showing(desktop: &Desktop, source: &Source) -> Opening {
    let [camera, microphone] = [&source.clip, &source.speech].map(|path| file(path));
    Opening::new(desktop).and(&["--camera", &camera, "--microphone", &microphone, "--speaker", "none"])
}

/// An app without any device, which signs in as `user` by itself.
pub(crate) fn signed_in(desktop: &Desktop, server: &Server, user: &str) -> Opening {
    let devices = ["--camera", "none", "--microphone", "none", "--speaker", "none"];
    Opening::new(desktop).and(&devices).and(&["--server", &server.url(), "--user", user])
}

/// A peer without a window, that shows and says `source`.
pub(crate) fn peer(server: &Server, name: &str, source: &Source) -> Cli {
    Cli::new(server, name).with("--camera", &file(&source.clip)).with("--microphone", &file(&source.speech))
}

/// In this view are pictures of `source`, one after the other.
#[track_caller]
pub(crate) fn assert_sees(window: &Window, view: View, source: &Source) {
    let mut clip = Clip::open(&source.clip);
    let mut look = || clip.find(&window.look(view), ahoy_tests::harness::window::SIZE.0);
    // The encoder begins with what the first key frame could afford, and gets better.
    let mut found: Vec<Likeness> = Vec::new();
    for _ in 0..20 {
        found.push(look());
        let last = &found[found.len().saturating_sub(3)..];
        let mean = last.iter().map(|likeness| likeness.ssim).sum::<f64>() / last.len() as f64;
        if last.len() == 3 && mean >= LEAST_SSIM && last.iter().any(|likeness| likeness.number != last[0].number) {
            println!("{view:?}: {last:?}");
            return;
        }
    }
    panic!("in {view:?} moves nothing like what was sent: {found:?}");
}
