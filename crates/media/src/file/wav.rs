//! WAV files: a reader that loops and mixes to one channel, and a writer. Reading keeps the
//! file's own sample rate; `resample` brings it to ours.

use std::io::{self, Read, Seek, Write};

use hound::{SampleFormat, WavSpec};

use crate::Cause;
use crate::audio::{AudioBlock, SAMPLE_RATE_HZ};

const MAX_CHANNELS: u16 = 8;
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// The header counts bytes in 32 bits; stay clear of its end. About twelve hours.
const MAX_SAMPLES: u32 = (u32::MAX - 4096) / 2;

/// How often the header is brought up to date, so that a file is readable up to the last second
/// even if the program is killed.
const FLUSH_SAMPLES: u32 = SAMPLE_RATE_HZ;

/// Why a WAV file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Not WAV, damaged, or the operating system refused.
    #[error("this is no readable WAV file; make one with: ffmpeg -i INPUT OUTPUT.wav")]
    Wav(#[source] Cause),
    /// The operating system refused.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// A sample rate outside of what sound cards use.
    #[error("{0} samples a second cannot be used, only {min} to {max}", min = RATES_HZ.start(), max = RATES_HZ.end())]
    Rate(u32),
    /// More channels than any usual recording has.
    #[error("{0} channels cannot be used, at most {MAX_CHANNELS}")]
    Channels(u16),
    /// The header is all there is.
    #[error("there is no sound in it")]
    Empty,
    /// The format can count no further.
    #[error("the recording is as long as a WAV file can be")]
    Full,
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> Self {
        match error {
            hound::Error::IoError(error) if error.raw_os_error().is_some() => Self::Io(error),
            hound::Error::IoError(_)
            | hound::Error::FormatError(_)
            | hound::Error::TooWide
            | hound::Error::UnfinishedSample
            | hound::Error::Unsupported
            | hound::Error::InvalidSampleFormat => Self::Wav(error.into()),
        }
    }
}

/// Reads samples for ever, beginning again after the last. Whole numbers of 8 to 32 bits and
/// 32-bit floats, up to 8 channels, which are averaged. A file cut short plays what there is.
pub struct WavReader<R> {
    // Empty only after a failure to begin again.
    wav: Option<hound::WavReader<R>>,
    /// Whether this round through the file has given a sample yet.
    heard: bool,
}

impl<R: Read + Seek> WavReader<R> {
    /// Reads the header and makes sure of one sample.
    ///
    /// # Errors
    /// If this is no WAV file we can play, or nothing is in it.
    pub fn new(input: R) -> Result<Self, WavError> {
        let wav = hound::WavReader::new(input)?;
        let spec = wav.spec();
        if !RATES_HZ.contains(&spec.sample_rate) {
            return Err(WavError::Rate(spec.sample_rate));
        }
        if spec.channels > MAX_CHANNELS {
            return Err(WavError::Channels(spec.channels));
        }
        let mut reader = Self { wav: Some(wav), heard: false };
        reader.read()?;
        reader.rewind()?;
        Ok(reader)
    }

    /// Samples a second in the file.
    pub fn rate_hz(&self) -> u32 {
        self.wav.as_ref().map_or(SAMPLE_RATE_HZ, |wav| wav.spec().sample_rate)
    }

    /// The next sample, from -1 to 1; after the last one the first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self) -> Result<f32, WavError> {
        loop {
            let wav = self.wav.as_mut().ok_or(WavError::Empty)?;
            match read_mixed(wav)? {
                Some(sample) => {
                    self.heard = true;
                    return Ok(sample);
                }
                None if self.heard => self.rewind()?,
                None => return Err(WavError::Empty),
            }
        }
    }

    // Not by the library's own `seek`, which goes wrong for 24-bit samples stored in 32 bits.
    fn rewind(&mut self) -> Result<(), WavError> {
        let mut input = self.wav.take().ok_or(WavError::Empty)?.into_inner();
        input.rewind()?;
        self.wav = Some(hound::WavReader::new(input)?);
        self.heard = false;
        Ok(())
    }
}

/// The mean of all channels at one moment; nothing at the end of the file.
fn read_mixed<R: Read>(wav: &mut hound::WavReader<R>) -> Result<Option<f32>, WavError> {
    let spec = wav.spec();
    let mut sum = 0.0;
    for _ in 0..spec.channels {
        let sample = match spec.sample_format {
            SampleFormat::Float => wav.samples::<f32>().next(),
            SampleFormat::Int => {
                let full = (1_u64 << spec.bits_per_sample.clamp(1, 32).saturating_sub(1)) as f32;
                wav.samples::<i32>().next().map(|sample| sample.map(|whole| whole as f32 / full))
            }
        };
        match sample {
            Some(Ok(sample)) if sample.is_finite() => sum += sample.clamp(-1.0, 1.0),
            Some(Ok(_)) => {}
            Some(Err(hound::Error::IoError(error))) if ended(&error) => return Ok(None),
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(None),
        }
    }
    Ok(Some(sum / f32::from(spec.channels)))
}

