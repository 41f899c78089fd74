//! Candidates and the descriptions that they belong to (section 5, "candidate"; RFC 8838): remote ones wait for theirs
//! to be applied, local ones for theirs to be sent. What stands in a candidate is the transport's business.

use std::collections::{BTreeSet, VecDeque};

use ahoy_protocol::signal::Candidate;

/// How many wait, each way (section 5).
const WAITING_MAX: usize = 64;
/// How many different ones of live descriptions a call takes in: several times what a machine with many addresses has.
const SEEN_MAX: usize = 256;
/// The longest candidate attribute: foundation, addresses of 255 characters and all known extensions fit.
const CANDIDATE_MAX: usize = 1_024;
/// The longest fragment (RFC 8839 §5.4), and the longest section name that is taken.
const TAG_MAX: usize = 256;

/// The candidates of the other side.
#[derive(Debug, Default)]
pub(crate) struct RemoteCandidates {
    current: Fragments,
    pending: Fragments,
    waiting: VecDeque<Candidate>,
    seen: BTreeSet<(String, String, String)>,
    handed_on: u32,
}

/// What is to become of a remote candidate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It fits a description that the transport has.
    HandOn(Candidate),
    /// It waits for its description.
    Waits,
    /// A second copy.
    Seen,
    /// Too long, or too many.
    Refused,
}

impl RemoteCandidates {
    pub(crate) fn take_in(&mut self, candidate: Candidate) -> Verdict {
        let fragment = fragment(&candidate).unwrap_or_default();
        let mid = candidate.sdp_mid.as_deref().unwrap_or_default();
        if candidate.candidate.len() > CANDIDATE_MAX || fragment.len() > TAG_MAX || mid.len() > TAG_MAX {
            return Verdict::Refused;
        }
        let key = (fragment.to_owned(), mid.to_owned(), candidate.candidate.clone());
        if self.seen.contains(&key) {
            return Verdict::Seen;
        }
        let fits = fits(&candidate, &[&self.current, &self.pending]);
        if self.seen.len() >= SEEN_MAX || (!fits && self.waiting.len() >= WAITING_MAX) {
            return Verdict::Refused;
        }
        self.seen.insert(key);
        if fits {
            self.handed_on = self.handed_on.saturating_add(real_ones(std::slice::from_ref(&candidate)));
            return Verdict::HandOn(candidate);
        }
        self.waiting.push_back(candidate);
        Verdict::Waits
    }

    /// The transport is being given this description. Returns the candidates that waited for it.
    pub(crate) fn description_pending(&mut self, sdp: &str) -> Vec<Candidate> {
        self.pending = Fragments::of(sdp);
        let fitting = take_fitting(&mut self.waiting, &[&self.current, &self.pending]);
        self.handed_on = self.handed_on.saturating_add(real_ones(&fitting));
        fitting
    }

    /// The transport has it; candidates of descriptions before it are of no more use.
    pub(crate) fn description_applied(&mut self) {
        self.current = std::mem::take(&mut self.pending);
        let (current, waiting) = (&self.current, &self.waiting);
        let waits = |known: &str| waiting.iter().any(|candidate| fragment(candidate).unwrap_or_default() == known);
        self.seen.retain(|(known, _, _)| current.contain(known) || waits(known));
    }

    /// The transport could not take it.
    pub(crate) fn description_failed(&mut self) {
        self.pending = Fragments::default();
    }

    /// How many were handed on.
    pub(crate) fn handed_on(&self) -> u32 {
        self.handed_on
    }
}

/// The candidates of this device.
#[derive(Debug, Default)]
pub(crate) struct LocalCandidates {
    sent: Fragments,
    waiting: VecDeque<Candidate>,
    sent_count: u32,
}

impl LocalCandidates {
    /// Returns the candidate if it may leave now; otherwise it waits for its description.
    pub(crate) fn take_in(&mut self, candidate: Candidate) -> Option<Candidate> {
        if fits(&candidate, &[&self.sent]) {
            self.sent_count = self.sent_count.saturating_add(real_ones(std::slice::from_ref(&candidate)));
            return Some(candidate);
        }
        if self.waiting.len() >= WAITING_MAX {
            // Of a description that was taken back, or a machine with an absurd number of addresses.
            self.waiting.pop_front();
        }
        self.waiting.push_back(candidate);
        None
    }

    /// This description has been sent. Returns the candidates that waited for it.
    pub(crate) fn description_sent(&mut self, sdp: &str) -> Vec<Candidate> {
        self.sent.0.append(&mut Fragments::of(sdp).0);
        let fitting = take_fitting(&mut self.waiting, &[&self.sent]);
        self.sent_count = self.sent_count.saturating_add(real_ones(&fitting));
        fitting
    }

    /// How many were sent.
    pub(crate) fn sent_count(&self) -> u32 {
        self.sent_count
    }
}

/// The `a=ice-ufrag` values of a description; with BUNDLE usually one.
#[derive(Debug, Default)]
struct Fragments(BTreeSet<String>);

impl Fragments {
    fn of(sdp: &str) -> Self {
        Self(sdp.lines().filter_map(|line| line.strip_prefix("a=ice-ufrag:")).map(|f| f.trim().to_owned()).collect())
    }

    fn contain(&self, fragment: &str) -> bool {
        self.0.contains(fragment)
    }
}

/// Whether the candidate's description is among these. One that names none is meant for the newest, so any will do.
fn fits(candidate: &Candidate, known: &[&Fragments]) -> bool {
    match fragment(candidate) {
        Some(fragment) => known.iter().any(|fragments| fragments.contain(fragment)),
        None => known.iter().any(|fragments| !fragments.0.is_empty()),
    }
}

