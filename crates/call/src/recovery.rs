//! When an accepted call looks for a new path: a path that is merely interrupted heals by itself, while an ICE restart
//! takes the old one away at once. So it waits for a reason and for a way to agree on the new path, at both ends: the
//! caller, who restarts, for a callee that asks for it. Pure; the call does what this says.

use crate::config::Timers;
use crate::negotiation::Role;
use crate::time::Time;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ask the server for fresh ICE servers. That it answers shows that there is a signaling path, too.
    AskServer,
    /// Begin an ICE restart, or say again what is still unanswered of the last one.
    Restart,
}

/// The search for a new path of one call.
#[derive(Debug)]
pub(crate) struct Recovery {
    role: Role,
    timers: Timers,
    state: State,
    /// When a path was back that had been lost.
    healed_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is a path, and nothing is known against it.
    Well,
    /// A restart is wanted as soon as a signaling path is known to be up.
    Wanted { why: Why, ask_at: Time, heard: Option<Heard> },
    /// A restart was begun, and has this long to bring a path.
    Begun { until: Time },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Nothing comes through since then. It may heal.
    Lost { since: Time, is_asked: bool },
    /// The path's own address is gone, or an earlier restart brought nothing: waiting for it to heal is in vain.
    Hopeless,
}

/// The server was heard from since the path was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    first: Time,
    /// It said which ICE servers to use.
    has_servers: bool,
}

impl Recovery {
    pub(crate) fn new(role: Role, timers: Timers) -> Self {
        Self { role, timers, state: State::Well, healed_at: None }
    }

    /// Whether there is a path, and nothing is known against it.
    pub(crate) fn is_well(&self) -> bool {
        self.state == State::Well
    }

    /// There is a path.
    pub(crate) fn path_up(&mut self, now: Time) {
        if self.state != State::Well {
            self.healed_at = Some(now);
        }
        self.state = State::Well;
    }

    /// The callee asks for a new path, and so can be reached. Where none is missed here, it is first made sure that there is
    /// a signaling path, for the restart takes the old one away; and what was asked while the path was lost may come when it
    /// is back. Returns whether it is heeded.
    pub(crate) fn restart_asked(&mut self, now: Time) -> bool {
        let has_just_healed = self.healed_at.is_some_and(|healed| now.since(healed) < self.timers.restart);
        match &mut self.state {
            State::Well if has_just_healed => false,
            State::Well => {
                self.address_gone(now);
                true
            }
            State::Wanted { why: Why::Lost { is_asked, .. }, .. } => !std::mem::replace(is_asked, true),
            State::Wanted { why: Why::Hopeless, .. } | State::Begun { .. } => false,
        }
    }

    /// Nothing comes through any more.
    pub(crate) fn path_lost(&mut self, now: Time) {
        match self.state {
            State::Well => {
                let why = Why::Lost { since: now, is_asked: false };
                self.state = State::Wanted { why, ask_at: now, heard: None };
            }
            State::Wanted { .. } | State::Begun { .. } => {}
        }
    }

    /// The own address that the path leaves by is gone from this machine. What the server said before may have come to it.
    pub(crate) fn address_gone(&mut self, now: Time) {
        self.state = State::Wanted { why: Why::Hopeless, ask_at: now, heard: None };
    }

    /// A message of the server's came, with ICE servers in it or without.
    pub(crate) fn server_heard(&mut self, now: Time, with_servers: bool) {
        match &mut self.state {
            State::Wanted { heard, .. } => {
                let heard = heard.get_or_insert(Heard { first: now, has_servers: false });
                heard.has_servers |= with_servers;
            }
            State::Well | State::Begun { .. } => {}
        }
    }

    /// The way to the server is gone: what was heard says nothing any more.
    pub(crate) fn server_lost(&mut self) {
        match &mut self.state {
            State::Wanted { heard, .. } => *heard = None,
            State::Well | State::Begun { .. } => {}
        }
    }

    /// A restart begins, for whatever reason. On a path that is well it need not be followed up.
    pub(crate) fn restart_begun(&mut self, now: Time) {
        match self.state {
            State::Well => {}
            State::Wanted { .. } | State::Begun { .. } => {
                self.state = State::Begun { until: now + self.timers.restart };
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Well => None,
            State::Wanted { why, ask_at, heard } => Some(self.restart_at(why, heard).unwrap_or(ask_at)),
            State::Begun { until } => Some(until),
        }
    }

    /// What has come due by `now`.
    pub(crate) fn due(&mut self, now: Time) -> Option<Act> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        match self.state {
            State::Well => None,
            State::Wanted { heard: Some(_), .. } => {
                self.state = State::Begun { until: now + self.timers.restart };
                Some(Act::Restart)
            }
            State::Wanted { why, heard: None, .. } => {
                self.state = State::Wanted { why, ask_at: now + self.timers.restart, heard: None };
                Some(Act::AskServer)
            }
            State::Begun { .. } => {
                let ask_at = now + self.timers.restart;
                self.state = State::Wanted { why: Why::Hopeless, ask_at, heard: None };
                Some(Act::AskServer)
            }
        }
    }

