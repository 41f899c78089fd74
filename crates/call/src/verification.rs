//! The words towards the verification code of one call (section 9): caller's commit, callee's nonce, caller's nonce. Each
//! side says its next word as soon as it may speak; what comes out of order is not taken.

use ahoy_protocol::description::{Hash, fingerprint_sha256};
use ahoy_protocol::identity::PublicKey;
use ahoy_protocol::verification::{Code, Commit, Nonce, Nonces, Party, Verify, commit};

use crate::negotiation::Role;

/// Where the two stand, and what the code is made of.
#[derive(Debug)]
pub(crate) struct Verification {
    role: Role,
    /// The certificates that the first descriptions announce: the path stands on these or on none, and a later description
    /// cannot bring others.
    own_certificate: Option<Hash>,
    their_certificate: Option<Hash>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was said.
    Silent,
    /// Caller: its commit was sent.
    Committed { own: Nonce },
    /// Caller: the callee's nonce came, and the own one is to be sent.
    Revealing { own: Nonce, theirs: Nonce },
    /// Callee: the caller's commit came, and the own nonce is to be sent.
    Bound { commit: Commit },
    /// Callee: its nonce was sent, and the caller's is awaited.
    Answered { commit: Commit, own: Nonce },
    /// Both know both nonces.
    Done { own: Nonce, theirs: Nonce },
}

/// What became of a word of the other side's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It was awaited.
    Taken,
    /// It was not, or was said before.
    OutOfPlace,
    /// The nonce is not the one that the caller was bound to.
    Broken,
}

impl Verification {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, own_certificate: None, their_certificate: None, state: State::Silent }
    }

    /// A description that this device made.
    pub(crate) fn made(&mut self, sdp: &str) {
        self.own_certificate = self.own_certificate.or_else(|| fingerprint_sha256(sdp));
    }

    /// A description of the other side's that was proven and is used.
    pub(crate) fn proven(&mut self, sdp: &str) {
        self.their_certificate = self.their_certificate.or_else(|| fingerprint_sha256(sdp));
    }

    /// The next word to say, if it is this side's turn.
    pub(crate) fn next_word(&mut self, nonces: &mut Nonces) -> Option<Verify> {
        match (self.role, self.state) {
            (Role::Caller, State::Silent) => {
                let own = nonces.next_nonce();
                self.state = State::Committed { own };
                Some(Verify::Commit(commit(&own)))
            }
            (Role::Caller, State::Revealing { own, theirs }) => {
                self.state = State::Done { own, theirs };
                Some(Verify::Nonce(own))
            }
            (Role::Callee, State::Bound { commit }) => {
                let own = nonces.next_nonce();
                self.state = State::Answered { commit, own };
                Some(Verify::Nonce(own))
            }
            (
                Role::Caller | Role::Callee,
                State::Silent
                | State::Committed { .. }
                | State::Revealing { .. }
                | State::Bound { .. }
                | State::Answered { .. }
                | State::Done { .. },
            ) => None,
        }
    }

    /// The other side says this.
    pub(crate) fn hear(&mut self, word: Verify) -> Heard {
        match (self.role, self.state, word) {
            (Role::Callee, State::Silent, Verify::Commit(commit)) => self.state = State::Bound { commit },
            (Role::Caller, State::Committed { own }, Verify::Nonce(theirs)) => {
                self.state = State::Revealing { own, theirs };
            }
            (Role::Callee, State::Answered { commit: bound, own }, Verify::Nonce(theirs)) => {
                if commit(&theirs) != bound {
                    return Heard::Broken;
                }
                self.state = State::Done { own, theirs };
            }
            (Role::Caller | Role::Callee, _, Verify::Commit(_) | Verify::Nonce(_)) => return Heard::OutOfPlace,
        }
        Heard::Taken
    }

    /// The code, once both know both nonces. The keys are `None` for guests.
    pub(crate) fn code(&self, own_key: Option<PublicKey>, their_key: Option<PublicKey>) -> Option<Code> {
        let State::Done { own, theirs } = self.state else { return None };
        let own = Party { nonce: own, key: own_key, certificate: self.own_certificate? };
        let theirs = Party { nonce: theirs, key: their_key, certificate: self.their_certificate? };
        Some(match self.role {
            Role::Caller => Code::of(&own, &theirs),
            Role::Callee => Code::of(&theirs, &own),
        })
    }
}

