//! The loads that a server has to bear, each by itself on a fresh server: ten thousand who sit idle, ten thousand who come
//! back at once, messages and calls at a given rate, clients that mean harm, and clients that do not read.

use std::time::Duration;

use serde_json::{Value, json};

use super::cores::Cores;
use super::meter::Pace;
use super::server::{Kind, Server};
use super::traffic::{Delays, Traffic};
use super::{Plan, rest};
use crate::figures::{number, quantile, rounded};
use crate::report::Table;

mod calls;
mod hostile;
mod idle;
mod sleepers;

use calls::Calls;
use hostile::Attackers;
use idle::{Accepted, Idle, Storm};
use sleepers::Sleepers;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// How many are asked in for once.
    accepted: usize,
    /// Idle for so long.
    idle: Duration,
    /// Before each measurement, and for how long it measures.
    start: Duration,
    span: Duration,
    /// Messages and calls a second.
    messages_per_s: f64,
    calls_per_s: f64,
    /// Connections that mean harm; clients that do not read.
    attackers: usize,
    sleepers: usize,
}

/// What one server bore.
pub(super) struct Levels {
    idle: Idle,
    accepted: Accepted,
    storm: Storm,
    steady: Delays,
    calls: Calls,
    peace: Delays,
    war: Delays,
    sleepers: Sleepers,
}

/// A row of the table.
struct Row {
    key: &'static str,
    name: &'static str,
    /// What is to be borne.
    bar: &'static str,
    of: fn(&Levels) -> f64,
    digits: usize,
}

impl Row {
    const fn new(
        key: &'static str,
        name: &'static str,
        bar: &'static str,
        of: fn(&Levels) -> f64,
        digits: usize,
    ) -> Self {
        Self { key, name, bar, of, digits }
    }
}

const ROWS: [Row; 17] = [
    Row::new("idle_mb", "idle: memory that they take, MB", "60 for 10,000", |l| l.idle.memory_kb / 1000.0, 1),
    Row::new("idle_busy", "idle: % of a core, with a ping each 15 s", "1", |l| l.idle.busy * 100.0, 2),
    Row::new("accepted", "accepted, of those who knocked", "all", |l| l.accepted.entered as f64, 0),
    Row::new("storm_s", "storm: until all are back, s", "10", |l| l.storm.all_s, 2),
    Row::new("storm_p99_s", "storm: until one is back, p99, s", "5", |l| quantile(&l.storm.each_s, 0.99), 2),
    Row::new("storm_memory", "storm: memory at its peak, by that when idle", "2", |l| l.storm.peak_by_idle, 2),
    Row::new("steady_per_s", "steady: messages that arrived a second", "20,000", |l| l.steady.pace.per_s, 0),
    Row::new("steady_p50_ms", "steady: delay, p50, ms", "", |l| quantile(&l.steady.delays_ms, 0.5), 2),
    Row::new("steady_p99_ms", "steady: delay, p99, ms", "10", |l| quantile(&l.steady.delays_ms, 0.99), 2),
    Row::new("calls_per_s", "calls set up a second", "500", |l| l.calls.pace.per_s, 0),
    Row::new("calls_p99_ms", "calls: time to set one up, p99, ms", "", |l| quantile(&l.calls.took_ms, 0.99), 2),
    Row::new("calls_busy", "calls: % of a core", "", |l| l.calls.pace.server_busy * 100.0, 0),
    Row::new("peace_p99_ms", "honest messages by themselves: p99, ms", "", |l| quantile(&l.peace.delays_ms, 0.99), 2),
    Row::new("war_p99_ms", "the same beside 100 who mean harm: p99, ms", "", |l| quantile(&l.war.delays_ms, 0.99), 2),
    Row::new("war_by_peace", "the latter by the former", "2", Levels::war_by_peace, 2),
    Row::new("sleeper_kib", "memory for one who does not read, KiB", "256 and its buffers", |l| l.sleepers.each_kb, 0),
    Row::new(
        "sleepers_p99_ms",
        "honest messages beside them: p99, ms",
        "",
        |l| quantile(&l.sleepers.honest.delays_ms, 0.99),
        2,
    ),
];

