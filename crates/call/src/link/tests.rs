//! The link alone, without calls.

use ahoy_protocol::id::SessionId;
use ahoy_protocol::identity::Binary;
use ahoy_protocol::message::Contacts;

use super::*;

struct Bench {
    link: Link,
    now: Time,
    out: VecDeque<Output>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { link: Link::new(Timers::default(), 1), now: Time::START, out: VecDeque::new() };
        bench.link.sign_in(bench.now, &mut bench.out);
        bench
    }

    fn signed_in() -> Self {
        let mut bench = Self::new();
        bench.sign_in();
        bench
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
        self.input(LinkInput::Received(message))
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
    welcome_for(60)
}

fn welcome_for(ttl_s: u32) -> ServerMessage {
    ServerMessage::Welcome(Welcome {
        username: "alice".parse().unwrap(),
        session: SessionId::from_u64(1),
        resumed: false,
        received: 0,
        resume: String::new(),
        linger_s: 30,
        ice_servers: Vec::new(),
        ttl_s,
    })
}

#[test]
fn a_sign_in_opens_greets_and_logs_in() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(), [Output::OpenLink { serial: Serial(1) }]);
    bench.input(LinkInput::Opened);
    assert_eq!(bench.take(), []);
    bench.receive(hello(vec![1]));
    assert_eq!(bench.take(), [Output::Login { serial: Serial(1), challenge: Binary([7; 32]) }]);
    assert!(matches!(bench.receive(welcome()), LinkNews::SignedIn));
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
        assert_eq!(bench.take(), [Output::Event(failed), Output::CloseLink { serial: Serial(1) }]);
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
    let mut bench = Bench::signed_in();
    bench.input(LinkInput::Closed { code: None });
    bench.tick();
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.error(ErrorCode::UsernameTaken);
    assert_eq!(bench.link.view(), LinkView::Waiting);
}

#[test]
fn a_lost_link_is_opened_again_and_sends_what_waited() {
    let mut bench = Bench::signed_in();
    assert!(matches!(bench.input(LinkInput::Closed { code: Some(1006) }), LinkNews::Lost));
    assert_eq!(bench.take(), [Output::Event(Event::LinkLost)]);
    let message = Output::Send(ClientMessage::Contacts(Contacts { usernames: Vec::new() }));
    for number in 0..WAITING_MAX + 1 {
        assert_eq!(bench.link.send(message.clone(), &mut bench.out), number < WAITING_MAX);
    }
    bench.tick();
    assert_eq!(bench.take(), [Output::OpenLink { serial: Serial(2) }]);
    bench.input(LinkInput::Opened);
    bench.receive(hello(vec![1]));
    bench.receive(welcome());
    let sent = bench.take().into_iter().filter(|output| *output == message).count();
    assert_eq!(sent, WAITING_MAX);
}

#[test]
fn a_link_that_another_sign_in_replaced_is_not_opened_again() {
    let mut bench = Bench::signed_in();
    bench.input(LinkInput::Closed { code: Some(4001) });
    assert_eq!(bench.take(), [Output::Event(Event::SignedInElsewhere)]);
    assert_eq!((bench.link.view(), bench.link.deadline(false)), (LinkView::SignedOut, None));
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
        let lost = [Output::CloseLink { serial: Serial(1) }, Output::Event(Event::LinkLost)];
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
        assert_eq!(bench.take(), [Output::Send(ClientMessage::Ping)]);
    }
    bench.receive(ServerMessage::Pong);
    bench.tick();
    bench.tick();
    bench.take();
    assert!(matches!(bench.tick(), LinkNews::Lost));
    let again = [
        Output::CloseLink { serial: Serial(1) },
        Output::Event(Event::LinkLost),
        Output::OpenLink { serial: Serial(2) },
    ];
    assert_eq!(bench.take(), again);
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
        bench.receive(ServerMessage::Pong);
    };
    assert_eq!(asked(&mut bench), Duration::from_secs(450));
    let list = ahoy_protocol::message::IceServerList { ice_servers: Vec::new(), ttl_s: 200 };
    assert!(matches!(bench.receive(ServerMessage::IceServers(list)), LinkNews::Message(_)));
    assert_eq!(asked(&mut bench), Duration::from_secs(550));
}
