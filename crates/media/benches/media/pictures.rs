//! Raw pictures: from what cameras give to ours, to another size, and to what a screen takes.

use std::hint::black_box;

use ahoy_media::VideoFrame;
use ahoy_media::convert::{Scaler, nv12_to_i420, rgb_to_i420, to_rgba, yuyv_to_i420};
use ahoy_media::frame::FramePool;
use criterion::{Criterion, Throughput};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::camera::Jpegs;

/// Cameras do not tell theirs; this is a usual one.
const JPEG_QUALITY: u8 = 85;

pub(crate) fn bench(criterion: &mut Criterion, clip: &[VideoFrame]) {
    let small = &clip[0];
    let large = scaled(small, 1280, 720);
    for picture in [small, &large] {
        convert(criterion, picture);
    }
    scale(criterion, small, (320, 240));
    scale(criterion, &large, (640, 480));
}

fn convert(criterion: &mut Criterion, picture: &VideoFrame) {
    let (width, height) = (picture.width(), picture.height());
    let mut frames = FramePool::default();
    let mut group = criterion.benchmark_group("convert");
    group.throughput(Throughput::Elements(1));

    let bytes = nv12(picture);
    group.bench_function(format!("NV12 {width}x{height} to I420"), |b| {
        b.iter(|| nv12_to_i420(&mut frames, black_box(&bytes), width, width, height).expect("a whole picture"));
    });
    let bytes = yuyv(picture);
    group.bench_function(format!("YUYV {width}x{height} to I420"), |b| {
        b.iter(|| yuyv_to_i420(&mut frames, black_box(&bytes), width * 2, width, height).expect("a whole picture"));
    });
    let bytes = rgb(picture);
    group.bench_function(format!("RGB {width}x{height} to I420"), |b| {
        b.iter(|| rgb_to_i420(&mut frames, black_box(&bytes), width, height).expect("a whole picture"));
    });
    let (bytes, mut reader) = (jpeg(picture), Jpegs::default());
    group.bench_function(format!("MJPEG {width}x{height} to I420"), |b| {
        b.iter(|| reader.read(black_box(&bytes)));
    });
    let mut rgba = vec![0; (width * height * 4) as usize];
    group.bench_function(format!("I420 {width}x{height} to RGBA"), |b| {
        b.iter(|| to_rgba(black_box(picture), &mut rgba).expect("room for the picture"));
    });
    group.finish();
}

fn scale(criterion: &mut Criterion, picture: &VideoFrame, (width, height): (u32, u32)) {
    let mut scaler = Scaler::new();
    let mut group = criterion.benchmark_group("scale");
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("{}x{} to {width}x{height}", picture.width(), picture.height()), |b| {
        b.iter(|| scaler.scale(black_box(picture), width, height).expect("an even size"));
    });
    group.finish();
}

fn scaled(picture: &VideoFrame, width: u32, height: u32) -> VideoFrame {
    Scaler::new().scale(picture, width, height).expect("an even size")
}

fn nv12(picture: &VideoFrame) -> Vec<u8> {
    let (y, u, v) = picture.planes();
    let colours = u.iter().zip(v).flat_map(|(u, v)| [*u, *v]);
    y.iter().copied().chain(colours).collect()
}

fn yuyv(picture: &VideoFrame) -> Vec<u8> {
    let (y, u, v) = picture.planes();
    let (width, chroma_width) = (picture.width() as usize, picture.chroma_width() as usize);
    let mut bytes = Vec::with_capacity(y.len() * 2);
    for (row, line) in y.chunks_exact(width).enumerate() {
        // Two rows share theirs.
        let colours = row / 2 * chroma_width..;
        let colours = u[colours.clone()].iter().zip(&v[colours]);
        bytes.extend(line.chunks_exact(2).zip(colours).flat_map(|(pair, (u, v))| [pair[0], *u, pair[1], *v]));
    }
    bytes
}

fn rgb(picture: &VideoFrame) -> Vec<u8> {
    let mut rgba = vec![0; picture.y().len() * 4];
    to_rgba(picture, &mut rgba).expect("room for the picture");
    rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// 4:2:2, as most cameras send it.
fn jpeg(picture: &VideoFrame) -> Vec<u8> {
    let side = |length: u32| u16::try_from(length).expect("no JPEG is larger");
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    let encoded = encoder.encode(&rgb(picture), side(picture.width()), side(picture.height()), ColorType::Rgb);
    encoded.expect("a picture of that size");
    jpeg
}
