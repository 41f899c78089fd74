//! How long nothing was shown or heard.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::harness::Running;

/// The clock of the peers' events.
#[must_use]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The longest time between two pictures that a peer with `--frame-events` showed from `from_ns` to `to_ns` (of the events'
/// clock), or between one and an end of that time.
///
/// # Panics
/// When nothing was shown at all.
#[must_use]
#[track_caller]
pub fn longest_freeze(peer: &Running, from_ns: u64, to_ns: u64) -> Duration {
    let shown = peer.all("frame_shown").into_iter().map(|event| event.t_ns()).filter(|t| (from_ns..to_ns).contains(t));
    let mut times = vec![from_ns];
    times.extend(shown);
    assert!(times.len() > 1, "nothing was shown in {:?}", Duration::from_nanos(to_ns.saturating_sub(from_ns)));
    times.push(to_ns);
    let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
    Duration::from_nanos(longest.unwrap_or(0))
}

/// The longest silence in what a peer with `--speaker file:` would have played of a `tone`, from the first sound on.
///
/// # Panics
/// When it is no such file or silent throughout.
#[must_use]
#[track_caller]
pub fn longest_silence(recording: &Path) -> Duration {
    let mut wav = hound::WavReader::open(recording).expect("the recording is there");
    let spec = wav.spec();
    let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().expect("the recording is whole");
    // Tenths of what a tone is at its peak; concealment fades below that.
    let window = (spec.sample_rate as usize * usize::from(spec.channels) / 50).max(1);
    let loud: Vec<bool> = samples.chunks(window).map(|some| some.iter().any(|s| s.unsigned_abs() > AUDIBLE)).collect();
    let first = loud.iter().position(|&loud| loud).expect("something was heard");
    let last = loud.iter().rposition(|&loud| loud).unwrap_or(first);
    let (mut longest, mut run) = (0_u32, 0_u32);
    for &loud in &loud[first..=last] {
        run = if loud { 0 } else { run + 1 };
        longest = longest.max(run);
    }
    longest * Duration::from_millis(20)
}

/// Of 16 bits; a hundredth of full scale.
const AUDIBLE: u16 = 327;
