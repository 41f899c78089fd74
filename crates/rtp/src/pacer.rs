//! Lets packets leave one after the other instead of all at once: what was asked for again first, then pictures. Sound and
//! RTCP do not pass here; they never wait.

use std::collections::VecDeque;
use std::time::Duration;

/// Packets of so much time leave together, so that not each of them wakes the machine.
const TOGETHER: Duration = Duration::from_millis(3);

/// Who waits longer is of no use any more: its picture would be too late for a call.
const LONGEST_WAIT: Duration = Duration::from_millis(400);

/// Packets of each kind that wait at most: twice a large key frame.
const MAX_PACKETS: usize = 512;

/// In the order in which they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A packet that the peer waits for.
    Again,
    /// A picture.
    Picture,
}

/// Holds packets until they may leave. `now` is the time since any fixed moment and does not go back.
#[derive(Debug)]
pub struct Pacer<T> {
    queues: [VecDeque<Held<T>>; 2],
    bytes: usize,
    next: Duration,
    dropped: u64,
}

#[derive(Debug)]
struct Held<T> {
    packet: T,
    bytes: usize,
    since: Duration,
}

impl<T> Default for Pacer<T> {
    fn default() -> Self {
        Self { queues: [VecDeque::new(), VecDeque::new()], bytes: 0, next: Duration::ZERO, dropped: 0 }
    }
}

impl<T> Pacer<T> {
    /// Takes a packet of `bytes` in. One too many is dropped and counted.
    pub fn push(&mut self, now: Duration, priority: Priority, bytes: usize, packet: T) {
        let queue = &mut self.queues[priority as usize];
        if queue.len() >= MAX_PACKETS {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes;
        queue.push_back(Held { packet, bytes, since: now });
    }

    /// The next packet, if one may leave now at a rate of `bps`.
    pub fn pop(&mut self, now: Duration, bps: u64) -> Option<T> {
        if self.next > now + TOGETHER {
            return None;
        }
        loop {
            let held = self.queues.iter_mut().find_map(VecDeque::pop_front)?;
            self.bytes -= held.bytes;
            if now.saturating_sub(held.since) > LONGEST_WAIT {
                self.dropped += 1;
                continue;
            }
            let takes = Duration::from_nanos(held.bytes as u64 * 8_000_000_000 / bps.max(1));
            self.next = self.next.max(now) + takes;
            return Some(held.packet);
        }
    }

    /// When [`pop`](Self::pop) has something again.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.queues.iter().any(|queue| !queue.is_empty()).then(|| self.next.saturating_sub(TOGETHER))
    }

    /// Whether a packet waits that `is_it` knows.
    pub fn holds(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.queues.iter().flatten().any(|held| is_it(&held.packet))
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packets that were thrown away: too many, or too late.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn packets_leave_at_the_rate_and_what_was_asked_for_again_goes_first() {
        let mut pacer = Pacer::default();
        for number in 0..20 {
            pacer.push(Duration::ZERO, Priority::Picture, 1_000, number);
        }
        pacer.push(Duration::ZERO, Priority::Again, 1_000, 100);
        let mut left = Vec::new();
        for now in 0..40 {
            while let Some(packet) = pacer.pop(MS * now, 1_000_000) {
                left.push((now, packet));
            }
        }
        assert_eq!(left[0], (0, 100));
        // Eight milliseconds each; what fits into the first 40, three of them early.
        assert_eq!(left.len(), 6, "{left:?}");
        assert!(pacer.poll_timeout().is_some_and(|at| at >= MS * 40));
    }

    #[test]
    fn what_waited_too_long_is_dropped_and_nothing_grows_without_bound() {
        let mut pacer = Pacer::default();
        for number in 0..600 {
            pacer.push(Duration::ZERO, Priority::Picture, 1_000, number);
        }
        assert_eq!((pacer.dropped(), pacer.bytes()), (88, 512_000));
        assert_eq!(pacer.pop(MS * 401, 1_000_000), None);
        assert_eq!((pacer.dropped(), pacer.bytes()), (600, 0));
        assert_eq!(pacer.poll_timeout(), None);
    }
}
