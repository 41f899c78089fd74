//! What a device speaks: the stream to ask it for, and the way between its samples and one channel of floats. Rates are
//! left as they are; `resample` is for the audio thread, not for a callback.

use cpal::traits::DeviceTrait as _;
use cpal::{
    BufferSize, Data, FromSample, I24, SampleFormat, SizedSample, StreamConfig, SupportedBufferSize,
    SupportedStreamConfig, SupportedStreamConfigRange, U24,
};

use super::SoundEnd;
use super::host::HostKind;
use crate::audio::SAMPLE_RATE_HZ;
use crate::resample::ResampleError;

const MAX_CHANNELS: u16 = 64;
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// The largest magnitude that every integer format can hold: 1 would be one step too much for them.
const FULL_SCALE: f32 = 1.0 - f32::EPSILON / 2.0;

/// What a device is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamShape {
    pub(super) config: StreamConfig,
    pub(super) format: SampleFormat,
    /// It comes through a sound server.
    pub(super) by_server: bool,
}

impl StreamShape {
    /// What the device runs at by itself, or what comes closest to ours if that is of no use. `None`: it offers nothing
    /// usable.
    pub(super) fn of(device: &cpal::Device, kind: HostKind, end: SoundEnd) -> Result<Option<Self>, cpal::Error> {
        let period_ms = period_ms(kind, end);
        let native = match end {
            SoundEnd::Microphone => device.default_input_config(),
            SoundEnd::Speaker => device.default_output_config(),
        };
        let refused = match native {
            Ok(native) if is_usable(native.sample_format(), native.channels(), native.sample_rate()) => {
                return Ok(Some(Self::with_period(native, kind, period_ms)));
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let offered = match end {
            SoundEnd::Microphone => device.supported_input_configs().map(best),
            SoundEnd::Speaker => device.supported_output_configs().map(best),
        };
        match (offered, refused) {
            (Ok(Some(config)), _) => Ok(Some(Self::with_period(config, kind, period_ms))),
            (Ok(None), None) => Ok(None),
            (Ok(None), Some(error)) | (Err(_), Some(error)) | (Err(error), None) => Err(error),
        }
    }

    /// What a second stream beside a microphone's asks for: pieces of 5 ms. A server hands the sound of a device over
    /// in the smallest pieces that anybody asked for. It keeps no more for a stream than the one piece that stream asked
    /// for (so does cpal set it up) and drops what it has no place for: alone, a stream loses sound whenever a piece
    /// comes before the last one is on its way.
    pub(super) fn hurried(&self) -> Option<StreamConfig> {
        let buffer_size = BufferSize::Fixed(self.config.sample_rate / 200);
        self.by_server.then_some(StreamConfig { buffer_size, ..self.config })
    }

    /// The same with a buffer of the device's own choice.
    pub(super) fn with_its_own_buffer(mut self) -> Self {
        self.config.buffer_size = BufferSize::Default;
        self
    }

    fn with_period(offered: SupportedStreamConfig, kind: HostKind, period_ms: u32) -> Self {
        let frames = offered.sample_rate() / 1000 * period_ms;
        let frames = match *offered.buffer_size() {
            SupportedBufferSize::Range { min, max } if min <= max => frames.clamp(min, max),
            SupportedBufferSize::Range { .. } | SupportedBufferSize::Unknown => frames,
        };
        let mut config = offered.config();
        config.buffer_size = BufferSize::Fixed(frames);
        Self { config, format: offered.sample_format(), by_server: kind == HostKind::Server }
    }
}

/// The buffer to ask for. Its default is two seconds on one host, so it is always asked for.
fn period_ms(kind: HostKind, end: SoundEnd) -> u32 {
    match (kind, end) {
        // What the server keeps at most while we are not served; it comes in smaller pieces.
        (HostKind::Server, SoundEnd::Microphone) => 60,
        // cpal makes it two.
        (HostKind::Server, SoundEnd::Speaker) => 10,
        // cpal makes it two, and serves them on a thread without priority.
        (HostKind::Alsa, _) => 20,
        (HostKind::System, _) => 10,
    }
}

fn best(offered: impl Iterator<Item = SupportedStreamConfigRange>) -> Option<SupportedStreamConfig> {
    let usable = offered.filter_map(|range| {
        let (min, max) = (range.min_sample_rate(), range.max_sample_rate());
        let rate_hz = SAMPLE_RATE_HZ.max(min).min(max);
        is_usable(range.sample_format(), range.channels(), rate_hz).then_some((range, rate_hz))
    });
    let (range, rate_hz) = usable.max_by(|(a, _), (b, _)| a.cmp_default_heuristics(b))?;
    Some(range.with_sample_rate(rate_hz))
}

fn is_usable(format: SampleFormat, channels: u16, rate_hz: u32) -> bool {
    !format.is_dsd() && (1..=MAX_CHANNELS).contains(&channels) && RATES_HZ.contains(&rate_hz)
}

/// What cpal would say of a rate that cannot be brought to ours.
pub(super) fn refused(error: ResampleError) -> cpal::Error {
    cpal::Error::with_message(cpal::ErrorKind::UnsupportedConfig, error.to_string())
}

/// Gives the frames of a buffer, each the mean of its channels, to `take` as an iterator. Neither allocates nor waits.
pub(super) fn mix_down(data: &Data, channels: usize, take: impl FnOnce(&mut dyn ExactSizeIterator<Item = f32>)) {
    match data.sample_format() {
        SampleFormat::F32 => means::<f32>(data, channels, f32::from_sample_, take),
        SampleFormat::F64 => means::<f64>(data, channels, f32::from_sample_, take),
        SampleFormat::I8 => means::<i8>(data, channels, f32::from_sample_, take),
        SampleFormat::I16 => means::<i16>(data, channels, f32::from_sample_, take),
        SampleFormat::I24 => means::<I24>(data, channels, of_i24, take),
        SampleFormat::I32 => means::<i32>(data, channels, f32::from_sample_, take),
        SampleFormat::I64 => means::<i64>(data, channels, f32::from_sample_, take),
        SampleFormat::U8 => means::<u8>(data, channels, f32::from_sample_, take),
        SampleFormat::U16 => means::<u16>(data, channels, f32::from_sample_, take),
        SampleFormat::U24 => means::<U24>(data, channels, of_u24, take),
        SampleFormat::U32 => means::<u32>(data, channels, f32::from_sample_, take),
        SampleFormat::U64 => means::<u64>(data, channels, f32::from_sample_, take),
        // DSD was not asked for.
        _ => {}
    }
}

/// 24 bits lie in 32, and the other eight may hold anything: PulseAudio leaves them 0 even in negative numbers.
fn of_i24(sample: I24) -> f32 {
    f32::from_sample_(sample.inner() << 8)
}

fn of_u24(sample: U24) -> f32 {
    f32::from_sample_((sample.inner() as u32) << 8)
}

fn means<T: SizedSample>(
    data: &Data,
    channels: usize,
    to_float: impl Fn(T) -> f32,
    take: impl FnOnce(&mut dyn ExactSizeIterator<Item = f32>),
) {
    let Some(samples) = data.as_slice::<T>() else { return };
    take(&mut samples.chunks_exact(channels.max(1)).map(|frame| mean(frame, &to_float)));
}

fn mean<T: Copy>(frame: &[T], to_float: impl Fn(T) -> f32) -> f32 {
    let mean = frame.iter().copied().map(to_float).sum::<f32>() / frame.len() as f32;
    // Drivers of floating-point devices are not beyond giving nonsense.
    if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Fills a buffer frame by frame: the first two channels get what `next` gives, further ones (centre, bass, rear) stay
/// silent. Neither allocates nor waits.
pub(super) fn spread(data: &mut Data, channels: usize, next: impl FnMut() -> f32) {
    match data.sample_format() {
        SampleFormat::F32 => fill::<f32>(data, channels, next),
        SampleFormat::F64 => fill::<f64>(data, channels, next),
        SampleFormat::I8 => fill::<i8>(data, channels, next),
        SampleFormat::I16 => fill::<i16>(data, channels, next),
        SampleFormat::I24 => fill::<I24>(data, channels, next),
        SampleFormat::I32 => fill::<i32>(data, channels, next),
        SampleFormat::I64 => fill::<i64>(data, channels, next),
        SampleFormat::U8 => fill::<u8>(data, channels, next),
        SampleFormat::U16 => fill::<u16>(data, channels, next),
        SampleFormat::U24 => fill::<U24>(data, channels, next),
        SampleFormat::U32 => fill::<u32>(data, channels, next),
        SampleFormat::U64 => fill::<u64>(data, channels, next),
        // DSD was not asked for.
        _ => {}
    }
}

fn fill<T: SizedSample + FromSample<f32>>(data: &mut Data, channels: usize, mut next: impl FnMut() -> f32) {
    let Some(samples) = data.as_slice_mut::<T>() else { return };
    for frame in samples.chunks_exact_mut(channels.max(1)) {
        put(frame, next());
    }
}

fn put<T: SizedSample + FromSample<f32>>(frame: &mut [T], sample: f32) {
    let (front, rest) = frame.split_at_mut(frame.len().min(2));
    front.fill(T::from_sample_(sample.clamp(-FULL_SCALE, FULL_SCALE)));
    rest.fill(T::EQUILIBRIUM);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: SizedSample + FromSample<f32>>(step: f32, to_float: impl Fn(T) -> f32) {
        for sample in [-1.0, -0.5, 0.0, 0.25, 0.999, 1.0] {
            let mut frame = [T::EQUILIBRIUM];
            put(&mut frame, sample);
            let back = mean(&frame, &to_float);
            assert!((back - sample).abs() <= step, "{:?}: {sample} became {back}", T::FORMAT);
        }
    }

    #[test]
    fn every_format_keeps_a_sample_to_within_its_step() {
        there_and_back::<f32>(1e-7, f32::from_sample_);
        there_and_back::<f64>(1e-7, f32::from_sample_);
        there_and_back::<i8>(1.0 / 128.0, f32::from_sample_);
        there_and_back::<u8>(1.0 / 128.0, f32::from_sample_);
        there_and_back::<i16>(1.0 / 32_768.0, f32::from_sample_);
        there_and_back::<u16>(1.0 / 32_768.0, f32::from_sample_);
        there_and_back::<I24>(1e-6, of_i24);
        there_and_back::<U24>(1e-6, of_u24);
        there_and_back::<i32>(1e-6, f32::from_sample_);
        there_and_back::<u32>(1e-6, f32::from_sample_);
        there_and_back::<i64>(1e-6, f32::from_sample_);
        there_and_back::<u64>(1e-6, f32::from_sample_);
    }

    #[test]
    fn the_unused_byte_of_24_bits_in_32_means_nothing() {
        for raw in [-4_194_304, 0x00c0_0000, 0x7fc0_0000] {
            assert_eq!(of_i24(I24::new_unchecked(raw)), -0.5, "{raw:#x}");
        }
        assert_eq!(of_u24(U24::new_unchecked(0x7f40_0000)), -0.5);
    }

    #[test]
    fn channels_are_averaged_and_nonsense_is_silence() {
        let same = |sample: f32| sample;
        assert_eq!(mean(&[0.5, -0.25], same), 0.125);
        assert_eq!(mean(&[i16::MIN; 4], f32::from_sample_), -1.0);
        assert_eq!(mean(&[f32::NAN, 0.5], same), 0.0);
        assert_eq!(mean(&[7.0], same), 1.0);
    }

    #[test]
    fn the_front_channels_get_the_sound_and_the_others_silence() {
        let mut frame = [9_u8; 6];
        put(&mut frame, 0.5);
        assert_eq!(frame, [192, 192, 128, 128, 128, 128]);
        let mut mono = [9_i16];
        put(&mut mono, -2.0);
        assert!(mono[0] <= -32_767);
    }
}
