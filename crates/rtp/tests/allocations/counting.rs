//! Counts how often a thread takes memory from the system. What libraries in C take is not seen. The tests of several crates
//! share this file, because those crates share nothing else.
// An allocator has no safe interface.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // Not counted where the thread is ending.
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often this thread takes memory while it does `work`.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// Does `work` `rounds` times to warm up and then as often again, and says how often memory was taken the second time.
pub(crate) fn in_steady_state(rounds: u32, mut work: impl FnMut(u32)) -> u64 {
    (0..rounds).for_each(&mut work);
    let taken = allocations(|| (rounds..2 * rounds).for_each(&mut work));
    println!("{taken} allocations in {rounds} rounds: {:.3} each", f64::from(taken as u32) / f64::from(rounds));
    taken
}
