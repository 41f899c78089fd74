//! Where pictures and sound go: files and speakers. A window takes its pictures elsewhere.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::audio::AudioBlock;
use crate::convert::{ConvertError, Scaler};
use crate::file::wav::{WavError, WavWriter};
use crate::file::y4m::{Y4mError, Y4mWriter};
use crate::frame::VideoFrame;
use crate::notice::SoundNotice;
use crate::pace::Pace;
use crate::rate::FrameRate;
use crate::sound_card::{SoundCardError, Speaker};
use crate::spec::SinkSpec;

/// A gap longer than this is not filled; the recording goes on as if it had not been. Keeps a
/// jump of the sender's clock from filling the disk.
const MAX_GAP: Duration = Duration::from_secs(60);

/// A picture that lies further back than this begins a new time line instead of being late.
const MAX_BACK: Duration = Duration::from_secs(1);

/// How far, in slots, a picture may be from the slot it is written to. More than a half, so that
/// times that jitter around a slot's border neither repeat nor lose a picture; less than one, so
/// that a single lost picture is noticed.
const TOLERANCE_SLOTS: f64 = 0.75;

/// Why a sink cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The picture cannot be recorded.
    #[error("cannot record pictures to {}", path.display())]
    Pictures {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Y4mError,
    },
    /// The picture cannot be brought to the recording's size.
    #[error("cannot scale a picture for the recording")]
    Scale(#[from] ConvertError),
    /// The sound cannot be recorded.
    #[error("cannot record sound to {}", path.display())]
    Sound {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: WavError,
    },
    /// Not a place for pictures.
    #[error("\"{0}\" shows no pictures; use file:PATH (a .y4m file is written) or none")]
    NoDisplay(SinkSpec),
    /// The speaker cannot even be tried.
    #[error(transparent)]
    Speaker(#[from] SoundCardError),
}

/// Records pictures at a fixed rate and the first picture's size.
pub struct PictureSink {
    path: PathBuf,
    rate: FrameRate,
    writer: Y4mWriter<BufWriter<File>>,
    scaler: Scaler,
    placement: Placement,
    /// What gaps are filled with, in the recording's size.
    last: Option<VideoFrame>,
    repeated: u64,
    dropped: u64,
}

impl PictureSink {
    /// Creates the file; nothing for `none`. `rate` should be the source's, so that every
    /// picture has a slot of its own.
    ///
    /// # Errors
    /// If the file cannot be created or the spec names no place for pictures.
    pub fn open(spec: &SinkSpec, rate: FrameRate) -> Result<Option<Self>, SinkError> {
        match spec {
            SinkSpec::File(path) => Ok(Some(Self {
                path: path.clone(),
                rate,
                writer: Y4mWriter::new(BufWriter::new(create_file(path)?), rate),
                scaler: Scaler::new(),
                placement: Placement::default(),
                last: None,
                repeated: 0,
                dropped: 0,
            })),
            SinkSpec::None => Ok(None),
            SinkSpec::Device(_) => Err(SinkError::NoDisplay(spec.clone())),
        }
    }

    /// Records a picture in the slot of its media time, the time its sender gave it, on any
    /// origin; show times do as well, if less exact. Gaps repeat the picture before. Times that
    /// jitter up to three quarters of a slot lose and repeat nothing; a picture further ahead
    /// of its slot, as from a faster source, or older than the last is dropped and counted.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn show(&mut self, frame: &VideoFrame, media_time: Duration) -> Result<(), SinkError> {
        let Some(repeats) = self.placement.place(media_time, self.rate) else {
            self.dropped += 1;
            return Ok(());
        };
        let frame = match &self.last {
            Some(last) => self.scaler.scale(frame, last.width(), last.height())?,
            None => frame.clone(),
        };
        let failed = |source| SinkError::Pictures { path: self.path.clone(), source };
        if let Some(last) = &self.last {
            for _ in 0..repeats {
                self.writer.write(last).map_err(failed)?;
            }
        }
        self.writer.write(&frame).map_err(failed)?;
        self.repeated += repeats;
        self.last = Some(frame);
        Ok(())
    }

    /// How many pictures were written again to fill gaps.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many pictures found no slot.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Which slot of the recording a picture goes to.
#[derive(Debug, Default)]
struct Placement {
    /// The media time of slot 0, in slots. Moves when the time line jumps.
    origin: Option<f64>,
    /// The first free slot.
    next: u64,
}

impl Placement {
    /// How many times the last picture is repeated before this one takes its slot; nothing if
    /// this one is to be dropped.
    fn place(&mut self, media_time: Duration, rate: FrameRate) -> Option<u64> {
        let time = media_time.as_secs_f64() * rate.fps();
        let origin = *self.origin.get_or_insert(time);
        // How many slots this picture lies beyond the first free one.
        let ahead = time - origin - self.next as f64;
        let jumped = ahead > MAX_GAP.as_secs_f64() * rate.fps() || ahead < -MAX_BACK.as_secs_f64() * rate.fps();
        let repeats = if jumped {
            self.origin = Some(time - self.next as f64);
            0
        } else if ahead > TOLERANCE_SLOTS {
            ahead.round().max(1.0) as u64
        } else if ahead < -TOLERANCE_SLOTS {
            return None;
        } else {
            0
        };
        self.next += repeats + 1;
        Some(repeats)
    }
}

/// Takes sound from the one thread that owns it, in blocks of 10 ms as they come due.
pub struct SoundSink {
    place: Place,
}

enum Place {
    Speaker(Box<Speaker>),
    File(Box<SoundRecording>),
    /// Thrown away, at the pace of the clock: whoever plays still hears the other side out.
    Nowhere(Pace),
}

impl SoundSink {
    /// Throws away what it gets, as it comes due.
    pub fn nowhere() -> Self {
        Self { place: Place::Nowhere(Pace::default()) }
    }

    /// Creates the file or opens the speaker, that in the background.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn open(spec: &SinkSpec) -> Result<Self, SinkError> {
        let place = match spec {
            SinkSpec::File(path) => Place::File(Box::new(SoundRecording::create(path)?)),
            SinkSpec::Device(id) => Place::Speaker(Box::new(Speaker::open(id)?)),
            SinkSpec::None => return Ok(Self::nowhere()),
        };
        Ok(Self { place })
    }

    /// Whether another block should be played now. To be asked until it says no, every 10 ms or so. A file is due at
    /// the pace of the clock from the first call on; after a stall, up to a second is caught up.
    pub fn is_due(&mut self) -> bool {
        match &mut self.place {
            Place::Speaker(speaker) => speaker.is_due(),
            Place::File(recording) => recording.pace.is_due(Instant::now()),
            Place::Nowhere(pace) => pace.is_due(Instant::now()),
        }
    }

    /// Plays or records the next block. Never waits. A file is whole up to the last second at any moment, and to its
    /// end once the sink is dropped.
    pub fn play(&mut self, block: &AudioBlock) {
        match &mut self.place {
            Place::Speaker(speaker) => speaker.play(block),
            Place::File(recording) => recording.write(block),
            Place::Nowhere(pace) => pace.step(),
        }
    }

    /// How long from now until a block that is played now is heard: no time for a file.
    pub fn delay(&self) -> Duration {
        match &self.place {
            Place::Speaker(speaker) => speaker.delay(),
            Place::File(_) | Place::Nowhere(_) => Duration::ZERO,
        }
    }

    /// How often a speaker found too little to play.
    pub fn underruns(&self) -> u64 {
        match &self.place {
            Place::Speaker(speaker) => speaker.underruns(),
            Place::File(_) | Place::Nowhere(_) => 0,
        }
    }

    /// What changed with the sink since the last call.
    pub fn notice(&mut self) -> Option<SoundNotice> {
        match &mut self.place {
            Place::Speaker(speaker) => speaker.notice(),
            Place::File(recording) => recording.notice.take(),
            Place::Nowhere(_) => None,
        }
    }
}

