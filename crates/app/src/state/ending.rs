//! What follows from the end of a call: which screen, in which words, what is written down, what is heard. Every reason
//! has its own sentence, with the name of the other person, and says what to do next.

use ahoy_client::{EndReason, Failure, Obstacle, ProofError, Side};

use crate::state::effect::Sound;
use crate::view::{Direction, Tone};

/// A call that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverCall<'a> {
    /// The other person's username.
    pub(super) name: &'a str,
    /// The user dialled.
    pub(super) outgoing: bool,
    /// Somebody said yes, on this device.
    pub(super) accepted: bool,
    /// There was a path.
    pub(super) connected: bool,
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aftermath {
    pub(super) shown: Shown,
    /// How the call is written down; `None`: not at all.
    pub(super) recorded: Option<Direction>,
    pub(super) sound: Option<Sound>,
}

/// Where it is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nowhere: the person did it, or the next call says enough.
    Nowhere,
    /// In passing.
    Notice(String),
    /// On a screen of its own.
    Screen { sentence: String, tone: Tone, call_again: bool },
}

/// What follows from `reason`. `message` is the same in general words, made safe to show.
pub(super) fn aftermath(call: OverCall<'_>, reason: &EndReason, message: &str) -> Aftermath {
    Aftermath { shown: shown(call, reason, message), recorded: recorded(call, reason), sound: sound(call, reason) }
}

/// Whether nobody was ever reached, because there is no such person.
pub(super) fn is_nobody(reason: &EndReason) -> bool {
    matches!(reason, EndReason::UnknownUser | EndReason::Yourself)
}

fn shown(call: OverCall<'_>, reason: &EndReason, message: &str) -> Shown {
    let name = call.name;
    if is_missed(call, reason) && !is_failure(reason) {
        return Shown::Notice(format!("You missed a call from {name}."));
    }
    let neutral = |sentence: String| Shown::Screen { sentence, tone: Tone::Neutral, call_again: true };
    let pointless = |sentence: String| Shown::Screen { sentence, tone: Tone::Warning, call_again: false };
    match reason {
        EndReason::HungUp(Side::Local) => neutral("You hung up.".into()),
        EndReason::HungUp(Side::Remote) => neutral(format!("{name} hung up.")),
        EndReason::Declined(Side::Remote) => neutral(format!("{name} declined the call.")),
        EndReason::Declined(Side::Local) | EndReason::Cancelled(Side::Local) => Shown::Nowhere,
        EndReason::Cancelled(Side::Remote) => neutral(format!("{name} gave up before you answered.")),
        EndReason::Busy => neutral(format!("{name} is busy; try again later.")),
        EndReason::NoAnswer(Side::Remote) => neutral(format!("{name} did not answer; try again later.")),
        EndReason::NoAnswer(Side::Local) => neutral(format!("You did not answer {name}; call back.")),
        EndReason::Offline => neutral(format!("{name} is not signed in anywhere; try again later.")),
        EndReason::UnknownUser => pointless(format!("Nobody is called {name} on this server; check the spelling.")),
        EndReason::AnsweredElsewhere => Shown::Notice(format!("You answered {name} on another of your devices.")),
        EndReason::DeclinedElsewhere => Shown::Notice(format!("You declined {name} on another of your devices.")),
        EndReason::CallingYouElsewhere => Shown::Screen {
            sentence: format!("{name} is calling you on another of your devices; answer there."),
            tone: Tone::Neutral,
            call_again: false,
        },
        // The call that goes on is on the screen.
        EndReason::Glare | EndReason::CalledAgain => Shown::Nowhere,
        EndReason::AlreadyInCall => pointless("You are in another call already; hang up first.".into()),
        EndReason::Yourself => pointless("You cannot call yourself; choose another name.".into()),
        EndReason::NotSignedIn => {
            let sentence = "You are not signed in, so nobody was called; call again once you are.".to_owned();
            Shown::Screen { sentence, tone: Tone::Warning, call_again: true }
        }
        EndReason::RateLimited { retry_s } => {
            let when = retry_s.map_or_else(|| "in a minute".to_owned(), |seconds| format!("in {seconds} s"));
            let sentence = format!("That were too many calls in a short time; try again {when}.");
            Shown::Screen { sentence, tone: Tone::Warning, call_again: true }
        }
        // The server's own words.
        EndReason::Refused { .. } => pointless(message.to_owned()),
        EndReason::NotProven(ProofError::KeyChanged) => Shown::Screen {
            sentence: format!(
                "The key of {name} is not the one you know, so somebody else may have the name; ask {name} in another \
                 way before you call again."
            ),
            tone: Tone::Danger,
            call_again: false,
        },
        EndReason::NotProven(ProofError::Unsigned | ProofError::BadSignature | ProofError::NoFingerprint) => failed(
            format!("It could not be proven that it was {name} at the other end, so the call was ended; call again."),
        ),
        EndReason::CodeBroken | EndReason::CodesDiffer => Shown::Screen {
            sentence: format!(
                "Somebody may sit between you and {name}: the codes do not agree, so the call was ended; call again \
                 over another network, and compare them again."
            ),
            tone: Tone::Danger,
            call_again: true,
        },
        EndReason::Failed(failure) => failed(in_words(name, failure, message)),
    }
}

