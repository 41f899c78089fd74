//! The link alone, without calls.

use ahoy_protocol::id::{Address, SessionId};
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::Relay;
use ahoy_protocol::signal::{Close, CloseReason, Signal};

use super::*;
use crate::output::Resume;

struct Bench {
    link: Link,
    now: Time,
    out: VecDeque<Output>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { link: Link::new(Timers::default(), 1, false), now: Time::START, out: VecDeque::new() };
        bench.link.sign_in(bench.now, &mut bench.out);
        bench
    }

    fn signed_in() -> Self {
        let mut bench = Self::new();
        bench.sign_in();
        bench
    }

    /// Not yet opened.
    fn of_a_guest() -> Self {
        let mut bench = Self::new();
        bench.link.is_guest = true;
        bench
    }

    /// The link that is being opened, up to the `login`.
    fn log_in(&mut self) {
        self.input(LinkInput::Opened);
        self.receive(hello(vec![1]));
        self.out.clear();
    }

    fn sign_in(&mut self) {
        self.input(LinkInput::Opened);
        self.receive(hello(vec![1, 9]));
        self.receive(welcome());
        self.out.clear();
    }

    fn input(&mut self, input: LinkInput) -> LinkNews {
        let serial = Serial(self.link.last_serial);
        self.link.handle(self.now, serial, input, &mut self.out)
    }

    fn receive(&mut self, message: ServerMessage) -> LinkNews {
        self.input(LinkInput::Received { seq: None, message: Some(message) })
    }

    fn error(&mut self, code: ErrorCode) {
        self.receive(ServerMessage::Error(ErrorMessage { code, message: "no".into(), call: None, retry_s: Some(9) }));
    }

    fn tick(&mut self) -> LinkNews {
        self.now = self.link.deadline(false).unwrap();
        self.link.handle_deadline(self.now, false, &mut self.out)
    }

    fn take(&mut self) -> Vec<Output> {
        self.out.drain(..).collect()
    }
}

fn hello(protocols: Vec<u32>) -> ServerMessage {
    ServerMessage::Hello(Hello { protocols, server: "s".into(), challenge: Binary([7; 32]), guests: true })
}

fn welcome() -> ServerMessage {
    welcome_for(900)
}

fn welcome_for(ttl_s: u32) -> ServerMessage {
    ServerMessage::Welcome(Welcome { ttl_s, ..first_welcome() })
}

fn first_welcome() -> Welcome {
    Welcome {
        username: "alice".parse().unwrap(),
        session: SessionId::from_u64(1),
        resumed: false,
        received: 0,
        resume: "token".into(),
        linger_s: 30,
        ice_servers: Vec::new(),
        ttl_s: 60,
    }
}

fn close(call: u8) -> Output {
    let call = ahoy_protocol::id::CallId::from_random_bytes([call; 16]);
    let close = Close { call, reason: CloseReason::Hangup, by: None };
    let to = Address::User("bob".parse().unwrap());
    Output::Send(ClientMessage::Relay(Relay::new(to, Signal::Close(close))))
}

fn ping() -> Output {
    Output::Send(ClientMessage::Ping)
}

#[test]
fn a_sign_in_opens_greets_and_logs_in() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(), [Output::OpenLink { serial: Serial(1) }]);
    bench.input(LinkInput::Opened);
    assert_eq!(bench.take(), []);
    bench.receive(hello(vec![1]));
    assert_eq!(bench.take(), [Output::Login { serial: Serial(1), challenge: Binary([7; 32]), resume: None }]);
    assert!(matches!(bench.receive(welcome()), LinkNews::SignedIn { resumed: false }));
    assert_eq!(bench.take(), [Output::Event(Event::SignedIn { ice_servers: Vec::new() })]);
}