fn take_fitting(waiting: &mut VecDeque<Candidate>, known: &[&Fragments]) -> Vec<Candidate> {
    let (fitting, rest): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|candidate| fits(candidate, known));
    waiting.extend(rest);
    fitting
}

/// How many there are, ends of candidates left out.
fn real_ones(candidates: &[Candidate]) -> u32 {
    let count = candidates.iter().filter(|candidate| !candidate.candidate.is_empty()).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Which description a candidate belongs to: its own member, or the `ufrag` extension in its text (RFC 8839 §5.1).
fn fragment(candidate: &Candidate) -> Option<&str> {
    candidate.username_fragment.as_deref().or_else(|| {
        let mut words = candidate.candidate.split(' ');
        words.find(|word| *word == "ufrag")?;
        words.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(fragment: Option<&str>, number: usize) -> Candidate {
        Candidate {
            candidate: format!("candidate:{number} 1 udp 1 192.0.2.1 9 typ host"),
            sdp_mid: Some("0".into()),
            sdp_mline_index: Some(0),
            username_fragment: fragment.map(str::to_owned),
        }
    }

    #[test]
    fn a_candidate_waits_for_the_description_that_it_names() {
        let mut remote = RemoteCandidates::default();
        assert_eq!(remote.take_in(candidate(Some("new"), 1)), Verdict::Waits);
        assert_eq!(remote.take_in(candidate(Some("old"), 2)), Verdict::Waits);
        assert_eq!(remote.description_pending("a=ice-ufrag:old\r\n"), [candidate(Some("old"), 2)]);
        remote.description_applied();
        assert_eq!(remote.take_in(candidate(Some("new"), 3)), Verdict::Waits);
        assert_eq!(remote.take_in(candidate(Some("old"), 4)), Verdict::HandOn(candidate(Some("old"), 4)));
        let new = remote.description_pending("a=ice-ufrag:new\r\n");
        assert_eq!(new, [candidate(Some("new"), 1), candidate(Some("new"), 3)]);
        assert_eq!(remote.take_in(candidate(Some("old"), 5)), Verdict::HandOn(candidate(Some("old"), 5)));
        remote.description_applied();
        assert_eq!(remote.take_in(candidate(Some("old"), 6)), Verdict::Waits, "of a generation that is over");
        assert_eq!(remote.handed_on(), 5);
    }

    #[test]
    fn a_description_that_failed_draws_no_candidates() {
        let mut remote = RemoteCandidates::default();
        remote.description_pending("a=ice-ufrag:x");
        remote.description_failed();
        assert_eq!(remote.take_in(candidate(Some("x"), 1)), Verdict::Waits);
    }

    #[test]
    fn the_end_of_candidates_and_every_other_second_copy_come_once() {
        let mut remote = RemoteCandidates::default();
        remote.description_pending("a=ice-ufrag:x");
        let end = Candidate { candidate: String::new(), ..candidate(Some("x"), 0) };
        assert_eq!(remote.take_in(end.clone()), Verdict::HandOn(end.clone()));
        assert_eq!(remote.take_in(end), Verdict::Seen);
        assert_eq!(remote.handed_on(), 0, "it is none");
    }

    #[test]
    fn at_most_64_wait_and_absurd_ones_do_not_wait_at_all() {
        let mut remote = RemoteCandidates::default();
        for number in 0..64 {
            assert_eq!(remote.take_in(candidate(Some("x"), number)), Verdict::Waits);
        }
        assert_eq!(remote.take_in(candidate(Some("x"), 64)), Verdict::Refused);
        assert_eq!(remote.description_pending("a=ice-ufrag:x").len(), 64);
        for (text, mid, fragment) in [(2_000, 1, 4), (9, 2_000, 4), (9, 1, 2_000)] {
            let absurd = Candidate {
                candidate: "c".repeat(text),
                sdp_mid: Some("m".repeat(mid)),
                sdp_mline_index: None,
                username_fragment: Some("f".repeat(fragment)),
            };
            assert_eq!(remote.take_in(absurd), Verdict::Refused);
        }
        for number in 100..1_000 {
            remote.take_in(candidate(Some("x"), number));
        }
        assert_eq!(remote.handed_on(), 256);
    }

    #[test]
    fn a_candidate_may_name_its_description_in_its_text_or_not_at_all() {
        let mut remote = RemoteCandidates::default();
        let mut in_text = candidate(None, 1);
        in_text.candidate.push_str(" ufrag x network-cost 999");
        assert_eq!(remote.take_in(in_text.clone()), Verdict::Waits);
        assert_eq!(remote.take_in(candidate(None, 2)), Verdict::Waits);
        assert_eq!(remote.description_pending("a=ice-ufrag:y"), [candidate(None, 2)]);
        assert_eq!(remote.description_pending("a=ice-ufrag:x"), [in_text]);
    }

    #[test]
    fn local_candidates_leave_after_the_description_that_they_belong_to() {
        let mut local = LocalCandidates::default();
        assert_eq!(local.take_in(candidate(Some("a"), 1)), None);
        assert_eq!(local.take_in(candidate(Some("b"), 2)), None);
        assert_eq!(local.description_sent("v=0\r\na=ice-ufrag:a\r\n"), [candidate(Some("a"), 1)]);
        assert_eq!(local.take_in(candidate(Some("a"), 3)), Some(candidate(Some("a"), 3)));
        assert_eq!(local.sent_count(), 2);
        for number in 10..200 {
            assert_eq!(local.take_in(candidate(Some("c"), number)), None);
        }
        assert_eq!(local.description_sent("a=ice-ufrag:c").len(), 64);
    }
}
