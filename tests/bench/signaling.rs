//! The signaling server beside Node's `ws` with the same relay (`peers/relay.js`): sign-ins, routed messages and their
//! delay, and the memory of idle connections. Each server has one core, this program the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahoy_tests::harness::proof::Key;
use ahoy_tests::harness::{DEADLINE, skipped};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::figures::{Ratio, cell, median, number, quantile, rounded};
use crate::options::Options;
use crate::report::{Outcome, Report, Table};

mod client;
mod cores;
mod levels;
mod meter;
mod server;
mod sign_ins;
mod traffic;
mod turns;

use cores::Cores;
use levels::{Levels, Load};
use meter::{Memory, Pace};
use server::{Kind, Server};
use sign_ins::Proof;
use traffic::{Delays, Traffic};

/// Files that are open besides connections.
const OTHER_FILES: u64 = 100;
/// A server that did not compute for so long has done what there was to do.
const REST: Duration = Duration::from_millis(300);
/// What a round measures one after the other, in equal parts of its time.
const PARTS: u32 = 5;

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u32,
    connections: usize,
    /// Pairs that have several messages under way.
    speaking: usize,
    /// Before each measurement, until it runs evenly.
    start: Duration,
    span: Duration,
}

/// What one round found of one server.
struct Round {
    memory: Memory,
    one_each: Pace,
    several_each: Pace,
    half_load: Delays,
    keyed: Pace,
    guests: Pace,
}

/// A row of the table.
struct Figure {
    key: &'static str,
    name: &'static str,
    of: fn(&Round) -> f64,
    digits: usize,
}

const FIGURES: [Figure; 11] = [
    Figure { key: "keyed_per_s", name: "sign-ins by key, a second", of: |round| round.keyed.per_s, digits: 0 },
    Figure {
        key: "keyed_per_cpu_s",
        name: "sign-ins by key, a server CPU-second",
        of: |round| round.keyed.per_cpu_s,
        digits: 0,
    },
    Figure { key: "guests_per_s", name: "sign-ins of guests, a second", of: |round| round.guests.per_s, digits: 0 },
    Figure {
        key: "guests_per_cpu_s",
        name: "sign-ins of guests, a server CPU-second",
        of: |round| round.guests.per_cpu_s,
        digits: 0,
    },
    Figure {
        key: "one_each_per_cpu_s",
        name: "messages a server CPU-second, all pairs, 1 under way each",
        of: |round| round.one_each.per_cpu_s,
        digits: 0,
    },
    Figure {
        key: "several_each_per_cpu_s",
        name: "messages a server CPU-second, 200 pairs at a time, 8 under way each",
        of: |round| round.several_each.per_cpu_s,
        digits: 0,
    },
    Figure {
        key: "half_load_per_s",
        name: "half of its own load, messages a second",
        of: |round| round.half_load.pace.per_s,
        digits: 0,
    },
    Figure {
        key: "half_load_p50_ms",
        name: "delay of a message at half load, p50, ms",
        of: |round| quantile(&round.half_load.delays_ms, 0.5),
        digits: 2,
    },
    Figure {
        key: "half_load_p99_ms",
        name: "delay of a message at half load, p99, ms",
        of: |round| quantile(&round.half_load.delays_ms, 0.99),
        digits: 2,
    },
    Figure {
        key: "idle_server_kib",
        name: "memory an idle connection, server, KiB",
        of: |round| round.memory.server_kb,
        digits: 1,
    },
    Figure {
        key: "idle_kernel_kib",
        name: "memory an idle connection, kernel, both ends, KiB",
        of: |round| round.memory.kernel_kb,
        digits: 1,
    },
];

pub(crate) fn run(options: &Options) -> Outcome {
    let plan = Plan::of(options);
    let Some(cores) = Cores::divide() else {
        return Outcome::Skipped("the server and the load need a core each; there is one".to_owned());
    };
    if let Err(why) = allow_files(plan.connections) {
        return Outcome::Skipped(why);
    }
    let peer = server::install_peer().inspect_err(|why| skipped(format!("Node's ws: {why}")));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 1..=plan.rounds {
        ours.push(round(Kind::Ahoy, plan, cores, number));
        if peer.is_ok() {
            theirs.push(round(Kind::Node, plan, cores, number));
        }
    }
    let load = Load::of(&plan, options.smoke);
    let levels = Levels::measure(Kind::Ahoy, plan, load, cores);
    let their_levels = peer.is_ok().then(|| Levels::measure(Kind::Node, plan, load, cores));
    let tables = vec![results(&ours, &theirs), busyness(&ours, &theirs), levels::table(&levels, their_levels.as_ref())];
    let mut figures = figures(plan, &ours, &theirs);
    figures["levels"] = json!({"ahoy": levels.to_json(), "node_ws": their_levels.as_ref().map(Levels::to_json)});
    Outcome::Measured(Report { tables, figures })
}

impl Plan {
    fn of(options: &Options) -> Self {
        if options.smoke {
            // So short, and among so many, that nobody comes near what one client may send.
            let (start, span) = (Duration::from_millis(50), Duration::from_millis(250));
            return Self { rounds: 1, connections: 1_600, speaking: 10, start, span };
        }
        let rounds = 5;
        let span = options.round(rounds) / PARTS;
        Self { rounds, connections: 10_000, speaking: 200, start: Duration::from_secs(1), span }
    }
}