#[test]
fn a_refusal_that_trying_again_cannot_change_signs_out() {
    for code in [ErrorCode::BadSignature, ErrorCode::UsernameTaken, ErrorCode::BadUsername, ErrorCode::GuestsRefused] {
        let mut bench = Bench::new();
        bench.input(LinkInput::Opened);
        bench.receive(hello(vec![1]));
        bench.take();
        bench.error(code);
        let failed = Event::SignInFailed { code, message: "no".into(), retrying: false };
        assert_eq!(bench.take(), [Output::Event(failed), Output::CloseLink { serial: Serial(1), seen: 0 }]);
        assert_eq!(bench.link.deadline(false), None);
    }
}

#[test]
fn a_server_of_another_version_signs_out_too() {
    let mut bench = Bench::new();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![2]));
    assert_eq!(bench.link.view(), LinkView::SignedOut);
}

#[test]
fn a_refusal_that_passes_is_tried_again_not_before_the_server_says() {
    let mut bench = Bench::new();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.error(ErrorCode::RateLimited);
    assert!(bench.link.deadline(false).unwrap() >= bench.now + Duration::from_secs(9));
    bench.take();
    bench.tick();
    assert_eq!(bench.take(), [Output::OpenLink { serial: Serial(2) }]);
}

#[test]
fn a_guest_that_comes_back_waits_for_its_own_name() {
    let mut bench = Bench::of_a_guest();
    bench.sign_in();
    bench.input(LinkInput::Closed { code: None });
    bench.tick();
    bench.log_in();
    bench.error(ErrorCode::UsernameTaken);
    assert_eq!(bench.link.view(), LinkView::Waiting);
}

#[test]
fn a_guest_whose_first_welcome_was_lost_waits_for_its_own_name() {
    let mut bench = Bench::of_a_guest();
    bench.log_in();
    // No answer comes in time.
    bench.tick();
    bench.tick();
    bench.log_in();
    bench.error(ErrorCode::UsernameTaken);
    assert_eq!(bench.link.view(), LinkView::Waiting);
}

#[test]
fn a_guest_whose_name_is_taken_at_first_is_told() {
    let mut bench = Bench::of_a_guest();
    bench.log_in();
    bench.error(ErrorCode::UsernameTaken);
    assert_eq!(bench.link.view(), LinkView::SignedOut);
}

#[test]
fn a_name_with_a_key_that_was_taken_away_is_told() {
    let mut bench = Bench::signed_in();
    bench.input(LinkInput::Closed { code: Some(1008) });
    bench.tick();
    bench.log_in();
    bench.error(ErrorCode::UsernameTaken);
    let failed = Event::SignInFailed { code: ErrorCode::UsernameTaken, message: "no".into(), retrying: false };
    assert_eq!(bench.take(), [Output::Event(failed), Output::CloseLink { serial: Serial(2), seen: 0 }]);
    assert_eq!(bench.link.view(), LinkView::SignedOut);
}

/// The link is gone and opened again, up to the `login`.
fn come_back(bench: &mut Bench) -> Option<Resume> {
    assert!(matches!(bench.input(LinkInput::Closed { code: Some(1006) }), LinkNews::Lost));
    assert_eq!(bench.take(), [Output::Event(Event::LinkLost)]);
    bench.tick();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    let mut out = bench.take();
    assert!(matches!(out[0], Output::OpenLink { .. }));
    let Some(Output::Login { resume, .. }) = out.pop() else { panic!("no login in {out:?}") };
    resume
}

