//! The rules of presence and openings, one sentence of the contract a test.

use std::time::Duration;

use ahoy_protocol::json::parse_object;
use ahoy_protocol::message::ClientMessage;

use super::*;

const CALL: &str = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";

/// A registry whose links are the names of the devices, as in `bob/2`.
struct House {
    registry: Registry<String>,
    now: Instant,
}

impl House {
    fn new() -> Self {
        Self { registry: Registry::new(100), now: tokio::time::Instant::now().into_std() }
    }

    fn enter(&mut self, device: &str) -> SignedIn {
        self.try_enter(device, None).unwrap().who
    }

    fn try_enter(&mut self, device: &str, shown: Option<&str>) -> Result<Entry<String>, Refused> {
        self.registry.sign_in(address(device), shown, format!("resume {device}"), (None, None), device.to_owned())
    }

    fn list(&mut self, who: &SignedIn, names: &[&str]) -> Vec<String> {
        shown(self.registry.contacts(who, names.iter().map(|name| name.parse().unwrap()).collect()))
    }

    fn leave(&mut self, who: &SignedIn) -> Vec<String> {
        shown(self.registry.sign_out(who))
    }

    fn open(&mut self, who: &SignedIn, callee: &str) -> Vec<String> {
        let reached = self.registry.open(who, &callee.parse().unwrap(), CALL.parse().unwrap(), self.now);
        reached.into_iter().map(|(_, link)| link).collect()
    }

    fn say(&mut self, who: &SignedIn, to: &str, message: &str) -> Vec<String> {
        let to = if to.contains('/') { address(to).to_string() } else { to.to_owned() };
        let text = format!(r#"{{"call":"{CALL}","to":"{to}",{message}}}"#);
        let message = ClientMessage::from_object(parse_object(&text).unwrap()).unwrap();
        let ClientMessage::Relay(relay) = message else { panic!("a relayed message") };
        shown(self.registry.relayed(who, &relay.to, &relay.signal).into_iter().collect())
    }
}

fn address(device: &str) -> DeviceAddress {
    let (name, number) = device.split_once('/').unwrap();
    DeviceAddress { username: name.parse().unwrap(), session: SessionId::from_u64(number.parse().unwrap()) }
}

fn shown(notices: Vec<Notice<String>>) -> Vec<String> {
    let mut shown: Vec<String> = notices
        .into_iter()
        .map(|Notice { to, news }| match news {
            News::Presence { username, online } => {
                format!("{to}: {username} {}", if online { "online" } else { "gone" })
            }
            News::Offline { username, .. } => format!("{to}: {username} offline"),
        })
        .collect();
    shown.sort();
    shown
}

const ANSWER: &str = r#""type":"answer","n":0,"sdp":"""#;
const ACCEPTED: &str = r#""type":"progress","state":"accepted""#;
const RINGING: &str = r#""type":"progress","state":"ringing""#;
const BUSY: &str = r#""type":"close","reason":"busy""#;
const TIMEOUT: &str = r#""type":"close","reason":"timeout""#;
const DECLINED: &str = r#""type":"close","reason":"declined""#;
const CANCELLED: &str = r#""type":"close","reason":"cancelled""#;
const FAILED: &str = r#""type":"close","reason":"failed""#;

#[test]
fn presence_is_told_only_while_each_lists_the_other() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let bob = house.enter("bob/1");
    assert!(house.list(&alice, &["bob", "carol", "alice"]).is_empty());
    assert_eq!(house.list(&bob, &["alice"]), ["alice/1: bob online", "bob/1: alice online"]);
    assert_eq!(house.list(&alice, &["bob"]), ["alice/1: bob online"], "each list is answered");
    assert_eq!(house.list(&alice, &["carol"]), ["alice/1: bob gone", "bob/1: alice gone"]);
    assert_eq!(house.list(&alice, &["bob", "bob"]), ["alice/1: bob online", "bob/1: alice online"]);
    assert_eq!(house.leave(&bob), ["alice/1: bob gone"]);
    assert!(house.leave(&alice).is_empty());
    assert!(house.registry.listings.is_empty() && house.registry.users.is_empty());
}

