//! What is answered to whom, and what is passed on.

use super::*;

#[test]
fn a_binding_request_is_answered_with_the_address_it_came_from() {
    let mut bench = Bench::new();
    for address in ["198.51.100.7:4711", "[2001:db8::5]:9"] {
        let client = Client { transport: Transport::Udp(0), address: address.parse().unwrap() };
        let bytes = request(method::BINDING, 5).finish();
        let Action::Reply(answer) = bench.hear(client, &bytes) else { panic!("no answer") };
        let answer = Message::from_bytes(&answer).unwrap();
        assert!(answer.has_class(MessageClass::Success));
        let mapped = answer.raw_attribute(AttributeType::new(0x0020)).unwrap();
        assert_eq!(XorSocketAddr::from_raw(&mapped).unwrap().addr(5.into()), client.address);
        assert!(answer.raw_attribute(AttributeType::new(0x8028)).is_some(), "a fingerprint");
        let mut odd = request(method::BINDING, 6);
        put(&mut odd, (0x7777, vec![1]));
        let odd = odd.finish();
        let Action::Reply(answer) = bench.hear(client, &odd) else { panic!("no answer") };
        assert_eq!(code(&Message::from_bytes(&answer).unwrap()), Some(420));
    }
}

#[test]
fn who_is_not_who_they_say_gets_no_relay() {
    let mut bench = Bench::new();
    let secret = bench.secret.clone();
    let transport = attribute_of_transport(17);
    let good = username(UNIX + 60, "alice");
    let expired = username(UNIX, "alice");
    let wrong = |name: &str| secret.credential(name).replace(char::is_alphanumeric, "x");
    for (name, password, expected) in [
        (&*expired, secret.credential(&expired), 401),
        (&good, wrong(&good), 401),
        (&good, secret.credential(&username(UNIX + 61, "alice")), 401),
        ("alice", secret.credential("alice"), 401),
        ("", secret.credential(""), 401),
    ] {
        let client = Client { transport: Transport::Udp(0), address: "1.2.3.4:5".parse().unwrap() };
        let mut asker = Asker::new(client, name, &password);
        asker.nonce = bench.nonce(client);
        assert_eq!(
            bench.ask(&mut asker, method::ALLOCATE, std::slice::from_ref(&transport)),
            Said::Error(expected),
            "{name}"
        );
    }
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    let mut other = bench.asker("alice", "1.2.3.4:6");
    std::mem::swap(&mut asker.nonce, &mut other.nonce);
    assert_eq!(
        bench.ask(&mut asker, method::ALLOCATE, std::slice::from_ref(&transport)),
        Said::Error(438),
        "another's nonce"
    );
    assert!(bench.ports.open.is_empty());
    std::mem::swap(&mut asker.nonce, &mut other.nonce);
    assert_eq!(bench.ask(&mut asker, method::ALLOCATE, &[transport]), Said::Success);
    assert_eq!(bench.ports.open.len(), 1);
}

#[test]
fn a_changed_request_is_not_taken() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    asker.transaction += 1;
    let good = asker.signed(method::ALLOCATE, &[attribute_of_transport(17), lifetime(700)]);
    // The lifetime, behind transport; anything before the integrity would do.
    let at = good.windows(4).position(|bytes| bytes == 700_u32.to_be_bytes()).unwrap();
    let mut changed = good.clone();
    changed[at] ^= 1;
    let Action::Reply(answer) = bench.hear(asker.client, &changed) else { panic!("no answer") };
    assert_eq!(asker.read(&answer), Said::Error(401));
    let Action::Reply(answer) = bench.hear(asker.client, &good) else { panic!("no answer") };
    assert_eq!(asker.read(&answer), Said::Success);
}