#[cfg(test)]
mod tests {
    use ahoy_protocol::identity::Binary;

    use super::*;

    fn sdp(byte: u8) -> String {
        format!("v=0\r\na=fingerprint:sha-256 {}\r\n", vec![format!("{byte:02X}"); 32].join(":"))
    }

    /// Caller and callee, each with its own source of nonces.
    fn pair() -> [(Verification, Nonces); 2] {
        let mut pair = [Role::Caller, Role::Callee].map(Verification::new);
        let [caller, callee] = &mut pair;
        caller.made(&sdp(1));
        caller.proven(&sdp(2));
        callee.made(&sdp(2));
        callee.proven(&sdp(1));
        let mut secret = 0;
        pair.map(|side| {
            secret += 1;
            (side, Nonces::new([secret; 32]))
        })
    }

    #[test]
    fn three_words_give_both_the_same_code() {
        let [(mut caller, mut one), (mut callee, mut two)] = pair();
        assert_eq!(callee.next_word(&mut two), None, "the caller begins");
        let commit = caller.next_word(&mut one).unwrap();
        assert_eq!(caller.next_word(&mut one), None, "it waits for the callee");
        assert_eq!(callee.hear(commit), Heard::Taken);
        let answer = callee.next_word(&mut two).unwrap();
        assert_eq!(caller.hear(answer), Heard::Taken);
        let nonce = caller.next_word(&mut one).unwrap();
        assert_eq!(callee.hear(nonce), Heard::Taken);
        let keys = (Some(Binary([3; 32])), None);
        let code = caller.code(keys.0, keys.1);
        assert!(code.is_some());
        assert_eq!(code, callee.code(keys.1, keys.0));
        // A later description changes nothing.
        caller.proven(&sdp(9));
        assert_eq!(code, caller.code(keys.0, keys.1));
        assert_ne!(code, caller.code(keys.0, Some(Binary([4; 32]))));
    }

    #[test]
    fn a_nonce_that_the_caller_was_not_bound_to_is_found() {
        let [(mut caller, mut one), (mut callee, mut two)] = pair();
        callee.hear(caller.next_word(&mut one).unwrap());
        callee.next_word(&mut two).unwrap();
        assert_eq!(callee.hear(Verify::Nonce(Binary([9; 32]))), Heard::Broken);
        assert_eq!(callee.code(None, None), None);
    }

    #[test]
    fn what_is_said_twice_or_out_of_turn_is_not_taken() {
        let [(mut caller, mut one), (mut callee, mut two)] = pair();
        let (commit, nonce) = (Verify::Commit(Binary([8; 32])), Verify::Nonce(Binary([9; 32])));
        assert_eq!(callee.hear(nonce), Heard::OutOfPlace, "no nonce before its commit");
        assert_eq!(caller.hear(nonce), Heard::OutOfPlace, "no nonce before the own commit left");
        assert_eq!(caller.hear(commit), Heard::OutOfPlace, "a caller hears no commit");
        let word = caller.next_word(&mut one).unwrap();
        assert_eq!(callee.hear(word), Heard::Taken);
        assert_eq!(callee.hear(commit), Heard::OutOfPlace, "bound once");
        assert_eq!(callee.hear(nonce), Heard::OutOfPlace, "no nonce before the own one left");
        let word = callee.next_word(&mut two).unwrap();
        assert_eq!(caller.hear(word), Heard::Taken);
        assert_eq!(caller.hear(nonce), Heard::OutOfPlace);
        let word = caller.next_word(&mut one).unwrap();
        assert_eq!(callee.hear(word), Heard::Taken);
        assert_eq!(callee.hear(nonce), Heard::OutOfPlace);
        assert_eq!(caller.code(None, None), callee.code(None, None));
    }
}