#[test]
fn a_user_is_online_until_the_last_session_that_lists_the_other_ends() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    house.list(&alice, &["bob"]);
    let (first, second) = (house.enter("bob/1"), house.enter("bob/2"));
    assert_eq!(house.list(&first, &["alice"]), ["alice/1: bob online", "bob/1: alice online"]);
    assert_eq!(house.list(&second, &["alice"]), ["bob/2: alice online"]);
    assert!(house.leave(&first).is_empty());
    assert_eq!(house.list(&second, &[]), ["alice/1: bob gone", "bob/2: alice gone"]);
}

#[test]
fn a_device_that_signs_in_again_takes_its_own_place() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let bob = house.enter("bob/1");
    house.list(&alice, &["bob"]);
    house.list(&bob, &["alice"]);
    let Entry { who: again, replaced, notices } = house.try_enter("bob/1", None).unwrap();
    assert_eq!(replaced.as_deref(), Some("bob/1"));
    assert_eq!(shown(notices), ["alice/1: bob gone"]);
    assert!(!house.registry.is_current(&bob) && house.registry.is_current(&again));
    assert!(house.leave(&bob).is_empty() && house.list(&bob, &["alice"]).is_empty());
    assert!(house.open(&bob, "alice").is_empty());
    assert_eq!(house.registry.reach(&"bob".parse().unwrap()), ["bob/1"]);
}

#[test]
fn a_user_has_eight_sessions_and_a_guest_one() {
    let mut house = House::new();
    for session in 1..=8 {
        house.enter(&format!("alice/{session}"));
    }
    assert_eq!(house.try_enter("alice/9", None).unwrap_err(), Refused::TooManySessions);
    assert!(house.try_enter("alice/3", None).is_ok(), "its own place");

    house.enter("guest-a/1");
    for (device, shown) in [("guest-a/1", None), ("guest-a/1", Some("")), ("guest-a/2", Some("resume guest-a/1"))] {
        assert_eq!(house.try_enter(device, shown).unwrap_err(), Refused::NameInUse, "{device} {shown:?}");
    }
    let Entry { replaced, .. } = house.try_enter("guest-a/1", Some("resume guest-a/1")).unwrap();
    assert_eq!(replaced.as_deref(), Some("guest-a/1"));
}

#[test]
fn a_full_address_reaches_one_device_and_a_bare_name_all() {
    let mut house = House::new();
    house.enter("bob/1");
    house.enter("bob/2");
    assert_eq!(house.registry.reach(&address("bob/2").into()), ["bob/2"]);
    assert_eq!(house.registry.reach(&"bob".parse().unwrap()), ["bob/1", "bob/2"]);
    assert!(house.registry.reach(&address("bob/3").into()).is_empty());
    assert!(house.registry.reach(&"carol".parse().unwrap()).is_empty());
}

#[test]
fn the_caller_hears_offline_when_the_last_device_ends_without_an_answer() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let (first, second) = (house.enter("bob/1"), house.enter("bob/2"));
    assert_eq!(house.open(&alice, "bob"), ["bob/1", "bob/2"]);
    let late = house.enter("bob/3");
    assert!(house.say(&first, "alice/1", RINGING).is_empty());
    assert!(house.leave(&first).is_empty());
    assert_eq!(house.leave(&second), ["alice/1: bob offline"]);
    assert!(house.leave(&late).is_empty(), "said once");
}

