//! No picture and no block of sound costs an allocation of ours once a call runs: memory is taken at its beginning and used
//! again. What libraries in Rust take for themselves is counted along, and named here.
//! `cargo test --workspace --test allocations -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used)]

#[path = "../../../rtp/tests/allocations/counting.rs"]
mod counting;

use std::collections::VecDeque;
use std::io::Cursor;
use std::time::Duration;

use ahoy_media::audio::speech::SpeechDecoder;
use ahoy_media::audio::stretch::{Stretch, Stretcher};
use ahoy_media::audio::voice::{Voice, VoiceConfig};
use ahoy_media::convert::{Scaler, nv12_to_i420, rgb_to_i420, to_rgba, yuyv_to_i420};
use ahoy_media::file::y4m::{Y4mReader, Y4mWriter};
use ahoy_media::frame::FramePool;
use ahoy_media::pattern::TestPattern;
use ahoy_media::resample::{BlockResampler, Resampler};
use ahoy_media::{AudioBlock, BLOCK_SAMPLES, FrameRate, Latest, OpusEncoder, VideoCodec, VideoFrame};
use counting::in_steady_state;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// What `fast_image_resize` takes for itself at most where it makes a picture of this size: for each plane the weights of its
/// filter, for each column and each row apart, and six things more.
fn taken_by_scaler(width: u32, height: u32) -> u64 {
    let plane = |width: u32, height: u32| u64::from(width + height + 6);
    plane(width, height) + 2 * plane(width / 2, height / 2)
}

/// What `sonora` takes for itself at most for a block of sound, with all stages.
const TAKEN_BY_VOICE_PROCESSING: u64 = 60;

/// Pictures that move.
fn pictures() -> Vec<VideoFrame> {
    let (pattern, mut scaler) = (TestPattern::new(), Scaler::new());
    (0..30).map(|number| scaler.scale(&pattern.frame(number), WIDTH, HEIGHT).unwrap()).collect()
}

