//! Where pictures and sound come from: files, a test pattern, a tone. Cameras and microphones
//! become further variants here. Nothing here encodes.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};
use crate::file::wav::{WavError, WavReader};
use crate::file::y4m::{Y4mError, Y4mReader};
use crate::frame::VideoFrame;
use crate::pattern::TestPattern;
use crate::rate::FrameRate;
use crate::resample::{ResampleError, Resampler};
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
    /// Not a source of pictures.
    #[error(
        "\"{0}\" gives no pictures; this version reads no cameras yet, use file:PATH (a .y4m file), pattern or none"
    )]
    NoCamera(SourceSpec),
    /// Not a source of sound.
    #[error("\"{0}\" gives no sound; this version reads no microphones yet, use file:PATH (a .wav file), tone or none")]
    NoMicrophone(SourceSpec),
}

/// A picture and when it was taken.
#[derive(Debug, Clone)]
pub struct CapturedFrame {
    /// Which of the source's slots it fills, from 0. A gap means pictures that came too late.
    pub number: u64,
    /// Exactly `number / rate` after the source began.
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
    /// When slot 0 began: at the first call.
    began: Option<Instant>,
    next: u64,
}

enum Pictures {
    File { reader: Y4mReader<BufReader<File>>, path: PathBuf },
    Pattern(TestPattern),
}

impl PictureSource {
    /// Opens the source; nothing for `none`.
    ///
    /// # Errors
    /// If the file cannot be used, or the spec names no source of pictures.
    pub fn open(spec: &SourceSpec) -> Result<Option<Self>, SourceError> {
        let (pictures, rate) = match spec {
            SourceSpec::File(path) => {
                let reader = Y4mReader::new(BufReader::new(open_file(path)?))
                    .map_err(|source| SourceError::Pictures { path: path.clone(), source })?;
                let rate = reader.rate();
                (Pictures::File { reader, path: path.clone() }, rate)
            }
            SourceSpec::Pattern => (Pictures::Pattern(TestPattern::new()), FrameRate::THIRTY),
            SourceSpec::None => return Ok(None),
            SourceSpec::Tone | SourceSpec::Device(_) => {
                return Err(SourceError::NoCamera(spec.clone()));
            }
        };
        Ok(Some(Self { pictures, rate, began: None, next: 0 }))
    }

    /// Pictures a second.
    pub fn rate(&self) -> FrameRate {
        self.rate
    }

    /// Waits for the next picture's moment, at most one second, and gives it. The moments lie on a fixed
    /// schedule from the first call on, without drift. A caller that comes too late gets the
    /// picture of the current slot; the ones in between are lost, as they are with a camera.
    ///
    /// # Errors
    /// If the file cannot be read any more.
    pub fn next_frame(&mut self) -> Result<CapturedFrame, SourceError> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let number = due_slot(self.next, began.elapsed(), self.rate);
        let frame = match &mut self.pictures {
            Pictures::Pattern(pattern) => pattern.frame(number),
            Pictures::File { reader, path } => reader
                .skip(number - self.next)
                .and_then(|()| reader.read())
                .map_err(|source| SourceError::Pictures { path: path.clone(), source })?,
        };
        self.next = number + 1;
        let media_time = self.rate.slot_start(number);
        let captured_at = began + media_time;
        thread::sleep(captured_at.saturating_duration_since(Instant::now()));
        Ok(CapturedFrame { number, media_time, captured_at, frame })
    }
}

/// The slot to fill next: `next` if its time has not passed, else the one that is running.
fn due_slot(next: u64, elapsed: Duration, rate: FrameRate) -> u64 {
    next.max(rate.slot_at(elapsed))
}

/// Gives sound as fast as it is asked for: whoever reads it is the clock.
pub struct SoundSource {
    sound: Sound,
}

enum Sound {
    File(Box<SoundFile>),
    Tone(Tone),
}

impl SoundSource {
    /// Opens the source; nothing for `none`.
    ///
    /// # Errors
    /// If the file cannot be used, or the spec names no source of sound.
    pub fn open(spec: &SourceSpec) -> Result<Option<Self>, SourceError> {
        let sound = match spec {
            SourceSpec::File(path) => Sound::File(Box::new(SoundFile::open(path)?)),
            SourceSpec::Tone => Sound::Tone(Tone::default()),
            SourceSpec::None => return Ok(None),
            SourceSpec::Pattern | SourceSpec::Device(_) => {
                return Err(SourceError::NoMicrophone(spec.clone()));
            }
        };
        Ok(Some(Self { sound }))
    }

    /// Fills a block with the next 10 ms. Reads the disk; does not wait otherwise.
    ///
    /// # Errors
    /// If the file cannot be read any more.
    pub fn read(&mut self, block: &mut AudioBlock) -> Result<(), SourceError> {
        match &mut self.sound {
            Sound::File(file) => file.read(block),
            Sound::Tone(tone) => {
                tone.read(block);
                Ok(())
            }
        }
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
            let mut block = [9.0; 480];
            source.read(&mut block).unwrap();
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
            let mut block = [9.0; 480];
            source.read(&mut block).unwrap();
            sound.extend(block);
        }
        // 100 Hz at this loudness moves at most 0.0064 from sample to sample.
        let steady = &sound[960..];
        let step = steady.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.007, "{step}");
        assert!(steady.iter().any(|sample| *sample > 0.45));
    }

    #[test]
    fn built_in_sources_open_and_none_is_nothing() {
        let mut pattern = PictureSource::open(&SourceSpec::Pattern).unwrap().unwrap();
        assert_eq!(pattern.next_frame().unwrap().number, 0);
        let mut tone = SoundSource::open(&SourceSpec::Tone).unwrap().unwrap();
        tone.read(&mut [0.0; 480]).unwrap();
        assert!(PictureSource::open(&SourceSpec::None).unwrap().is_none());
        assert!(SoundSource::open(&SourceSpec::None).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_opened_says_what_can() {
        let device = SourceSpec::Device("usb:1".into());
        let refused = PictureSource::open(&device).err().unwrap().to_string();
        assert!(refused.contains("usb:1") && refused.contains("pattern"), "{refused}");
        let refused = SoundSource::open(&device).err().unwrap().to_string();
        assert!(refused.contains("usb:1") && refused.contains("tone"), "{refused}");
        assert!(PictureSource::open(&SourceSpec::Tone).is_err());
        assert!(SoundSource::open(&SourceSpec::Pattern).is_err());
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
