//! What a message costs the server besides its socket: reading it, finding whom it is for, writing it anew. With 10,000
//! signed in. What sockets cost is measured by `bench signaling`; `bench core` runs this and makes a table of it.
#![forbid(unsafe_code)]

use criterion::Criterion;

mod rules;
mod wire;

/// The registry is the crate's own affair and stays so: its source is compiled into this program once more.
#[path = "../../src"]
// Its tests come along, without what runs them; and what it tells whom is not asked here.
#[allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]
mod server {
    pub(crate) mod limits;
    pub(crate) mod registry;
}
use server::limits;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    rules::bench(&mut criterion);
    wire::bench(&mut criterion);
    criterion.final_summary();
}
