//! Media over RTP, both ways: cutting encoded media into packets, and putting packets back together.
//! Pure: no socket, thread, codec or clock. `now` is an argument everywhere, a duration since any fixed
//! moment of the caller's choosing.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod assembler;
pub mod clock;
pub mod congestion;
pub mod format;
pub mod jitter;
pub mod nack;
pub mod pacer;
pub mod packet;
pub mod packetizer;
pub mod red;
pub mod sender_report;
pub mod slabs;
pub mod sync;
pub mod voice_plan;

mod annex_b;
mod depacketizer;
mod nal;
mod numbered;
mod opus;
mod vp8;

pub use assembler::{AssembledFrame, AssemblerConfig, AssemblerEvent, AssemblerStats, FrameAssembler};
pub use clock::RtpClock;
pub use congestion::{CongestionControl, PacketReport};
pub use format::PictureFormat;
pub use jitter::{JitterBuffer, JitterStats, Playout, Pull, Stretch};
pub use nack::{Arrival, Came, NackGenerator, RtpHeader};
pub use pacer::{Pacer, Priority};
pub use packet::RtpPacket;
pub use packetizer::{FramePacketizer, MAX_PAYLOAD_BYTES, OpusPacketizer, first_sequence};
pub use sender_report::SenderReport;
pub use slabs::Slabs;
pub use sync::LipSync;
pub use voice_plan::{VoicePlan, VoiceSettings};
