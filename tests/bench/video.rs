//! What a viewer notices of the picture on good and bad links: Ahoy's call and Chromium's in turns, each side's default
//! codec and the same codec on both, one way and both ways.

mod recovery;

use std::time::Duration;

use ahoy_tests::emulator::{Profile, Step};
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::lab::{LinkChoice, Source};
use serde_json::{Value, json};

use crate::attempt::attempt;
use crate::calls::{Plan, Seen, Side};
use crate::clip::{Clip, decibels};
use crate::figures::{Ratio, cell, mean, median, quantile, rounded};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};
use crate::timeline::Viewed;
use recovery::{Recovery, recoveries};

/// The buffers have filled, and the encoders found their pace.
const SETTLING: Duration = Duration::from_secs(5);
/// To the server and from it: as far as to each other by the slower links.
const TO_SERVER: Duration = Duration::from_millis(10);
/// On the clean link figures are to be told apart by a tenth, on others by more.
const ROUNDS_CLEAN: u32 = 5;
const ROUNDS: u32 = 2;
const CLEAN: &str = "clean-20ms";
/// Of a recorded link so much is seen.
const RECORDED: Duration = Duration::from_secs(200);

/// The links whose rate changes by the clock are seen once from beginning to end, however short the others are measured.
const LINKS: [&str; 13] = [
    "clean-20ms",
    "clean-75ms",
    "loss-5",
    "burst-5",
    "clean-20ms-2m",
    "clean-75ms-2m",
    "loss-5-2m",
    "burst-5-2m",
    "slow-500k",
    "step",
    "outage",
    "sawtooth",
    "cellular",
];

/// Both ways at once load both cores of a small machine, which tells more of the machine than of the link: the link without
/// and with loss stand for the others.
const LINKS_TWO_WAY: [&str; 3] = ["clean-20ms", "loss-5", "clean-20ms-2m"];

/// What two tables compare with Chromium, whose own choice is VP8: a call of Chromium's stands in both.
const CODECS: [(&str, Side); 2] =
    [("each side's default codec", Side::Ahoy(None)), ("VP8 on both", Side::Ahoy(Some(Codec::Vp8)))];

pub(crate) fn run(options: &Options) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clip = Clip::write(folder.path());
    let mut report = Report { tables: Vec::new(), figures: json!([]) };
    let mut figures = Vec::new();
    for two_way in [false, true] {
        let ways = if two_way { "both ways, with sound" } else { "one way" };
        let mut tables = CODECS.map(|(codecs, _)| Table::new(format!("Picture {ways}, {codecs}"), &COLUMNS));
        let mut recovery = CODECS.map(|(codecs, _)| Table::new(format!("After a change, {codecs}"), &RECOVERY_COLUMNS));
        for link in links(options, two_way) {
            let row = Row { link, two_way };
            let Some([default, vp8, chromium]) = row.measure(options, &clip) else {
                return Outcome::Skipped("there is no link to measure on; standard error says why".into());
            };
            for (at, (ours, (codecs, _))) in [default, vp8].into_iter().zip(CODECS).enumerate() {
                let rounds = Rounds { ours, theirs: chromium.clone() };
                rounds.tell(&row, &mut tables[at]);
                rounds.tell_recovery(&row, &mut recovery[at]);
                figures.push(rounds.to_json(&row, codecs));
            }
        }
        report.tables.extend(tables);
        report.tables.extend(recovery.into_iter().filter(|table| !table.is_empty()));
    }
    report.figures = figures.into();
    Outcome::Measured(report)
}

const COLUMNS: [&str; 8] = [
    "link: Ahoy / Chromium",
    "signal delay p50, ms · ratio",
    "p95, ms · ratio",
    "fps",
    "gaps ≥ 200 ms a minute",
    "s in them",
    "SSIM, dB",
    "kb/s, queue p95 ms",
];

const RECOVERY_COLUMNS: [&str; 5] =
    ["link: Ahoy / Chromium", "change", "smooth after, s", "sends as before after, s", "worst signal delay, s"];

/// A row of a table.
struct Row {
    link: LinkChoice,
    two_way: bool,
}

/// Every round's figures, ours and theirs.
struct Rounds {
    ours: Vec<Figures>,
    theirs: Vec<Figures>,
}

