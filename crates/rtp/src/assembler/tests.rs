//! The assembler in virtual time; what its tests share. A file a behaviour.

use super::*;
use crate::packetizer::FramePacketizer;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

mod hostile;
mod order;
mod repair;

const FORMATS: [PictureFormat; 2] = [PictureFormat::H264, PictureFormat::Vp8];
const PICTURE: Duration = Duration::from_millis(33);
const TICKS: u32 = 3_000;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A seed of this run's own, printed so that a failing run can be repeated.
fn seeded() -> StdRng {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn assembler(format: PictureFormat) -> FrameAssembler {
    FrameAssembler::new(format, AssemblerConfig::default())
}

/// `head` and noise without zeros, so that no start code arises.
fn with_noise(head: &[u8], length: usize, rng: &mut StdRng) -> Vec<u8> {
    head.iter().copied().chain((0..length).map(|_| rng.random_range(1..=255u8))).collect()
}

fn key_picture(format: PictureFormat, length: usize, rng: &mut StdRng) -> Vec<u8> {
    let head: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88],
        PictureFormat::Vp8 => &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
    };
    with_noise(head, length, rng)
}

fn picture(format: PictureFormat, length: usize, rng: &mut StdRng) -> Vec<u8> {
    let head: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x41, 0x88],
        PictureFormat::Vp8 => &[0x31, 0x02, 0x00],
    };
    with_noise(head, length, rng)
}

/// `count` pictures, the first a key picture, and their packets.
fn stream(
    format: PictureFormat,
    count: usize,
    first_sequence: u16,
    rng: &mut StdRng,
) -> (Vec<Vec<u8>>, Vec<Vec<RtpPacket>>) {
    let mut packetizer = FramePacketizer::numbered_from(first_sequence);
    (0..count)
        .map(|index| {
            let length = rng.random_range(1..6_000);
            let unit = if index == 0 { key_picture(format, length, rng) } else { picture(format, length, rng) };
            let timestamp = (index as u32).wrapping_mul(TICKS).wrapping_sub(TICKS);
            let packets = packetizer.packetize(format, &unit, timestamp).collect();
            (unit, packets)
        })
        .unzip()
}

fn drain(assembler: &mut FrameAssembler) -> (Vec<AssembledFrame>, usize) {
    let mut frames = Vec::new();
    let mut requests = 0;
    while let Some(event) = assembler.poll_event() {
        match event {
            AssemblerEvent::Frame(frame) => frames.push(frame),
            AssemblerEvent::KeyFrameWanted => requests += 1,
        }
    }
    (frames, requests)
}
