//! Repair of lost pictures, in virtual time: what a viewer sees of a call over links that lose packets, requests and
//! retransmissions alike. `cargo test -p ahoy-rtp --test repair -- --nocapture` prints the table.
#![allow(clippy::unwrap_used)]

mod link;
mod run;
mod sender;

use link::{Loss, Way};
use run::{Call, Outcome, run};
use std::time::Duration;

const CLEAN: Call = Call {
    name: "clean",
    way: Way { delay: Duration::from_millis(20), rate_bps: None, loss: Loss::None, disorder: Duration::ZERO },
    pace: Duration::ZERO,
    has_layers: false,
    has_parity: false,
    minutes: 20,
};
const RANDOM: Loss = Loss::Random(0.05);
const BURSTS: Loss = Loss::Bursts(0.05, 4.0);

fn lossy(name: &'static str, loss: Loss, rate_bps: Option<f64>) -> Call {
    Call { name, way: Way { loss, rate_bps, ..CLEAN.way }, ..CLEAN }
}

#[test]
fn table() {
    for call in [
        CLEAN,
        lossy("loss-5", RANDOM, None),
        lossy("burst-5", BURSTS, None),
        lossy("loss-5-2m", RANDOM, Some(2e6)),
        lossy("burst-5-2m", BURSTS, Some(2e6)),
        Call { name: "loss-5, paced", pace: Duration::from_millis(4), ..lossy("", RANDOM, None) },
        Call { name: "loss-5, layers", has_layers: true, ..lossy("", RANDOM, None) },
        Call { name: "burst-5, layers", has_layers: true, ..lossy("", BURSTS, None) },
        Call { name: "loss-5, parity", has_parity: true, ..lossy("", RANDOM, None) },
        Call { name: "burst-5, parity", has_parity: true, ..lossy("", BURSTS, None) },
        Call { name: "disorder", way: Way { disorder: Duration::from_millis(8), ..CLEAN.way }, ..CLEAN },
    ] {
        run(call, 1);
    }
}