#[test]
fn an_early_answer_is_not_yet_an_answer() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let bob = house.enter("bob/1");
    house.open(&alice, "bob");
    assert!(house.say(&bob, "alice/1", r#""type":"answer","n":0,"sdp":"","early":true"#).is_empty());
    assert_eq!(house.leave(&bob), ["alice/1: bob offline"]);
}

#[test]
fn nobody_is_told_once_a_device_answered_or_the_call_is_over() {
    for (speaker, to, word) in [
        ("bob/1", "alice/1", ANSWER),
        ("bob/1", "alice/1", ACCEPTED),
        ("bob/1", "alice/1", DECLINED),
        ("bob/1", "alice", CANCELLED),
        ("alice/1", "bob", CANCELLED),
        ("alice/1", "bob/1", FAILED),
    ] {
        let mut house = House::new();
        let alice = house.enter("alice/1");
        let bob = house.enter("bob/1");
        house.open(&alice, "bob");
        let speaker = if speaker == "bob/1" { &bob } else { &alice };
        assert!(house.say(speaker, to, word).is_empty(), "{word}");
        assert!(house.leave(&bob).is_empty(), "{word}");
    }
}

#[test]
fn a_busy_device_ends_its_leg_and_those_gone_are_not_waited_for() {
    for word in [BUSY, TIMEOUT] {
        let mut house = House::new();
        let alice = house.enter("alice/1");
        let (first, second) = (house.enter("bob/1"), house.enter("bob/2"));
        house.open(&alice, "bob");
        assert!(house.say(&first, "alice/1", word).is_empty());
        assert_eq!(house.leave(&second), ["alice/1: bob offline"], "busy, then gone");

        let second = house.enter("bob/2");
        house.open(&alice, "bob");
        assert!(house.leave(&second).is_empty());
        assert_eq!(house.say(&first, "alice/1", word), ["alice/1: bob offline"], "gone, then busy");
        assert!(house.leave(&first).is_empty());
    }
}

#[test]
fn the_word_of_one_whom_the_offer_did_not_reach_counts_for_nothing() {
    let mut house = House::new();
    let (alice, mallory) = (house.enter("alice/1"), house.enter("mallory/1"));
    let bob = house.enter("bob/1");
    house.open(&alice, "bob");
    let late = house.enter("bob/2");
    for word in [ANSWER, ACCEPTED, DECLINED, BUSY, CANCELLED] {
        assert!(house.say(&mallory, "alice/1", word).is_empty());
        assert!(house.say(&mallory, "bob", word).is_empty());
        assert!(house.say(&late, "alice/1", word).is_empty());
        assert!(house.say(&bob, "mallory/1", word).is_empty());
    }
    assert_eq!(house.leave(&bob), ["alice/1: bob offline"]);
}

#[test]
fn a_call_offered_twice_is_one_and_by_two_callers_two() {
    let mut house = House::new();
    let (alice, other, mallory) = (house.enter("alice/1"), house.enter("alice/2"), house.enter("mallory/1"));
    let bob = house.enter("bob/1");
    for caller in [&alice, &alice, &other, &mallory] {
        assert_eq!(house.open(caller, "bob"), ["bob/1"]);
    }
    house.say(&bob, "mallory/1", DECLINED);
    assert_eq!(house.leave(&bob), ["alice/1: bob offline", "alice/2: bob offline"]);
}

#[test]
fn one_call_offered_to_two_users_waits_for_each() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let (bob, carol) = (house.enter("bob/1"), house.enter("carol/1"));
    house.open(&alice, "bob");
    house.open(&alice, "carol");
    house.say(&bob, "alice/1", ANSWER);
    assert_eq!(house.leave(&carol), ["alice/1: carol offline"]);
    assert!(house.leave(&bob).is_empty());
}

#[test]
fn a_caller_that_is_gone_is_not_told_nor_is_the_one_in_its_place() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let bob = house.enter("bob/1");
    house.open(&alice, "bob");
    house.enter("alice/1");
    assert!(house.leave(&bob).is_empty());
}

