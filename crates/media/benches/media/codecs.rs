//! The video codecs as a call runs them: 640x480, 30 pictures a second, the bit rate that looks good at that size, one key
//! picture at the beginning.

use std::hint::black_box;

use ahoy_media::video::encoder::default_bitrate_bps;
use ahoy_media::{FrameRate, VideoCodec, VideoEncoder, VideoFrame};
use criterion::{Criterion, SamplingMode, Throughput};

use crate::clip::to_and_fro;

/// From the key picture until the encoder spends what it was told to.
const SETTLING: usize = 30;

pub(crate) fn bench(criterion: &mut Criterion, clip: &[VideoFrame]) {
    for &codec in VideoCodec::available() {
        encode(criterion, codec, clip);
        decode(criterion, codec, clip);
    }
}

fn encode(criterion: &mut Criterion, codec: VideoCodec, clip: &[VideoFrame]) {
    let mut pictures = to_and_fro(clip);
    let mut encoder = encoder(codec, clip);
    let mut encode_next = || coded(encoder.as_mut(), pictures.next().expect("it never ends"));
    for _ in 0..SETTLING {
        encode_next();
    }
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat);
    group.bench_function(name(codec, clip), |b| b.iter(&mut encode_next));
    group.finish();
}

/// Of all pictures to and fro once, and again from the key picture at the beginning.
fn decode(criterion: &mut Criterion, codec: VideoCodec, clip: &[VideoFrame]) {
    let mut encoder = encoder(codec, clip);
    let once = to_and_fro(clip).take(2 * clip.len() - 2);
    let coded: Vec<Vec<u8>> = once.map(|picture| coded(encoder.as_mut(), picture)).collect();
    let mut next = coded.iter().cycle();
    let mut decoder = codec.decoder().expect("available");
    let mut decode_next = || {
        let coded = next.next().expect("it never ends");
        decoder.decode(black_box(coded)).expect("nothing is missing").expect("a picture each")
    };
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat);
    group.bench_function(name(codec, clip), |b| b.iter(&mut decode_next));
    group.finish();
}

fn encoder(codec: VideoCodec, clip: &[VideoFrame]) -> Box<dyn VideoEncoder> {
    let bitrate_bps = default_bitrate_bps(clip[0].width(), clip[0].height());
    codec.encoder(bitrate_bps, FrameRate::THIRTY).expect("available")
}

fn coded(encoder: &mut dyn VideoEncoder, picture: &VideoFrame) -> Vec<u8> {
    encoder.encode(black_box(picture), false).expect("a size that calls use").expect("none is left out").data
}

fn name(codec: VideoCodec, clip: &[VideoFrame]) -> String {
    format!("{codec} {}x{}", clip[0].width(), clip[0].height())
}
