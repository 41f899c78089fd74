//! One way of a call in pictures: when each was captured, what was shown when, and what a viewer noticed of it.

/// After so long without a new picture motion is seen to stand still.
const GAP_MS: f64 = 200.0;

/// Pictures are counted from 0 on, in the order of their capture. Times are in milliseconds, of one clock.
#[derive(Debug, Default, Clone)]
pub(crate) struct Timeline {
    /// When each picture came from the camera; in order.
    captured: Vec<(u64, f64)>,
    /// Which picture was shown when; in order.
    shown: Vec<(u64, f64)>,
}

/// What a viewer noticed in some time. Milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Viewed {
    /// How long it took until each picture captured in that time, or a later one, was shown: the signal delay (Fouladi et
    /// al., Salsify, NSDI 2018), which unlike the delay of shown pictures charges for those that never were.
    pub(crate) signal_delays_ms: Vec<f64>,
    /// New pictures a second.
    pub(crate) fps: f64,
    /// How often nothing new came for 200 ms.
    pub(crate) gaps: usize,
    /// How long those took in all.
    pub(crate) gaps_ms: f64,
    /// How often the picture froze by the definition of `freezeCount` (W3C webrtc-stats).
    pub(crate) freezes: usize,
}

impl Timeline {
    /// From numbers that begin again after `numbers` pictures, as a clip's barcodes do. Every picture is shown less than
    /// that many after its capture.
    pub(crate) fn from_barcodes(
        captured: impl IntoIterator<Item = (u64, f64)>,
        shown: impl IntoIterator<Item = (u64, f64)>,
        numbers: u64,
    ) -> Self {
        let mut timeline = Self::default();
        let mut last = None;
        for (number, at_ms) in captured {
            let next = last.map_or(number, |last: u64| last + (number + numbers - last % numbers) % numbers);
            // A camera that is slower than its reader shows a picture twice.
            if last != Some(next) {
                timeline.captured.push((next, at_ms));
            }
            last = Some(next);
        }
        for (number, at_ms) in shown {
            // The latest that had this number by then.
            let before = timeline.captured.partition_point(|(_, captured_ms)| *captured_ms <= at_ms);
            let same = timeline.captured[..before].iter().rev().find(|(picture, _)| picture % numbers == number);
            timeline.show(same.map(|(picture, _)| *picture), at_ms);
        }
        timeline
    }

    /// From pictures that are told apart by a key, their time stamp.
    pub(crate) fn from_keys(
        captured: impl IntoIterator<Item = (u64, f64)>,
        shown: impl IntoIterator<Item = (u64, f64)>,
    ) -> Self {
        let mut timeline = Self::default();
        let captured: Vec<(u64, f64)> = captured.into_iter().collect();
        let places = captured.iter().enumerate().map(|(place, (key, _))| (*key, place as u64));
        let places: std::collections::HashMap<u64, u64> = places.collect();
        timeline.captured = captured.iter().enumerate().map(|(place, (_, at_ms))| (place as u64, *at_ms)).collect();
        for (key, at_ms) in shown {
            timeline.show(places.get(&key).copied(), at_ms);
        }
        timeline
    }

    /// What was noticed from one moment to another. What was captured then and is not shown by the end of the log waited at
    /// least that long.
    pub(crate) fn view(&self, from_ms: f64, to_ms: f64) -> Viewed {
        let is_within = |at_ms: f64| (from_ms..to_ms).contains(&at_ms);
        let end_ms = self.shown.last().map_or(to_ms, |(_, at_ms)| at_ms.max(to_ms));
        let waited = |&(picture, at_ms): &(u64, f64)| {
            let next = self.shown.partition_point(|(shown, _)| *shown < picture);
            self.shown.get(next).map_or(end_ms, |(_, shown_ms)| *shown_ms) - at_ms
        };
        let shown: Vec<f64> = self.shown.iter().map(|(_, at_ms)| *at_ms).filter(|&at_ms| is_within(at_ms)).collect();
        // The time before the first and after the last counts too.
        let edges = [&[from_ms][..], &shown, &[to_ms]].concat();
        let gaps: Vec<f64> = edges.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap >= GAP_MS).collect();
        Viewed {
            signal_delays_ms: self.captured.iter().filter(|(_, at_ms)| is_within(*at_ms)).map(waited).collect(),
            fps: shown.len() as f64 / (to_ms - from_ms) * 1000.0,
            gaps: gaps.len(),
            // The sum of nothing is minus zero, which reads oddly.
            gaps_ms: gaps.iter().sum::<f64>() + 0.0,
            freezes: freezes(&edges),
        }
    }

    /// When it became smooth between two moments: every picture captured in the `during_ms` from then on took no longer than
    /// `within_ms`.
    pub(crate) fn smooth_from(&self, from_ms: f64, to_ms: f64, within_ms: f64, during_ms: f64) -> Option<f64> {
        let starts = self.captured.iter().map(|(_, at_ms)| *at_ms).filter(|at_ms| *at_ms >= from_ms);
        let mut starts = starts.take_while(|at_ms| at_ms + during_ms <= to_ms);
        starts.find(|&start_ms| {
            let delays = self.view(start_ms, start_ms + during_ms).signal_delays_ms;
            delays.iter().all(|delay| *delay <= within_ms)
        })
    }

    /// A new picture is on the screen.
    fn show(&mut self, picture: Option<u64>, at_ms: f64) {
        // One that is unknown was damaged; one that was there before is no news.
        let is_news = |picture: &u64| self.shown.last().is_none_or(|(last, _)| last < picture);
        if let Some(picture) = picture.filter(is_news) {
            self.shown.push((picture, at_ms));
        }
    }
}

