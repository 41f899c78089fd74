//! What happened beside the screen's business: a few sentences, each for a while.

use std::time::Duration;

use crate::view::{NoticeView, Tone};

/// So many are shown; the oldest gives way.
const NOTICES_MAX: usize = 5;
/// The longest text, in characters; it may hold words of a server's or a system's.
const TEXT_MAX: usize = 400;

/// The notices of now.
#[derive(Debug, Default)]
pub(super) struct Notices {
    notices: Vec<Notice>,
    last_id: u32,
}

#[derive(Debug)]
struct Notice {
    view: NoticeView,
    until: Duration,
}

impl Notices {
    /// Shows a sentence from `now` on. One that is shown already only stays longer.
    pub(super) fn add(&mut self, now: Duration, tone: Tone, text: impl Into<String>) {
        let text: String = text.into().chars().take(TEXT_MAX).collect();
        let until = now.saturating_add(shown_for(tone));
        if let Some(same) = self.notices.iter_mut().find(|notice| notice.view.text == text) {
            same.until = same.until.max(until);
            return;
        }
        if self.notices.len() == NOTICES_MAX {
            // What failed is not pushed out by what is only good to know.
            let lesser = self.notices.iter().position(|notice| notice.view.tone != Tone::Danger);
            self.notices.remove(lesser.unwrap_or(0));
        }
        self.last_id = self.last_id.wrapping_add(1);
        self.notices.push(Notice { view: NoticeView { id: self.last_id, text, tone }, until });
    }

    /// Takes one away. Returns whether it was there.
    pub(super) fn dismiss(&mut self, id: u32) -> bool {
        let before = self.notices.len();
        self.notices.retain(|notice| notice.view.id != id);
        self.notices.len() < before
    }

    /// Takes away those whose time has come.
    pub(super) fn expire(&mut self, now: Duration) {
        self.notices.retain(|notice| notice.until > now);
    }

    /// When the next one goes.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.notices.iter().map(|notice| notice.until).min()
    }

    pub(super) fn view(&self) -> Vec<NoticeView> {
        self.notices.iter().map(|notice| notice.view.clone()).collect()
    }
}

fn shown_for(tone: Tone) -> Duration {
    match tone {
        Tone::Neutral | Tone::Warning => Duration::from_secs(8),
        Tone::Danger => Duration::from_secs(15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn texts(notices: &Notices) -> Vec<String> {
        notices.view().into_iter().map(|notice| notice.text).collect()
    }

    #[test]
    fn a_notice_goes_by_itself_a_bad_one_later() {
        let mut notices = Notices::default();
        notices.add(START, Tone::Neutral, "a");
        notices.add(START, Tone::Danger, "b");
        assert_eq!(notices.deadline(), Some(Duration::from_secs(8)));
        notices.expire(Duration::from_secs(8));
        assert_eq!(texts(&notices), ["b"]);
        notices.expire(Duration::from_secs(15));
        assert_eq!(notices.deadline(), None);
    }

    #[test]
    fn the_same_is_said_once_and_stays_longer() {
        let mut notices = Notices::default();
        notices.add(START, Tone::Warning, "a");
        notices.add(Duration::from_secs(5), Tone::Warning, "a");
        notices.expire(Duration::from_secs(8));
        assert_eq!(texts(&notices), ["a"]);
        notices.expire(Duration::from_secs(13));
        assert!(texts(&notices).is_empty());
    }

    #[test]
    fn a_flood_of_long_notices_stays_small() {
        let mut notices = Notices::default();
        for number in 0..100 {
            notices.add(START, Tone::Warning, format!("{number} {}", "x".repeat(10_000)));
        }
        let shown = texts(&notices);
        assert_eq!(shown.len(), NOTICES_MAX);
        assert!(shown.iter().all(|text| text.chars().count() <= TEXT_MAX));
        assert!(shown[4].starts_with("99 "), "the newest stays");
    }

    #[test]
    fn a_dismissed_notice_is_gone_and_the_others_stay() {
        let mut notices = Notices::default();
        notices.add(START, Tone::Neutral, "a");
        notices.add(START, Tone::Neutral, "b");
        let id = notices.view()[0].id;
        assert!(notices.dismiss(id));
        assert!(!notices.dismiss(id));
        assert_eq!(texts(&notices), ["b"]);
    }
}
