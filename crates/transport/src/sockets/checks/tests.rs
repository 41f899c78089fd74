use super::*;
use rtc::ice::attributes::control::AttrControlling;
use rtc::ice::attributes::use_candidate::UseCandidateAttr;
use rtc::stun::textattrs::Username;

pub(in crate::sockets) fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.into(), password: format!("the password of {ufrag}") }
}

pub(in crate::sockets) fn known(local: &str, remote: Option<&str>) -> Known {
    Known { local: Some(credentials(local)), remote: remote.map(credentials), ..Known::default() }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A check by `from` of `to` (RFC 8445 §7.2).
pub(in crate::sockets) fn request(from: &str, to: &IceCredentials, nominates: bool) -> Vec<u8> {
    let provider = default_provider().unwrap();
    let mut message = Message::new();
    let id = TransactionId::new();
    let username = Username::new(ATTR_USERNAME, format!("{}:{from}", to.ufrag));
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(to.password.clone(), provider.crypto());
    let mut setters: Vec<Box<dyn rtc::stun::message::Setter>> =
        vec![Box::new(BINDING_REQUEST), Box::new(id), Box::new(username), Box::new(AttrControlling(7))];
    if nominates {
        setters.push(Box::<UseCandidateAttr>::default());
    }
    message.build(&setters).unwrap();
    rtc::stun::message::Setter::add_to(&integrity, &mut message).unwrap();
    rtc::stun::message::Setter::add_to(&FINGERPRINT, &mut message).unwrap();
    message.raw
}

/// The peer's answer to `request`.
fn answer(request: &[u8], password: &str) -> Vec<u8> {
    let provider = default_provider().unwrap();
    let mut message = Message::new();
    let setters: Vec<Box<dyn rtc::stun::message::Setter + '_>> = vec![
        Box::new(decoded(request).unwrap().transaction_id),
        Box::new(BINDING_SUCCESS),
        Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password.into(), provider.crypto())),
        Box::new(FINGERPRINT),
    ];
    message.build(&setters).unwrap();
    message.raw
}

/// Whether `datagram` is an answer to `request` that the agent believes.
fn answers(checks: &Checks, datagram: &[u8], request: &[u8]) -> bool {
    let (answer, request) = (decoded(datagram).unwrap(), decoded(request).unwrap());
    answer.typ == BINDING_SUCCESS
        && answer.transaction_id == request.transaction_id
        && checks.proves(&answer, &credentials("bob"))
}

fn all(checks: &mut Checks) -> Vec<(SocketAddr, Vec<u8>)> {
    std::iter::from_fn(|| checks.arrival()).collect()
}

#[test]
fn a_check_that_overtakes_the_description_is_kept_and_answers_our_own_first() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", None));
    let theirs = request("bob", &credentials("alice"), false);
    assert!(!checks.heard(now, address(2), &theirs));
    assert_eq!((checks.next(), checks.arrival()), (None, None));
    checks.learn(now, &known("alice", Some("bob")));
    let ours = request("alice", &credentials("bob"), false);
    assert!(checks.sending(now, address(2), &ours));
    let arrivals = all(&mut checks);
    assert_eq!(arrivals.len(), 2);
    assert!(answers(&checks, &arrivals[0].1, &ours));
    assert_eq!(arrivals[1], (address(2), theirs));
    // Once: what keeps the consent fresh is answered by the peer alone.
    for _ in 0..3 {
        assert!(checks.sending(now, address(2), &request("alice", &credentials("bob"), false)));
        assert!(checks.heard(now, address(2), &request("bob", &credentials("alice"), false)));
    }
    assert_eq!(checks.arrival(), None);
    // The agent has its answer.
    assert!(!checks.heard(now, address(2), &answer(&ours, &credentials("bob").password)));
}

#[test]
fn a_check_that_comes_after_our_own_answers_it() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    let ours = request("alice", &credentials("bob"), false);
    assert!(checks.sending(now, address(2), &ours));
    assert_eq!(checks.arrival(), None);
    assert!(!checks.heard(now, address(2), &request("bob", &credentials("alice"), false)));
    let arrivals = all(&mut checks);
    assert_eq!(arrivals.len(), 2);
    assert!(answers(&checks, &arrivals[0].1, &ours));
}

#[test]
fn a_nomination_is_answered_once_and_sent_again_until_the_peer_has_it() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    let nomination = request("alice", &credentials("bob"), true);
    // Nothing vouches for an address that nothing came from.
    assert!(checks.sending(now, address(3), &nomination));
    assert_eq!((checks.next(), checks.arrival()), (None, None));
    checks.heard(now, address(2), &request("bob", &credentials("alice"), false));
    checks.sending(now, address(2), &request("alice", &credentials("bob"), false));
    all(&mut checks);
    assert!(checks.sending(now, address(2), &nomination));
    let arrivals = all(&mut checks);
    assert_eq!(arrivals.len(), 1);
    assert!(answers(&checks, &arrivals[0].1, &nomination));
    assert_eq!(checks.due(now), []);
    let later = now + REPETITION;
    assert_eq!(checks.due(later), [(address(2), nomination.clone())]);
    // Somebody else's answer ends nothing.
    assert!(!checks.heard(later, address(2), &answer(&nomination, "guessed")));
    assert_eq!(checks.next(), Some(later + 2 * REPETITION));
    assert!(!checks.heard(later, address(2), &answer(&nomination, &credentials("bob").password)));
    assert_eq!(checks.next(), None);
}

