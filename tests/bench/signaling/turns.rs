//! Whose turn it is to speak when only some pairs speak at a time.
//!
//! The contract lets one session send 100 messages a second and 300 at once, less than a pair that speaks without a
//! pause would. So a pair hands over before it gets there, and has rested by the time its turn comes again.

/// Messages under way between two who speak.
pub(super) const UNDER_WAY: usize = 8;
/// How often a message is answered in one turn: half of it by each of the pair, which is under what one may send at
/// once.
const ANSWERS: usize = 300;

/// By pair.
#[derive(Debug)]
pub(super) struct Turns {
    pairs: Vec<Turn>,
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct Turn {
    under_way: usize,
    answers_left: usize,
}

impl Turns {
    /// Nobody speaks yet.
    pub(super) fn new(pairs: usize) -> Self {
        Self { pairs: vec![Turn::default(); pairs], next: 0 }
    }

    /// Gives the turn to the pair that has rested longest: its [`UNDER_WAY`] messages are to be sent.
    ///
    /// # Panics
    /// When all speak.
    pub(super) fn begin_next(&mut self) -> usize {
        assert!(self.pairs.iter().any(|turn| turn.under_way == 0), "somebody must rest");
        loop {
            let pair = self.next;
            self.next = (self.next + 1) % self.pairs.len();
            if self.pairs[pair].under_way == 0 {
                self.pairs[pair] = Turn { under_way: UNDER_WAY, answers_left: ANSWERS };
                return pair;
            }
        }
    }

    /// So many messages of this pair arrived: how many are answered, and which pair speaks next, if this one is done.
    pub(super) fn arrived(&mut self, pair: usize, count: usize) -> (usize, Option<usize>) {
        let turn = &mut self.pairs[pair];
        let answers = count.min(turn.answers_left);
        turn.answers_left -= answers;
        turn.under_way -= count - answers;
        let is_done = turn.under_way == 0;
        (answers, is_done.then(|| self.begin_next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_hands_over_when_its_last_message_has_arrived() {
        let mut turns = Turns::new(3);
        assert_eq!([turns.begin_next(), turns.begin_next()], [0, 1]);
        assert_eq!(turns.arrived(0, ANSWERS - 1), (ANSWERS - 1, None));
        assert_eq!(turns.arrived(0, 3), (1, None));
        assert_eq!(turns.arrived(0, UNDER_WAY - 3), (0, None));
        assert_eq!(turns.arrived(0, 1), (0, Some(2)));
        assert_eq!(turns.begin_next(), 0, "1 and 2 speak");
    }
}