/// What would be heard, in a file.
struct SoundRecording {
    path: PathBuf,
    /// Nothing once it failed.
    writer: Option<WavWriter<BufWriter<File>>>,
    pace: Pace,
    notice: Option<SoundNotice>,
}

impl SoundRecording {
    fn create(path: &Path) -> Result<Self, SinkError> {
        let writer = WavWriter::new(BufWriter::new(create_file(path)?))
            .map_err(|source| SinkError::Sound { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), writer: Some(writer), pace: Pace::default(), notice: None })
    }

    fn write(&mut self, block: &AudioBlock) {
        self.pace.step();
        if let Some(writer) = &mut self.writer
            && let Err(source) = writer.write(block)
        {
            self.notice = Some(SoundNotice::failed(&SinkError::Sound { path: self.path.clone(), source }));
            self.writer = None;
        }
    }
}

impl Drop for SoundRecording {
    fn drop(&mut self) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.flush()
        {
            tracing::warn!(path = %self.path.display(), %error, "the recording may lack its end");
        }
    }
}

fn create_file(path: &Path) -> Result<File, SinkError> {
    File::create(path).map_err(|source| SinkError::Create { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::y4m::Y4mReader;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::io::BufReader;

    fn shaded(width: u32, height: u32, shade: u8) -> VideoFrame {
        let len = VideoFrame::byte_len(width, height).unwrap();
        VideoFrame::new(width, height, vec![shade; len]).unwrap()
    }

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Shows pictures of the given times, whose shade is their place in the list, and reads back
    /// which are in the file.
    fn record(rate: FrameRate, times: impl IntoIterator<Item = Duration>) -> (Vec<u8>, u64, u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shown.y4m");
        let spec = SinkSpec::File(path.clone());
        let mut sink = PictureSink::open(&spec, rate).unwrap().unwrap();
        for (place, time) in times.into_iter().enumerate() {
            sink.show(&shaded(16, 16, place as u8), time).unwrap();
        }
        let counts = (sink.repeated(), sink.dropped());
        drop(sink);
        let pictures = (std::fs::metadata(&path).unwrap().len() / 390) as usize;
        let mut reader = Y4mReader::new(BufReader::new(File::open(&path).unwrap())).unwrap();
        assert_eq!(reader.rate(), rate);
        let shades = (0..pictures).map(|_| reader.read().unwrap().y()[0]).collect();
        (shades, counts.0, counts.1)
    }

    fn ten() -> FrameRate {
        FrameRate::new(10, 1).unwrap()
    }

    #[test]
    fn exact_times_give_every_picture_its_slot() {
        let rate = FrameRate::new(30_000, 1001).unwrap();
        let times = (0..200).map(|n| rate.slot_start(n + 12_345));
        let (shades, repeated, dropped) = record(rate, times);
        assert_eq!(shades, (0..200).collect::<Vec<u8>>());
        assert_eq!((repeated, dropped), (0, 0));
    }

    #[test]
    fn times_that_jitter_by_ten_milliseconds_lose_and_repeat_nothing() {
        for seed in 0..20 {
            println!("seed {seed}");
            let mut random = StdRng::seed_from_u64(seed);
            let times = (0..250)
                .map(|n| FrameRate::THIRTY.slot_start(n) + Duration::from_micros(random.random_range(0..20_000)));
            let (shades, repeated, dropped) = record(FrameRate::THIRTY, times);
            assert_eq!(shades, (0..250).collect::<Vec<u8>>());
            assert_eq!((repeated, dropped), (0, 0));
        }
    }

    #[test]
    fn gaps_repeat_the_last_picture() {
        let (shades, repeated, dropped) = record(ten(), [0, 100, 300, 700].map(millis));
        assert_eq!(shades, [0, 1, 1, 2, 2, 2, 2, 3]);
        assert_eq!((repeated, dropped), (4, 0));
    }

    #[test]
    fn a_faster_source_is_thinned_and_the_loss_is_counted() {
        let (shades, repeated, dropped) = record(ten(), (0..20).map(|n| millis(n * 50)));
        assert_eq!(shades.len(), 11);
        assert!(shades.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((repeated, dropped), (0, 9));
    }

    #[test]
    fn an_older_picture_is_dropped() {
        let (shades, _, dropped) = record(ten(), [500, 600, 500, 700].map(millis));
        assert_eq!(shades, [0, 1, 3]);
        assert_eq!(dropped, 1);
    }

    #[test]
    fn a_jump_of_the_clock_does_not_fill_the_disk() {
        let times = [0, 100, 90_000_000, 90_000_100, 50, 150].map(millis);
        let (shades, repeated, dropped) = record(ten(), times);
        assert_eq!(shades, [0, 1, 2, 3, 4, 5]);
        assert_eq!((repeated, dropped), (0, 0));
        assert_eq!(record(ten(), [Duration::ZERO, Duration::MAX]).0, [0, 1]);
    }

    #[test]
    fn later_sizes_are_scaled_to_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shown.y4m");
        let mut sink = PictureSink::open(&SinkSpec::File(path.clone()), ten()).unwrap().unwrap();
        sink.show(&shaded(64, 48, 10), millis(0)).unwrap();
        sink.show(&shaded(32, 16, 20), millis(100)).unwrap();
        drop(sink);
        let mut reader = Y4mReader::new(BufReader::new(File::open(&path).unwrap())).unwrap();
        assert_eq!(reader.read().unwrap(), shaded(64, 48, 10));
        assert_eq!(reader.read().unwrap(), shaded(64, 48, 20));
    }

    #[test]
    fn a_recording_of_sound_is_whole_even_without_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("played.wav");
        let mut sink = SoundSink::open(&SinkSpec::File(path.clone())).unwrap();
        for _ in 0..250 {
            sink.play(&[0.5; 480]);
        }
        let length = |path: &Path| hound::WavReader::open(path).unwrap().duration();
        // As a killed program would leave it, and as it ends.
        assert_eq!(length(&path), 96_000);
        drop(sink);
        assert_eq!(length(&path), 120_000);
    }

    #[test]
    fn what_has_no_clock_of_its_own_is_due_every_ten_milliseconds() {
        let mut sink = SoundSink::nowhere();
        let began = Instant::now();
        let mut blocks = 0;
        while began.elapsed() < Duration::from_millis(300) {
            while sink.is_due() {
                sink.play(&[0.5; 480]);
                blocks += 1;
            }
            std::thread::yield_now();
        }
        assert!((29..=31).contains(&blocks), "{blocks} blocks in 300 ms");
    }

    #[test]
    fn no_display_is_nothing_and_what_cannot_be_opened_says_why() {
        assert!(PictureSink::open(&SinkSpec::None, ten()).unwrap().is_none());
        let device = SinkSpec::Device("hdmi".into());
        let refused = PictureSink::open(&device, ten()).err().unwrap().to_string();
        assert!(refused.contains("hdmi") && refused.contains("file:"), "{refused}");
        let nowhere = SinkSpec::File("/nowhere/at/all.wav".into());
        let refused = SoundSink::open(&nowhere).err().unwrap().to_string();
        assert!(refused.contains("/nowhere/at/all.wav"), "{refused}");
    }
}
