//! A speaker that takes blocks of 10 ms at our rate: the end that the audio thread fills, and the ring behind cpal's
//! callback, which is the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::traits::DeviceTrait as _;
use cpal::{Data, OutputCallbackInfo};
use rtrb::{Consumer, Producer, RingBuffer};

use super::SoundEnd;
use super::error::SoundCardError;
use super::format::{self, StreamShape, spread};
use super::heartbeat::{Heartbeat, SmoothDelay, lasting};
use super::session::{Feed, OpenStream};
use super::supervisor::Supervisor;
use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};
use crate::latest::Latest;
use crate::notice::SoundNotice;
use crate::pace::Pace;
use crate::resample::{BlockResampler, ResampleError};

/// What the ring holds at most, beyond two of the device's periods.
const RING_MS: u64 = 200;

/// How much sound lies ready for the callback at least, or two of its periods if they are longer.
const TARGET: Duration = Duration::from_millis(20);

/// What is added each time the callback found too little: the machine is busier than was thought.
const TARGET_STEP: Duration = Duration::from_millis(10);

/// The most that is added.
const TARGET_EXTRA: Duration = Duration::from_millis(60);

/// After this long without trouble one step is taken back.
const CALM: Duration = Duration::from_secs(20);

/// A device that has not asked for so long does not pace us. Longer than a busy machine keeps a sound server waiting:
/// what is taken then is never heard.
const STALLED: Duration = Duration::from_millis(300);

/// Sound rises over this long when it begins and dies away about as fast when it breaks off.
const FADE: Duration = Duration::from_millis(5);

/// A speaker that is kept open, by whatever device stands in, until it is dropped.
pub struct Speaker {
    supervisor: Supervisor,
    feeds: Latest<PlaybackFeed>,
    feed: Option<PlaybackFeed>,
    /// Paces while no device does.
    pace: Pace,
    delay: SmoothDelay,
}

impl Speaker {
    /// Begins to open the speaker of this id ([`DEFAULT_ID`](super::DEFAULT_ID) for the system's). Does not wait: what
    /// cannot be opened is told by [`Self::notice`] and tried again. The default stands in for one that is missing, not
    /// for one that is busy, refused or silent.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn open(id: &str) -> Result<Self, SoundCardError> {
        let feeds = Latest::new();
        let supervisor = Supervisor::start(feeds.clone(), id).map_err(SoundCardError::Thread)?;
        Ok(Self { supervisor, feeds, feed: None, pace: Pace::default(), delay: SmoothDelay::default() })
    }

    /// Whether another block should be played now: the device is about to run out of sound. While none plays, blocks
    /// are due at the pace of the clock and go nowhere.
    pub fn is_due(&mut self) -> bool {
        if let Ok(feed) = self.feeds.take_timeout(Duration::ZERO) {
            self.feed = Some(feed);
            self.delay.reset();
        }
        let now = Instant::now();
        match self.running() {
            Some(feed) => {
                let due = feed.is_due(now);
                self.pace.restart(now);
                due
            }
            None => self.pace.is_due(now),
        }
    }

    /// Plays a block after those before. Never blocks.
    pub fn play(&mut self, block: &AudioBlock) {
        let Some(feed) = self.running() else {
            self.pace.step();
            self.delay.reset();
            return;
        };
        let delay = feed.delay();
        feed.play(block);
        self.delay.add(delay);
    }

    /// How long from now until a block that is played now is heard.
    pub fn delay(&self) -> Duration {
        self.delay.value()
    }

    /// What changed since the last call.
    pub fn notice(&mut self) -> Option<SoundNotice> {
        self.supervisor.notice()
    }

    /// How often the device found too little to play, with the device that is open now.
    pub fn underruns(&self) -> u64 {
        self.feed.as_ref().map_or(0, |feed| feed.heartbeat.lapses())
    }

    fn running(&mut self) -> Option<&mut PlaybackFeed> {
        self.feed.as_mut().filter(|feed| feed.heartbeat.idle().is_some_and(|idle| idle < STALLED))
    }
}

/// The filling end of one open stream.
pub(super) struct PlaybackFeed {
    ring: Producer<f32>,
    rate_hz: u32,
    heartbeat: Arc<Heartbeat>,
    /// Nothing if the device has our rate.
    resampler: Option<BlockResampler>,
    reserve: Reserve,
}

