//! The link emulator measures itself: what a steady stream of packets meets on each committed link beside what its name says,
//! and what the emulator computes meanwhile. Everything else that is measured on a link stands on this.

use std::time::Duration;

use ahoy_tests::emulator::{Loss, PROFILES, Profile};
use ahoy_tests::harness::family::members;
use ahoy_tests::harness::lab::{End, Lab, LinkChoice, Summary};
use ahoy_tests::harness::probe::{Seen, Stream, send_over};
use serde_json::{Value, json};

use crate::figures::{quantile, rounded};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

/// 2.5 Mb/s with its headers: more than any limited link has in the mean, except `sawtooth` and `cellular` at times.
const STREAM: Stream = Stream { packets_per_s: 300, bytes: 1000, lasts: Duration::from_secs(10) };

/// With the headers of IP and UDP.
const STREAM_KBPS: f64 = 300.0 * 1028.0 * 8.0 / 1e3;

/// A few seconds for all links together.
const SMOKE: Duration = Duration::from_millis(150);

/// Recorded links may pause for as long as a committed one is measured.
const SMOKE_RECORDED: Duration = Duration::from_secs(3);

/// What a stream has met on a link.
struct Measured {
    link: String,
    nominal: Nominal,
    seen: Seen,
    log: Summary,
    /// What the emulator computed, of one core.
    cpu_percent: f64,
    /// What came out while the stream was sent, in the mean.
    carried_kbps: f64,
}

/// What the link's name says.
#[derive(Default)]
struct Nominal {
    delay_ms: f64,
    lost_percent: f64,
    /// How many packets are lost in a row, in the mean. `None`: that follows from chance.
    burst: Option<f64>,
    /// What it can carry of the stream, in the mean. `None`: that has no one number.
    carried_kbps: Option<f64>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut all = Vec::new();
    for (link, choice, nominal, lasts) in links(options) {
        eprintln!("link: {link}");
        let Some(measured) = measure(link, &choice, nominal, lasts) else {
            return Outcome::Skipped("this machine has no network namespaces or no TUN device".to_owned());
        };
        all.push(measured);
    }
    let figures = all.iter().map(|measured| (measured.link.clone(), measured.to_json())).collect();
    Outcome::Measured(Report { tables: vec![table(&all)], figures: Value::Object(figures) })
}

/// The recorded link, or all committed ones, with how long to measure each.
fn links(options: &Options) -> Vec<(String, LinkChoice, Nominal, Duration)> {
    let at_least = if options.smoke { SMOKE } else { STREAM.lasts };
    if let Some([up, down]) = options.trace.as_deref() {
        let choice = LinkChoice::traces(up, down);
        let lasts = if options.smoke { SMOKE_RECORDED } else { options.round(1) };
        let nominal = Nominal { delay_ms: 20.0, ..Nominal::default() };
        return vec![("recorded".to_owned(), choice, nominal, lasts)];
    }
    let committed = PROFILES.into_iter().map(|(name, _)| {
        let profile = Profile::named(name).expect("it is committed");
        let lasts = if options.smoke { SMOKE } else { profile.length().unwrap_or(at_least) };
        (name.to_owned(), LinkChoice::profile(name), Nominal::of(&profile, lasts), lasts)
    });
    committed.collect()
}

/// `None`: there is no lab on this machine.
fn measure(link: String, choice: &LinkChoice, nominal: Nominal, lasts: Duration) -> Option<Measured> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut lab = Lab::start(choice, Some(&folder.path().join("log")))?;
    let emulator = lab.id();
    let computed = || members(emulator).iter().map(|member| member.computed()).sum::<Duration>();
    let before = computed();
    lab.begin();
    let seen = send_over(&lab, End::A, Stream { lasts, ..STREAM });
    // After the stream there is next to nothing to do.
    let cpu_percent = (computed() - before).as_secs_f64() / lasts.as_secs_f64() * 100.0;
    // What has left the bottleneck by the end of the stream comes out so much later.
    let until_ms = lasts.as_millis() as u64 + nominal.delay_ms as u64;
    let intervals = lab.intervals(End::A);
    let while_sent = intervals.iter().filter(|interval| interval.ends_ms <= until_ms);
    let carried: u64 = while_sent.map(|interval| interval.bytes_out).sum();
    let carried_kbps = carried as f64 * 8.0 / lasts.as_secs_f64() / 1e3;
    Some(Measured { link, nominal, seen, log: Summary::of(&intervals), cpu_percent, carried_kbps })
}

