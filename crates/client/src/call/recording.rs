//! `--display file:`: pictures of the other side into a Y4M file at their source's rate, which no message tells: it is
//! read off the time stamps of the first pictures.

use std::time::Duration;

use ahoy_media::{FrameRate, PictureSink, SinkSpec, VideoFrame};
use ahoy_rtp::clock::{TimestampUnwrapper, VIDEO_CLOCK_HZ, duration, ticks as ticks_in};

/// Pictures held back until the rate is known: enough that most pairs are neighbours, even with loss.
const HELD_BACK: usize = 8;
/// How much further than time went by a sender's clock may go from one picture to the next: a second of delay made good.
const LEAP_TICKS: i64 = VIDEO_CLOCK_HZ as i64;
/// Pictures a second of most cameras, and how far from one of these a camera's time stamps may lie to be taken for it.
const WHOLE_RATES: ([(u32, u32); 9], f64) =
    ([(60, 1), (50, 1), (30, 1), (25, 1), (24, 1), (20, 1), (15, 1), (10, 1), (5, 1)], 0.1);
/// Those of NTSC: a thousandth slower, so only time stamps that are exact can mean them.
const NTSC_RATES: ([(u32, u32); 3], f64) = ([(60_000, 1001), (30_000, 1001), (24_000, 1001)], 0.0004);

/// A recording, before and after its rate is known.
pub(crate) struct Recording {
    spec: SinkSpec,
    timestamps: TimestampUnwrapper,
    last: Option<Last>,
    state: State,
}

/// The picture before, on the sender's clock, on the recording's and on this machine's.
struct Last {
    ticks: i64,
    place: i64,
    at: Duration,
}

enum State {
    Waiting(Vec<(VideoFrame, i64)>),
    Recording(Box<PictureSink>),
    /// Nothing is wanted, or it failed and that was told.
    Off,
}

impl Recording {
    /// Nothing is written before the first pictures came.
    pub(crate) fn new(spec: SinkSpec) -> Self {
        let state = match spec {
            SinkSpec::None => State::Off,
            SinkSpec::File(_) | SinkSpec::Device(_) => State::Waiting(Vec::new()),
        };
        Self { spec, timestamps: TimestampUnwrapper::default(), last: None, state }
    }

    /// Whether pictures are recorded.
    pub(crate) fn is_on(&self) -> bool {
        match self.state {
            State::Waiting(_) | State::Recording(_) => true,
            State::Off => false,
        }
    }

    /// Records one picture; `rtp` is its time stamp at 90 kHz, `now` the time since any fixed moment.
    ///
    /// # Errors
    /// When the file cannot be written; told once, then nothing is recorded any more.
    pub(crate) fn show(&mut self, frame: &VideoFrame, rtp: u32, now: Duration) -> Result<(), String> {
        let ticks = self.place(rtp, now);
        match &mut self.state {
            State::Off => Ok(()),
            State::Waiting(held) => {
                held.push((frame.clone(), ticks));
                if held.len() < HELD_BACK { Ok(()) } else { self.begin() }
            }
            State::Recording(sink) => {
                let written = write(sink, frame, ticks);
                if written.is_err() {
                    self.state = State::Off;
                }
                written
            }
        }
    }

    /// Where a picture lies in the recording, in ticks from its first. Gaps are filled with copies, so a sender whose time
    /// stamps leap further than time went by does not decide how much is written: it gets the time that went by.
    fn place(&mut self, rtp: u32, now: Duration) -> i64 {
        let ticks = self.timestamps.unwrap(rtp);
        let place = match &self.last {
            None => 0,
            Some(last) => {
                let passed = i64::try_from(ticks_in(now.saturating_sub(last.at), VIDEO_CLOCK_HZ)).unwrap_or(i64::MAX);
                let advance = ticks.saturating_sub(last.ticks);
                last.place.saturating_add(if advance > passed.saturating_add(LEAP_TICKS) { passed } else { advance })
            }
        };
        self.last = Some(Last { ticks, place, at: now });
        place
    }

    /// Writes what is still held back and closes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        match &self.state {
            State::Waiting(held) if !held.is_empty() => self.begin(),
            State::Waiting(_) | State::Recording(_) | State::Off => Ok(()),
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let State::Waiting(held) = std::mem::replace(&mut self.state, State::Off) else { return Ok(()) };
        let times: Vec<i64> = held.iter().map(|(_, ticks)| *ticks).collect();
        let Some(mut sink) = PictureSink::open(&self.spec, rate_of(&times)).map_err(|e| super::in_words(&e))? else {
            return Ok(());
        };
        for (frame, ticks) in &held {
            write(&mut sink, frame, *ticks)?;
        }
        self.state = State::Recording(Box::new(sink));
        Ok(())
    }
}