impl PlaybackFeed {
    /// Both ends of a ring.
    ///
    /// # Errors
    /// If our rate cannot be brought to the device's.
    fn new(shape: StreamShape, heartbeat: Arc<Heartbeat>) -> Result<(Self, Renderer), ResampleError> {
        let rate_hz = shape.config.sample_rate;
        let periods = match shape.config.buffer_size {
            cpal::BufferSize::Fixed(frames) => 2 * u64::from(frames),
            cpal::BufferSize::Default => u64::from(rate_hz),
        };
        let capacity = (u64::from(rate_hz) * RING_MS / 1000).saturating_add(periods);
        let (ring, consumer) = RingBuffer::new(usize::try_from(capacity).unwrap_or(usize::MAX).min(MOST_SAMPLES));
        let resampler = (rate_hz != SAMPLE_RATE_HZ).then(|| BlockResampler::new(rate_hz)).transpose()?;
        let renderer = Renderer {
            ring: consumer,
            channels: usize::from(shape.config.channels),
            rate_hz,
            heartbeat: Arc::clone(&heartbeat),
            envelope: Envelope::new(rate_hz),
            state: Flow::NotBegun,
        };
        Ok((Self { ring, rate_hz, heartbeat, resampler, reserve: Reserve::default() }, renderer))
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let longest = usize::try_from(self.heartbeat.take_longest()).unwrap_or(usize::MAX);
        let target = self.reserve.at(now, self.heartbeat.lapses(), lasting(longest, self.rate_hz));
        // A device with a period longer than the ring gets what the ring holds.
        self.filled() < target && self.ring.slots() > self.rate_hz as usize / 50
    }

    fn play(&mut self, block: &AudioBlock) {
        let samples = match &mut self.resampler {
            None => &block[..],
            // It takes every block; if not, the block is heard at the wrong pitch and time goes on.
            Some(resampler) => resampler.process(block).unwrap_or(&block[..]),
        };
        // What finds no place was not due.
        let _ = self.ring.push_partial_slice(samples);
    }

    fn delay(&self) -> Duration {
        self.heartbeat.ahead() + self.filled()
    }

    fn filled(&self) -> Duration {
        let capacity = self.ring.buffer().capacity();
        lasting(capacity.saturating_sub(self.ring.slots()), self.rate_hz)
    }
}

impl Feed for PlaybackFeed {
    const END: SoundEnd = SoundEnd::Speaker;

    fn build(
        device: &cpal::Device,
        shape: StreamShape,
        heartbeat: Arc<Heartbeat>,
        on_error: impl FnMut(cpal::Error) + Send + 'static,
        timeout: Option<Duration>,
    ) -> Result<(OpenStream, Self), cpal::Error> {
        let (feed, mut renderer) = Self::new(shape, heartbeat).map_err(format::refused)?;
        let on_data = move |data: &mut Data, info: &OutputCallbackInfo| renderer.render(data, info);
        let stream = device.build_output_stream_raw(shape.config, shape.format, on_data, on_error, timeout)?;
        Ok((OpenStream { stream, hurry: None }, feed))
    }
}

/// Two seconds at the highest rate: no device decides how much memory is taken.
const MOST_SAMPLES: usize = 2 * 192_000;

/// What should lie ready: grows with every underrun and every longer period, and shrinks while there are none.
#[derive(Debug, Default)]
struct Reserve {
    extra: Duration,
    /// The longest period that is reckoned with.
    period: Duration,
    /// The longest since something was last taken back.
    recent: Duration,
    lapses: u64,
    changed: Option<Instant>,
}

impl Reserve {
    /// `longest`: what one callback took at most since the last call.
    fn at(&mut self, now: Instant, lapses: u64, longest: Duration) -> Duration {
        self.recent = self.recent.max(longest);
        self.period = self.period.max(longest);
        let changed = *self.changed.get_or_insert(now);
        if lapses > self.lapses {
            self.extra = (self.extra + TARGET_STEP).min(TARGET_EXTRA);
            self.changed = Some(now);
        } else if now.saturating_duration_since(changed) > CALM {
            self.extra = self.extra.saturating_sub(TARGET_STEP);
            // One long callback, as a busy machine has now and then, is no delay for ever.
            self.period = std::mem::take(&mut self.recent);
            self.changed = Some(now);
        }
        self.lapses = lapses;
        TARGET.max(self.period * 2) + self.extra
    }
}

