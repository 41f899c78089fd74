//! Sound as a call has it: read speech of `tests/media` through Opus, and through what a microphone's sound goes through.

use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;

use ahoy_media::audio::opus::FRAME_SAMPLES;
use ahoy_media::audio::voice::{Voice, VoiceConfig};
use ahoy_media::file::wav::WavReader;
use ahoy_media::resample::Resampler;
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, OpusDecoder, OpusEncoder};
use criterion::{Criterion, Throughput};

/// Less than the file has.
const SPEECH_BLOCKS: usize = 900;

/// The echo: this late, this loud.
const ECHO_SAMPLES: usize = 50 * 48;
const ECHO_LOUDNESS: f32 = 0.3;

pub(crate) fn bench(criterion: &mut Criterion) {
    let speech = speech();
    opus(criterion, &speech);
    voice(criterion, &speech);
}

fn opus(criterion: &mut Criterion, speech: &[f32]) {
    let frames: Vec<&[f32; FRAME_SAMPLES]> = speech.as_chunks().0.iter().collect();
    let mut encoder = OpusEncoder::new().expect("libopus is there");
    let mut next = frames.iter().cycle();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("Opus 20 ms", |b| {
        b.iter(|| encoder.encode(black_box(*next.next().expect("it never ends"))).expect("20 ms of sound").len());
    });
    group.finish();

    let mut encoder = OpusEncoder::new().expect("libopus is there");
    let packets: Vec<Vec<u8>> =
        frames.iter().map(|frame| encoder.encode(*frame).expect("20 ms of sound").to_vec()).collect();
    let mut decoder = OpusDecoder::new().expect("libopus is there");
    let mut next = packets.iter().cycle();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("Opus 20 ms", |b| {
        b.iter(|| {
            let packet = black_box(next.next().expect("it never ends"));
            black_box(decoder.decode(packet).expect("a packet of Opus").len())
        });
    });
    group.finish();
}

/// All stages at once, as a call has them, while both sides talk.
fn voice(criterion: &mut Criterion, speech: &[f32]) {
    let silence = [0.0; ECHO_SAMPLES];
    let echo = silence.iter().chain(speech).map(|sample| sample * ECHO_LOUDNESS);
    // Somebody else would say something else: the same speech from its middle on.
    let near = speech.iter().cycle().skip(speech.len() / 2);
    let heard: Vec<f32> = near.zip(echo).map(|(near, echo)| near + echo).collect();
    let (played, heard): (&[AudioBlock], &[AudioBlock]) = (speech.as_chunks().0, heard.as_chunks().0);
    let mut blocks = played.iter().zip(heard).cycle();
    let mut voice = Voice::new(VoiceConfig::default());
    let mut group = criterion.benchmark_group("voice");
    group.throughput(Throughput::Elements(1));
    group.bench_function("all stages 10 ms", |b| {
        b.iter(|| {
            let (played, heard) = blocks.next().expect("it never ends");
            voice.render(black_box(played));
            let mut block = *heard;
            voice.capture(&mut block);
            block
        });
    });
    group.finish();
}

/// Nine seconds, whole blocks at 48 kHz.
fn speech() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media/speech-16k.wav");
    let mut file = WavReader::new(BufReader::new(File::open(path).expect("the speech is there"))).expect("a WAV file");
    let mut resampler = Resampler::new(file.rate_hz()).expect("a rate that can be brought to ours");
    let mut speech = Vec::with_capacity(SPEECH_BLOCKS * BLOCK_SAMPLES);
    for _ in 0..SPEECH_BLOCKS {
        let input: Vec<f32> = (0..resampler.needed()).map(|_| file.read().expect("the speech is whole")).collect();
        let mut block = [0.0; BLOCK_SAMPLES];
        resampler.process(&input, &mut block).expect("as many samples as it needs");
        speech.extend(block);
    }
    speech
}
