//! Calls over a lab's link between two peers of one kind, two `ahoy-cli` or two pages in Chromium, that are measured alike:
//! the same clip, the same server, which both reach in the same time, and a clock of the machine's for all.

mod ahoy;
mod chromium;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahoy_tests::emulator::Interval;
use ahoy_tests::harness::Server;
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::lab::{End, Lab, LinkChoice, Summary};
use rustix::time::{ClockId, clock_gettime};

use crate::clip::Clip;
use crate::timeline::{Timeline, Viewed};

/// Whose call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Two `ahoy-cli`, which send in this codec; their own choice if there is none.
    Ahoy(Option<Codec>),
    /// Two pages, each in a Chromium of its own, with its own choice of codec: VP8.
    Chromium,
}

/// What a call is to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    /// The path between the two.
    pub(crate) link: LinkChoice,
    /// How long a message takes to the server, and from it.
    pub(crate) to_server: Duration,
    /// Picture and sound both ways; else the caller's picture alone.
    pub(crate) two_way: bool,
    /// What cameras show.
    pub(crate) clip: &'a Clip,
    /// How long the call goes before it is measured.
    pub(crate) settling: Duration,
    /// How long it is measured. The link's clock begins with that.
    pub(crate) measuring: Duration,
    /// A folder for what is logged and recorded.
    pub(crate) folder: PathBuf,
}

/// What was seen of a call.
#[derive(Debug)]
pub(crate) struct Seen {
    /// A way each, the caller's picture first.
    pub(crate) ways: Vec<Way>,
    /// When measuring began, in milliseconds of the ways' clock.
    pub(crate) from_ms: f64,
    /// And ended.
    pub(crate) to_ms: f64,
    /// What the link carried and held meanwhile, of the caller's and of the callee's.
    pub(crate) link: [Vec<Interval>; 2],
}

/// One way of a call's pictures.
#[derive(Debug)]
pub(crate) struct Way {
    /// What was captured and shown, when.
    pub(crate) timeline: Timeline,
    /// How like the sent picture some of the shown ones were, after settling: SSIM.
    pub(crate) likenesses: Vec<f64>,
}

impl Seen {
    /// What a viewer noticed, each way, while it was measured.
    pub(crate) fn views(&self) -> impl Iterator<Item = Viewed> {
        self.ways.iter().map(|way| way.timeline.view(self.from_ms, self.to_ms))
    }

    /// What those that sent pictures sent in all, in bits a second and way, with everything from IP up.
    pub(crate) fn sent_bps(&self) -> f64 {
        let bytes: u64 = self.sending().map(|summary| summary.bytes_in).sum();
        bytes as f64 * 8_000.0 / (self.to_ms - self.from_ms) / self.ways.len() as f64
    }

    /// Less than this did 95 % of their packets stand in the link's queue; the larger of both ways.
    pub(crate) fn queueing_p95_ms(&self) -> f64 {
        self.sending().map(|summary| summary.queueing_p95_ms).fold(0.0, f64::max)
    }

    fn sending(&self) -> impl Iterator<Item = Summary> {
        self.link.iter().take(self.ways.len()).map(|intervals| Summary::of(intervals))
    }
}

impl Side {
    /// Makes the call. `None`: this machine lacks something, and standard error says what.
    pub(crate) fn call(self, plan: &Plan<'_>) -> Option<Seen> {
        match self {
            Self::Ahoy(codec) => ahoy::call(plan, codec),
            Self::Chromium => chromium::call(plan),
        }
    }
}

/// Where a peer on each end finds the server.
pub(crate) fn server_urls(lab: &Lab, server: &Server, one_way: Duration) -> [String; 2] {
    let address: SocketAddr = server.host().parse().expect("a server of a test listens on an address");
    [End::A, End::B].map(|end| format!("ws://{}/ws", lab.forward(end, address, one_way)))
}

/// When a picture that is handed over at that moment is on a screen of 60 Hz, in the mean: half a tick later. A browser hands
/// pictures to its compositor at such ticks; ours, which has no screen, is charged for the same wait. Not for the wait until
/// the next tick of one: 30 pictures a second meet 60 ticks all alike, each call in its own way, by chance.
pub(crate) fn on_screen(at_ms: f64) -> f64 {
    const TICK_MS: f64 = 1000.0 / 60.0;
    at_ms + TICK_MS / 2.0
}

/// The clock of our programs' events, in milliseconds.
pub(crate) fn monotonic_ms() -> f64 {
    monotonic_ns() as f64 / 1e6
}

/// The same, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The clock of the pages, in milliseconds.
pub(crate) fn wall_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
