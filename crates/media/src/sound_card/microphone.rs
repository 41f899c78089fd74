//! A microphone as blocks of 10 ms at our rate: the ring behind cpal's callback, and the end that the audio thread
//! reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::traits::DeviceTrait as _;
use cpal::{Data, InputCallbackInfo};
use rtrb::{Consumer, Producer, RingBuffer};

use super::SoundEnd;
use super::error::SoundCardError;
use super::format::{self, StreamShape, mix_down};
use super::heartbeat::{Heartbeat, SmoothDelay, lasting};
use super::session::{Feed, OpenStream};
use super::supervisor::Supervisor;
use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};
use crate::latest::Latest;
use crate::notice::SoundNotice;
use crate::pace::Pace;
use crate::resample::{ResampleError, Resampler};

/// What the ring holds at most.
const RING_MS: u32 = 500;

/// A reader who comes this late gets what is new and not what is old.
const TOO_LATE_MS: u32 = 250;

/// What such a reader is left with.
const CUT_TO_MS: u32 = 20;

/// After this long without sound from the device there is silence in its place, so that time goes on for who listens.
/// Longer than a busy machine keeps a sound server waiting: that sound comes late, but whole.
const GRACE: Duration = Duration::from_millis(500);

/// Sound that begins after silence or a cut rises over this many samples: 5 ms.
const RISE_SAMPLES: usize = 240;

/// A microphone that is kept open, by whatever device stands in, until it is dropped.
pub struct Microphone {
    supervisor: Supervisor,
    feeds: Latest<CaptureFeed>,
    feed: Option<CaptureFeed>,
    pace: Pace,
    /// The device has given nothing for a while.
    silent: bool,
    delay: SmoothDelay,
}

impl Microphone {
    /// Begins to open the microphone of this id ([`DEFAULT_ID`](super::DEFAULT_ID) for the system's). Does not wait:
    /// what cannot be opened is told by [`Self::notice`] and tried again. The default stands in for one that is missing,
    /// not for one that is busy, refused or silent.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn open(id: &str) -> Result<Self, SoundCardError> {
        let feeds = Latest::new();
        let supervisor = Supervisor::start(feeds.clone(), id).map_err(SoundCardError::Thread)?;
        Ok(Self { supervisor, feeds, feed: None, pace: Pace::default(), silent: true, delay: SmoothDelay::default() })
    }

    /// Fills a block if 10 ms have come. While no device delivers there is silence at the pace of the clock, so the
    /// blocks keep to the time of day. Never blocks. To be asked until it says no, every 10 ms or so; who stays away
    /// for long loses the oldest.
    pub fn read(&mut self, block: &mut AudioBlock) -> bool {
        let now = Instant::now();
        if let Ok(feed) = self.feeds.take_timeout(Duration::ZERO) {
            self.feed = Some(feed);
            self.delay.reset();
        }
        match self.feed.as_mut().map_or(Reading::Nothing, |feed| feed.read(block)) {
            Reading::Nothing => return self.read_silence(block, now),
            Reading::Sound if self.silent => rise(block),
            Reading::Sound => {}
            Reading::SoundAfterCut => rise(block),
        }
        self.silent = false;
        self.pace.restart(now);
        if let Some(feed) = &self.feed {
            self.delay.add(feed.delay());
        }
        true
    }

    fn read_silence(&mut self, block: &mut AudioBlock, now: Instant) -> bool {
        if !self.pace.is_due(now) || !(self.silent || self.pace.lateness(now) >= GRACE) {
            return false;
        }
        self.silent = true;
        self.delay.reset();
        self.pace.step();
        block.fill(0.0);
        true
    }

    /// How old the newest sample of the last block was when it was read.
    pub fn delay(&self) -> Duration {
        self.delay.value()
    }

    /// What changed since the last call.
    pub fn notice(&mut self) -> Option<SoundNotice> {
        self.supervisor.notice()
    }

    /// How often sound was lost because nobody read, with the device that is open now.
    pub fn overruns(&self) -> u64 {
        self.feed.as_ref().map_or(0, |feed| feed.heartbeat.lapses())
    }
}