/// A gap of at least three times the average of the last 30, or 150 ms more than it, whichever is longer; the first five
/// only make the average.
fn freezes(shown_ms: &[f64]) -> usize {
    let gaps: Vec<f64> = shown_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let is_freeze = |at: &usize| {
        let last = &gaps[at.saturating_sub(30)..*at];
        let average = last.iter().sum::<f64>() / last.len() as f64;
        gaps[*at] >= (3.0 * average).max(average + 150.0)
    };
    (5..gaps.len()).filter(is_freeze).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 pictures a second, captured from 0 on.
    fn captured(count: u64) -> Vec<(u64, f64)> {
        (0..count).map(|picture| (picture, picture as f64 * 100.0 / 3.0)).collect()
    }

    fn shown_after(delay_ms: f64, pictures: impl Iterator<Item = u64>) -> Vec<(u64, f64)> {
        pictures.map(|picture| (picture, picture as f64 * 100.0 / 3.0 + delay_ms)).collect()
    }

    #[test]
    fn an_even_delay_is_every_pictures_delay() {
        let viewed = Timeline::from_keys(captured(90), shown_after(50.0, 0..90)).view(500.0, 2500.0);
        assert_eq!(viewed.signal_delays_ms.len(), 60);
        assert!(viewed.signal_delays_ms.iter().all(|delay| (delay - 50.0).abs() < 1e-6));
        assert!((viewed.fps - 30.0).abs() < 0.6);
        assert_eq!((viewed.gaps, viewed.freezes), (0, 0));
    }

    #[test]
    fn pictures_that_are_left_out_are_charged_until_a_later_one() {
        // Ten pictures are missing: the first of them waits for the eleventh.
        let viewed = Timeline::from_keys(captured(90), shown_after(50.0, (0..30).chain(40..90))).view(0.0, 2900.0);
        let longest = viewed.signal_delays_ms.iter().copied().fold(0.0, f64::max);
        assert!((longest - (50.0 + 1000.0 / 3.0)).abs() < 1e-6, "{longest}");
        assert_eq!((viewed.gaps, viewed.freezes), (1, 1));
        assert!((viewed.gaps_ms - 1100.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_never_shown_waits_to_the_end() {
        let viewed = Timeline::from_keys(captured(90), shown_after(50.0, 0..30)).view(0.0, 3000.0);
        assert!((viewed.signal_delays_ms[30] - 2000.0).abs() < 1e-6);
        assert_eq!(viewed.gaps, 1);
    }

    #[test]
    fn it_is_smooth_when_a_second_of_pictures_came_in_time() {
        // Pictures 30 to 59 come a second late.
        let mut shown = shown_after(50.0, 0..30);
        shown.extend(shown_after(1000.0, 30..60).into_iter().map(|(picture, at_ms)| (picture, at_ms.min(3_000.0))));
        shown.extend(shown_after(1050.0, 60..150).into_iter().map(|(picture, at_ms)| (picture, at_ms - 1_000.0)));
        shown.sort_by(|left, right| left.1.total_cmp(&right.1));
        let timeline = Timeline::from_keys(captured(150), shown);
        assert_eq!(timeline.smooth_from(0.0, 5000.0, 400.0, 500.0), Some(0.0));
        let again = timeline.smooth_from(1000.0, 5000.0, 400.0, 1000.0).unwrap();
        assert!((1_600.0..=2_001.0).contains(&again), "{again}");
        assert_eq!(timeline.smooth_from(1000.0, 1900.0, 400.0, 1000.0), None);
    }

    #[test]
    fn numbers_that_begin_again_are_told_apart_by_their_time() {
        let numbered = captured(90).into_iter().map(|(picture, at_ms)| (picture % 40, at_ms));
        let shown = shown_after(700.0, 0..90).into_iter().map(|(picture, at_ms)| (picture % 40, at_ms));
        let viewed = Timeline::from_barcodes(numbered, shown, 40).view(0.0, 2000.0);
        assert!(viewed.signal_delays_ms.iter().all(|delay| (delay - 700.0).abs() < 1e-6));
    }
}