impl Load {
    pub(super) fn of(plan: &Plan, is_smoke: bool) -> Self {
        if is_smoke {
            return Self {
                accepted: 200,
                idle: plan.span,
                start: plan.start,
                span: plan.span,
                messages_per_s: 500.0,
                calls_per_s: 20.0,
                attackers: 6,
                sleepers: 2,
            };
        }
        Self {
            accepted: 20_000,
            idle: Duration::from_secs(60),
            start: plan.start,
            span: plan.span.max(Duration::from_secs(5)),
            messages_per_s: 20_000.0,
            calls_per_s: 500.0,
            attackers: 100,
            sleepers: 20,
        }
    }
}

impl Levels {
    pub(super) fn measure(kind: Kind, plan: Plan, load: Load, cores: Cores) -> Self {
        eprintln!("signaling: load levels, {}", kind.name());
        let mut server = Server::start(kind, cores);
        let (idle, storm) = idle::measure(&mut server, plan.connections, load.idle, cores);
        drop(server);
        let server = Server::start(kind, cores);
        let accepted = cores.run(|| idle::accept(&server, load.accepted));
        drop(server);
        let server = Server::start(kind, cores);
        let (steady, calls) = cores.run(|| rates(&server, plan.connections, load));
        drop(server);
        let server = Server::start(kind, cores);
        let (peace, war, sleepers) = cores.run(|| harm(&server, plan.connections / 10, load));
        Self { idle, accepted, storm, steady, calls, peace, war, sleepers }
    }

    fn war_by_peace(&self) -> f64 {
        quantile(&self.war.delays_ms, 0.99) / quantile(&self.peace.delays_ms, 0.99)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut figures: serde_json::Map<String, Value> =
            ROWS.iter().map(|row| (row.key.to_owned(), rounded((row.of)(self)))).collect();
        let busy: [(&str, Pace); 4] = [
            ("steady", self.steady.pace),
            ("calls", self.calls.pace),
            ("peace", self.peace.pace),
            ("war", self.war.pace),
        ];
        figures.extend(busy.map(|(name, pace)| (name.to_owned(), pace.to_json())));
        figures.insert("knocked".to_owned(), json!(self.accepted.knocked));
        Value::Object(figures)
    }
}

/// Messages and calls at their rates.
async fn rates(server: &Server, people: usize, load: Load) -> (Delays, Calls) {
    rest(server).await;
    let traffic = Traffic::sign_in(server, people).await;
    let steady = traffic.paced(server, load.messages_per_s, load.start, load.span).await;
    traffic.end().await;
    rest(server).await;
    (steady, calls::measure(server, load.calls_per_s, load.start, load.span).await)
}

/// Honest messages by themselves, beside clients that mean harm, and beside such as do not read.
async fn harm(server: &Server, people: usize, load: Load) -> (Delays, Delays, Sleepers) {
    rest(server).await;
    let honest = Traffic::sign_in(server, people).await;
    // A quarter of what is borne when nobody means harm.
    let pace = load.messages_per_s / 4.0;
    let peace = honest.paced(server, pace, load.start, load.span).await;
    let sleepers = sleepers::measure(server, &honest, load.sleepers, pace, load.span).await;
    let attackers = Attackers::begin(server, load.attackers).await;
    let war = honest.paced(server, pace, load.start, load.span).await;
    attackers.end().await;
    honest.end().await;
    (peace, war, sleepers)
}

/// With what each has to be, and what each server bore.
pub(super) fn table(ours: &Levels, theirs: Option<&Levels>) -> Table {
    let mut table = Table::new("What a server bears", &["load", "to be borne", "Ahoy", "Node ws"]);
    for Row { name, bar, of, digits, .. } in &ROWS {
        let cell = |levels: Option<&Levels>| number(levels.map_or(f64::NAN, of), *digits);
        table.row([(*name).to_owned(), (*bar).to_owned(), cell(Some(ours)), cell(theirs)]);
    }
    table
}
