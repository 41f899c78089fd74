//! The stages of one configuration, by `sonora`, a port of WebRTC's audio processing: which there are and how they are
//! set. When they are heard and when they are switched is decided above.

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use crate::audio::{AudioBlock, BLOCK_SAMPLES, SAMPLE_RATE_HZ};

/// The stages, each on or off. The first three are called as in browsers (W3C mediacapture-main §4.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoiceConfig {
    /// Takes out what the speaker played.
    pub echo_cancellation: bool,
    /// Lowers what is steady: fans, hum, hiss.
    pub noise_suppression: bool,
    /// Brings quiet voices up to one level and keeps peaks from clipping.
    pub auto_gain_control: bool,
    /// Removes what lies below voices. The first two stages bring it along, asked for or not.
    pub high_pass: bool,
}

impl VoiceConfig {
    /// Sound goes through bit by bit as it is: for music and for files.
    pub const OFF: Self =
        Self { echo_cancellation: false, noise_suppression: false, auto_gain_control: false, high_pass: false };
}

impl Default for VoiceConfig {
    /// All stages, as a call wants them.
    fn default() -> Self {
        Self { echo_cancellation: true, noise_suppression: true, auto_gain_control: true, high_pass: true }
    }
}

/// Stages that learn from each block.
pub(super) struct Stages {
    config: VoiceConfig,
    processing: AudioProcessing,
}

impl Stages {
    /// Having learnt nothing yet; nothing where all is off.
    pub(super) fn of(config: VoiceConfig) -> Option<Self> {
        (config != VoiceConfig::OFF).then(|| Self { config, processing: processing(config) })
    }

    /// Which are on.
    pub(super) fn config(&self) -> VoiceConfig {
        self.config
    }

    /// What the speaker was given. Numbers only: a single NaN would stay in the filters for good.
    pub(super) fn render(&mut self, played: &AudioBlock) {
        let mut unused = [0.0; BLOCK_SAMPLES];
        let rendered = self.processing.process_render_f32(&[played], &mut [&mut unused]);
        rendered.expect("10 ms at 48 kHz, one channel: as it was set up for");
    }

    /// Cleans what the microphone heard. Numbers only.
    pub(super) fn capture(&mut self, heard: &AudioBlock, cleaned: &mut AudioBlock) {
        let captured = self.processing.process_capture_f32(&[heard], &mut [cleaned]);
        captured.expect("10 ms at 48 kHz, one channel: as it was set up for");
    }
}

fn processing(config: VoiceConfig) -> AudioProcessing {
    let config = Config {
        // The default, 32 kHz, cuts everything above 16 kHz off to save a tenth of the time.
        pipeline: Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() },
        high_pass_filter: config.high_pass.then(HighPassFilter::default),
        echo_canceller: config.echo_cancellation.then(EchoCanceller::default),
        noise_suppression: config.noise_suppression.then(noise_suppression),
        gain_controller2: config.auto_gain_control.then(gain_control),
        ..Config::default()
    };
    let format = StreamConfig::new(SAMPLE_RATE_HZ, 1);
    let mut processing = AudioProcessing::builder().config(config).capture_config(format).render_config(format).build();
    // Where the search for the echo begins. Told nothing it begins at 20 ms and never finds one of 2; told too much, the
    // same, and it takes a second longer for others; told the truth it is no faster than told 0.
    processing.set_stream_delay_ms(0).expect("no delay is one that it takes");
    processing
}

fn noise_suppression() -> NoiseSuppression {
    // Steady noise goes down by 17 dB, at the next lower level by 12 and the next higher by 22. The latter also takes
    // from the voice: in noise of -40 dBFS it comes out 4 dB further from the clean one, and this one 1 dB.
    NoiseSuppression { level: NoiseSuppressionLevel::High, ..NoiseSuppression::default() }
}

fn gain_control() -> GainController2 {
    GainController2 {
        // Nobody here moves the system's slider.
        input_volume_controller: false,
        // Left out by default, which leaves a mere limiter.
        adaptive_digital: Some(AdaptiveDigital {
            // Speech of -50 dBFS comes to -25. The default, 50, brings up the next room as well.
            max_gain_db: 30.0,
            // With the default, 15, a voice that is loud enough is 11 dB louder and clips for the first two seconds.
            initial_gain_db: 6.0,
            ..AdaptiveDigital::default()
        }),
        ..GainController2::default()
    }
}