/// One call's.
#[derive(Debug, Clone)]
struct Figures {
    p50_ms: f64,
    p95_ms: f64,
    mean_ms: f64,
    fps: f64,
    gaps_a_minute: f64,
    gaps_s_a_minute: f64,
    freezes_a_minute: f64,
    ssim_db: f64,
    sent_kbps: f64,
    queue_p95_ms: f64,
    recoveries: Vec<Recovery>,
}

fn links(options: &Options, two_way: bool) -> Vec<LinkChoice> {
    if let Some(trace) = &options.trace {
        return vec![LinkChoice::traces(&trace[0], &trace[1])];
    }
    let all: &[&str] = if two_way { &LINKS_TWO_WAY } else { &LINKS };
    let few = if options.smoke { 1 } else { all.len() };
    let is_wanted = |name: &&&str| options.link.is_empty() || options.link.iter().any(|wanted| wanted == **name);
    all.iter().filter(is_wanted).take(few).map(|name| LinkChoice::profile(name)).collect()
}

fn name(link: &LinkChoice) -> &str {
    match &link.source {
        Source::Profile(name) => name,
        Source::Traces(..) => "recorded",
    }
}

/// How long it takes until all of it was seen, if that is more than a moment.
fn length(link: &LinkChoice) -> Option<Duration> {
    match &link.source {
        Source::Profile(name) => Profile::named(name).expect("a committed link").length(),
        Source::Traces(..) => Some(RECORDED),
    }
}

/// When its rate changes at once, where all of it is seen.
fn steps(link: &LinkChoice, options: &Options) -> Vec<Step> {
    match &link.source {
        Source::Profile(name) if !options.smoke => Profile::named(name).expect("a committed link").steps(),
        Source::Profile(_) | Source::Traces(..) => Vec::new(),
    }
}

impl Row {
    /// Every round's figures, of both of our calls and of Chromium's, which are made in turns. `None`: there is no link.
    fn measure(&self, options: &Options, clip: &Clip) -> Option<[Vec<Figures>; 3]> {
        let (rounds, measuring) = self.rounds(options);
        let [default, vp8] = CODECS.map(|(_, side)| side);
        let sides = [default, vp8, Side::Chromium];
        let with_chromium = options.with_chromium();
        let mut measured = sides.map(|_| Vec::new());
        for round in 1..=rounds {
            for (side, measured) in sides.iter().zip(&mut measured) {
                if *side == Side::Chromium && !with_chromium {
                    continue;
                }
                let folder = tempfile::tempdir().expect("a folder can be made");
                let plan = Plan {
                    // Other losses and another walk each round, the same for all.
                    link: LinkChoice { seed: u64::from(round), ..self.link.clone() },
                    to_server: TO_SERVER,
                    two_way: self.two_way,
                    clip,
                    settling: if options.smoke { Duration::from_secs(1) } else { SETTLING },
                    measuring,
                    folder: folder.path().into(),
                };
                let what = format!("{} {side:?}, round {round} of {rounds}", name(&self.link));
                let figures = Figures::of(&attempt(&what, || side.call(&plan))?, &steps(&self.link, options));
                eprintln!("{what}: {figures:?}");
                measured.push(figures);
            }
        }
        Some(measured)
    }

    /// How many, and how long each.
    fn rounds(&self, options: &Options) -> (u32, Duration) {
        let whole = Duration::from_secs_f64(options.minutes * 60.0);
        match (options.smoke, length(&self.link)) {
            (true, _) => (1, Duration::from_secs(2)),
            (false, Some(length)) => ((whole.as_secs_f64() / length.as_secs_f64()).round().max(1.0) as u32, length),
            (false, None) => {
                let rounds = if name(&self.link) == CLEAN { ROUNDS_CLEAN } else { ROUNDS };
                (rounds, options.round(rounds))
            }
        }
    }
}