    /// Fresh ICE servers are waited for, and for the path to heal where it can.
    fn restart_at(&self, why: Why, heard: Option<Heard>) -> Option<Time> {
        let heard = heard?;
        match why {
            Why::Hopeless if heard.has_servers => Some(heard.first),
            Why::Lost { since, is_asked: false } if self.role == Role::Caller => {
                Some((heard.first + self.timers.heal).max(since + self.timers.unasked))
            }
            Why::Hopeless | Why::Lost { .. } => Some(heard.first + self.timers.heal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    fn lost(role: Role) -> Recovery {
        let mut recovery = Recovery::new(role, Timers::default());
        recovery.path_lost(at(0));
        recovery
    }

    #[test]
    fn a_lost_path_is_left_alone_until_a_server_was_heard_for_a_second() {
        let mut recovery = lost(Role::Callee);
        assert_eq!(recovery.due(at(0)), Some(Act::AskServer));
        assert_eq!(recovery.due(at(4_999)), None, "nobody answers");
        assert_eq!(recovery.due(at(5_000)), Some(Act::AskServer));
        recovery.server_heard(at(5_050), true);
        assert_eq!(recovery.due(at(6_049)), None, "it may heal");
        assert_eq!(recovery.due(at(6_050)), Some(Act::Restart));
        assert_eq!(recovery.due(at(6_050)), None, "once");
    }

    #[test]
    fn a_caller_restarts_a_lost_path_when_the_callee_asks_and_unasked_after_half_a_minute() {
        let mut recovery = lost(Role::Caller);
        recovery.due(at(0));
        recovery.server_heard(at(50), true);
        assert_eq!(recovery.due(at(26_000)), None, "the callee may be the one who is cut off");
        let mut asked = lost(Role::Caller);
        asked.due(at(0));
        asked.server_heard(at(50), true);
        assert!(asked.restart_asked(at(500)) && !asked.restart_asked(at(600)));
        assert_eq!((asked.due(at(1_049)), asked.due(at(1_050))), (None, Some(Act::Restart)));
        assert_eq!((recovery.due(at(29_999)), recovery.due(at(30_000))), (None, Some(Act::Restart)));
    }

    #[test]
    fn a_server_that_was_heard_before_the_way_to_it_went_does_not_count() {
        let mut recovery = lost(Role::Caller);
        recovery.due(at(0));
        recovery.server_heard(at(50), true);
        recovery.server_lost();
        recovery.restart_asked(at(3_000));
        assert_eq!(recovery.due(at(3_000)), None);
        recovery.server_heard(at(8_000), true);
        assert_eq!((recovery.due(at(8_999)), recovery.due(at(9_000))), (None, Some(Act::Restart)));
    }

    #[test]
    fn a_path_that_heals_is_not_restarted() {
        let mut recovery = lost(Role::Caller);
        recovery.due(at(0));
        recovery.server_heard(at(50), true);
        recovery.path_up(at(500));
        assert_eq!((recovery.deadline(), recovery.due(at(9_000))), (None, None));
        assert!(!recovery.restart_asked(at(5_499)), "it was asked while the path was lost");
        assert!(recovery.restart_asked(at(5_500)));
        assert!(!recovery.restart_asked(at(5_500)), "it is wanted already");
        assert_eq!(recovery.due(at(5_500)), Some(Act::AskServer));
        recovery.server_heard(at(5_600), true);
        assert_eq!(recovery.due(at(5_600)), Some(Act::Restart));
    }

    #[test]
    fn without_its_own_address_no_path_heals_and_only_fresh_servers_are_waited_for() {
        let mut recovery = lost(Role::Caller);
        recovery.due(at(0));
        recovery.server_heard(at(50), true);
        recovery.address_gone(at(100));
        assert_eq!(recovery.due(at(100)), Some(Act::AskServer), "what was heard came to the old address");
        recovery.server_heard(at(900), false);
        assert_eq!(recovery.due(at(900)), None);
        recovery.server_heard(at(1_000), true);
        assert_eq!(recovery.due(at(1_000)), Some(Act::Restart));
        recovery.address_gone(at(2_000));
        recovery.due(at(2_000));
        recovery.server_heard(at(2_100), false);
        assert_eq!(recovery.due(at(3_099)), None);
        assert_eq!(recovery.due(at(3_100)), Some(Act::Restart), "servers that do not come are waited for a second");
    }

    #[test]
    fn a_restart_without_a_path_is_followed_by_another_while_the_server_answers() {
        let mut recovery = Recovery::new(Role::Caller, Timers::default());
        recovery.restart_begun(at(0));
        assert_eq!(recovery.deadline(), None, "there is a path");
        recovery.path_lost(at(0));
        recovery.restart_begun(at(0));
        recovery.path_lost(at(2_000));
        assert_eq!(recovery.due(at(4_999)), None);
        assert_eq!(recovery.due(at(5_000)), Some(Act::AskServer));
        assert_eq!(recovery.due(at(9_999)), None, "no server, no restart");
        recovery.server_heard(at(10_100), true);
        assert_eq!(recovery.due(at(10_100)), Some(Act::Restart));
    }
}