#[test]
fn who_comes_back_sends_what_the_server_did_not_take_and_then_what_waited() {
    let mut bench = Bench::signed_in();
    (1..4).for_each(|call| assert!(bench.link.send(close(call), &mut bench.out)));
    bench.input(LinkInput::Received { seq: Some(7), message: Some(ServerMessage::Pong { waited: false }) });
    bench.input(LinkInput::Received { seq: Some(8), message: None });
    bench.take();
    let resume = come_back(&mut bench).unwrap();
    assert_eq!((resume.token.as_str(), resume.seq), ("token", 8), "what was not understood was seen too");
    assert!(bench.link.send(close(4), &mut bench.out) && bench.take().is_empty());
    let welcome = Welcome { resumed: true, received: 1, resume: "next".into(), ..first_welcome() };
    assert!(matches!(bench.receive(ServerMessage::Welcome(welcome)), LinkNews::SignedIn { resumed: true }));
    let signed_in = Output::Event(Event::SignedIn { ice_servers: Vec::new() });
    assert_eq!(bench.take(), [signed_in, close(2), close(3), close(4), ping()]);
    // What was seen before does not count again.
    let again = LinkInput::Received { seq: Some(8), message: Some(ServerMessage::Pong { waited: false }) };
    assert!(matches!(bench.input(again), LinkNews::Stale));
    assert_eq!(come_back(&mut bench).map(|resume| resume.token), Some("next".into()));
}

#[test]
fn a_hang_up_into_a_dying_link_is_said_again_also_where_no_session_lingers() {
    let mut bench = Bench::new();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.receive(ServerMessage::Welcome(Welcome { linger_s: 0, ..first_welcome() }));
    assert!(bench.link.send(close(1), &mut bench.out));
    bench.take();
    assert_eq!(come_back(&mut bench), None);
    bench.receive(ServerMessage::Welcome(Welcome { linger_s: 0, ..first_welcome() }));
    let signed_in = Output::Event(Event::SignedIn { ice_servers: Vec::new() });
    assert_eq!(bench.take(), [signed_in, close(1)]);
}

#[test]
fn a_pong_that_waited_confirms_nothing() {
    let mut bench = Bench::signed_in();
    come_back(&mut bench);
    let welcome = Welcome { resumed: true, ..first_welcome() };
    assert!(bench.link.send(close(1), &mut bench.out));
    bench.receive(ServerMessage::Welcome(welcome.clone()));
    bench.receive(ServerMessage::Pong { waited: true });
    bench.take();
    come_back(&mut bench);
    bench.receive(ServerMessage::Welcome(welcome));
    assert!(bench.take().contains(&close(1)), "it answered an earlier ping");
}

#[test]
fn in_a_new_session_the_ends_of_calls_are_said_again() {
    let mut bench = Bench::signed_in();
    assert!(bench.link.send(close(1), &mut bench.out));
    bench.take();
    come_back(&mut bench);
    assert!(bench.link.send(close(2), &mut bench.out));
    assert!(matches!(bench.receive(welcome()), LinkNews::SignedIn { resumed: false }));
    let signed_in = Output::Event(Event::SignedIn { ice_servers: Vec::new() });
    assert_eq!(bench.take(), [signed_in, close(1), close(2)]);
    bench.receive(ServerMessage::Pong { waited: false });
    assert_eq!(come_back(&mut bench).map(|resume| resume.seq), Some(0), "counted from the beginning");
}

#[test]
fn a_server_where_no_session_lingers_is_not_asked_for_one() {
    let mut bench = Bench::new();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.receive(ServerMessage::Welcome(Welcome { linger_s: 0, ..first_welcome() }));
    bench.take();
    assert_eq!(come_back(&mut bench), None);
    // One that claims otherwise is not believed.
    let welcome = Welcome { resumed: true, received: 9, ..first_welcome() };
    assert!(matches!(bench.receive(ServerMessage::Welcome(welcome)), LinkNews::SignedIn { resumed: false }));
}

#[test]
fn who_signs_out_does_not_come_back() {
    let mut bench = Bench::signed_in();
    bench.link.sign_out(bench.now, &mut bench.out);
    assert_eq!(bench.take(), [Output::CloseLink { serial: Serial(1), seen: 0 }]);
    bench.link.sign_in(bench.now, &mut bench.out);
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    assert!(bench.take().iter().any(|output| matches!(output, Output::Login { resume: None, .. })));
}