fn failed(sentence: String) -> Shown {
    Shown::Screen { sentence, tone: Tone::Danger, call_again: true }
}

fn in_words(name: &str, failure: &Failure, message: &str) -> String {
    match failure {
        // The words for what stood in the way may name a server; as the message they are made safe to show.
        Failure::NoPath { tried, .. } if !matches!(tried.obstacle(), None | Some(Obstacle::NoRelay)) => {
            message.to_owned()
        }
        Failure::NoPath { local_candidates: 0, .. } => {
            "This machine found no network to call over; connect it, then call again.".into()
        }
        Failure::NoPath { remote_candidates: 0, .. } => {
            format!("{name} could not be reached over any network; ask {name} to check it, then call again.")
        }
        Failure::NoPath { tried, .. } if tried.obstacle().is_some() => message.to_owned(),
        Failure::NoPath { .. } => format!(
            "No way through the networks between you and {name} was found; try another network, then call again."
        ),
        Failure::NoConfirmation => format!("{name} answered, but nothing more came from there; call again."),
        Failure::PathLost => format!("The connection to {name} was lost and did not come back; call again."),
        Failure::PeerGone => {
            format!("The connection was lost, and {name} is not signed in any more; call again later.")
        }
        Failure::Transport(_) => message.to_owned(),
        Failure::TransportSilent => "The connection could not be set up in time; call again.".into(),
        Failure::Remote => format!("The call failed on {name}'s side; call again."),
        Failure::RefusedThere => format!(
            "A computer of {name}'s refused the call; one of you may have a new key, so ask {name} in another way to call \
             you, or to trust your key."
        ),
    }
}

fn recorded(call: OverCall<'_>, reason: &EndReason) -> Option<Direction> {
    if is_nobody(reason) {
        return None;
    }
    if call.outgoing {
        return Some(Direction::Outgoing);
    }
    if is_missed(call, reason) {
        return Some(Direction::Missed);
    }
    // A call that goes on as another is written down when that one is over.
    let goes_on = matches!(reason, EndReason::Glare | EndReason::CalledAgain) && !call.connected;
    (!goes_on).then_some(Direction::Incoming)
}

/// Whether somebody called, and nobody said yes or no to it.
fn is_missed(call: OverCall<'_>, reason: &EndReason) -> bool {
    if call.outgoing || call.accepted {
        return false;
    }
    match reason {
        EndReason::Declined(_)
        | EndReason::AnsweredElsewhere
        | EndReason::DeclinedElsewhere
        | EndReason::CallingYouElsewhere
        | EndReason::Glare
        | EndReason::CalledAgain
        | EndReason::HungUp(Side::Local)
        | EndReason::Cancelled(Side::Local)
        | EndReason::NotProven(_)
        | EndReason::CodeBroken
        | EndReason::CodesDiffer => false,
        EndReason::HungUp(Side::Remote)
        | EndReason::Cancelled(Side::Remote)
        | EndReason::NoAnswer(_)
        | EndReason::Busy
        | EndReason::Offline
        | EndReason::UnknownUser
        | EndReason::AlreadyInCall
        | EndReason::Yourself
        | EndReason::NotSignedIn
        | EndReason::RateLimited { .. }
        | EndReason::Refused { .. }
        | EndReason::Failed(_) => true,
    }
}

fn is_failure(reason: &EndReason) -> bool {
    matches!(reason, EndReason::Failed(_) | EndReason::NotProven(_) | EndReason::CodeBroken | EndReason::CodesDiffer)
}