impl Figures {
    fn of(seen: &Seen, steps: &[Step]) -> Self {
        let minutes = (seen.to_ms - seen.from_ms) / 60_000.0;
        let views: Vec<_> = seen.views().collect();
        let delays: Vec<f64> = views.iter().flat_map(|view| view.signal_delays_ms.clone()).collect();
        let ways = views.len() as f64;
        let per_way = |figure: &dyn Fn(&Viewed) -> f64| views.iter().map(figure).sum::<f64>() / ways;
        let likenesses: Vec<f64> =
            seen.ways.iter().flat_map(|way| &way.likenesses).map(|ssim| decibels(*ssim)).collect();
        Self {
            p50_ms: median(&delays),
            p95_ms: quantile(&delays, 0.95),
            mean_ms: mean(&delays),
            fps: per_way(&|view| view.fps),
            gaps_a_minute: per_way(&|view| view.gaps as f64) / minutes,
            gaps_s_a_minute: per_way(&|view| view.gaps_ms) / 1000.0 / minutes,
            freezes_a_minute: per_way(&|view| view.freezes as f64) / minutes,
            ssim_db: mean(&likenesses),
            sent_kbps: seen.sent_bps() / 1000.0,
            queue_p95_ms: seen.queueing_p95_ms(),
            recoveries: recoveries(seen, steps),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "signal_delay_p50_ms": rounded(self.p50_ms),
            "signal_delay_p95_ms": rounded(self.p95_ms),
            "signal_delay_mean_ms": rounded(self.mean_ms),
            "fps": rounded(self.fps),
            "gaps_a_minute": rounded(self.gaps_a_minute),
            "gaps_s_a_minute": rounded(self.gaps_s_a_minute),
            "freezes_a_minute": rounded(self.freezes_a_minute),
            "ssim_db": rounded(self.ssim_db),
            "sent_kbps": rounded(self.sent_kbps),
            "queue_p95_ms": rounded(self.queue_p95_ms),
            "recoveries": self.recoveries.iter().map(Recovery::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Rounds {
    /// Fills a row.
    fn tell(&self, row: &Row, table: &mut Table) {
        let both = |digits: usize, figure: fn(&Figures) -> f64| {
            let side = |rounds: &[Figures]| {
                let values: Vec<f64> = rounds.iter().map(figure).collect();
                if values.is_empty() { "–".to_owned() } else { format!("{:.digits$}", median(&values)) }
            };
            format!("{} / {}", side(&self.ours), side(&self.theirs))
        };
        let with_ratio = |figure| format!("{} · {}", both(0, figure), cell(self.ratio(figure)));
        table.row([
            name(&row.link).to_owned(),
            with_ratio(|figures| figures.p50_ms),
            with_ratio(|figures| figures.p95_ms),
            both(1, |figures| figures.fps),
            both(0, |figures| figures.gaps_a_minute),
            both(1, |figures| figures.gaps_s_a_minute),
            both(1, |figures| figures.ssim_db),
            format!("{}, {}", both(0, |figures| figures.sent_kbps), both(0, |figures| figures.queue_p95_ms)),
        ]);
    }

    /// Fills a row for each change of the link, with the middle of the rounds.
    fn tell_recovery(&self, row: &Row, table: &mut Table) {
        let Some(first) = self.ours.first() else { return };
        for (at, recovery) in first.recoveries.iter().enumerate() {
            let both = |figure: fn(&Recovery) -> Option<f64>| {
                let side = |rounds: &[Figures]| {
                    let values: Option<Vec<f64>> = rounds.iter().map(|round| figure(&round.recoveries[at])).collect();
                    let values = values.filter(|values| !values.is_empty());
                    values.map_or_else(|| "–".to_owned(), |values| format!("{:.1}", median(&values)))
                };
                format!("{} / {}", side(&self.ours), side(&self.theirs))
            };
            table.row([
                name(&row.link).to_owned(),
                recovery.change.clone(),
                both(|recovery| recovery.smooth_s),
                both(|recovery| recovery.back_s),
                both(|recovery| Some(recovery.worst_s)),
            ]);
        }
    }

    fn to_json(&self, row: &Row, codecs: &str) -> Value {
        let side = |rounds: &[Figures]| rounds.iter().map(Figures::to_json).collect::<Vec<_>>();
        let ratio = |figure| self.ratio(figure).map(Ratio::to_json);
        json!({
            "link": name(&row.link),
            "ways": if row.two_way { 2 } else { 1 },
            "codecs": codecs,
            "ahoy": side(&self.ours),
            "chromium": side(&self.theirs),
            "ratios": {
                "signal_delay_p50": ratio(|figures| figures.p50_ms),
                "signal_delay_p95": ratio(|figures| figures.p95_ms),
                "signal_delay_mean": ratio(|figures| figures.mean_ms),
            },
        })
    }

    fn ratio(&self, figure: fn(&Figures) -> f64) -> Option<Ratio> {
        let values = |rounds: &[Figures]| rounds.iter().map(figure).collect::<Vec<_>>();
        Ratio::of(&values(&self.ours), &values(&self.theirs))
    }
}