/// Hum that swells and falls, as blocks of 10 ms.
fn sound() -> Vec<AudioBlock> {
    let sample = |n: usize| {
        let time = n as f32 / 48_000.0;
        let hum: f32 = (1..8).map(|k| (time * 150.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
        hum * (0.6 + 0.4 * (time * 20.0).sin()) * 0.15
    };
    (0..200).map(|block| std::array::from_fn(|n| sample(block * BLOCK_SAMPLES + n))).collect()
}

/// The last few pictures, as those have them who look at them.
struct Lookers(VecDeque<VideoFrame>);

impl Lookers {
    fn new() -> Self {
        Self(VecDeque::with_capacity(4))
    }

    fn look(&mut self, frame: VideoFrame) {
        self.0.push_back(frame);
        self.0.drain(..self.0.len().saturating_sub(3));
    }
}

#[test]
fn what_a_camera_sends_becomes_a_picture_for_nothing() {
    let (mut frames, mut lookers) = (FramePool::default(), Lookers::new());
    let bytes = vec![90; (WIDTH * HEIGHT * 3) as usize];
    let taken = in_steady_state(100, |_| {
        lookers.look(nv12_to_i420(&mut frames, &bytes, WIDTH, WIDTH, HEIGHT).unwrap());
        lookers.look(yuyv_to_i420(&mut frames, &bytes, WIDTH * 2, WIDTH, HEIGHT).unwrap());
        lookers.look(rgb_to_i420(&mut frames, &bytes, WIDTH, HEIGHT).unwrap());
    });
    assert_eq!(taken, 0);
}

#[test]
fn a_picture_of_a_file_costs_nothing_but_the_line_before_it() {
    let mut file = Vec::new();
    let mut writer = Y4mWriter::new(&mut file, FrameRate::THIRTY);
    pictures().iter().for_each(|picture| writer.write(picture).unwrap());
    let (mut reader, mut lookers) = (Y4mReader::new(Cursor::new(file)).unwrap(), Lookers::new());
    // Each time that the file begins again its end is looked for once more.
    let taken = in_steady_state(90, |_| lookers.look(reader.read().unwrap()));
    assert!(taken <= 90 + 90 / 30, "{taken}");
}

#[test]
fn scaling_costs_nothing_but_the_weights_of_the_filter() {
    let (pictures, mut scaler, mut lookers) = (pictures(), Scaler::new(), Lookers::new());
    let taken = in_steady_state(100, |number| {
        let frame = &pictures[number as usize % pictures.len()];
        lookers.look(scaler.scale(frame, WIDTH / 2, HEIGHT / 2).unwrap());
    });
    assert!(taken <= 100 * taken_by_scaler(WIDTH / 2, HEIGHT / 2), "{taken}");
    let taken = in_steady_state(100, |_| lookers.look(scaler.scale(&pictures[0], WIDTH, HEIGHT).unwrap()));
    assert_eq!(taken, 0, "the size that it has");
}

#[test]
fn colours_for_a_screen_cost_nothing() {
    let (pictures, mut rgba) = (pictures(), vec![0; (WIDTH * HEIGHT * 4) as usize]);
    assert_eq!(in_steady_state(100, |_| to_rgba(&pictures[0], &mut rgba).unwrap()), 0);
}

#[test]
fn coding_and_decoding_a_picture_costs_nothing() {
    let pictures = pictures();
    for codec in VideoCodec::available() {
        let mut encoder = codec.encoder(400_000, FrameRate::THIRTY).unwrap();
        let (mut decoder, mut lookers) = (codec.decoder().unwrap(), Lookers::new());
        let mut newest = Latest::new();
        let taken = in_steady_state(90, |number| {
            newest.put(pictures[number as usize % pictures.len()].clone());
            let picture = newest.take_timeout(Duration::ZERO).unwrap();
            encoder.set_bitrate_bps(400_000 + number * 100);
            let coded = encoder.encode(&picture, false).unwrap().unwrap();
            lookers.look(decoder.decode(&coded.data).unwrap().unwrap());
            encoder.give_back(coded.data);
        });
        newest = Latest::new();
        newest.close();
        assert_eq!(taken, 0, "{codec:?}");
    }
}

/// From the microphone to coded sound.
fn send_voice(config: VoiceConfig) -> u64 {
    let (sound, mut voice) = (sound(), Voice::new(config));
    let mut encoder = OpusEncoder::new().unwrap();
    let mut pending = Vec::with_capacity(2 * BLOCK_SAMPLES);
    in_steady_state(1_000, |number| {
        let mut block = sound[number as usize % sound.len()];
        voice.render(&block);
        voice.capture(&mut block);
        pending.extend(block);
        if pending.len() == 2 * BLOCK_SAMPLES {
            assert!(!encoder.encode(&pending).unwrap().is_empty());
            pending.clear();
        }
    })
}

#[test]
fn the_voice_costs_nothing_on_its_way_out_but_what_its_processing_takes() {
    assert_eq!(send_voice(VoiceConfig::OFF), 0);
    let taken = send_voice(VoiceConfig::default());
    assert!(taken <= 1_000 * TAKEN_BY_VOICE_PROCESSING, "{taken}");
}

#[test]
fn the_voice_costs_nothing_on_its_way_in() {
    let (sound, mut encoder) = (sound(), OpusEncoder::new().unwrap());
    let packets: Vec<Vec<u8>> = sound.iter().map(|block| encoder.encode(block).unwrap().to_vec()).collect();
    let (mut decoder, mut stretcher) = (SpeechDecoder::new().unwrap(), Stretcher::new());
    let mut ready = VecDeque::new();
    let taken = in_steady_state(1_000, |number| {
        let packet = &packets[number as usize % packets.len()];
        let heard = match number % 50 {
            10 => decoder.conceal(BLOCK_SAMPLES),
            11 => decoder.comfort_noise(BLOCK_SAMPLES),
            12 => decoder.silence(),
            _ => decoder.decode(packet),
        };
        let wish = match number % 10 {
            3 => Stretch::Accelerate(480),
            7 => Stretch::Decelerate,
            _ => Stretch::None,
        };
        stretcher.stretch(heard, wish, &mut ready);
        ready.drain(..ready.len() / BLOCK_SAMPLES * BLOCK_SAMPLES);
    });
    assert_eq!(taken, 0);
}

#[test]
fn another_sample_rate_costs_nothing() {
    let (mut inwards, mut outwards) = (Resampler::new(44_100).unwrap(), BlockResampler::new(44_100).unwrap());
    let (heard, mut block) = (vec![0.1; 1_000], [0.0; BLOCK_SAMPLES]);
    let taken = in_steady_state(500, |_| {
        inwards.process(&heard[..inwards.needed()], &mut block).unwrap();
        outwards.process(&block).unwrap();
    });
    assert_eq!(taken, 0);
}