#[test]
fn after_sleep_or_in_another_network_the_link_is_opened_anew_at_once_and_the_session_kept() {
    let mut bench = Bench::signed_in();
    assert!(matches!(bench.link.open_again(bench.now, &mut bench.out), LinkNews::Lost));
    let again = |serial| {
        [
            Output::DropLink { serial: Serial(serial) },
            Output::Event(Event::LinkLost),
            Output::OpenLink { serial: Serial(serial + 1) },
        ]
    };
    assert_eq!(bench.take(), again(1));
    assert!(matches!(bench.link.open_again(bench.now, &mut bench.out), LinkNews::Nothing), "while it opens, too");
    assert_eq!(bench.take(), again(2));
    bench.input(LinkInput::Closed { code: None });
    bench.take();
    // While it waits there is nothing to let go.
    bench.link.open_again(bench.now, &mut bench.out);
    assert_eq!(bench.take(), [Output::OpenLink { serial: Serial(4) }]);
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    assert!(bench.take().iter().any(|output| matches!(output, Output::Login { resume: Some(_), .. })));
    bench.link.sign_out(bench.now, &mut bench.out);
    bench.take();
    bench.link.open_again(bench.now, &mut bench.out);
    assert_eq!(bench.take(), [], "who signed out stays so");
}

#[test]
fn a_link_that_another_sign_in_replaced_is_not_opened_again() {
    let mut bench = Bench::signed_in();
    bench.input(LinkInput::Closed { code: Some(4001) });
    assert_eq!(bench.take(), [Output::Event(Event::SignedInElsewhere)]);
    assert_eq!((bench.link.view(), bench.link.deadline(false)), (LinkView::SignedOut, None));
}

#[test]
fn a_link_that_an_own_late_login_replaced_is_opened_again() {
    let leaves: [fn(&mut Bench); 4] = [
        |bench| drop(bench.tick()),
        |bench| drop(bench.link.open_again(bench.now, &mut bench.out)),
        |bench| drop(bench.input(LinkInput::Closed { code: None })),
        |bench| {
            bench.link.sign_out(bench.now, &mut bench.out);
            bench.link.sign_in(bench.now, &mut bench.out);
        },
    ];
    for leave in leaves {
        for (seconds, is_lost) in [(59, true), (60, false)] {
            let mut bench = Bench::new();
            bench.log_in();
            leave(&mut bench);
            let left_at = bench.now;
            if bench.link.view() == LinkView::Waiting {
                bench.tick();
            }
            bench.sign_in();
            bench.now = left_at + Duration::from_secs(seconds);
            assert!(matches!(bench.input(LinkInput::Closed { code: Some(4001) }), LinkNews::Lost));
            let (event, view) = if is_lost {
                (Event::LinkLost, LinkView::Waiting)
            } else {
                (Event::SignedInElsewhere, LinkView::SignedOut)
            };
            assert_eq!((bench.take(), bench.link.view()), (vec![Output::Event(event)], view));
        }
    }
}

#[test]
fn each_step_of_a_sign_in_has_a_deadline() {
    for step in 0..3 {
        let mut bench = Bench::new();
        if step > 0 {
            bench.input(LinkInput::Opened);
        }
        if step > 1 {
            bench.receive(hello(vec![1]));
        }
        bench.take();
        bench.tick();
        let lost = [Output::DropLink { serial: Serial(1) }, Output::Event(Event::LinkLost)];
        assert_eq!((bench.now, bench.take()), (Time::START + Duration::from_secs(10), lost.to_vec()));
        assert_eq!(bench.link.view(), LinkView::Waiting);
    }
}

