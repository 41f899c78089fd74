//! How a voice comes over: from mouth to ear by chirps, what is invented for lost packets, and how well speech is
//! understood. Both sides speak and listen through sound cards (null sinks of PulseAudio), and are measured from
//! outside in the same way.

use ahoy_tests::harness::lab::LinkChoice;
use ahoy_tests::harness::skipped;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::attempt::attempt;
use super::figures::{Ratio, cell, mean, median, number, quantile, rounded};
use super::options::Options;
use super::report::{Outcome, Report, Table};

mod clarity;
mod fit;
mod heard;
mod link;
mod sound;
mod talk;

use clarity::Clarity;
use link::Link;
use sound::Sound;
use talk::{Counted, People, Talk};

/// Profiles of the emulator.
const LINKS: [&str; 5] = ["clean-20ms", "loss-5", "loss-10", "loss-20", "slow-50k"];

/// In place of a link's name.
const NO_LINK: &str = "none, within this machine";

/// Ours and theirs in turn, so often.
const ROUNDS: u32 = 3;

/// What one side did in one round.
#[derive(Debug)]
struct Round {
    /// Of the chirps that were heard.
    delays_ms: Vec<f64>,
    chirps_said: usize,
    counted: Counted,
    sent_bps: Option<f64>,
    /// ESTOI of each piece of speech; none where it cannot be measured.
    clarity: Vec<f64>,
}

/// All rounds of one side over one link.
type Rounds = Vec<Round>;

/// What all rounds need.
struct Studio {
    people: People,
    sound: Sound,
    clarity: Option<Clarity>,
    folder: TempDir,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Outcome {
    let Some(studio) = Studio::open(options) else {
        return Outcome::Skipped("sound cards without sound need pulseaudio and pulseaudio-utils".to_owned());
    };
    let mut tables = [voice_table(), cost_table()];
    let mut figures = Vec::new();
    for (name, choice) in links(options) {
        let mut link = Link::open(&choice);
        let name = if link.is_emulated() { name } else { NO_LINK.to_owned() };
        let (ours, theirs) = studio.rounds(&name, &mut link, options);
        tables[0].row(voice_row(&name, &ours, &theirs));
        tables[1].row(cost_row(&name, &ours, &theirs));
        figures.push(json!({
            "link": name,
            "ahoy": to_json(&ours),
            "chromium": to_json(&theirs),
            "mouth_to_ear_p50_ratio": ratio(&ours, &theirs, delay_p50_ms).map(Ratio::to_json),
            "concealed_ratio": ratio(&ours, &theirs, concealed).map(Ratio::to_json),
        }));
        if !link.is_emulated() {
            break;
        }
    }
    Outcome::Measured(Report { tables: tables.into(), figures: Value::Array(figures) })
}

fn links(options: &Options) -> Vec<(String, LinkChoice)> {
    if let Some([up, down]) = options.trace.as_deref() {
        return vec![("recorded".to_owned(), LinkChoice::traces(up, down))];
    }
    let few = if options.smoke { 1 } else { LINKS.len() };
    let names = if options.link.is_empty() { LINKS.map(str::to_owned).to_vec() } else { options.link.clone() };
    names.into_iter().take(few).map(|name| (name.clone(), LinkChoice::profile(&name))).collect()
}

impl Studio {
    /// `None`, and why on standard error, where nobody can speak.
    fn open(options: &Options) -> Option<Self> {
        let people = People::new()?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let sound = if options.smoke {
            Sound::write_short(folder.path())
        } else {
            Sound::write(folder.path(), options.round(ROUNDS))
        };
        let clarity = Clarity::open(options.smoke).inspect_err(|why| skipped(format_args!("no ESTOI: {why}"))).ok();
        Some(Self { people, sound, clarity, folder })
    }

    /// All rounds over one link: ours and theirs.
    fn rounds(&self, name: &str, link: &mut Link, options: &Options) -> (Rounds, Rounds) {
        let rounds = if options.smoke { 1 } else { ROUNDS };
        let (mut ours, mut theirs) = (Rounds::new(), Rounds::new());
        for round in 1..=rounds {
            eprintln!("audio: {name}, round {round} of {rounds}");
            ours.push(attempt("a talk", || self.round(self.people.talk_by_ahoy(link, &self.sound))));
            if options.with_chromium() {
                let talk = || self.people.talk_by_chromium(link, &self.sound).map(|talk| self.round(talk));
                theirs.extend(attempt("a talk in Chromium", talk));
            }
        }
        (ours, theirs)
    }