/// The playing end, in cpal's callback: neither allocates, locks nor waits.
struct Renderer {
    ring: Consumer<f32>,
    channels: usize,
    rate_hz: u32,
    heartbeat: Arc<Heartbeat>,
    envelope: Envelope,
    state: Flow,
}

/// Whether sound is flowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// No block came yet; nothing is missing.
    NotBegun,
    Flowing,
    /// The ring ran empty, which was counted.
    Dry,
}

impl Renderer {
    /// Fills the device's buffer with what there is, then with silence.
    fn render(&mut self, data: &mut Data, info: &OutputCallbackInfo) {
        let channels = self.channels.max(1);
        let frames = data.len() / channels;
        self.take(frames, |next| spread(data, channels, next));
        let first = info.timestamp().playback.saturating_duration_since(info.timestamp().callback);
        self.heartbeat.played(frames, first + lasting(frames, self.rate_hz));
    }

    /// Gives `play` a function that yields so many frames.
    fn take(&mut self, frames: usize, play: impl FnOnce(&mut dyn FnMut() -> f32)) {
        let ready = self.ring.slots().min(frames);
        self.state = match self.state {
            Flow::Flowing if ready < frames => {
                self.heartbeat.lapse();
                Flow::Dry
            }
            Flow::NotBegun if ready == 0 => Flow::NotBegun,
            Flow::NotBegun | Flow::Flowing | Flow::Dry if ready == frames => Flow::Flowing,
            Flow::NotBegun | Flow::Flowing | Flow::Dry => Flow::Dry,
        };
        let envelope = &mut self.envelope;
        if let Ok(chunk) = self.ring.read_chunk(ready) {
            let mut samples = chunk.into_iter();
            play(&mut || envelope.next(samples.next()));
        }
    }
}

/// Turns gaps into fades: what breaks off dies away, what begins rises.
#[derive(Debug)]
struct Envelope {
    gain: f32,
    rise: f32,
    /// What was last heard, dying away since sound broke off.
    residue: f32,
    decay: f32,
    last: f32,
}

impl Envelope {
    fn new(rate_hz: u32) -> Self {
        let samples = (FADE.as_secs_f32() * rate_hz as f32).max(1.0);
        // To a hundredth over the length of the fade.
        Self { gain: 0.0, rise: 1.0 / samples, residue: 0.0, decay: 0.01_f32.powf(1.0 / samples), last: 0.0 }
    }