#[test]
fn every_error_has_its_code() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    let transport = attribute_of_transport(17);
    for (attributes, expected) in [
        (vec![], 400),
        (vec![attribute_of_transport(6)], 442),
        (vec![(0x0019, vec![17])], 400),
        (vec![transport.clone(), (0x0017, vec![2, 0, 0, 0])], 440),
        (vec![transport.clone(), (0x0017, vec![9, 0, 0, 0])], 440),
        (vec![transport.clone(), (0x0018, vec![0x80])], 508),
        (vec![transport.clone(), (0x0022, vec![0; 8])], 508),
        (vec![transport.clone(), (0x7777, vec![])], 420),
    ] {
        assert_eq!(bench.ask(&mut asker, method::ALLOCATE, &attributes), Said::Error(expected), "{attributes:?}");
    }
    for kind in [method::REFRESH, method::CREATE_PERMISSION, method::CHANNEL_BIND] {
        assert_eq!(bench.ask(&mut asker, kind, &[]), Said::Error(437), "without an allocation");
    }
    // RFC 6062, and what nobody has defined.
    for kind in [0x00A, 0x00B, 0x00C, 0x0FF] {
        assert_eq!(bench.ask(&mut asker, kind, &[]), Said::Error(400));
    }
    bench.ports.refuse = Some(NoPort::Taken);
    assert_eq!(bench.ask(&mut asker, method::ALLOCATE, std::slice::from_ref(&transport)), Said::Error(508));
    bench.ports.refuse = None;
    bench.allocate(&mut asker);
    assert_eq!(bench.ask(&mut asker, method::ALLOCATE, &[transport]), Said::Error(437), "there is one already");
    let [v4, v6] = [PEER, "[2606:4700::1]:5"].map(|peer| move |asker: &Asker| asker.peer(peer));
    for (kind, attributes, expected) in [
        (method::CREATE_PERMISSION, vec![], 400),
        (method::CREATE_PERMISSION, vec![(0x0012, vec![0, 1, 2])], 400),
        (method::CREATE_PERMISSION, vec![v6(&asker)], 443),
        (method::CHANNEL_BIND, vec![number(0x4000)], 400),
        (method::REFRESH, vec![(0x0017, vec![2, 0, 0, 0])], 443),
    ] {
        let attributes: Vec<_> = match attributes.first() {
            Some((0x0012, value)) if value.len() > 4 => vec![v6(&asker)],
            _ => attributes,
        };
        assert_eq!(bench.ask(&mut asker, kind, &attributes), Said::Error(expected), "{kind:#x}");
    }
    for bad in [0x3FFF, 0x8000] {
        let peer = v4(&asker);
        assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[number(bad), peer]), Said::Error(400));
    }
}

#[test]
fn only_its_owner_may_change_an_allocation_and_longer_than_the_credentials_hold() {
    let mut bench = Bench::new();
    let mut alice = bench.asker_with(&username(UNIX + 20, "alice"), "1.2.3.4:5", Transport::Udp(0));
    bench.allocate(&mut alice);
    let mut bob = bench.asker_with(&username(UNIX + 999, "bob"), "1.2.3.4:5", Transport::Udp(0));
    assert_eq!(bench.ask(&mut bob, method::REFRESH, &[]), Said::Error(441));
    assert_eq!(bench.ask(&mut bob, method::REFRESH, &[lifetime(0)]), Said::Error(441));
    for _ in 0..10 {
        bench.pass(300 * SECOND);
        assert_eq!(bench.ask(&mut alice, method::REFRESH, &[]), Said::Success);
    }
    // With credentials made anew, too.
    let mut again = bench.asker_with(&username(bench.now.unix + 20, "alice"), "1.2.3.4:5", Transport::Udp(0));
    assert_eq!(bench.ask(&mut again, method::REFRESH, &[lifetime(0)]), Said::Success);
    assert!(bench.ports.open.is_empty());
    assert_eq!(bench.ask(&mut alice, method::REFRESH, &[]), Said::Error(401), "what has ended is not begun anew");
    let asked = [attribute_of_transport(17)];
    assert_eq!(bench.ask(&mut alice, method::ALLOCATE, &asked), Said::Error(401));
}

#[test]
fn an_allocation_ends_when_nobody_refreshes_it_and_is_dead_before_it_is_found() {
    let mut bench = Bench::new();
    let mut asker = bench.asker_with(&username(UNIX + 100, "alice"), "1.2.3.4:5", Transport::Udp(0));
    for (asked, given) in [(None, 600), (Some(1), 600), (Some(1_000), 1_000), (Some(u32::MAX), 3_600)] {
        let asked: Vec<_> = [attribute_of_transport(17)].into_iter().chain(asked.map(lifetime)).collect();
        let mut asker = bench.asker("bob", &format!("1.2.3.4:{given}"));
        let (said, answer) = bench.ask_and_read(&mut asker, method::ALLOCATE, &asked);
        assert_eq!(said, Said::Success, "{asked:?}");
        let answer = Message::from_bytes(&answer).unwrap();
        let lifetime = answer.raw_attribute(AttributeType::new(0x000D)).unwrap();
        assert_eq!(&*lifetime.value, &(given as u32).to_be_bytes());
        assert_eq!(bench.ask(&mut asker, method::REFRESH, &[super::lifetime(0)]), Said::Success);
    }
    bench.allocate(&mut asker);
    let peer = asker.peer(PEER);
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[peer]), Said::Success);
    bench.now.instant += 599 * SECOND;
    let peer = asker.peer(PEER);
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[peer]), Said::Success);
    bench.now.instant += SECOND;
    bench.now.unix += 600;
    assert!(!bench.sends(&mut asker, PEER));
    let relay = bench.relay_of(&asker);
    let now = bench.now;
    assert!(matches!(bench.relay.hear_peer(now, relay, PEER.parse().unwrap(), b"x"), Action::Nothing));
    assert_eq!(bench.ask(&mut asker, method::REFRESH, &[]), Said::Error(401), "nor with credentials that have expired");
    bench.pass(SECOND);
    assert!(bench.ports.open.is_empty() && bench.relay.clients.is_empty() && bench.relay.users.is_empty());
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    asker.transaction += 1;
    let bytes = asker.signed(method::ALLOCATE, &[attribute_of_transport(17)]);
    let answers: Vec<Vec<u8>> = (0..3)
        .map(|_| match bench.hear(asker.client, &bytes) {
            Action::Reply(answer) => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asker.read(&answers[0]), Said::Success);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(bench.ports.open.len(), 1);
}

