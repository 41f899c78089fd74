//! Where pictures and sound come from: files, a test pattern, a tone, a camera, a microphone. Nothing here encodes.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};
use crate::camera::{Camera, CameraError, CameraFrame, CameraInfo};
use crate::file::wav::{WavError, WavReader};
use crate::file::y4m::{Y4mError, Y4mReader};
use crate::frame::VideoFrame;
use crate::notice::SoundNotice;
use crate::pace::Pace;
use crate::pattern::TestPattern;
use crate::rate::FrameRate;
use crate::resample::{ResampleError, Resampler};
use crate::sound_card::{Microphone, SoundCardError};
use crate::spec::SourceSpec;
use crate::tone::Tone;

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The file cannot be used as a camera.
    #[error("cannot take pictures from {}", path.display())]
    Pictures {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Y4mError,
    },
    /// The file cannot be used as a microphone.
    #[error("cannot take sound from {}", path.display())]
    Sound {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: WavError,
    },
    /// The file's sample rate cannot be brought to ours.
    #[error("cannot bring the sound to 48 kHz")]
    Resample(#[from] ResampleError),
    /// The camera gives no pictures.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// Not a source of pictures.
    #[error("\"{0}\" gives no pictures; use default, a camera's id, file:PATH (a .y4m file), pattern or none")]
    NoCamera(SourceSpec),
    /// Not a source of sound.
    #[error("\"{0}\" gives no sound; use a microphone's id, default, file:PATH (a .wav file), tone or none")]
    NoMicrophone(SourceSpec),
    /// The microphone cannot even be tried.
    #[error(transparent)]
    Microphone(#[from] SoundCardError),
}

/// A picture and when it was taken.
#[derive(Debug, Clone)]
pub struct CapturedFrame {
    /// Which of the source's slots it fills, from 0. A gap means pictures that came too late.
    pub number: u64,
    /// How long after the first. Of a file and the pattern exactly `number / rate`.
    pub media_time: Duration,
    /// The same moment on the clock.
    pub captured_at: Instant,
    /// The picture.
    pub frame: VideoFrame,
}

/// Gives pictures at its own rate to the one thread that owns it.
pub struct PictureSource {
    pictures: Pictures,
    rate: FrameRate,
    /// When slot 0 began: at the first call, or with a camera's first picture.
    began: Option<Instant>,
    next: u64,
}

enum Pictures {
    Drawn(Drawn),
    Camera(Camera),
}

/// Pictures that are there when they are asked for.
enum Drawn {
    File { reader: Y4mReader<BufReader<File>>, path: PathBuf },
    Pattern(TestPattern),
}

impl PictureSource {
    /// Opens the source; nothing for `none`. A camera takes its time until it gives pictures: 5 seconds at most.
    ///
    /// # Errors
    /// If the file or the camera cannot be used, or the spec names no source of pictures.
    pub fn open(spec: &SourceSpec) -> Result<Option<Self>, SourceError> {
        Self::open_unless(spec, &|| false)
    }

    /// The same, but gives up waiting for a camera once `stop` says yes: it is turned off within a second, or where its
    /// driver does not let go of it, as soon as it does.
    ///
    /// # Errors
    /// As of [`Self::open`], and when it gave up.
    pub fn open_unless(spec: &SourceSpec, stop: &dyn Fn() -> bool) -> Result<Option<Self>, SourceError> {
        let (pictures, rate) = match spec {
            SourceSpec::File(path) => {
                let reader = Y4mReader::new(BufReader::new(open_file(path)?))
                    .map_err(|source| SourceError::Pictures { path: path.clone(), source })?;
                let rate = reader.rate();
                (Pictures::Drawn(Drawn::File { reader, path: path.clone() }), rate)
            }
            SourceSpec::Pattern => (Pictures::Drawn(Drawn::Pattern(TestPattern::new())), FrameRate::THIRTY),
            SourceSpec::Device(id) => {
                let camera = Camera::open(id, stop)?;
                let rate = camera.rate();
                (Pictures::Camera(camera), rate)
            }
            SourceSpec::None => return Ok(None),
            SourceSpec::Tone => return Err(SourceError::NoCamera(spec.clone())),
        };
        Ok(Some(Self { pictures, rate, began: None, next: 0 }))
    }

    /// Pictures a second.
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// Which camera it is, if it is one.
    pub fn camera(&self) -> Option<&CameraInfo> {
        match &self.pictures {
            Pictures::Camera(camera) => Some(camera.info()),
            Pictures::Drawn(_) => None,
        }
    }

    /// Waits for the next picture and gives it. Of a file and the pattern the moments lie on a fixed schedule from the
    /// first call on, without drift, at most one second apart; a camera has its own pace, and 2 seconds without a picture
    /// are an error. A caller that comes too late gets the newest picture; the ones in between are lost.
    ///
    /// # Errors
    /// If the file cannot be read any more, or the camera gives no more pictures; then it has to be opened again.
    pub fn next_frame(&mut self) -> Result<CapturedFrame, SourceError> {
        match &mut self.pictures {
            Pictures::Camera(camera) => {
                let CameraFrame { frame, captured_at } = camera.next_frame()?;
                let began = *self.began.get_or_insert(captured_at);
                let media_time = captured_at.saturating_duration_since(began);
                let number = self.next.max(self.rate.slot_at(media_time));
                self.next = number + 1;
                Ok(CapturedFrame { number, media_time, captured_at, frame })
            }
            Pictures::Drawn(drawn) => {
                let began = *self.began.get_or_insert_with(Instant::now);
                let number = due_slot(self.next, began.elapsed(), self.rate);
                let frame = drawn.skip_and_draw(number - self.next, number)?;
                self.next = number + 1;
                let media_time = self.rate.slot_start(number);
                let captured_at = began + media_time;
                thread::sleep(captured_at.saturating_duration_since(Instant::now()));
                Ok(CapturedFrame { number, media_time, captured_at, frame })
            }
        }
    }
}

impl Drawn {
    /// Picture `number`, with `skipped` left out before it.
    fn skip_and_draw(&mut self, skipped: u64, number: u64) -> Result<VideoFrame, SourceError> {
        match self {
            Self::Pattern(pattern) => Ok(pattern.frame(number)),
            Self::File { reader, path } => reader
                .skip(skipped)
                .and_then(|()| reader.read())
                .map_err(|source| SourceError::Pictures { path: path.clone(), source }),
        }
    }
}

/// The slot to fill next: `next` if its time has not passed, else the one that is running.
fn due_slot(next: u64, elapsed: Duration, rate: FrameRate) -> u64 {
    next.max(rate.slot_at(elapsed))
}

/// Gives sound to the one thread that owns it, in blocks of 10 ms as they come due.
pub struct SoundSource {
    sound: Sound,
}

enum Sound {
    Microphone(Box<Microphone>),
    Made(Made),
}

impl SoundSource {
    /// Opens the source; nothing for `none`. A microphone is opened in the background; what is wrong with it is told by
    /// [`Self::notice`].
    ///
    /// # Errors
    /// If the file cannot be used, or the spec names no source of sound.
    pub fn open(spec: &SourceSpec) -> Result<Option<Self>, SourceError> {
        let sound = match spec {
            SourceSpec::File(path) => Sound::Made(Made::new(Maker::File(Box::new(SoundFile::open(path)?)))),
            SourceSpec::Tone => Sound::Made(Made::new(Maker::Tone(Tone::default()))),
            SourceSpec::Device(id) => Sound::Microphone(Box::new(Microphone::open(id)?)),
            SourceSpec::None => return Ok(None),
            SourceSpec::Pattern => return Err(SourceError::NoMicrophone(spec.clone())),
        };
        Ok(Some(Self { sound }))
    }

    /// Fills a block if one is due. Reads the disk for a file; never waits. A file or tone begins at the first call and
    /// keeps to the time of day; after a stall, up to a second is caught up. When the source fails the blocks go on, in
    /// silence.
    pub fn read(&mut self, block: &mut AudioBlock) -> bool {
        match &mut self.sound {
            Sound::Microphone(microphone) => microphone.read(block),
            Sound::Made(made) => made.read(block),
        }
    }

    /// How old the newest sample of the last block was when it was read: nothing for what is made, not heard.
    pub fn delay(&self) -> Duration {
        match &self.sound {
            Sound::Microphone(microphone) => microphone.delay(),
            Sound::Made(_) => Duration::ZERO,
        }
    }

    /// How often a microphone's sound was lost because nobody read it in time.
    pub fn overruns(&self) -> u64 {
        match &self.sound {
            Sound::Microphone(microphone) => microphone.overruns(),
            Sound::Made(_) => 0,
        }
    }

    /// What changed with the source since the last call.
    pub fn notice(&mut self) -> Option<SoundNotice> {
        match &mut self.sound {
            Sound::Microphone(microphone) => microphone.notice(),
            Sound::Made(made) => made.notice.take(),
        }
    }
}

/// Sound that is there for the taking, at the pace of the clock.
struct Made {
    maker: Maker,
    pace: Pace,
    notice: Option<SoundNotice>,
}

enum Maker {
    File(Box<SoundFile>),
    Tone(Tone),
    /// It failed.
    Silence,
}

impl Made {
    fn new(maker: Maker) -> Self {
        Self { maker, pace: Pace::default(), notice: None }
    }

    fn read(&mut self, block: &mut AudioBlock) -> bool {
        if !self.pace.is_due(Instant::now()) {
            return false;
        }
        self.pace.step();
        let made = match &mut self.maker {
            Maker::File(file) => file.read(block),
            Maker::Tone(tone) => {
                tone.read(block);
                Ok(())
            }
            Maker::Silence => {
                block.fill(0.0);
                Ok(())
            }
        };
        if let Err(error) = made {
            block.fill(0.0);
            self.notice = Some(SoundNotice::failed(&error));
            self.maker = Maker::Silence;
        }
        true
    }
}

/// A WAV file in a loop, at our rate.
struct SoundFile {
    path: PathBuf,
    reader: WavReader<BufReader<File>>,
    /// Nothing if the file has our rate already.
    resampler: Option<Resampler>,
    /// What the resampler takes next, at the file's rate.
    input: Vec<f32>,
}

impl SoundFile {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let reader = WavReader::new(BufReader::new(open_file(path)?))
            .map_err(|source| SourceError::Sound { path: path.to_owned(), source })?;
        let rate_hz = reader.rate_hz();
        let resampler = (rate_hz != SAMPLE_RATE_HZ).then(|| Resampler::new(rate_hz)).transpose()?;
        Ok(Self { path: path.to_owned(), reader, resampler, input: Vec::new() })
    }

    fn read(&mut self, block: &mut AudioBlock) -> Result<(), SourceError> {
        let failed = |source| SourceError::Sound { path: self.path.clone(), source };
        match &mut self.resampler {
            None => fill(&mut self.reader, block).map_err(failed),
            Some(resampler) => {
                self.input.resize(resampler.needed(), 0.0);
                fill(&mut self.reader, &mut self.input).map_err(failed)?;
                Ok(resampler.process(&self.input, block)?)
            }
        }
    }
}

