//! What a peer says of what it got and of its clocks: whatever that is, what follows from it stays within its bounds.

use std::time::Duration;

use ahoy_rtp::sync::{MAX_HOLD, MAX_SOUND_DELAY};
use ahoy_rtp::{CongestionControl, LipSync, PacketReport, SenderReport};

use crate::steps::Input;

/// Reports on single packets, some of which were sent.
pub fn congestion(data: &[u8]) {
    let mut input = Input(data);
    let mut control = CongestionControl::new();
    let mut now = Duration::ZERO;
    let mut number = input.word().unwrap_or(0);
    while let Some(step) = input.byte() {
        match step % 8 {
            0..=3 => {
                let bytes = input.word().unwrap_or(0) % 1_500;
                control.sent(now, number, bytes.into());
                number = number.wrapping_add(1);
            }
            4 => now += Duration::from_millis(input.word().unwrap_or(0).into()),
            5 => now += Duration::from_micros(input.byte().unwrap_or(0).into()),
            6 => {
                let count = input.byte().unwrap_or(0) % 64;
                let first = number.wrapping_sub(input.word().unwrap_or(0));
                let base = input.quad().unwrap_or(0) >> (step / 8);
                let reports: Vec<PacketReport> = (0..count.into())
                    .map(|ahead: u16| {
                        let offset = input.word().unwrap_or(u16::MAX);
                        let arrived = Duration::from_micros(base.saturating_add(u64::from(offset) * 4));
                        PacketReport {
                            number: first.wrapping_add(ahead),
                            arrived: (offset != u16::MAX).then_some(arrived),
                        }
                    })
                    .collect();
                control.reported(now, &reports);
            }
            _ => control.start_from(input.quad().unwrap_or(0)),
        }
        let capacity = control.capacity_bps();
        assert!((30_000..=50_000_000).contains(&capacity), "capacity {capacity}");
        assert!((1..=capacity).contains(&control.target_bps()), "target {}", control.target_bps());
        assert!(control.pacing_bps() >= 1_000_000, "pacing {}", control.pacing_bps());
        let _ = (control.wait(now), control.is_asking(now), control.idle(now), control.packets_in_flight());
        let _ = control.is_queued(now, number, Duration::from_millis(50));
    }
}

/// Sender reports with any time, beside sound that is heard and pictures that come.
pub fn lip_sync(data: &[u8]) {
    let mut input = Input(data);
    let mut sync = LipSync::new();
    let mut now = Duration::ZERO;
    while let Some(step) = input.byte() {
        match step % 5 {
            0 => now += Duration::from_millis(input.word().unwrap_or(0).into()),
            kind @ (1 | 2) => {
                let report = SenderReport { ntp: input.quad().unwrap_or(0), rtp: input.long().unwrap_or(0) };
                if kind == 1 { sync.sound_reported(report) } else { sync.picture_reported(report) }
            }
            3 => {
                let held = Duration::from_millis(input.word().unwrap_or(0).into());
                sync.sound_heard(input.long().unwrap_or(0), now, held);
            }
            _ => {
                let show = sync.picture_ready(input.long().unwrap_or(0), now);
                assert!(show >= now && show <= now + MAX_HOLD, "{now:?}, shown at {show:?}");
            }
        }
        assert!(sync.min_delay() <= MAX_SOUND_DELAY, "{:?}", sync.min_delay());
        let _ = sync.offset_ms();
    }
}