#[test]
fn pings_go_every_15_s_and_every_4_s_in_a_call_and_two_unanswered_open_the_link_again() {
    let mut bench = Bench::signed_in();
    assert_eq!(bench.link.deadline(true), Some(Time::START + Duration::from_secs(4)));
    for second in [15, 30] {
        bench.tick();
        assert_eq!(bench.now, Time::START + Duration::from_secs(second));
        assert_eq!(bench.take(), [ping()]);
        bench.receive(ServerMessage::Pong { waited: false });
    }
    for ms in [45_000, 47_500] {
        bench.tick();
        assert_eq!((bench.now, bench.take()), (Time::START + Duration::from_millis(ms), vec![ping()]));
    }
    assert!(matches!(bench.tick(), LinkNews::Lost));
    assert_eq!(bench.now, Time::START + Duration::from_secs(50));
    let again = [
        Output::DropLink { serial: Serial(1) },
        Output::Event(Event::LinkLost),
        Output::OpenLink { serial: Serial(2) },
    ];
    assert_eq!(bench.take(), again);
}

#[test]
fn in_a_call_a_server_that_stands_still_is_noticed_within_10_s() {
    let mut bench = Bench::signed_in();
    let mut lost = false;
    while !lost {
        bench.now = bench.link.deadline(true).unwrap();
        lost = matches!(bench.link.handle_deadline(bench.now, true, &mut bench.out), LinkNews::Lost);
    }
    assert_eq!(bench.now, Time::START + Duration::from_secs(9));
}

#[test]
fn what_an_older_link_says_is_stale() {
    let mut bench = Bench::signed_in();
    let old = Serial(0);
    assert!(matches!(
        bench.link.handle(bench.now, old, LinkInput::Closed { code: None }, &mut bench.out),
        LinkNews::Stale
    ));
    assert!(matches!(bench.input(LinkInput::Opened), LinkNews::Stale));
    assert_eq!(bench.take(), []);
}

#[test]
fn what_a_lost_link_had_brought_counts_until_the_next_login_tells_what_was_seen() {
    let mut bench = Bench::signed_in();
    let old = Serial(1);
    let numbered = |seq| LinkInput::Received { seq: Some(seq), message: Some(ServerMessage::Pong { waited: false }) };
    bench.link.open_again(bench.now, &mut bench.out);
    let say = |bench: &mut Bench, input| bench.link.handle(bench.now, old, input, &mut bench.out);
    assert!(matches!(say(&mut bench, numbered(3)), LinkNews::Late(ServerMessage::Pong { .. })));
    assert!(matches!(say(&mut bench, numbered(3)), LinkNews::Stale), "once");
    let unnumbered = LinkInput::Received { seq: None, message: Some(ServerMessage::Pong { waited: false }) };
    assert!(matches!(say(&mut bench, unnumbered), LinkNews::Stale));
    bench.input(LinkInput::Opened);
    assert!(matches!(say(&mut bench, numbered(4)), LinkNews::Late(_)));
    bench.take();
    bench.receive(hello(vec![1]));
    assert!(matches!(&bench.take()[..], [Output::Login { resume: Some(resume), .. }] if resume.seq == 4));
    assert!(matches!(say(&mut bench, numbered(5)), LinkNews::Stale), "the server sends it again");
    // A connection that was not signed in brought nothing that counts.
    let mut bench = Bench::new();
    bench.link.open_again(bench.now, &mut bench.out);
    assert!(matches!(say(&mut bench, numbered(1)), LinkNews::Stale));
}

#[test]
fn ice_servers_are_asked_for_again_at_half_of_their_life() {
    let mut bench = Bench::new();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.receive(welcome_for(900));
    bench.take();
    let asked = |bench: &mut Bench| loop {
        bench.tick();
        if bench.take().contains(&Output::Send(ClientMessage::IceServers)) {
            return bench.now.since_start();
        }
        bench.receive(ServerMessage::Pong { waited: false });
    };
    assert_eq!(asked(&mut bench), Duration::from_secs(450));
    for (ttl_s, later_s) in [(200, 550), (20, 560), (1, 565)] {
        let list = ahoy_protocol::message::IceServerList { ice_servers: Vec::new(), ttl_s };
        assert!(matches!(bench.receive(ServerMessage::IceServers(list)), LinkNews::Message(_)));
        assert_eq!(asked(&mut bench), Duration::from_secs(later_s));
    }
}