/// The library says so itself, without the operating system, when a file is shorter than its
/// header claims.
fn ended(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

/// Writes sound as everything inside has it: 48 kHz, one channel; 16 bits a sample.
pub struct WavWriter<W: Write + Seek> {
    wav: hound::WavWriter<W>,
    samples: u32,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If writing fails.
    pub fn new(output: W) -> Result<Self, WavError> {
        let spec =
            WavSpec { channels: 1, sample_rate: SAMPLE_RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut wav = hound::WavWriter::new(output, spec)?;
        wav.flush()?;
        Ok(Self { wav, samples: 0 })
    }

    /// Appends a block. What exceeds -1 to 1 is cut.
    ///
    /// # Errors
    /// If writing fails or the file is as long as the format allows.
    pub fn write(&mut self, block: &AudioBlock) -> Result<(), WavError> {
        for sample in block {
            if self.samples >= MAX_SAMPLES {
                return Err(WavError::Full);
            }
            // `as` brings NaN to 0 and clamps.
            self.wav.write_sample((sample * 32767.0).round() as i16)?;
            self.samples += 1;
            if self.samples.is_multiple_of(FLUSH_SAMPLES) {
                self.wav.flush()?;
            }
        }
        Ok(())
    }

    /// Brings the header up to date and writes everything out.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> Result<(), WavError> {
        Ok(self.wav.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::io::Cursor;

    fn spec(channels: u16, rate: u32, bits: u16, format: SampleFormat) -> WavSpec {
        WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format }
    }

    fn file_of(spec: WavSpec, samples: &[f32]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut wav = hound::WavWriter::new(&mut file, spec).unwrap();
        for sample in samples {
            match spec.sample_format {
                SampleFormat::Float => wav.write_sample(*sample).unwrap(),
                SampleFormat::Int => {
                    let full = (1_i64 << (spec.bits_per_sample - 1)) as f64;
                    wav.write_sample((f64::from(*sample) * full) as i32).unwrap();
                }
            }
        }
        wav.finalize().unwrap();
        file.into_inner()
    }

    fn open(file: &[u8]) -> Result<WavReader<Cursor<&[u8]>>, WavError> {
        WavReader::new(Cursor::new(file))
    }

    fn read(reader: &mut WavReader<Cursor<&[u8]>>, count: usize) -> Vec<f32> {
        (0..count).map(|_| reader.read().unwrap()).collect()
    }

    #[test]
    fn every_sample_format_is_read_and_looped() {
        let sound = [0.5, -0.25, 0.0, -1.0, 0.75];
        for (bits, format) in [
            (8, SampleFormat::Int),
            (16, SampleFormat::Int),
            (24, SampleFormat::Int),
            (32, SampleFormat::Int),
            (32, SampleFormat::Float),
        ] {
            let file = file_of(spec(1, 44_100, bits, format), &sound);
            let mut reader = open(&file).unwrap();
            assert_eq!(reader.rate_hz(), 44_100);
            let twice = read(&mut reader, 10);
            for (got, wanted) in twice.iter().zip(sound.iter().chain(&sound)) {
                assert!((got - wanted).abs() < 0.01, "{bits} bits: {got} for {wanted}");
            }
        }
    }

    #[test]
    fn channels_are_averaged() {
        let file = file_of(spec(2, 48_000, 16, SampleFormat::Int), &[0.5, -0.5, 0.25, 0.75]);
        assert_eq!(read(&mut open(&file).unwrap(), 3), [0.0, 0.5, 0.0]);
    }

    #[test]
    fn a_file_shorter_than_its_header_says_plays_what_is_there() {
        let mut file = file_of(spec(1, 48_000, 16, SampleFormat::Int), &[0.5, 0.25, -0.5, -0.25]);
        file.truncate(file.len() - 3);
        assert_eq!(read(&mut open(&file).unwrap(), 4), [0.5, 0.25, 0.5, 0.25]);
    }

    #[test]
    fn senseless_numbers_become_silence() {
        let sound = [f32::NAN, f32::INFINITY, 3.0, -3.0];
        let file = file_of(spec(1, 48_000, 32, SampleFormat::Float), &sound);
        assert_eq!(read(&mut open(&file).unwrap(), 4), [0.0, 0.0, 1.0, -1.0]);
    }

    #[test]
    fn unusable_files_are_refused_with_the_reason() {
        let sixteen = |channels, rate| spec(channels, rate, 16, SampleFormat::Int);
        let refused = |file: Vec<u8>| open(&file).err().unwrap();
        assert!(matches!(refused(file_of(sixteen(1, 48_000), &[])), WavError::Empty));
        assert!(matches!(refused(file_of(sixteen(1, 7_999), &[0.0])), WavError::Rate(7_999)));
        assert!(matches!(refused(file_of(sixteen(9, 8_000), &[0.0; 9])), WavError::Channels(9)));
        assert!(matches!(refused(b"YUV4MPEG2".to_vec()), WavError::Wav(_)));
        assert!(matches!(refused(Vec::new()), WavError::Wav(_)));
    }

    #[test]
    fn a_recording_is_whole_after_each_flush_and_at_the_end() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file).unwrap();
        let mut block = [0.25; 480];
        block[7] = 9.0;
        for _ in 0..150 {
            writer.write(&block).unwrap();
        }
        writer.flush().unwrap();
        drop(writer);
        let mut wav = hound::WavReader::new(Cursor::new(file.into_inner())).unwrap();
        assert_eq!(wav.spec(), spec(1, 48_000, 16, SampleFormat::Int));
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        assert_eq!(samples.len(), 150 * 480);
        assert_eq!((samples[6], samples[7]), (8192, 32767));
    }

    #[test]
    fn damaged_files_never_panic() {
        let seed = 0x5256_4157;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let sound = [0.1; 24];
        let good = [
            file_of(spec(1, 48_000, 16, SampleFormat::Int), &sound),
            file_of(spec(4, 8_000, 24, SampleFormat::Int), &sound),
            file_of(spec(2, 96_000, 32, SampleFormat::Float), &sound),
        ];
        for round in 0..30_000 {
            let mut file = good[round % good.len()].clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..file.len().min(72));
                file[at] = random.random();
            }
            file.truncate(random.random_range(0..=file.len()));
            if let Ok(mut reader) = open(&file) {
                for _ in 0..40 {
                    if let Ok(sample) = reader.read() {
                        assert!((-1.0..=1.0).contains(&sample));
                    }
                }
            }
        }
    }
}