    fn round(&self, talk: Talk) -> Round {
        let files = ["said.wav", "heard.wav"].map(|name| self.folder.path().join(name));
        let files = [files[0].as_path(), files[1].as_path()];
        let found = heard::find(&self.sound, [&talk.said, &talk.heard], files);
        let clarity = self.clarity.as_ref().map_or_else(Vec::new, |clarity| clarity.measure(files, &found.speech));
        let round = Round {
            delays_ms: found.chirp_delays_ms.iter().copied().flatten().collect(),
            chirps_said: found.chirp_delays_ms.len(),
            counted: talk.counted,
            sent_bps: talk.sent_bps,
            clarity,
        };
        eprintln!("audio: {round:.1?}");
        round
    }
}

impl Round {
    fn to_json(&self) -> Value {
        json!({
            "mouth_to_ear_p50_ms": rounded(delay_p50_ms(self)),
            "mouth_to_ear_p95_ms": rounded(quantile(&self.delays_ms, 0.95)),
            "chirps_said": self.chirps_said,
            "chirps_heard": self.delays_ms.len(),
            "concealed_ms_per_minute": rounded(self.counted.concealed_ms_per_minute),
            "recovered_ms_per_minute": self.counted.recovered_ms_per_minute.map(rounded),
            "sent_bps": self.sent_bps.map(rounded),
            "estoi": self.clarity.iter().copied().map(rounded).collect::<Vec<_>>(),
        })
    }
}

fn voice_table() -> Table {
    let columns = [
        "link",
        "mouth to ear p50 / p95 ms: Ahoy",
        "Chromium",
        "ratio of p50",
        "concealed ms a minute: Ahoy",
        "Chromium",
        "ratio",
        "ESTOI mean: Ahoy",
        "Chromium",
        "difference",
    ];
    Table::new("", &columns)
}

fn voice_row(link: &str, ours: &[Round], theirs: &[Round]) -> Vec<String> {
    let difference = mean(&clarity(ours)) - mean(&clarity(theirs));
    vec![
        link.to_owned(),
        delay_cell(ours),
        delay_cell(theirs),
        cell(ratio(ours, theirs, delay_p50_ms)),
        number(mean(&each(ours, concealed)), 0),
        number(mean(&each(theirs, concealed)), 0),
        cell(ratio(ours, theirs, concealed)),
        clarity_cell(ours, mean),
        clarity_cell(theirs, mean),
        number(difference, 3),
    ]
}

fn cost_table() -> Table {
    let columns = [
        "link",
        "sent kb/s: Ahoy",
        "Chromium",
        "ratio",
        "from copies ms a minute: Ahoy",
        "chirps heard: Ahoy",
        "Chromium",
        "least ESTOI: Ahoy",
        "Chromium",
    ];
    Table::new("What it takes, and what is behind the means", &columns)
}

fn cost_row(link: &str, ours: &[Round], theirs: &[Round]) -> Vec<String> {
    let sent_kbps = |round: &Round| round.sent_bps.unwrap_or(f64::NAN) / 1e3;
    let least = |values: &[f64]| quantile(values, 0.0);
    let recovered = |round: &Round| round.counted.recovered_ms_per_minute.unwrap_or(f64::NAN);
    vec![
        link.to_owned(),
        number(mean(&each(ours, sent_kbps)), 1),
        number(mean(&each(theirs, sent_kbps)), 1),
        cell(ratio(ours, theirs, sent_kbps)),
        number(mean(&each(ours, recovered)), 0),
        chirps_cell(ours),
        chirps_cell(theirs),
        clarity_cell(ours, least),
        clarity_cell(theirs, least),
    ]
}

fn delay_cell(rounds: &[Round]) -> String {
    let delays_ms: Vec<f64> = rounds.iter().flat_map(|round| round.delays_ms.iter().copied()).collect();
    if delays_ms.is_empty() {
        return "–".to_owned();
    }
    format!("{:.0} / {:.0}", median(&delays_ms), quantile(&delays_ms, 0.95))
}

fn chirps_cell(rounds: &[Round]) -> String {
    let said: usize = rounds.iter().map(|round| round.chirps_said).sum();
    let heard: usize = rounds.iter().map(|round| round.delays_ms.len()).sum();
    if said == 0 { "–".to_owned() } else { format!("{heard} of {said}") }
}

fn delay_p50_ms(round: &Round) -> f64 {
    median(&round.delays_ms)
}

fn concealed(round: &Round) -> f64 {
    round.counted.concealed_ms_per_minute
}

fn clarity_cell(rounds: &[Round], of: impl Fn(&[f64]) -> f64) -> String {
    let values = clarity(rounds);
    if !rounds.is_empty() && values.is_empty() { "skipped".to_owned() } else { number(of(&values), 3) }
}

fn clarity(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().flat_map(|round| round.clarity.iter().copied()).collect()
}

fn each(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

fn ratio(ours: &[Round], theirs: &[Round], figure: impl Fn(&Round) -> f64) -> Option<Ratio> {
    Ratio::of(&each(ours, &figure), &each(theirs, &figure))
}

fn to_json(rounds: &[Round]) -> Vec<Value> {
    rounds.iter().map(Round::to_json).collect()
}