#[test]
fn data_goes_where_there_is_a_permission_and_while_there_is() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    bench.allocate(&mut asker);
    let (relay, peer) = (bench.relay_of(&asker), PEER.parse::<SocketAddr>().unwrap());
    assert!(!bench.sends(&mut asker, PEER));
    assert!(matches!(bench.relay.hear_peer(bench.now, relay, peer, b"x"), Action::Nothing));
    let asked = asker.peer(PEER);
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[asked]), Said::Success);
    assert!(bench.sends(&mut asker, PEER) && bench.sends(&mut asker, "8.8.8.8:1"), "for all ports of the address");
    assert!(!bench.sends(&mut asker, "8.8.8.8:0") && !bench.sends(&mut asker, "8.8.4.4:5000"));
    let Action::ToClient { client, head, payload, align } = bench.relay.hear_peer(bench.now, relay, peer, b"hello")
    else {
        panic!("nothing came")
    };
    let mut bytes = [head.as_bytes(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(align), 0);
    let indication = Message::from_bytes(&bytes).unwrap();
    assert_eq!(
        (client, indication.get_type()),
        (asker.client, MessageType::from_class_method(MessageClass::Indication, Method::new(method::DATA)))
    );
    let from = indication.raw_attribute(AttributeType::new(0x0012)).unwrap();
    assert_eq!(XorSocketAddr::from_raw(&from).unwrap().addr(indication.transaction_id()), peer);
    assert_eq!(&*indication.raw_attribute(AttributeType::new(0x0013)).unwrap().value, b"hello");
    bench.pass(299 * SECOND);
    assert!(bench.sends(&mut asker, PEER));
    bench.pass(SECOND);
    assert!(!bench.sends(&mut asker, PEER));
    assert!(matches!(bench.relay.hear_peer(bench.now, relay, peer, b"x"), Action::Nothing));
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel_until_it_expires() {
    let mut bench = Bench::new();
    for transport in [Transport::Udp(0), Transport::Stream(1)] {
        let mut asker = bench.asker_with(&username(bench.now.unix + 9_999, "alice"), "1.2.3.4:5", transport);
        bench.allocate(&mut asker);
        let bind = |bench: &mut Bench, asker: &mut Asker, channel, peer| {
            let peer = asker.peer(peer);
            bench.ask(asker, method::CHANNEL_BIND, &[number(channel), peer])
        };
        assert_eq!(bind(&mut bench, &mut asker, 0x4001, PEER), Said::Success);
        assert_eq!(bind(&mut bench, &mut asker, 0x4001, PEER), Said::Success, "renewed");
        assert_eq!(bind(&mut bench, &mut asker, 0x4001, "8.8.8.8:1"), Said::Error(400));
        assert_eq!(bind(&mut bench, &mut asker, 0x4002, PEER), Said::Error(400));
        // With padding behind it, as some clients send it over UDP.
        let data = b"\x40\x01\x00\x05hello\x00\x00\x00";
        assert!(matches!(bench.hear(asker.client, data), Action::ToPeer { payload: b"hello", .. }));
        assert!(matches!(bench.hear(asker.client, b"\x40\x02\x00\x05hello"), Action::Nothing));
        assert!(matches!(bench.hear(asker.client, b"\x40\x01\x00\x06hello"), Action::Nothing), "cut short");
        let relay = bench.relay_of(&asker);
        match bench.relay.hear_peer(bench.now, relay, PEER.parse().unwrap(), b"hello") {
            Action::ToClient { head, payload: b"hello", align, .. } => {
                assert_eq!(head.as_bytes(), b"\x40\x01\x00\x05");
                assert_eq!(align, if transport == Transport::Udp(0) { 1 } else { 4 });
            }
            other => panic!("{other:?}"),
        }
        // The channel outlives the permission, which it gave for 5 minutes, but carries nothing without it.
        bench.pass(301 * SECOND);
        assert!(matches!(bench.hear(asker.client, data), Action::Nothing));
        let peer = asker.peer(PEER);
        assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[peer]), Said::Success);
        assert!(matches!(bench.hear(asker.client, data), Action::ToPeer { .. }));
        assert_eq!(bench.ask(&mut asker, method::REFRESH, &[]), Said::Success);
        bench.pass(299 * SECOND);
        assert!(matches!(bench.hear(asker.client, data), Action::Nothing), "expired after 10 minutes");
        assert_eq!(bind(&mut bench, &mut asker, 0x4001, "8.8.8.8:1"), Said::Success, "free for another");
        bench.relay.closed(asker.client, &mut bench.ports);
        assert!(bench.ports.open.is_empty());
    }
}

