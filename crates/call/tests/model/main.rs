//! The model: random histories of two users with one to three devices each, around the real core and a small server
//! and transport that keep to the contract, or (in some histories) do not. `AHOY_MODEL_SEED` replays one history and
//! prints its trace; `AHOY_MODEL_COUNT` says how many there are.

#![allow(clippy::unwrap_used)]

mod checks;
mod coming_back;
mod garbage;
mod peer;
mod person;
mod random;
mod server;
mod users;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::checks::Tally;
use crate::world::World;

const HISTORIES: u64 = 100_000;

#[test]
fn in_a_hundred_thousand_random_histories_every_rule_holds() {
    if let Some(seed) = number_from("AHOY_MODEL_SEED") {
        replay(seed);
        return;
    }
    let count = number_from("AHOY_MODEL_COUNT").unwrap_or(HISTORIES);
    let mut tally = Tally::default();
    for seed in 0..count {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run()));
        match run {
            Ok(Ok(histories)) => tally.add(&histories),
            Ok(Err(_)) | Err(_) => {
                replay(seed);
                unreachable!("seed {seed} broke a rule once and not again");
            }
        }
    }
    println!("{tally:#?}");
    tally.check_that_nothing_was_left_out(count);
}

/// Plays one history with its trace, and fails if it breaks a rule.
fn replay(seed: u64) {
    let mut world = World::new(seed, true);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let trace = world.trace();
    match result {
        Ok(Ok(tally)) => println!("{trace}\nseed {seed}: every rule held: {tally:?}"),
        Ok(Err(broken)) => panic!("{trace}\nseed {seed}: {broken} (AHOY_MODEL_SEED={seed} replays this)"),
        Err(_) => panic!("{trace}\nseed {seed}: panicked (AHOY_MODEL_SEED={seed} replays this)"),
    }
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