/// Raises the soft limit of open files as far as it may go, which has to be far enough for so many connections.
fn allow_files(connections: usize) -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit);
    if raised.is_err() || most_connections() < connections {
        return Err(format!("this process may not open so many files as {connections} connections are"));
    }
    Ok(())
}

/// How many connections the open files allow that this process, and a server that it starts, may have.
fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX)
}

fn round(kind: Kind, plan: Plan, cores: Cores, number: u32) -> Round {
    eprintln!("signaling: round {number} of {}, {}", plan.rounds, kind.name());
    let server = Server::start(kind, cores);
    cores.run(|| measure(&server, plan))
}

async fn measure(server: &Server, plan: Plan) -> Round {
    let Plan { connections, speaking, start, span, .. } = plan;
    rest(server).await;
    let before = Memory::now(server.member());
    let traffic = Traffic::sign_in(server, connections).await;
    rest(server).await;
    let memory = Memory::now(server.member()).since(before, connections);
    let one_each = traffic.one_each(server, start, span).await;
    let several_each = traffic.several_each(server, speaking, start, span).await;
    // At least one: on a machine that is busy with other things a short run may have seen none.
    let half = (one_each.per_s / 2.0).max(1.0);
    let half_load = traffic.paced(server, half, start, span).await;
    traffic.end().await;
    rest(server).await;
    let key = Key::number(1);
    sign_ins::introduce(server, &key).await;
    let keyed = sign_ins::measure(server, &Proof::Key(Arc::new(key)), start, span).await;
    let guests = sign_ins::measure(server, &Proof::Guest, start, span).await;
    Round { memory, one_each, several_each, half_load, keyed, guests }
}

/// Waits until the server does nothing any more.
async fn rest(server: &Server) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let before = server.member().computed();
        sleep(REST).await;
        if server.member().computed() == before || Instant::now() > deadline {
            return;
        }
    }
}

fn results(ours: &[Round], theirs: &[Round]) -> Table {
    let mut table = Table::new("", &["figure", "Ahoy", "Node ws", "ratio"]);
    for Figure { name, of, digits, .. } in &FIGURES {
        let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(of).collect::<Vec<f64>>());
        table.row([
            (*name).to_owned(),
            number(median(&ours), *digits),
            number(median(&theirs), *digits),
            cell(Ratio::of(&ours, &theirs)),
        ]);
    }
    table
}

/// What is done, and how fast.
type PaceOf = (&'static str, fn(&Round) -> Pace);

/// What shows that the server was the one that could do no more.
fn busyness(ours: &[Round], theirs: &[Round]) -> Table {
    let columns = ["% of a core", "Ahoy", "load on Ahoy", "Node ws", "load on Node ws"];
    let mut table = Table::new("How busy each side was", &columns);
    let paces: [PaceOf; 5] = [
        ("sign-ins by key", |round| round.keyed),
        ("sign-ins of guests", |round| round.guests),
        ("1 under way each", |round| round.one_each),
        ("8 under way each", |round| round.several_each),
        ("half load", |round| round.half_load.pace),
    ];
    for (name, of) in paces {
        let busy = [ours, theirs].map(|rounds| {
            let [server, load]: [fn(Pace) -> f64; 2] = [|pace| pace.server_busy, |pace| pace.load_busy];
            [server, load].map(|part| median(&rounds.iter().map(|round| part(of(round)) * 100.0).collect::<Vec<_>>()))
        });
        let cells = busy.into_iter().flatten().map(|busy| number(busy, 0));
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}

fn figures(plan: Plan, ours: &[Round], theirs: &[Round]) -> Value {
    let ratios: Map<String, Value> = FIGURES.iter().map(|figure| figure.ratio(ours, theirs)).collect();
    let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(Round::to_json).collect::<Vec<Value>>());
    json!({
        "connections": plan.connections,
        "pairs_speaking_at_a_time": plan.speaking,
        "measured_s": rounded(plan.span.as_secs_f64()),
        "ahoy": ours,
        "node_ws": theirs,
        "ratios": ratios,
    })
}

impl Figure {
    fn ratio(&self, ours: &[Round], theirs: &[Round]) -> (String, Value) {
        let [ours, theirs] = [ours, theirs].map(|rounds| rounds.iter().map(self.of).collect::<Vec<f64>>());
        (self.key.to_owned(), Ratio::of(&ours, &theirs).map_or(Value::Null, Ratio::to_json))
    }
}

impl Round {
    fn to_json(&self) -> Value {
        let Delays { pace, delays_ms, late_ms } = &self.half_load;
        json!({
            "sign_ins_by_key": self.keyed.to_json(),
            "sign_ins_of_guests": self.guests.to_json(),
            "one_each": self.one_each.to_json(),
            "several_each": self.several_each.to_json(),
            "half_load": pace.to_json(),
            "half_load_p50_ms": rounded(quantile(delays_ms, 0.5)),
            "half_load_p99_ms": rounded(quantile(delays_ms, 0.99)),
            "half_load_sent_late_p99_ms": rounded(quantile(late_ms, 0.99)),
            "idle_server_kib": rounded(self.memory.server_kb),
            "idle_kernel_both_ends_kib": rounded(self.memory.kernel_kb),
        })
    }
}
