//! The numbers of one connection, and what the peer wants. Written by the interceptors, read by everyone else.

use crate::congestion::Congestion;
use crate::track::Track;
use crate::wall_clock::WallClock;
use ahoy_rtp::SenderReport;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout_at;

/// Key frames of one track are told to be wanted no more often than this, whatever a peer asks: each costs many times an
/// ordinary picture, and one that is on its way answers what was asked meanwhile.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(crate) struct Feedback {
    pub(crate) clock: WallClock,
    tracks: [TrackFeedback; Track::ALL.len()],
    key_frame_wanted: Notify,
    /// Zero while unknown.
    round_trip_us: Number,
    /// Zero while unknown.
    pub(crate) available_bps: Number,
    began: Instant,
    congestion: Mutex<Congestion>,
}

/// The numbers of one track, both ways.
#[derive(Debug, Default)]
pub(crate) struct TrackFeedback {
    pub(crate) packets_sent: Number,
    pub(crate) bytes_sent: Number,
    pub(crate) packets_resent: Number,
    pub(crate) packets_nacked_by_peer: Number,
    pub(crate) key_frame_requests: Number,
    pub(crate) packets_received: Number,
    pub(crate) bytes_received: Number,
    pub(crate) packets_expected: Number,
    pub(crate) jitter_us: Number,
    pub(crate) packets_nacked: Number,
    pub(crate) packets_recovered: Number,
    pub(crate) retransmissions_received: Number,
    pub(crate) key_frames_asked: Number,
    /// What the peer said of its clocks last, and when that came.
    pub(crate) sender_report: watch::Sender<Option<(SenderReport, Instant)>>,
    captured: Mutex<Option<Captured>>,
    remote: Mutex<Option<RemoteReport>>,
    wish: Mutex<Wish>,
}

/// When something was captured, and the time stamp that it is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) at: Instant,
    pub(crate) rtp: u32,
}

/// What the peer's newest report says about a track that is sent to it (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteReport {
    /// Counts the reports about the track.
    pub(crate) number: u64,
    pub(crate) packets_lost: u64,
    /// Of 256 packets, since the report before.
    pub(crate) lost_of_256: u8,
    pub(crate) jitter: Duration,
}

/// Whether the peer wants a key frame, and when this was told last.
#[derive(Debug, Default)]
struct Wish {
    open: bool,
    told_at: Option<Instant>,
}

impl Wish {
    /// When an open wish may be told.
    fn due(&self, now: Instant) -> Option<Instant> {
        self.open.then(|| self.told_at.map_or(now, |told_at| told_at + KEY_FRAME_PAUSE))
    }
}

/// A number that one side writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl TrackFeedback {
    pub(crate) fn captured(&self) -> Option<Captured> {
        *lock(&self.captured)
    }

    pub(crate) fn set_captured(&self, captured: Captured) {
        *lock(&self.captured) = Some(captured);
    }

    pub(crate) fn remote(&self) -> Option<RemoteReport> {
        *lock(&self.remote)
    }

    /// The report gets its number here.
    pub(crate) fn set_remote(&self, report: RemoteReport) {
        let mut remote = lock(&self.remote);
        let number = remote.map_or(0, |before| before.number) + 1;
        *remote = Some(RemoteReport { number, ..report });
    }
}

impl Feedback {
    pub(crate) fn new(clock: WallClock) -> Self {
        Self {
            clock,
            tracks: Default::default(),
            key_frame_wanted: Notify::new(),
            round_trip_us: Number::default(),
            available_bps: Number::default(),
            began: Instant::now(),
            congestion: Mutex::new(Congestion::new()),
        }
    }

    pub(crate) fn track(&self, track: Track) -> &TrackFeedback {
        &self.tracks[track.index()]
    }

    /// What is known of the path's rate, as of `now`. Held for microseconds.
    pub(crate) fn congestion(&self, now: Instant) -> MutexGuard<'_, Congestion> {
        let mut congestion = lock(&self.congestion);
        congestion.advance(now.saturating_duration_since(self.began));
        congestion
    }

    /// What the times of [`Self::congestion`] are counted from.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The newest round trip time, by RTCP or ICE.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let known = self.round_trip_us.value();
        (known > 0).then(|| Duration::from_micros(known))
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        self.round_trip_us.set(u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn want_key_frame(&self, track: Track) {
        self.track(track).key_frame_requests.add(1);
        lock(&self.track(track).wish).open = true;
        self.key_frame_wanted.notify_one();
    }

    /// Waits until the peer wants a key frame of a track, and the last wish is a while ago. Wishes that come before this is
    /// called are kept, one for each track; none is lost when the future is dropped.
    pub(crate) async fn key_frame_wanted(&self) -> Track {
        loop {
            let wished = self.key_frame_wanted.notified();
            let now = tokio::time::Instant::now().into_std();
            let mut next: Option<Instant> = None;
            for track in Track::ALL {
                let mut wish = lock(&self.track(track).wish);
                match wish.due(now) {
                    Some(due) if due <= now => {
                        *wish = Wish { open: false, told_at: Some(now) };
                        return track;
                    }
                    Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                    None => {}
                }
            }
            match next {
                Some(due) => drop(timeout_at(due.into(), wished).await),
                None => wished.await,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn however_often_a_key_frame_is_asked_for_it_is_told_once_in_a_while_for_each_track() {
        let feedback = Feedback::new(WallClock::new(Instant::now()));
        let began = Instant::now();
        for _ in 0..100 {
            feedback.want_key_frame(Track::Screen);
        }
        assert_eq!(feedback.key_frame_wanted().await, Track::Screen);
        feedback.want_key_frame(Track::Screen);
        feedback.want_key_frame(Track::Camera);
        assert_eq!(feedback.key_frame_wanted().await, Track::Camera);
        assert_eq!(feedback.key_frame_wanted().await, Track::Screen);
        assert!(began.elapsed() >= KEY_FRAME_PAUSE);
        let none = tokio::time::timeout(Duration::ZERO, feedback.key_frame_wanted());
        assert!(none.await.is_err());
        assert_eq!(feedback.track(Track::Screen).key_frame_requests.value(), 101);
    }
}