fn rise(block: &mut AudioBlock) {
    for (n, sample) in block.iter_mut().take(RISE_SAMPLES).enumerate() {
        *sample *= n as f32 / RISE_SAMPLES as f32;
    }
}

/// The reading end of one open stream.
pub(super) struct CaptureFeed {
    ring: Consumer<f32>,
    rate_hz: u32,
    heartbeat: Arc<Heartbeat>,
    /// Nothing if the device has our rate.
    resampler: Option<Resampler>,
    /// What the resampler takes next, at the device's rate.
    input: Vec<f32>,
}

impl Feed for CaptureFeed {
    const END: SoundEnd = SoundEnd::Microphone;

    fn build(
        device: &cpal::Device,
        shape: StreamShape,
        heartbeat: Arc<Heartbeat>,
        on_error: impl FnMut(cpal::Error) + Send + 'static,
        timeout: Option<Duration>,
    ) -> Result<(OpenStream, Self), cpal::Error> {
        let (feed, mut recorder) = Self::new(shape, heartbeat).map_err(format::refused)?;
        let on_data = move |data: &Data, info: &InputCallbackInfo| recorder.record(data, info);
        let stream = device.build_input_stream_raw(shape.config, shape.format, on_data, on_error, timeout)?;
        let hurry = shape.hurried().map(|config| {
            let on_data = |_: &Data, _: &InputCallbackInfo| {};
            device.build_input_stream_raw(config, shape.format, on_data, |_| {}, timeout)
        });
        Ok((OpenStream { stream, hurry: hurry.transpose()? }, feed))
    }
}

/// What came of asking for a block.
enum Reading {
    Nothing,
    Sound,
    /// The first after older sound was thrown away.
    SoundAfterCut,
}

impl CaptureFeed {
    /// Both ends of a ring.
    ///
    /// # Errors
    /// If the device's rate cannot be brought to ours.
    fn new(shape: StreamShape, heartbeat: Arc<Heartbeat>) -> Result<(Self, Recorder), ResampleError> {
        let rate_hz = shape.config.sample_rate;
        let (producer, ring) = RingBuffer::new(samples(RING_MS, rate_hz));
        let resampler = (rate_hz != SAMPLE_RATE_HZ).then(|| Resampler::new(rate_hz)).transpose()?;
        let recorder = Recorder {
            ring: producer,
            channels: usize::from(shape.config.channels),
            rate_hz,
            heartbeat: Arc::clone(&heartbeat),
        };
        Ok((Self { ring, rate_hz, heartbeat, resampler, input: Vec::new() }, recorder))
    }

    fn read(&mut self, block: &mut AudioBlock) -> Reading {
        let cut = self.ring.slots() > samples(TOO_LATE_MS, self.rate_hz);
        if cut {
            let surplus = self.ring.slots().saturating_sub(samples(CUT_TO_MS, self.rate_hz));
            if let Ok(old) = self.ring.read_chunk(surplus) {
                old.commit_all();
            }
            self.heartbeat.lapse();
        }
        let filled = match &mut self.resampler {
            None => self.ring.pop_entire_slice(block).is_ok(),
            Some(resampler) => {
                self.input.resize(resampler.needed(), 0.0);
                self.ring.pop_entire_slice(&mut self.input).is_ok() && resampler.process(&self.input, block).is_ok()
            }
        };
        match (filled, cut) {
            (false, _) => Reading::Nothing,
            (true, false) => Reading::Sound,
            (true, true) => Reading::SoundAfterCut,
        }
    }

    fn delay(&self) -> Duration {
        self.heartbeat.age() + lasting(self.ring.slots(), self.rate_hz)
    }
}

/// The writing end, in cpal's callback: neither allocates, locks nor waits.
struct Recorder {
    ring: Producer<f32>,
    channels: usize,
    rate_hz: u32,
    heartbeat: Arc<Heartbeat>,
}

