//! Packets of sound: redundant payloads, and the jitter buffer.

use std::time::Duration;

use ahoy_rtp::jitter::{MAX_MIN_DELAY, SILENCE_SAMPLES, STEP_SAMPLES};
use ahoy_rtp::{JitterBuffer, Playout, red};
use bytes::Bytes;

use crate::steps::{Step, Steps};

/// What an Opus packet plays at most (RFC 6716 §3.2.5).
const MAX_SAMPLES: u32 = 5_760;

/// One redundant payload (RFC 2198): no more comes out of it than is in it.
pub fn red(data: &[u8]) {
    let mut copies = Vec::new();
    if let Some(payload) = red::split(&Bytes::copy_from_slice(data), &mut copies) {
        let bytes: usize = copies.iter().map(|copy| copy.payload.len()).sum();
        assert!(bytes + payload.len() < data.len());
        assert!(copies.iter().all(|copy| copy.back > 0 && !copy.payload.is_empty()));
    }
}

/// The jitter buffer, pulled as a player does while time passes. A packet with the further bit carries copies.
pub fn jitter(data: &[u8]) {
    let mut buffer = JitterBuffer::new();
    let mut now = Duration::ZERO;
    let (mut came, mut queued) = (0_u64, 0_u32);
    for step in Steps::new(data) {
        match step {
            Step::Packet { packet, flag } => {
                came += 1;
                if flag { buffer.push_redundant(now, packet) } else { buffer.push(now, packet) }
            }
            Step::Wait(pause) => {
                // A pause longer than a second is a machine that slept: nothing was pulled meanwhile.
                let steps = (pause.as_millis() / 10).min(100) as u32;
                let slept = pause.saturating_sub(Duration::from_millis(10) * steps);
                now += slept;
                for _ in 0..steps {
                    now += Duration::from_millis(10);
                    queued = queued.saturating_sub(SILENCE_SAMPLES);
                    if queued < STEP_SAMPLES {
                        queued += pull(&mut buffer, now, queued);
                    }
                }
            }
            // A queue that somebody else filled, as after a change of device.
            Step::Other(samples) if samples % 2 == 0 => queued += u32::from(samples) % 48_000,
            Step::Other(delay) => buffer.set_min_delay(Duration::from_millis(delay.into())),
        }
        let stats = buffer.stats();
        assert!(stats.late + stats.duplicates <= came, "{stats:?}");
        // A packet may hold four copies, each of which may be thrown away.
        assert!(stats.discarded <= 5 * came, "{stats:?}");
        assert!(stats.target < MAX_MIN_DELAY + Duration::from_secs(10), "{stats:?}");
        let _ = buffer.playing();
    }
}

/// Samples that one step plays.
fn pull(buffer: &mut JitterBuffer, now: Duration, queued: u32) -> u32 {
    match buffer.pull(now, queued).playout {
        Playout::Decode(packet) => {
            assert!(!packet.is_empty());
            // What the decoder would make of it is not known here; a step is what most packets hold.
            STEP_SAMPLES
        }
        Playout::DecodeFec(packet) => {
            assert!(!packet.is_empty());
            STEP_SAMPLES
        }
        Playout::Conceal(samples) | Playout::ComfortNoise(samples) => {
            assert!((1..=MAX_SAMPLES).contains(&samples), "{samples} samples invented");
            samples
        }
        Playout::Silence => SILENCE_SAMPLES,
    }
}
