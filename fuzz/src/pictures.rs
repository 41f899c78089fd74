//! Packets of pictures: the assembler, and what asks for those that are missing.

use std::time::Duration;

use ahoy_rtp::{AssemblerConfig, AssemblerEvent, Came, FrameAssembler, NackGenerator, PictureFormat, RtpHeader};

use crate::steps::{Step, Steps};

/// So few that the limits are met.
const MAX_PACKETS: usize = 64;
const MAX_BYTES: usize = 6_000;

/// Requests that may wait to be sent: a few times what may be asked for at all.
const MAX_ASKED: usize = 2_048;

/// The assembler, for H.264.
pub fn assembler_h264(data: &[u8]) {
    assemble(PictureFormat::H264, data);
}

/// The assembler, for VP8.
pub fn assembler_vp8(data: &[u8]) {
    assemble(PictureFormat::Vp8, data);
}

fn assemble(format: PictureFormat, data: &[u8]) {
    let config = AssemblerConfig { max_packets: MAX_PACKETS, max_bytes: MAX_BYTES, ..AssemblerConfig::default() };
    let mut assembler = FrameAssembler::new(format, config);
    let mut now = Duration::ZERO;
    let (mut came, mut frames) = (0, 0);
    for step in Steps::new(data) {
        match step {
            Step::Packet { packet, .. } => {
                came += 1;
                assembler.push(now, packet);
            }
            Step::Wait(pause) => {
                now += pause;
                // What is due is done by the time that it was due, and is not due for ever.
                for _ in 0..MAX_PACKETS * 4 {
                    let Some(due) = assembler.poll_timeout().filter(|due| *due <= now) else { break };
                    assembler.handle_timeout(due.max(now));
                }
                assert!(assembler.poll_timeout().is_none_or(|due| due > now), "busy at {now:?}");
            }
            Step::Other(0) => assembler.decoder_failed(now),
            Step::Other(round_trip) => assembler.set_round_trip(Duration::from_millis(round_trip.into())),
        }
        while let Some(event) = assembler.poll_event() {
            if let AssemblerEvent::Frame(frame) = event {
                frames += 1;
                // A start code or a partition's header is added to each of the packets that it was made of, no more.
                assert!(!frame.data.is_empty() && frame.data.len() <= 5 * MAX_BYTES, "{} bytes", frame.data.len());
                assembler.give_back(frame.data);
            }
        }
        let stats = assembler.stats();
        assert!(stats.frames <= came && stats.key_frames <= stats.frames && stats.frames >= frames);
    }
}

/// Asking for what is missing. A packet with the further bit is a retransmission.
pub fn nack(data: &[u8]) {
    let mut generator = NackGenerator::default();
    let mut now = Duration::ZERO;
    for step in Steps::new(data) {
        match step {
            Step::Packet { packet, flag } => {
                let came = if flag { Came::Again } else { Came::Itself };
                let header =
                    RtpHeader { sequence: packet.sequence, timestamp: packet.timestamp, marker: packet.marker };
                generator.push(now, header, came);
            }
            Step::Wait(pause) => now += pause,
            Step::Other(round_trip) => generator.set_round_trip(Duration::from_millis(round_trip.into())),
        }
        for round in 0.. {
            if generator.poll_timeout().is_none_or(|due| due > now) {
                break;
            }
            assert!(round < 16, "busy at {now:?}");
            let asked = generator.poll(now);
            assert!(asked.len() <= MAX_ASKED, "{} packets asked for", asked.len());
        }
    }
}