impl Recorder {
    /// Takes what the device captured.
    fn record(&mut self, data: &Data, info: &InputCallbackInfo) {
        let frames = data.len() / self.channels.max(1);
        mix_down(data, self.channels, |samples| self.push(samples));
        let first = info.timestamp().callback.saturating_duration_since(info.timestamp().capture);
        self.heartbeat.captured(frames, first.saturating_sub(lasting(frames, self.rate_hz)));
    }

    /// What finds no place is lost: the reader is half a second late.
    fn push(&mut self, samples: &mut dyn ExactSizeIterator<Item = f32>) {
        let room = self.ring.slots().min(samples.len());
        if room < samples.len() {
            self.heartbeat.lapse();
        }
        if let Ok(chunk) = self.ring.write_chunk_uninit(room) {
            chunk.fill_from_iter(samples);
        }
    }
}

fn samples(ms: u32, rate_hz: u32) -> usize {
    (u64::from(ms) * u64::from(rate_hz) / 1000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(rate_hz: u32) -> (CaptureFeed, Recorder, Arc<Heartbeat>) {
        let config = cpal::StreamConfig { channels: 1, sample_rate: rate_hz, buffer_size: cpal::BufferSize::Default };
        let heartbeat = Arc::new(Heartbeat::new());
        let shape = StreamShape { config, format: cpal::SampleFormat::F32, by_server: false };
        let (feed, recorder) = CaptureFeed::new(shape, Arc::clone(&heartbeat)).unwrap();
        (feed, recorder, heartbeat)
    }

    fn push(recorder: &mut Recorder, samples: std::ops::Range<usize>) {
        recorder.push(&mut samples.map(|n| n as f32));
    }

    #[test]
    fn a_block_is_given_once_ten_milliseconds_have_come() {
        let (mut feed, mut recorder, _) = ends(48_000);
        let mut block = [9.0; 480];
        push(&mut recorder, 0..479);
        assert!(matches!(feed.read(&mut block), Reading::Nothing));
        push(&mut recorder, 479..1000);
        assert!(matches!(feed.read(&mut block), Reading::Sound));
        assert_eq!((block[0], block[479]), (0.0, 479.0));
        assert!(matches!(feed.read(&mut block), Reading::Sound));
        assert_eq!((block[0], block[479]), (480.0, 959.0));
        assert!(matches!(feed.read(&mut block), Reading::Nothing));
    }

    #[test]
    fn who_reads_too_late_gets_what_is_new() {
        let (mut feed, mut recorder, heartbeat) = ends(48_000);
        let mut block = [9.0; 480];
        push(&mut recorder, 0..12_000);
        assert!(matches!(feed.read(&mut block), Reading::Sound));
        assert_eq!(heartbeat.lapses(), 0);
        push(&mut recorder, 12_000..12_481);
        assert!(matches!(feed.read(&mut block), Reading::SoundAfterCut));
        assert_eq!((block[0], block[479]), (11_521.0, 12_000.0));
        assert_eq!(heartbeat.lapses(), 1);
    }

    #[test]
    fn a_ring_that_nobody_reads_stays_as_it_is() {
        let (feed, mut recorder, heartbeat) = ends(16_000);
        for _ in 0..100 {
            push(&mut recorder, 0..160);
        }
        assert_eq!(feed.ring.slots(), 8_000);
        assert_eq!(heartbeat.lapses(), 50);
    }

    #[test]
    fn a_device_of_another_rate_gives_blocks_at_ours() {
        let (mut feed, mut recorder, _) = ends(44_100);
        let mut blocks = 0;
        for tenth in 0..10 {
            push(&mut recorder, tenth * 4410..(tenth + 1) * 4410);
            while matches!(feed.read(&mut [0.0; 480]), Reading::Sound) {
                blocks += 1;
            }
        }
        assert!((98..=100).contains(&blocks), "{blocks} blocks in a second");
    }
}