fn fill(reader: &mut WavReader<BufReader<File>>, out: &mut [f32]) -> Result<(), WavError> {
    for sample in out {
        *sample = reader.read()?;
    }
    Ok(())
}

fn open_file(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|source| SourceError::Open { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::wav::WavWriter;
    use crate::file::y4m::Y4mWriter;
    use std::error::Error as _;

    /// The next block, as soon as it is due.
    fn next_block(source: &mut SoundSource) -> AudioBlock {
        let mut block = [9.0; 480];
        while !source.read(&mut block) {
            thread::yield_now();
        }
        block
    }

    fn file_spec(path: &Path) -> SourceSpec {
        SourceSpec::File(path.to_owned())
    }

    #[test]
    fn a_late_caller_gets_the_running_slot_and_no_burst() {
        let rate = FrameRate::new(25, 1).unwrap();
        let at = Duration::from_millis;
        assert_eq!(due_slot(0, at(0), rate), 0);
        assert_eq!(due_slot(1, at(3), rate), 1);
        assert_eq!(due_slot(1, at(79), rate), 1);
        assert_eq!(due_slot(1, at(80), rate), 2);
        assert_eq!(due_slot(2, at(1000), rate), 25);
        assert_eq!(due_slot(26, at(1001), rate), 26);
    }

    #[test]
    fn pictures_of_a_file_come_on_time_in_order_and_in_a_loop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.y4m");
        let rate = FrameRate::new(100, 1).unwrap();
        let mut writer = Y4mWriter::new(File::create(&path).unwrap(), rate);
        for shade in 0..3 {
            writer.write(&VideoFrame::new(16, 16, vec![shade; 384]).unwrap()).unwrap();
        }
        let mut source = PictureSource::open(&file_spec(&path)).unwrap().unwrap();
        assert_eq!(source.rate(), rate);
        let mut last = None;
        for _ in 0..8 {
            let captured = source.next_frame().unwrap();
            assert!(Instant::now() >= captured.captured_at);
            assert_eq!(captured.media_time, Duration::from_millis(10) * captured.number as u32);
            assert_eq!(u64::from(captured.frame.y()[0]), captured.number % 3);
            assert!(last < Some(captured.number), "{last:?} then {}", captured.number);
            last = Some(captured.number);
        }
    }

    #[test]
    fn sound_of_a_file_loops_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.wav");
        // One period of 100 Hz in each block: any seam would be a step.
        let period: Vec<f32> = (0..480).map(|n| (n as f32 / 480.0 * std::f32::consts::TAU).sin() * 0.5).collect();
        let mut writer = WavWriter::new(File::create(&path).unwrap()).unwrap();
        writer.write(&period.clone().try_into().unwrap()).unwrap();
        drop(writer);
        let mut source = SoundSource::open(&file_spec(&path)).unwrap().unwrap();
        for _ in 0..5 {
            let block = next_block(&mut source);
            assert!(block.iter().zip(&period).all(|(a, b)| (a - b).abs() < 0.001));
        }
    }

    #[test]
    fn sound_of_another_rate_loops_without_a_gap_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for n in 0..80 {
            let turn = n as f32 / 80.0 * std::f32::consts::TAU;
            writer.write_sample((turn.sin() * 16_000.0) as i16).unwrap();
        }
        writer.finalize().unwrap();
        let mut source = SoundSource::open(&file_spec(&path)).unwrap().unwrap();
        let mut sound = Vec::new();
        for _ in 0..10 {
            sound.extend(next_block(&mut source));
        }
        // 100 Hz at this loudness moves at most 0.0064 from sample to sample.
        let steady = &sound[960..];
        let step = steady.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.007, "{step}");
        assert!(steady.iter().any(|sample| *sample > 0.45));
    }

    #[test]
    fn sound_of_a_file_comes_no_faster_than_time_and_a_stall_is_caught_up() {
        let mut tone = SoundSource::open(&SourceSpec::Tone).unwrap().unwrap();
        let began = Instant::now();
        for _ in 0..20 {
            next_block(&mut tone);
        }
        assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
        while began.elapsed() < Duration::from_millis(500) {
            thread::yield_now();
        }
        let mut caught_up = 0;
        while tone.read(&mut [0.0; 480]) {
            caught_up += 1;
        }
        assert!(caught_up >= 30, "{caught_up} blocks after 300 ms");
    }

    #[test]
    fn a_file_that_breaks_is_told_once_and_silence_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.wav");
        let mut writer = WavWriter::new(File::create(&path).unwrap()).unwrap();
        for _ in 0..100 {
            writer.write(&[0.5; 480]).unwrap();
        }
        drop(writer);
        let mut source = SoundSource::open(&file_spec(&path)).unwrap().unwrap();
        next_block(&mut source);
        File::options().write(true).open(&path).unwrap().set_len(44).unwrap();
        let told = loop {
            next_block(&mut source);
            if let Some(notice) = source.notice() {
                break notice.to_string();
            }
        };
        assert!(told.contains("speech.wav"), "{told}");
        assert_eq!(next_block(&mut source), [0.0; 480]);
        assert_eq!(source.notice(), None);
    }

    #[test]
    fn built_in_sources_open_and_none_is_nothing() {
        let mut pattern = PictureSource::open(&SourceSpec::Pattern).unwrap().unwrap();
        assert_eq!(pattern.next_frame().unwrap().number, 0);
        let mut tone = SoundSource::open(&SourceSpec::Tone).unwrap().unwrap();
        assert!(next_block(&mut tone).iter().any(|sample| *sample > 0.1));
        assert!(PictureSource::open(&SourceSpec::None).unwrap().is_none());
        assert!(SoundSource::open(&SourceSpec::None).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_opened_says_what_can() {
        let device = SourceSpec::Device("usb:1".into());
        let refused = PictureSource::open(&device).err().unwrap().to_string();
        assert!(refused.contains("no camera \"usb:1\""), "{refused}");
        let refused = PictureSource::open(&SourceSpec::Tone).err().unwrap().to_string();
        assert!(refused.contains("tone") && refused.contains("pattern"), "{refused}");
        let refused = SoundSource::open(&SourceSpec::Pattern).err().unwrap().to_string();
        assert!(refused.contains("pattern") && refused.contains("tone"), "{refused}");
    }

    #[test]
    fn a_bad_file_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.y4m");
        let error = PictureSource::open(&file_spec(&missing)).err().unwrap();
        assert!(error.to_string().contains("missing.y4m"));
        let text = folder.path().join("text.txt");
        std::fs::write(&text, "hello\n").unwrap();
        let error = SoundSource::open(&file_spec(&text)).err().unwrap();
        assert!(error.to_string().contains("text.txt"));
        assert!(error.source().unwrap().to_string().contains("ffmpeg"));
    }
}
