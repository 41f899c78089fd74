//! One call of a round: two people with sound cards of their own, of whom the caller speaks and the callee listens.

use std::thread;
use std::time::Duration;

use ahoy_tests::harness::cli::{Cli, Running};
use ahoy_tests::harness::ear::{Ear, Heard};
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::lab::End;
use ahoy_tests::harness::page::Page;
use ahoy_tests::harness::pulse::Pulse;
use ahoy_tests::harness::{Guest, Server, chromium};

use super::link::{CALLER, Link};
use super::sound::Sound;

/// After the last word, until it has surely come: statistics are a second old at most, and sound hardly later.
const TAIL: Duration = Duration::from_secs(2);

/// Sample rate of what a page counts: that of Opus in WebRTC, whatever the sound card's (RFC 7587 §4.1).
const PAGE_RATE_HZ: f64 = 48_000.0;

/// What was said and heard, and what was counted meanwhile.
#[derive(Debug)]
pub(super) struct Talk {
    /// At the caller's microphone.
    pub(super) said: Heard,
    /// At the callee's speaker.
    pub(super) heard: Heard,
    /// While it was measured.
    pub(super) counted: Counted,
    /// What the caller sent on the link, IP headers and all; where there is one.
    pub(super) sent_bps: Option<f64>,
}

/// What the callee's program counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// Sound that was invented for what was lost or late.
    pub(super) concealed_ms_per_minute: f64,
    /// Sound that was taken from a copy in a later packet; where it counts that.
    pub(super) recovered_ms_per_minute: Option<f64>,
}

/// What it has counted so far.
struct Counters {
    time_ms: f64,
    concealed_ms: f64,
    recovered_ms: Option<f64>,
}

/// Who calls whom, with which sound card.
#[derive(Debug)]
pub(super) struct People {
    caller: Pulse,
    callee: Pulse,
}

impl People {
    /// `None`, and why on standard error, where there is no sound server.
    pub(super) fn new() -> Option<Self> {
        Some(Self { caller: Pulse::with_devices()?, callee: Pulse::with_devices()? })
    }

    /// Between two command-line peers.
    ///
    /// # Panics
    /// When the call does not come about.
    pub(super) fn talk_by_ahoy(&self, link: &mut Link, sound: &Sound) -> Talk {
        let server = Server::start();
        let start = |end: End, name: &str, words: &str| {
            let cli = Cli::at(&server_url(&server, link, end), name);
            let cli = cli.with("--microphone", "default").with("--speaker", "default");
            let cli = cli.with_environment(self.sound_card(end).environment());
            let cli = if link.is_emulated() { cli.over_the_network() } else { cli };
            link.enter(end, || cli.start_signed_in(words))
        };
        let mut callee = start(CALLER.other(), "callee", "answer --audio-only");
        let mut caller = start(CALLER, "caller", "call callee --audio-only");
        callee.wait_for("connected");
        callee.wait_for("stats");
        let talk = self.talk(link, sound, || Counters::of_ahoy(&callee));
        caller.process().interrupt();
        caller.ends_with(0);
        callee.ends_with(0);
        talk
    }

    /// Between two pages. `None`, and why on standard error, where there is no Chromium.
    ///
    /// # Panics
    /// When the call does not come about.
    pub(super) fn talk_by_chromium(&self, link: &mut Link, sound: &Sound) -> Option<Talk> {
        let server = Server::start();
        let open = |end: End, name: &str| {
            let page = Page::listen();
            let url = format!("http://{}/guest.html", link.reach(end, page.address()));
            let (server_url, pulse) = (server_url(&server, link, end), self.sound_card(end));
            let mut guest =
                link.enter(end, || chromium::open_with_sound_card(&page, &url, &server_url, name, pulse))?;
            guest.process_sound();
            Some(guest)
        };
        let mut callee = open(CALLER.other(), "guest-callee")?;
        let mut caller = open(CALLER, "guest-caller")?;
        callee.answer(false, Codec::Vp8);
        caller.call("guest-callee", false, Codec::Vp8);
        callee.wait_for("connected");
        let talk = self.talk(link, sound, || Counters::of_page(&mut callee));
        caller.hang_up();
        callee.wait_for("ended");
        Some(talk)
    }

    /// Says it all, and listens at both ends.
    fn talk(&self, link: &mut Link, sound: &Sound, mut count: impl FnMut() -> Counters) -> Talk {
        let ears = [(&self.caller, "mic"), (&self.callee, "spk")]
            .map(|(pulse, sink)| Ear::listen(pulse.command("parec"), sink));
        let _voice = self.caller.play("mic", &sound.file);
        thread::sleep(sound.settling);
        link.begin();
        let before = count();
        thread::sleep(sound.measured);
        let after = count();
        thread::sleep(TAIL);
        let [said, heard] = ears.map(Ear::stop);
        let counted = Counted::between(&before, &after);
        Talk { said, heard, counted, sent_bps: link.sent_bps(sound.measured) }
    }

    fn sound_card(&self, end: End) -> &Pulse {
        if end == CALLER { &self.caller } else { &self.callee }
    }
}

impl Counted {
    fn between(before: &Counters, after: &Counters) -> Self {
        let minutes = (after.time_ms - before.time_ms) / 60e3;
        let recovered_ms = after.recovered_ms.zip(before.recovered_ms).map(|(after, before)| after - before);
        Self {
            concealed_ms_per_minute: (after.concealed_ms - before.concealed_ms) / minutes,
            recovered_ms_per_minute: recovered_ms.map(|recovered_ms| recovered_ms / minutes),
        }
    }
}

impl Counters {
    /// As the statistics of the last second have it.
    fn of_ahoy(callee: &Running) -> Self {
        let stats = callee.all("stats").pop().expect("it was waited for");
        Self {
            time_ms: stats.t_ns() as f64 / 1e6,
            concealed_ms: stats.decimal("concealed_ms"),
            recovered_ms: Some(stats.decimal("recovered_ms")),
        }
    }

    /// By the sound that was played, which a page counts too.
    fn of_page(callee: &mut Guest) -> Self {
        let figures = callee.figures();
        let ms = |samples: u64| samples as f64 / PAGE_RATE_HZ * 1e3;
        Self {
            time_ms: ms(figures.played_samples()),
            concealed_ms: ms(figures.concealed_samples()),
            recovered_ms: None,
        }
    }
}

fn server_url(server: &Server, link: &Link, end: End) -> String {
    let address = server.host().parse().expect("it listens on an address");
    format!("ws://{}/ws", link.reach(end, address))
}
