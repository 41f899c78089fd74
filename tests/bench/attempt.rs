//! One round that went wrong does not cost the others: it is made again, and counted.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than so often is no accident.
const AGAIN: usize = 2;

static MADE_AGAIN: AtomicUsize = AtomicUsize::new(0);

/// Makes a round, and makes it again where it panics, which says why.
///
/// # Panics
/// When it goes wrong again and again.
pub(crate) fn attempt<T>(what: &str, mut round: impl FnMut() -> T) -> T {
    for _ in 0..AGAIN {
        if let Ok(made) = panic::catch_unwind(AssertUnwindSafe(&mut round)) {
            return made;
        }
        MADE_AGAIN.fetch_add(1, Ordering::Relaxed);
        eprintln!("{what} went wrong and is made again");
    }
    round()
}

/// How many rounds were made again since the program began.
pub(crate) fn made_again() -> usize {
    MADE_AGAIN.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_goes_wrong_is_made_again_and_counted() {
        let mut rounds = 0;
        let made = attempt("a round", || {
            rounds += 1;
            assert!(rounds > 1, "the first goes wrong");
            rounds
        });
        assert_eq!((made, made_again()), (2, 1));
    }
}