    fn next(&mut self, sample: Option<f32>) -> f32 {
        match sample {
            Some(_) => self.gain = (self.gain + self.rise).min(1.0),
            None if self.gain > 0.0 => {
                self.gain = 0.0;
                self.residue = self.last;
            }
            None => {}
        }
        self.residue *= self.decay;
        self.last = sample.unwrap_or(0.0) * self.gain + self.residue;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(rate_hz: u32) -> (PlaybackFeed, Renderer, Arc<Heartbeat>) {
        let config =
            cpal::StreamConfig { channels: 1, sample_rate: rate_hz, buffer_size: cpal::BufferSize::Fixed(480) };
        let heartbeat = Arc::new(Heartbeat::new());
        let shape = StreamShape { config, format: cpal::SampleFormat::F32, by_server: false };
        let (feed, renderer) = PlaybackFeed::new(shape, Arc::clone(&heartbeat)).unwrap();
        (feed, renderer, heartbeat)
    }

    fn take(renderer: &mut Renderer, frames: usize) -> Vec<f32> {
        let mut played = Vec::new();
        renderer.take(frames, |next| played.extend((0..frames).map(|_| next())));
        renderer.heartbeat.played(frames, Duration::ZERO);
        played
    }

    #[test]
    fn two_periods_lie_ready_and_each_that_is_taken_makes_a_block_due() {
        let (mut feed, mut renderer, _) = ends(48_000);
        assert_eq!(take(&mut renderer, 480), [0.0; 480]);
        let mut due = || {
            let mut blocks = 0;
            while feed.is_due(Instant::now()) {
                feed.play(&[0.5; 480]);
                blocks += 1;
            }
            blocks
        };
        assert_eq!(due(), 2);
        take(&mut renderer, 480);
        assert_eq!(due(), 1);
        assert_eq!(due(), 0);
        // A device that wants more at once gets more.
        take(&mut renderer, 960);
        assert_eq!(due(), 4);
    }

    #[test]
    fn a_gap_is_counted_once_and_none_before_the_first_sound() {
        let (mut feed, mut renderer, heartbeat) = ends(48_000);
        for _ in 0..5 {
            take(&mut renderer, 480);
        }
        assert_eq!(heartbeat.lapses(), 0);
        feed.play(&[0.5; 480]);
        feed.play(&[0.5; 480]);
        assert_eq!(take(&mut renderer, 480)[479], 0.5);
        for _ in 0..5 {
            take(&mut renderer, 700);
        }
        assert_eq!(heartbeat.lapses(), 1);
        feed.play(&[0.5; 480]);
        assert!(take(&mut renderer, 480)[0] < 0.01);
        assert_eq!(heartbeat.lapses(), 1);
    }

    #[test]
    fn a_device_of_another_rate_gets_as_many_samples_as_it_plays() {
        let (mut feed, mut renderer, _) = ends(16_000);
        let mut blocks = 0;
        for _ in 0..100 {
            while feed.is_due(Instant::now()) {
                feed.play(&[0.5; 480]);
                blocks += 1;
            }
            take(&mut renderer, 160);
        }
        assert!((98..=104).contains(&blocks), "{blocks} blocks in a second");
    }

    #[test]
    fn a_gap_in_a_loud_sine_makes_no_step() {
        let mut envelope = Envelope::new(48_000);
        let sine = |n: usize| (n as f32 * std::f32::consts::TAU * 200.0 / 48_000.0).sin() * 0.8;
        // The sine breaks off at its crest, and comes back at the next one.
        let played: Vec<f32> =
            (0..6000).map(|n| envelope.next((!(2460..2700).contains(&n)).then(|| sine(n)))).collect();
        let steepest = played.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        // The sine itself moves by 0.021.
        assert!(steepest < 0.03, "{steepest}");
        assert!(played[2690].abs() < 0.02, "{}", played[2690]);
        assert_eq!(played[2400], sine(2400));
        assert!((played[3500] - sine(3500)).abs() < 1e-3);
    }

    #[test]
    fn every_underrun_buys_time_and_calm_gives_it_back() {
        let (mut reserve, start) = (Reserve::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(reserve.at(start, 0, Duration::ZERO), TARGET);
        assert_eq!(reserve.at(at(1), 1, Duration::ZERO), TARGET + TARGET_STEP);
        assert_eq!(reserve.at(at(2), 2, Duration::ZERO), TARGET + TARGET_STEP * 2);
        assert_eq!(reserve.at(at(20), 2, Duration::ZERO), TARGET + TARGET_STEP * 2);
        assert_eq!(reserve.at(at(23), 2, Duration::ZERO), TARGET + TARGET_STEP);
        assert_eq!(reserve.at(at(44), 2, Duration::ZERO), TARGET);
        for lapses in 3..100 {
            reserve.at(at(50), lapses, Duration::ZERO);
        }
        assert_eq!(reserve.at(at(51), 99, Duration::ZERO), TARGET + TARGET_EXTRA);
    }

    #[test]
    fn one_long_callback_is_reckoned_with_only_until_calm_has_passed() {
        let (mut reserve, start) = (Reserve::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        let ms = Duration::from_millis;
        assert_eq!(reserve.at(start, 0, ms(10)), TARGET);
        assert_eq!(reserve.at(at(1), 0, ms(80)), ms(160));
        let mut target = Duration::ZERO;
        for second in 2..=45 {
            target = reserve.at(at(second), 0, ms(15));
        }
        assert_eq!(target, ms(30));
        // The device's own period stays.
        assert_eq!(reserve.at(at(90), 0, ms(15)), ms(30));
    }
}