impl Nominal {
    fn of(profile: &Profile, lasts: Duration) -> Self {
        let (share, burst) = match profile.loss {
            Loss::None => (0.0, None),
            Loss::Random { share } => (share, Some(1.0 / (1.0 - share))),
            Loss::Bursts { share, mean_packets } => (share, Some(mean_packets)),
        };
        let steps = profile.steps();
        let passes_bps = if steps.is_empty() {
            // Unlimited, or always another rate.
            profile.length().is_none().then_some(f64::INFINITY)
        } else {
            let ends = steps.iter().skip(1).map(|step| step.from).chain([Duration::MAX]);
            let bits = steps
                .iter()
                .zip(ends)
                .map(|(step, end)| step.bps as f64 * end.min(lasts).saturating_sub(step.from).as_secs_f64());
            Some(bits.sum::<f64>() / lasts.as_secs_f64())
        };
        Self {
            delay_ms: profile.delay.as_secs_f64() * 1e3,
            lost_percent: share * 100.0,
            burst,
            carried_kbps: passes_bps.map(|bps| (bps / 1e3).min(STREAM_KBPS) * (1.0 - share)),
        }
    }
}

impl Measured {
    /// Of those that passed the queue.
    fn lost_percent(&self) -> f64 {
        let passed = f64::from(self.seen.sent) - self.log.dropped as f64;
        self.log.lost as f64 / passed * 100.0
    }

    /// `None`: none was lost, or the full queue has dropped some between.
    fn burst(&self) -> Option<f64> {
        (self.log.dropped == 0 && self.log.lost > 0).then(|| self.seen.mean_burst())
    }

    /// From one socket to the other, with the queue and all that this machine adds.
    fn delay_ms(&self, part: f64) -> f64 {
        quantile(&self.seen.sorted_delays_ms(), part)
    }

    fn to_json(&self) -> Value {
        json!({
            "nominal": {
                "delay_ms": self.nominal.delay_ms,
                "lost_percent": self.nominal.lost_percent,
                "burst": self.nominal.burst.map(rounded),
                "carried_kbps": self.nominal.carried_kbps.map(rounded),
            },
            "sent": self.seen.sent,
            "delay_p50_ms": rounded(self.delay_ms(0.5)),
            "delay_p95_ms": rounded(self.delay_ms(0.95)),
            "queueing_p50_ms": rounded(self.log.queueing_p50_ms),
            "queueing_p95_ms": rounded(self.log.queueing_p95_ms),
            "lost_percent": rounded(self.lost_percent()),
            "burst": self.burst().map(rounded),
            "dropped": self.log.dropped,
            "carried_kbps": rounded(self.carried_kbps),
            "cpu_percent": rounded(self.cpu_percent),
        })
    }
}

fn table(all: &[Measured]) -> Table {
    let columns = [
        "link",
        "delay, nominal ms",
        "delay p50 / p95 ms",
        "in the queue p50 / p95 ms",
        "lost, nominal %",
        "lost %",
        "in a row, nominal",
        "in a row",
        "carried, nominal kb/s",
        "carried kb/s",
        "CPU %",
    ];
    let mut table = Table::new("", &columns);
    let or_dash =
        |value: Option<f64>, digits| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
    for measured in all {
        table.row([
            measured.link.clone(),
            format!("{:.0}", measured.nominal.delay_ms),
            format!("{:.2} / {:.2}", measured.delay_ms(0.5), measured.delay_ms(0.95)),
            format!("{:.1} / {:.1}", measured.log.queueing_p50_ms, measured.log.queueing_p95_ms),
            format!("{:.0}", measured.nominal.lost_percent),
            format!("{:.1}", measured.lost_percent()),
            or_dash(measured.nominal.burst, 2),
            or_dash(measured.burst(), 2),
            or_dash(measured.nominal.carried_kbps, 0),
            format!("{:.0}", measured.carried_kbps),
            format!("{:.1}", measured.cpu_percent),
        ]);
    }
    table
}