#[test]
fn openings_are_few_and_do_not_last() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    let bob = house.enter("bob/1");
    for number in 0..1_000_u128 {
        let call = CallId::from_random_bytes(number.to_be_bytes());
        house.registry.open(&alice, &"bob".parse().unwrap(), call, house.now);
    }
    house.now += Duration::from_secs(121);
    house.open(&alice, "bob");
    assert_eq!(house.leave(&bob), ["alice/1: bob offline"], "only the last is young enough");
}

fn linger(house: &mut House, seconds: u64) -> Vec<String> {
    house.now += Duration::from_secs(seconds);
    shown(house.registry.expire(house.now, Duration::from_secs(30), 100))
}

#[test]
fn a_session_without_connection_is_here_until_it_has_lingered() {
    let mut house = House::new();
    let (alice, bob) = (house.enter("alice/1"), house.enter("bob/1"));
    house.list(&alice, &["bob"]);
    house.list(&bob, &["alice"]);
    house.registry.detach(&bob, house.now);
    assert_eq!(house.open(&alice, "bob"), ["bob/1"]);
    assert!(linger(&mut house, 29).is_empty());
    assert_eq!(linger(&mut house, 1), ["alice/1: bob gone", "alice/1: bob offline"]);
    assert!(!house.registry.is_current(&bob) && house.registry.lingering.len() == 0);
}

#[test]
fn a_session_that_was_back_lingers_from_its_last_connection() {
    let mut house = House::new();
    let bob = house.enter("bob/1");
    house.registry.detach(&bob, house.now);
    linger(&mut house, 20);
    let (again, _) = house.registry.returning(&address("bob/1"), "resume bob/1").unwrap();
    assert_eq!(again, bob);
    house.registry.attach(&again);
    linger(&mut house, 100);
    assert!(house.registry.is_current(&bob));
    house.registry.detach(&bob, house.now);
    linger(&mut house, 29);
    assert!(house.registry.is_current(&bob));
    linger(&mut house, 1);
    assert!(house.registry.returning(&address("bob/1"), "resume bob/1").is_none());
}

#[test]
fn no_more_linger_than_may_and_a_device_too_many_takes_the_place_of_one_that_does() {
    let mut house = House::new();
    let all: Vec<SignedIn> = (0..200).map(|number| house.enter(&format!("guest-{number}/1"))).collect();
    for who in &all {
        house.registry.detach(who, house.now);
    }
    linger(&mut house, 0);
    assert!(!house.registry.is_current(&all[99]) && house.registry.is_current(&all[100]));

    let devices: Vec<SignedIn> = (1..=8).map(|number| house.enter(&format!("alice/{number}"))).collect();
    assert_eq!(house.try_enter("alice/9", None).unwrap_err(), Refused::TooManySessions);
    house.registry.detach(&devices[5], house.now);
    house.enter("alice/9");
    assert!(!house.registry.is_current(&devices[5]) && house.registry.is_current(&devices[0]));
    assert_eq!(house.try_enter("alice/10", None).unwrap_err(), Refused::TooManySessions);
}

#[test]
fn guests_who_linger_make_room_before_those_who_have_a_name() {
    let mut house = House::new();
    let alice = house.enter("alice/1");
    house.registry.detach(&alice, house.now);
    house.now += Duration::from_secs(1);
    let guests: Vec<SignedIn> = (0..120).map(|number| house.enter(&format!("guest-{number}/1"))).collect();
    for who in &guests {
        house.registry.detach(who, house.now);
    }
    linger(&mut house, 0);
    assert!(house.registry.is_current(&alice), "the oldest of all");
    assert!(!house.registry.is_current(&guests[20]) && house.registry.is_current(&guests[21]));
    linger(&mut house, 29);
    assert!(!house.registry.is_current(&alice) && house.registry.is_current(&guests[21]));
    linger(&mut house, 1);
    assert_eq!((house.registry.sizes(), house.registry.lingering.len()), ((0, 0, 0), 0));
}