#[test]
fn once_the_path_is_chosen_the_hello_does_not_wait_for_a_timer() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &Known { begins_handshake: true, ..known("alice", Some("bob")) });
    let nomination = request("alice", &credentials("bob"), true);
    assert!(checks.sending(now, address(2), &nomination));
    assert!(checks.heard(now, address(2), &answer(&nomination, "guessed")));
    assert_eq!(checks.next(), None);
    assert!(checks.heard(now, address(2), &answer(&nomination, &credentials("bob").password)));
    for after in HELLO_AFTER {
        assert_eq!(checks.next(), Some(now + after));
        checks.due(now + after);
        assert_eq!(all(&mut checks), [(address(2), NO_RECORD.to_vec())]);
    }
    assert_eq!(checks.next(), None);
}

#[test]
fn what_does_not_prove_itself_goes_to_the_agent_and_vouches_for_nothing() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    let guessed = IceCredentials { password: "guessed".into(), ..credentials("alice") };
    let cut = request("bob", &credentials("alice"), false)[..30].to_vec();
    for datagram in [request("bob", &guessed, false), request("bob", &credentials("carol"), false), cut, vec![0; 20]] {
        assert!(checks.heard(now, address(2), &datagram));
    }
    assert!(checks.sending(now, address(2), &request("alice", &credentials("bob"), false)));
    assert_eq!(checks.arrival(), None);
}

#[test]
fn an_address_without_a_candidate_is_the_agents_after_a_moment() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    let theirs = request("bob", &credentials("alice"), false);
    assert!(!checks.heard(now, address(2), &theirs));
    assert_eq!(checks.next(), Some(now + UNKNOWN_ADDRESS));
    assert!(checks.due(now + UNKNOWN_ADDRESS).is_empty());
    assert_eq!(all(&mut checks), [(address(2), theirs)]);
}

#[test]
fn an_address_that_never_answers_is_checked_ever_less_often() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    let ours = || request("alice", &credentials("bob"), false);
    let times = (0..100).map(|tick| now + Duration::from_millis(50 * tick));
    let sent: Vec<Instant> = times.filter(|at| checks.sending(*at, address(2), &ours())).collect();
    let gaps: Vec<u128> = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert_eq!(gaps[..5], [50, 100, 200, 400, 400]);
}

#[test]
fn another_session_begins_with_nothing_proven() {
    let now = Instant::now();
    let mut checks = Checks::new(address(1));
    checks.learn(now, &known("alice", Some("bob")));
    checks.heard(now, address(2), &request("bob", &credentials("alice"), false));
    checks.learn(now, &known("alice again", Some("bob again")));
    assert!(checks.sending(now, address(2), &request("alice again", &credentials("bob again"), false)));
    assert_eq!((checks.next(), checks.arrival()), (None, None));
}

#[test]
fn after_a_restart_nobody_vouches_for_an_answer_and_a_check_is_handed_on_at_once() {
    let (mut checks, now) = (Checks::new(address(1)), Instant::now());
    checks.learn(now, &Known { is_restart: true, ..known("alice", Some("bob")) });
    let own = request("alice", &credentials("bob"), false);
    assert!(checks.sending(now, address(2), &own));
    assert!(checks.heard(now, address(2), &request("bob", &credentials("alice"), false)), "for the agent");
    assert!(checks.sending(now, address(2), &request("alice", &credentials("bob"), true)));
    assert_eq!(all(&mut checks), []);
    assert!(checks.heard(now, address(2), &answer(&own, "the password of bob")));
}

#[test]
fn only_an_answer_of_the_peers_to_a_check_of_our_own_is_consent() {
    let (mut checks, now) = (Checks::new(address(1)), Instant::now());
    checks.learn(now, &known("alice", Some("bob")));
    let own = request("alice", &credentials("bob"), false);
    let good = answer(&own, "the password of bob");
    assert!(!checks.consents(now, address(2), &good), "nobody asked");
    assert!(checks.may_send(now, address(2), &own));
    assert!(!checks.consents(now, address(2), &answer(&own, "a guess")));
    assert!(!checks.consents(now, address(3), &good), "somebody else");
    assert!(checks.consents(now, address(2), &good));
    let (media, late) = ([128; 20], now + Duration::from_secs(30));
    assert!(checks.may_send(now, address(2), &media) && !checks.may_send(late, address(2), &media));
    assert!(checks.may_send(late, address(2), &own), "checks go on");
    checks.learn(late, &known("alice", Some("bob again")));
    assert!(checks.may_send(late, address(2), &media), "another session begins without");
}