#[test]
fn two_relays_of_this_server_meet_inside_and_nothing_else_of_this_machine_is_reached() {
    let mut bench = Bench::new();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| bench.asker(name, &format!("1.2.3.4:{}", name.len())));
    let [at_alice, at_bob] = [bench.allocate(&mut alice), bench.allocate(&mut bob)].map(|at| at.to_string());
    let beside = format!("{OWN}:4280");
    let asked = alice.peer(&beside);
    assert_eq!(bench.ask(&mut alice, method::CREATE_PERMISSION, &[asked]), Said::Error(403));
    for (asker, peer) in [(&mut alice, &at_bob), (&mut bob, &at_alice)] {
        let asked = asker.peer(peer);
        assert_eq!(bench.ask(asker, method::CREATE_PERMISSION, &[asked]), Said::Success);
    }
    let bytes = alice.indication(&at_bob, b"hello");
    match bench.hear(alice.client, &bytes) {
        Action::ToClient { client, payload: b"hello", .. } => assert_eq!(client, bob.client),
        other => panic!("{other:?}"),
    }
    // The permission is for the address, and so would be for every port.
    let bytes = alice.indication(&beside, b"hello");
    assert!(matches!(bench.hear(alice.client, &bytes), Action::Nothing));
    assert_eq!(bench.ask(&mut bob, method::REFRESH, &[lifetime(0)]), Said::Success);
    let bytes = alice.indication(&at_bob, b"hello");
    assert!(matches!(bench.hear(alice.client, &bytes), Action::Nothing), "nor a port that was a relay's");
}

#[test]
fn a19_no_peer_within_this_machine_or_its_network_is_reached() {
    for allow_private in [false, true] {
        let mut bench = Bench::with(|config| config.allow_private = allow_private);
        let mut asker = bench.asker("alice", "1.2.3.4:5");
        bench.allocate(&mut asker);
        for (text, is_private) in peers::REFUSED {
            let address: IpAddr = text.parse().unwrap();
            if address.is_ipv6() {
                // There are no relays with such an address here; the judgement is tested beside it.
                let asked = asker.peer(&format!("[{text}]:80"));
                assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[asked]), Said::Error(443));
                continue;
            }
            let peer = format!("{text}:80");
            let expected = if allow_private && *is_private { Said::Success } else { Said::Error(403) };
            // A refusal is told once a second.
            bench.pass(SECOND);
            let asked = asker.peer(&peer);
            assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[asked]), expected, "{peer}");
            assert_eq!(bench.sends(&mut asker, &peer), expected == Said::Success, "{peer}");
            bench.pass(SECOND);
            let asked = asker.peer(&peer);
            let channel = number(0x4000 + u16::from(text.as_bytes()[0]) + bench.relay.next as u16);
            assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[channel, asked]), expected, "{peer}");
            bench.relay.next += 1;
            bench.pass(SECOND);
            let asked = [asker.peer(PEER), asker.peer(&peer)];
            assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &asked), expected, "{peer} beside a good one");
            assert_eq!(bench.ask(&mut asker, method::REFRESH, &[]), Said::Success);
        }
    }
}

#[test]
fn what_is_no_message_is_passed_over() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    bench.allocate(&mut asker);
    let good = asker.signed(method::REFRESH, &[]);
    for length in 0..good.len() {
        assert!(matches!(bench.hear(asker.client, &good[..length]), Action::Nothing), "{length} bytes");
    }
    // Every byte changed: nothing may panic, and nothing may be taken for the owner's.
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xFF] {
            bench.pass(SECOND);
            let mut changed = good.clone();
            changed[at] ^= flip;
            if let Action::Reply(answer) = bench.hear(asker.client, &changed) {
                assert!(code(&Message::from_bytes(&answer).unwrap()).is_some(), "byte {at} by {flip}");
            }
            asker.nonce = bench.nonce(asker.client);
        }
    }
    assert_eq!(bench.ports.open.len(), 1);
}
