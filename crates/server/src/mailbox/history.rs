//! The numbered messages of one session: those that wait to be sent, and those that were sent and not acknowledged, so
//! that a client that comes back gets what it missed, once (section 3, "Coming back"). Pure: `now` is an argument.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Instant;

use crate::receipt::Receipt;
use ahoy_protocol::id::CallId;

/// So many unacknowledged messages end the right to resume.
pub(super) const UNACKNOWLEDGED_MAX: usize = 256;

/// So many receipts outlive their messages. Of a client that acknowledges nothing for longer, the oldest go: what they
/// stand for counts as unheard.
const OWED_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct History {
    /// With consecutive numbers, the last of them `seq`.
    kept: VecDeque<Kept>,
    /// What was to be learnt from the acknowledgement of messages that are no longer kept, by their numbers.
    owed: VecDeque<(u64, Receipt)>,
    /// How many of them, from the first, were handed to the connection.
    sent: usize,
    /// The number of the last message put in.
    seq: u64,
    /// Of all that is kept, and of what is not yet sent.
    bytes: usize,
    waiting: usize,
    /// Messages up to this number are not all kept, and the client did not yet acknowledge them: it may not resume. They
    /// are forgotten as soon as they are sent.
    gap: u64,
    /// Messages up to this number waited for the client to come back, and say how long.
    replay_to: u64,
}

#[derive(Debug)]
struct Kept {
    text: Box<str>,
    at: Instant,
    receipt: Option<Receipt>,
}

impl History {
    /// Numbers the text of a JSON object and puts it in. What is kept may take `bytes_max` bytes.
    pub(super) fn push(&mut self, mut object: String, receipt: Option<Receipt>, bytes_max: usize, now: Instant) {
        self.seq += 1;
        add_member(&mut object, "seq", self.seq);
        // It may be kept for long, so without any room to spare.
        let text = object.into_boxed_str();
        self.bytes += text.len();
        self.waiting += text.len();
        self.kept.push_back(Kept { text, at: now, receipt });
        if self.kept.len() >= UNACKNOWLEDGED_MAX || self.bytes >= bytes_max {
            self.let_go();
        }
    }

    /// Keeps nothing of what was sent or is still to be sent up to now: until the client acknowledges it, it may not resume.
    pub(super) fn let_go(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        self.gap = self.seq;
        for _ in 0..std::mem::take(&mut self.sent) {
            self.let_go_of_first();
        }
    }

    /// Gives the next message to send to `write`.
    pub(super) fn pop<T>(&mut self, now: impl FnOnce() -> Instant, write: impl FnOnce(&str) -> T) -> Option<T> {
        let number = self.last_sent() + 1;
        let next = self.kept.get(self.sent)?;
        self.waiting = self.waiting.saturating_sub(next.text.len());
        let written = if number <= self.replay_to {
            // Never 0, so that it tells what waited from what did not.
            let age_ms = now().saturating_duration_since(next.at).as_millis().max(1);
            let mut text = next.text.to_string();
            add_member(&mut text, "age_ms", u64::try_from(age_ms).unwrap_or(u64::MAX));
            write(&text)
        } else {
            write(&next.text)
        };
        if number <= self.gap {
            self.let_go_of_first();
        } else {
            self.sent += 1;
        }
        Some(written)
    }

    /// The client has everything up to `seq`. What it cannot have is no acknowledgement.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        if seq > self.last_sent() {
            return;
        }
        if seq >= self.gap {
            self.gap = 0;
        }
        while let Some((_, receipt)) = self.owed.pop_front_if(|(number, _)| *number <= seq) {
            receipt.acknowledged();
        }
        while self.sent > 0 && self.first() <= seq {
            self.forget_first();
            self.sent -= 1;
        }
    }

    /// Whether a client that has everything up to `seq` can be given the rest.
    pub(super) fn can_resume(&self, seq: u64) -> bool {
        self.gap == 0 && (self.first() - 1..=self.seq).contains(&seq)
    }

    /// All that comes after `seq` waits again.
    pub(super) fn resume(&mut self, seq: u64) {
        while !self.kept.is_empty() && self.first() <= seq {
            self.forget_first();
        }
        (self.sent, self.waiting, self.replay_to) = (0, self.bytes, self.seq);
    }

    /// Whether some of what was sent can no longer be sent again.
    pub(super) fn has_gap(&self) -> bool {
        self.gap > 0
    }

    /// The number of the last message handed out.
    pub(super) fn last_sent(&self) -> u64 {
        self.first() - 1 + self.sent as u64
    }

    /// Bytes of all that is kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes not yet sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The client spoke of `call`: it has its opening offer.
    pub(super) fn heard_of(&self, call: CallId) {
        let owed = self.owed.iter().map(|(_, receipt)| receipt);
        for receipt in self.kept.iter().filter_map(|kept| kept.receipt.as_ref()).chain(owed) {
            receipt.heard_of(call);
        }
    }

    fn first(&self) -> u64 {
        // `seq` counts all that was ever put in.
        self.seq + 1 - self.kept.len() as u64
    }

    /// The client has it.
    fn forget_first(&mut self) {
        if let Some(receipt) = self.take_first() {
            receipt.acknowledged();
        }
    }

    /// It was sent, perhaps into a dead socket, and is not kept to be sent again. That says nothing of whether the client
    /// has it: its receipt waits for the acknowledgement, or is dropped with the session.
    fn let_go_of_first(&mut self) {
        let number = self.first();
        let Some(receipt) = self.take_first() else { return };
        if self.owed.len() >= OWED_MAX {
            self.owed.pop_front();
        }
        self.owed.push_back((number, receipt));
    }

    fn take_first(&mut self) -> Option<Receipt> {
        let kept = self.kept.pop_front()?;
        self.bytes = self.bytes.saturating_sub(kept.text.len());
        if self.kept.is_empty() {
            // An idle session should not pay for its busiest moment.
            self.kept = VecDeque::new();
        }
        kept.receipt
    }
}