fn write(sink: &mut PictureSink, frame: &VideoFrame, ticks: i64) -> Result<(), String> {
    // Ticks count from the first picture shown; one from before it has no place in the recording.
    let Ok(ticks) = u64::try_from(ticks) else { return Ok(()) };
    let time: Duration = duration(ticks, VIDEO_CLOCK_HZ);
    sink.show(frame, time).map_err(|e| super::in_words(&e))
}

/// The common rate nearest to the middle one of the gaps between `times` (90 kHz ticks), which neither a lost picture nor
/// a camera's jitter moves much; the gap's own rate where none is near.
fn rate_of(times: &[i64]) -> FrameRate {
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0).collect();
    gaps.sort_unstable();
    let Some(gap) = gaps.get(gaps.len() / 2).and_then(|gap| u32::try_from(*gap).ok()) else { return FrameRate::THIRTY };
    let fps = f64::from(VIDEO_CLOCK_HZ) / f64::from(gap);
    near(fps, &NTSC_RATES.0, NTSC_RATES.1)
        .or_else(|| near(fps, &WHOLE_RATES.0, WHOLE_RATES.1))
        .or_else(|| FrameRate::new(VIDEO_CLOCK_HZ, gap).ok())
        .unwrap_or(FrameRate::THIRTY)
}

/// The one of `rates` that is nearest to `fps`, if it is within `tolerance` of it.
fn near(fps: f64, rates: &[(u32, u32)], tolerance: f64) -> Option<FrameRate> {
    let distance = |rate: &FrameRate| (rate.fps() / fps - 1.0).abs();
    let rates = rates.iter().filter_map(|(numerator, denominator)| FrameRate::new(*numerator, *denominator).ok());
    rates.min_by(|left, right| distance(left).total_cmp(&distance(right))).filter(|rate| distance(rate) < tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_off_the_time_stamps_even_with_gaps_and_jitter() {
        let fps = |times: &[i64]| rate_of(times).fps();
        assert_eq!(fps(&[0, 3000, 6000]), 30.0);
        assert_eq!(fps(&[0, 6000, 9000, 15_000, 18_000, 21_000]), 30.0, "two pictures are lost");
        assert_eq!(fps(&[0, 3100, 5900, 9050, 11_960, 15_000, 17_800, 21_000]), 30.0, "the camera is unsteady");
        assert_eq!(fps(&[0, 3600]), 25.0);
        assert!((fps(&[0, 3003, 6006]) - 29.97).abs() < 0.001);
        assert_eq!(fps(&[0, 30_000]), 3.0, "an uncommon rate is kept");
        assert_eq!(rate_of(&[0]), FrameRate::THIRTY);
        assert_eq!(rate_of(&[0, 0, 1]), FrameRate::THIRTY, "no camera is that fast");
    }

    #[test]
    fn a_call_too_short_to_know_the_rate_is_recorded_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short.y4m");
        let mut recording = Recording::new(SinkSpec::File(path.clone()));
        let frame = VideoFrame::new(16, 16, vec![9; 384]).unwrap();
        for rtp in [u32::MAX - 2999, 0, 3000] {
            recording.show(&frame, rtp, Duration::ZERO).unwrap();
        }
        recording.finish().unwrap();
        let pictures = (std::fs::read(&path).unwrap().len() / (384 + 6)) as u32;
        assert_eq!(pictures, 3);
    }

    #[test]
    fn a_sender_whose_clock_leaps_does_not_fill_the_disk_and_a_real_gap_is_kept() {
        let mut recording = Recording::new(SinkSpec::None);
        let at = Duration::from_millis;
        assert_eq!(recording.place(7, at(0)), 0);
        assert_eq!(recording.place(7 + 3000, at(40)), 3000);
        assert_eq!(recording.place(7 + 3000 + 59 * 90_000, at(73)), 3000 + 2970, "59 s in 33 ms");
        assert_eq!(recording.place(7 + 6000 + 59 * 90_000, at(106)), 5970 + 3000);
        assert_eq!(
            recording.place(7 + 6000 + 69 * 90_000, at(10_106)),
            8970 + 900_000,
            "ten seconds without a picture"
        );
    }
}
