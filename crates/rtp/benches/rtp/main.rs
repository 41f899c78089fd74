//! What a packet costs: cutting pictures into packets, putting them together again, missing some, letting them leave,
//! and playing sound. In virtual time, on streams of a 640x480 call that are made up from a seed. `bench core` runs it and makes a table of it.
#![forbid(unsafe_code)]

use criterion::Criterion;

mod link;
mod path;
mod pictures;
mod sound;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    pictures::bench(&mut criterion);
    path::bench(&mut criterion);
    sound::bench(&mut criterion);
    criterion.final_summary();
}