fn sound(call: OverCall<'_>, reason: &EndReason) -> Option<Sound> {
    let by_this_user = matches!(
        reason,
        EndReason::HungUp(Side::Local) | EndReason::Declined(Side::Local) | EndReason::Cancelled(Side::Local)
    );
    let goes_on = matches!(reason, EndReason::Glare | EndReason::CalledAgain | EndReason::CallingYouElsewhere);
    if by_this_user || goes_on {
        None
    } else if call.connected {
        Some(Sound::Ended)
    } else {
        (call.outgoing || call.accepted).then_some(Sound::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_client::tried::{Help, Outcome, Tried, TriedServer};

    const DIALLED: OverCall<'_> = OverCall { name: "bob", outgoing: true, accepted: false, connected: false };
    const RANG_HERE: OverCall<'_> = OverCall { outgoing: false, ..DIALLED };
    const TALKED: OverCall<'_> = OverCall { accepted: true, connected: true, ..DIALLED };

    fn no_path(local_candidates: u32, remote_candidates: u32, outcome: Outcome) -> Failure {
        let relay = TriedServer { url: "turns:relay.example.org".into(), help: Help::RelayStream, outcome };
        Failure::NoPath { local_candidates, remote_candidates, tried: Tried { servers: vec![relay] } }
    }

    #[test]
    fn a_call_without_a_path_says_what_stood_in_the_way() {
        let words = |failure: Failure| {
            let reason = EndReason::Failed(failure);
            match aftermath(DIALLED, &reason, &reason.to_string()).shown {
                Shown::Screen { sentence, .. } => sentence,
                other @ (Shown::Nowhere | Shown::Notice(_)) => panic!("{other:?}"),
            }
        };
        assert!(words(no_path(0, 2, Outcome::Answered)).contains("no network"));
        assert!(words(no_path(2, 0, Outcome::Answered)).contains("bob could not be reached"));
        assert!(words(no_path(2, 2, Outcome::Answered)).contains("between you and bob"));
        assert!(words(no_path(0, 2, Outcome::NotTrusted)).contains("relay.example.org has a certificate"));
        let unaided = Failure::NoPath { local_candidates: 2, remote_candidates: 2, tried: Tried::default() };
        assert!(words(unaided).contains("no relay is set up"));
    }

    fn every_reason() -> Vec<EndReason> {
        let failures = [
            no_path(0, 2, Outcome::Answered),
            no_path(2, 0, Outcome::Answered),
            no_path(2, 2, Outcome::Answered),
            no_path(2, 2, Outcome::NoAnswer),
            Failure::NoConfirmation,
            Failure::PathLost,
            Failure::PeerGone,
            Failure::Transport("detail".into()),
            Failure::TransportSilent,
            Failure::Remote,
            Failure::RefusedThere,
        ];
        let proofs =
            [ProofError::Unsigned, ProofError::BadSignature, ProofError::KeyChanged, ProofError::NoFingerprint];
        let sides = [Side::Local, Side::Remote];
        let plain = [
            EndReason::Busy,
            EndReason::Offline,
            EndReason::UnknownUser,
            EndReason::AnsweredElsewhere,
            EndReason::DeclinedElsewhere,
            EndReason::CallingYouElsewhere,
            EndReason::Glare,
            EndReason::CalledAgain,
            EndReason::AlreadyInCall,
            EndReason::Yourself,
            EndReason::NotSignedIn,
            EndReason::CodeBroken,
            EndReason::CodesDiffer,
            EndReason::RateLimited { retry_s: Some(7) },
            EndReason::RateLimited { retry_s: None },
            EndReason::Refused { message: "no".into() },
        ];
        let mut reasons: Vec<EndReason> = plain.into();
        reasons.extend(sides.map(EndReason::HungUp));
        reasons.extend(sides.map(EndReason::Declined));
        reasons.extend(sides.map(EndReason::Cancelled));
        reasons.extend(sides.map(EndReason::NoAnswer));
        reasons.extend(proofs.map(EndReason::NotProven));
        reasons.extend(failures.map(EndReason::Failed));
        reasons
    }

    fn screen(call: OverCall<'_>, reason: EndReason) -> (String, Tone, bool) {
        match aftermath(call, &reason, "The server's words.").shown {
            Shown::Screen { sentence, tone, call_again } => (sentence, tone, call_again),
            other @ (Shown::Nowhere | Shown::Notice(_)) => panic!("{reason:?}: {other:?}"),
        }
    }

    #[test]
    fn every_end_is_one_sentence_at_most() {
        for call in [DIALLED, RANG_HERE, TALKED] {
            for reason in every_reason() {
                let sentence = match aftermath(call, &reason, "The server's words.").shown {
                    Shown::Nowhere => continue,
                    Shown::Notice(sentence) | Shown::Screen { sentence, .. } => sentence,
                };
                assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "{reason:?}: {sentence}");
                assert!(sentence.len() < 200, "{reason:?}: {sentence}");
            }
        }
    }

    #[test]
    fn how_it_ended_and_whether_calling_again_makes_sense() {
        let cases = [
            (EndReason::Declined(Side::Remote), "bob declined", Tone::Neutral, true),
            (EndReason::Busy, "bob is busy", Tone::Neutral, true),
            (EndReason::Offline, "bob is not signed in", Tone::Neutral, true),
            (EndReason::NoAnswer(Side::Remote), "bob did not answer", Tone::Neutral, true),
            (EndReason::UnknownUser, "Nobody is called bob", Tone::Warning, false),
            (EndReason::Yourself, "yourself", Tone::Warning, false),
            (EndReason::RateLimited { retry_s: Some(7) }, "in 7 s", Tone::Warning, true),
            (EndReason::Refused { message: "raw".into() }, "The server's words.", Tone::Warning, false),
            (EndReason::NotProven(ProofError::KeyChanged), "The key of bob", Tone::Danger, false),
            (EndReason::NotProven(ProofError::BadSignature), "proven", Tone::Danger, true),
            (EndReason::CodesDiffer, "between you and bob", Tone::Danger, true),
            (EndReason::Failed(Failure::Remote), "bob's side", Tone::Danger, true),
            (EndReason::Failed(Failure::RefusedThere), "new key", Tone::Danger, true),
            (EndReason::CallingYouElsewhere, "answer there", Tone::Neutral, false),
        ];
        for (reason, words, tone, call_again) in cases {
            let (sentence, shown_tone, shown_again) = screen(DIALLED, reason.clone());
            assert!(sentence.contains(words), "{reason:?}: {sentence}");
            assert_eq!((shown_tone, shown_again), (tone, call_again), "{reason:?}");
        }
        assert_eq!(screen(TALKED, EndReason::HungUp(Side::Remote)), ("bob hung up.".into(), Tone::Neutral, true));
        let (sentence, tone, again) = screen(TALKED, EndReason::Failed(Failure::PathLost));
        assert!(sentence.contains("lost") && tone == Tone::Danger && again);
    }

    #[test]
    fn what_the_person_did_needs_no_screen_and_no_sound() {
        for (call, reason) in [
            (DIALLED, EndReason::Cancelled(Side::Local)),
            (RANG_HERE, EndReason::Declined(Side::Local)),
            (RANG_HERE, EndReason::Glare),
        ] {
            let aftermath = aftermath(call, &reason, "");
            assert_eq!((aftermath.shown, aftermath.sound), (Shown::Nowhere, None), "{reason:?}");
        }
    }

    #[test]
    fn a_call_that_nobody_answered_here_was_missed() {
        for reason in [EndReason::Cancelled(Side::Remote), EndReason::NoAnswer(Side::Local)] {
            let aftermath = aftermath(RANG_HERE, &reason, "");
            assert_eq!(aftermath.shown, Shown::Notice("You missed a call from bob.".into()));
            assert_eq!((aftermath.recorded, aftermath.sound), (Some(Direction::Missed), None));
        }
        let elsewhere = aftermath(RANG_HERE, &EndReason::AnsweredElsewhere, "");
        assert_eq!(elsewhere.recorded, Some(Direction::Incoming));
        let declined = aftermath(RANG_HERE, &EndReason::Declined(Side::Local), "");
        assert_eq!(declined.recorded, Some(Direction::Incoming));
    }

    #[test]
    fn what_did_not_come_about_sounds_busy_and_what_went_on_sounds_ended() {
        let sound = |call, reason: EndReason| aftermath(call, &reason, "").sound;
        assert_eq!(sound(DIALLED, EndReason::Busy), Some(Sound::Busy));
        assert_eq!(sound(DIALLED, EndReason::Offline), Some(Sound::Busy));
        assert_eq!(sound(TALKED, EndReason::HungUp(Side::Remote)), Some(Sound::Ended));
        assert_eq!(sound(TALKED, EndReason::Failed(Failure::PathLost)), Some(Sound::Ended));
        assert_eq!(sound(TALKED, EndReason::HungUp(Side::Local)), None);
    }

    #[test]
    fn a_name_that_does_not_exist_is_not_written_down() {
        assert_eq!(aftermath(DIALLED, &EndReason::UnknownUser, "").recorded, None);
        assert_eq!(aftermath(DIALLED, &EndReason::Offline, "").recorded, Some(Direction::Outgoing));
    }
}
