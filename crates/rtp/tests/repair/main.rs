//! Repair of lost pictures, in virtual time: what a viewer sees of a call over links that lose packets, requests and
//! retransmissions alike. `cargo test -p ahoy-rtp --test repair -- --nocapture` prints the figures. The bounds are what
//! Chromium did on such links (`docs/benchmarks.md`: p95 85 ms with random loss, 154 ms and four gaps a minute with bursts),
//! or less where we do better. The seeds are fixed, so that a run repeats.
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
const TWO_MEGABITS: Option<f64> = Some(2e6);

fn lossy(name: &'static str, loss: Loss, rate_bps: Option<f64>) -> Call {
    Call { name, way: Way { loss, rate_bps, ..CLEAN.way }, ..CLEAN }
}

/// Asserts that signal delay and gaps are within bounds, and that repair did not cost more than that.
fn assert_within(outcome: &Outcome, p95_ms: f64, gaps_a_minute: f64, resent_a_loss: f64) {
    assert!(outcome.p95_ms <= p95_ms, "p95 {} ms, not {p95_ms}", outcome.p95_ms);
    assert!(outcome.gaps_a_minute <= gaps_a_minute, "{} gaps a minute, not {gaps_a_minute}", outcome.gaps_a_minute);
    assert!(outcome.resent_a_loss <= resent_a_loss, "{} resent for a loss, not {resent_a_loss}", outcome.resent_a_loss);
}

#[test]
fn on_a_clean_link_nothing_is_asked_for() {
    let outcome = run(CLEAN, 1);
    assert_eq!((outcome.requests_a_second, outcome.keys_a_minute, outcome.gaps_a_minute), (0.0, 0.0, 0.0));
    let limited = run(Call { name: "clean, 2 Mb/s", ..lossy("", Loss::None, TWO_MEGABITS) }, 1);
    assert!(limited.requests_a_second < 0.1, "{limited}");
}

#[test]
fn random_loss_costs_one_round_trip_beyond_the_picture() {
    for seed in [1, 2] {
        assert_within(&run(lossy("loss-5", RANDOM, None), seed), 76.0, 0.4, 1.3);
        assert_within(&run(lossy("loss-5-2m", RANDOM, TWO_MEGABITS), seed), 95.0, 0.5, 1.5);
        let paced = Call { name: "loss-5, 4 ms apart", pace: Duration::from_millis(4), ..lossy("", RANDOM, None) };
        assert_within(&run(paced, seed), 82.0, 0.5, 1.5);
    }
}

#[test]
fn bursts_of_loss_seldom_let_the_picture_stand_still() {
    for seed in [1, 2] {
        assert_within(&run(lossy("burst-5", BURSTS, None), seed), 80.0, 2.0, 1.5);
        assert_within(&run(lossy("burst-5-2m", BURSTS, TWO_MEGABITS), seed), 105.0, 4.0, 1.6);
    }
}

#[test]
fn pictures_that_no_other_refers_to_hold_nothing_up() {
    for (name, loss) in [("loss-5, layers", RANDOM), ("burst-5, layers", BURSTS)] {
        let plain = run(lossy("the same without", loss, None), 1);
        let layered = run(Call { has_layers: true, ..lossy(name, loss, None) }, 1);
        assert!(layered.p99_ms <= plain.p99_ms && layered.gaps_a_minute <= plain.gaps_a_minute + 0.5);
    }
}

#[test]
fn packets_that_overtake_each_other_are_hardly_asked_for() {
    let disorder = Way { disorder: Duration::from_millis(8), ..CLEAN.way };
    let outcome = run(Call { name: "disorder of 8 ms", way: disorder, ..CLEAN }, 1);
    // 90 packets a second, nine of which are overtaken.
    assert!(outcome.requests_a_second < 4.0 && outcome.keys_a_minute == 0.0, "{outcome}");
    assert!(outcome.p95_ms < 40.0, "{outcome}");
}

/// What a parity packet for each picture would bring (RFC 8627), and cost: a third more of all bits.
#[test]
fn parity_would_spare_the_round_trip_where_one_packet_of_a_picture_is_lost() {
    for (name, loss) in [("loss-5, parity", RANDOM), ("burst-5, parity", BURSTS)] {
        let plain = run(lossy("the same without", loss, None), 1);
        let with_parity = run(Call { has_parity: true, ..lossy(name, loss, None) }, 1);
        assert!(with_parity.p95_ms <= plain.p95_ms + 1.0 && with_parity.kbps > 1.2 * plain.kbps);
    }
    run(Call { has_parity: true, ..lossy("loss-5-2m, parity", RANDOM, TWO_MEGABITS) }, 1);
    run(Call { has_parity: true, ..lossy("burst-5-2m, parity", BURSTS, TWO_MEGABITS) }, 1);
}
