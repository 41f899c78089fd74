//! Many calls in a row: what the first ones took, the last ones take.

use std::time::Duration;

use ahoy_tests::harness::family::{Member, members};
use ahoy_tests::harness::pace::pick;
use ahoy_tests::harness::{DEADLINE, Running, Server};

use crate::beside_others;
use crate::peer::{one_for_many, wait_within};

/// Calls until everything is there that is made once: codecs' tables, the allocator's arenas.
const WARM: usize = 25;

#[test]
fn a_hundred_calls_in_a_row_take_no_more_than_the_first_ones() {
    const CALLERS: usize = 60;
    let _turn = beside_others();
    let calls: usize = pick(100, 1_000);
    let server = Server::start_with(&["--new-names", "200"]);
    let (callee, callers) = one_for_many(&server, CALLERS);
    let mut bob = callee.start_signed_in("answer --calls 1000000");
    let mut warm = None;
    for number in 0..WARM + calls {
        callers[number % CALLERS].start("call bob --seconds 0.5").ends_with(0);
        if number + 1 == WARM {
            warm = Some(Held::by(&mut bob, &server));
        }
    }
    wait_within(DEADLINE, "all calls ended", || bob.all("ended").len() == WARM + calls);
    let warm = warm.expect("there were so many calls");
    let mut held = Held::by(&mut bob, &server);
    // Threads of the runtime that wait for work end by and by.
    wait_within(DEADLINE, "descriptors and threads are given back", || {
        held = Held::by(&mut bob, &server);
        held.descriptors <= warm.descriptors + 4 && held.threads <= warm.threads + 4
    });
    eprintln!("{calls} calls: {warm:?} before, {held:?} after");
    // However many calls there were. An allocator that gives a thread another arena may cost a megabyte or two, once.
    for (who, before, after) in
        [("the callee", warm.callee_kb, held.callee_kb), ("the server", warm.server_kb, held.server_kb)]
    {
        let most = before as f64 * 1.05 + 2_000.0;
        assert!(after as f64 <= most, "{who} held {before} kB, and {after} kB after {calls} more calls");
    }
}

/// What is held between two calls.
#[derive(Debug)]
struct Held {
    callee_kb: u64,
    server_kb: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn by(callee: &mut Running, server: &Server) -> Self {
        // The last call's threads end.
        std::thread::sleep(Duration::from_millis(500));
        let memory = |id| {
            let kb = members(id).first().map_or(0, Member::anonymous_kb);
            assert!(kb > 0, "the memory of process {id} is not to be read");
            kb
        };
        let process = callee.process();
        Self {
            callee_kb: memory(process.id()),
            server_kb: memory(server.id()),
            descriptors: process.descriptors().len(),
            threads: process.threads(),
        }
    }
}