/// One more member at the end of an object.
fn add_member(object: &mut String, name: &str, value: u64) {
    object.pop();
    // A string takes whatever is written to it.
    let _ = write!(object, ",\"{name}\":{value}}}");
}

/// The most bytes that numbering and the time of waiting add.
pub(crate) const ADDED_MAX: usize = r#","seq":18446744073709551615"#.len() + r#","age_ms":18446744073709551615"#.len();

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BYTES: usize = 100_000;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn with(count: u64, now: Instant) -> History {
        let mut history = History::default();
        for n in 1..=count {
            history.push(format!(r#"{{"n":{n}}}"#), None, BYTES, now);
        }
        history
    }

    fn drain(history: &mut History, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| history.pop(|| now, str::to_owned)).collect()
    }

    #[test]
    fn what_was_not_seen_comes_again_with_its_age() {
        let now = start();
        let mut history = with(3, now);
        assert_eq!(drain(&mut history, now), [r#"{"n":1,"seq":1}"#, r#"{"n":2,"seq":2}"#, r#"{"n":3,"seq":3}"#]);
        assert!(!history.can_resume(4));
        history.push(r#"{"n":4}"#.into(), None, BYTES, now + Duration::from_secs(2));
        assert!(history.can_resume(0) && history.can_resume(2));
        history.resume(2);
        let later = now + Duration::from_secs(5);
        let again = drain(&mut history, later);
        assert_eq!(again, [r#"{"n":3,"seq":3,"age_ms":5000}"#, r#"{"n":4,"seq":4,"age_ms":3000}"#]);
        history.push(r#"{"n":5}"#.into(), None, BYTES, later);
        assert_eq!(drain(&mut history, later), [r#"{"n":5,"seq":5}"#], "it did not wait");
        assert!(!history.can_resume(1) && history.can_resume(2), "what was seen is forgotten");
    }

    #[test]
    fn what_is_acknowledged_is_forgotten_and_only_what_was_sent_can_be() {
        let now = start();
        let mut history = with(3, now);
        history.pop(|| now, |_| ());
        history.pop(|| now, |_| ());
        history.acknowledge(3);
        assert!(history.can_resume(0), "3 was not sent");
        history.acknowledge(2);
        assert!(!history.can_resume(1) && history.can_resume(2));
        assert_eq!((history.last_sent(), history.kept.len()), (2, 1));
        drain(&mut history, now);
        history.acknowledge(3);
        assert_eq!((history.bytes, history.waiting, history.kept.capacity()), (0, 0, 0));
    }

    #[test]
    fn the_256th_unacknowledged_message_ends_the_right_to_resume_until_it_is_acknowledged() {
        let now = start();
        let mut history = with(255, now);
        drain(&mut history, now);
        assert!(history.can_resume(0) && history.can_resume(255));
        history.push("{}".into(), None, BYTES, now);
        history.push("{}".into(), None, BYTES, now);
        assert!(!history.can_resume(0) && !history.can_resume(256) && history.has_gap());
        assert_eq!(drain(&mut history, now).len(), 2, "it is still sent");
        history.acknowledge(255);
        assert!(!history.can_resume(257));
        history.acknowledge(256);
        assert!(history.can_resume(256) && history.can_resume(257) && !history.can_resume(255));
    }

    #[test]
    fn bytes_end_the_right_as_well() {
        let now = start();
        let mut history = History::default();
        let object = format!(r#"{{"pad":"{}"}}"#, "x".repeat(BYTES / 2));
        history.push(object.clone(), None, BYTES, now);
        assert!(history.can_resume(0));
        history.push(object.clone(), None, BYTES, now);
        assert!(history.has_gap());
        assert_eq!(drain(&mut history, now).len(), 2);
        assert_eq!(history.bytes, 0);
    }

    #[test]
    fn what_is_added_is_no_more_than_it_says() {
        let mut text = String::from("{\"a\":1}");
        add_member(&mut text, "seq", u64::MAX);
        add_member(&mut text, "age_ms", u64::MAX);
        assert_eq!(text.len(), "{\"a\":1}".len() + ADDED_MAX);
    }
}
