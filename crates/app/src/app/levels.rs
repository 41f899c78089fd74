//! Loudness as a meter shows it: people hear ratios, so the scale is in decibels.

use ahoy_client::Levels;

use crate::view::Meters;

/// What a meter shows as nothing: a quiet room.
const FLOOR_DB: f32 = -60.0;

/// From amplitudes to positions on a scale.
pub(crate) fn meters(levels: Levels) -> Meters {
    Meters {
        microphone: position(levels.microphone),
        speaker: position(levels.speaker),
        talking_while_muted: levels.talking_while_muted,
    }
}

fn position(amplitude: f32) -> f32 {
    if !amplitude.is_finite() || amplitude <= 0.0 {
        return 0.0;
    }
    (1.0 - 20.0 * amplitude.log10() / FLOOR_DB).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_in_decibels_from_a_quiet_room_to_full() {
        for (amplitude, shown) in
            [(0.0, 0.0), (0.0005, 0.0), (0.1, 2.0 / 3.0), (1.0, 1.0), (7.0, 1.0), (-1.0, 0.0), (f32::NAN, 0.0)]
        {
            assert!((position(amplitude) - shown).abs() < 1e-3, "{amplitude}: {}", position(amplitude));
        }
    }
}
