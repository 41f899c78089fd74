//! How much anybody may do.

use super::*;

#[test]
fn a_user_an_address_and_all_together_have_so_many_allocations() {
    let asked = [attribute_of_transport(17)];
    let mut bench = Bench::with(|config| {
        config.limits.user_allocations = 3;
        config.limits.guest_allocations = 1;
        config.limits.address_allocations = 5;
        config.limits.allocations = 7;
    });
    let mut ask = |name: &str, address: &str| {
        let mut asker = bench.asker(name, address);
        bench.ask(&mut asker, method::ALLOCATE, &asked)
    };
    for port in 1..=3 {
        assert_eq!(ask("alice", &format!("1.1.1.1:{port}")), Said::Success);
    }
    assert_eq!(ask("alice", "1.1.1.2:4"), Said::Error(486), "whatever the address");
    assert_eq!(ask("guest-1234", "1.1.1.1:5"), Said::Success);
    assert_eq!(ask("guest-1234", "1.1.1.1:6"), Said::Error(486));
    assert_eq!(ask("bob", "1.1.1.1:7"), Said::Success);
    assert_eq!(ask("carol", "1.1.1.1:8"), Said::Error(486), "the address has five");
    assert_eq!(ask("carol", "1.1.1.3:8"), Said::Success);
    assert_eq!(ask("dave", "1.1.1.4:8"), Said::Success);
    assert_eq!(ask("erin", "1.1.1.5:8"), Said::Error(508), "there are seven");
    let client = Client { transport: Transport::Udp(0), address: "1.1.1.1:1".parse().unwrap() };
    bench.relay.closed(client, &mut bench.ports);
    let mut erin = bench.asker("erin", "1.1.1.5:8");
    assert_eq!(bench.ask(&mut erin, method::ALLOCATE, &asked), Said::Success);
    assert_eq!(bench.metrics.allocations_udp.load(Relaxed), 7);
}

#[test]
fn a_site_has_a_quarter_of_all_allocations_and_all_guests_have_half() {
    let asked = [attribute_of_transport(17)];
    let mut bench = Bench::with(|config| config.limits.allocations = 16);
    let ask = |bench: &mut Bench, name: &str, address: &str| {
        let mut asker = bench.asker(name, address);
        bench.ask(&mut asker, method::ALLOCATE, &asked)
    };
    let close = |bench: &mut Bench, address: &str| {
        let client = Client { transport: Transport::Udp(0), address: address.parse().unwrap() };
        bench.relay.closed(client, &mut bench.ports);
    };
    let of_site = |subnet: u16| format!("[2001:db8:7:{subnet}::1]:5");
    for subnet in 0..4 {
        assert_eq!(ask(&mut bench, &format!("user-{subnet}"), &of_site(subnet)), Said::Success);
    }
    assert_eq!(ask(&mut bench, "user-4", &of_site(4)), Said::Error(486), "another network of the same site");
    assert_eq!(ask(&mut bench, "user-4", "[2001:db8:8::1]:5"), Said::Success);
    for guest in 0..8 {
        assert_eq!(ask(&mut bench, &format!("guest-{guest}"), &format!("1.1.1.{guest}:5")), Said::Success);
    }
    assert_eq!(ask(&mut bench, "guest-8", "1.1.2.1:5"), Said::Error(508), "guests have eight");
    assert_eq!(ask(&mut bench, "alice", "1.1.2.1:5"), Said::Success);
    // What ended makes room.
    close(&mut bench, "1.1.1.0:5");
    assert_eq!(ask(&mut bench, "guest-8", "1.1.2.1:6"), Said::Success);
    close(&mut bench, &of_site(2));
    assert_eq!(ask(&mut bench, "user-5", &of_site(4)), Said::Success);
    let clients: Vec<_> = bench.relay.clients.keys().copied().collect();
    for client in clients {
        bench.relay.closed(client, &mut bench.ports);
    }
    assert!(bench.relay.networks.is_empty() && bench.relay.guests == 0);
}

#[test]
fn an_allocation_has_so_many_permissions_and_channels() {
    let mut bench = Bench::with(|config| {
        config.limits.permissions = 4;
        config.limits.channels = 2;
    });
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    bench.allocate(&mut asker);
    for (last, expected) in [(1, Said::Success), (2, Said::Success), (1, Said::Success), (3, Said::Error(508))] {
        let peer = asker.peer(&format!("8.8.8.{}:1", last.min(2)));
        let peer = if last == 3 { asker.peer("8.8.8.2:2") } else { peer };
        assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[number(0x4000 + last), peer]), expected);
    }
    let peers: Vec<_> = (3..=5).map(|last| asker.peer(&format!("8.8.8.{last}:1"))).collect();
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &peers), Said::Error(508));
    let peers: Vec<_> = (1..=4).map(|last| asker.peer(&format!("8.8.8.{last}:1"))).collect();
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &peers), Said::Success);
    let peer = asker.peer("8.8.8.5:1");
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[peer]), Said::Error(508));
    let many: Vec<_> = (1..=17).map(|last| asker.peer(&format!("8.8.9.{last}:1"))).collect();
    assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &many), Said::Error(400));
}

/// How many of 500 datagrams of so many bytes go from a client to its peer at once, and from there to the client.
fn carried(bench: &mut Bench, asker: &Asker, payload: usize) -> [usize; 2] {
    let length = u16::try_from(payload).unwrap().to_be_bytes();
    let data = [&[0x40, 0, length[0], length[1]][..], &vec![0; payload]].concat();
    let (relay, now) = (bench.relay_of(asker), bench.now);
    let sent = (0..500).filter(|_| matches!(bench.hear(asker.client, &data), Action::ToPeer { .. })).count();
    let mut hear_peer = || bench.relay.hear_peer(now, relay, PEER.parse().unwrap(), &data[4..]);
    [sent, (0..500).filter(|_| matches!(hear_peer(), Action::ToClient { .. })).count()]
}

fn with_channel(bench: &mut Bench, name: &str, address: &str) -> Asker {
    let mut asker = bench.asker(name, address);
    bench.allocate(&mut asker);
    let peer = asker.peer(PEER);
    assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[number(0x4000), peer]), Said::Success);
    asker
}

#[test]
fn a_user_carries_so_much_a_second_each_way_over_all_allocations() {
    let mut bench = Bench::with(|config| config.limits.user_bytes_per_s = 10_000);
    let mut first = with_channel(&mut bench, "alice", "1.2.3.4:5");
    let second = with_channel(&mut bench, "alice", "1.2.3.4:6");
    let bob = with_channel(&mut bench, "bob", "1.2.3.4:7");
    assert_eq!(carried(&mut bench, &first, 936), [10, 10]);
    assert_eq!(carried(&mut bench, &second, 936), [0, 0], "hers, whichever relay");
    assert_eq!(carried(&mut bench, &bob, 936), [10, 10], "another's is not touched");
    bench.pass(SECOND / 2);
    assert_eq!(carried(&mut bench, &second, 936), [5, 5]);
    // Nor is there a new one for who begins anew.
    for asker in [&mut first, &mut { second }] {
        assert_eq!(bench.ask(asker, method::REFRESH, &[lifetime(0)]), Said::Success);
    }
    bench.pass(Duration::ZERO);
    let again = with_channel(&mut bench, "alice", "1.2.3.4:8");
    assert_eq!(carried(&mut bench, &again, 936), [0, 0]);
    bench.pass(2 * SECOND);
    assert_eq!(carried(&mut bench, &again, 936), [10, 10]);
}

#[test]
fn datagrams_are_not_free_for_being_small() {
    let mut bench = Bench::with(|config| config.limits.user_bytes_per_s = 6_400);
    let asker = with_channel(&mut bench, "alice", "1.2.3.4:5");
    assert_eq!(carried(&mut bench, &asker, 0), [100, 100]);
    bench.pass(SECOND);
    assert_eq!(carried(&mut bench, &asker, 16), [80, 80]);
}

#[test]
fn what_is_too_long_for_a_stream_is_dropped_and_counted_and_over_udp_it_is_passed_on() {
    for (transport, longest) in [(Transport::Stream(1), 4_092), (Transport::Udp(0), 65_000)] {
        let mut bench = Bench::new();
        let mut asker = bench.asker_with(&username(UNIX + 60, "alice"), "1.2.3.4:5", transport);
        bench.allocate(&mut asker);
        let (channel, other) = (asker.peer(PEER), "8.8.8.8:1".parse().unwrap());
        assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[number(0x4000), channel]), Said::Success);
        let (relay, now, payload) = (bench.relay_of(&asker), bench.now, vec![0; longest + 1]);
        let mut length = |peer, payload: &[u8]| match bench.relay.hear_peer(now, relay, peer, payload) {
            Action::ToClient { head, payload, align, .. } => {
                Some((head.as_bytes().len() + payload.len()).next_multiple_of(align))
            }
            _ => None,
        };
        let is_stream = transport != Transport::Udp(0);
        // Of ChannelData four bytes are head, of a Data indication 36.
        for (peer, head) in [(PEER.parse().unwrap(), 4), (other, 36)] {
            let longest = longest + 4 - head;
            assert!(length(peer, &payload[..longest]).is_some(), "{longest}");
            assert_eq!(length(peer, &payload[..longest + 1]).is_none(), is_stream, "{longest} and one more");
            assert!(length(peer, b"x").is_some_and(|length| length <= 4_096), "what comes next goes on");
        }
        assert_eq!(bench.metrics.dropped[Dropped::Size as usize].load(Relaxed), if is_stream { 2 } else { 0 });
    }
}

#[test]
fn strangers_get_few_answers_and_no_memory() {
    let mut bench = Bench::new();
    let mut begin = request(method::ALLOCATE, 1);
    put(&mut begin, attribute_of_transport(17));
    let begin = begin.finish();
    let mut answered = 0;
    for number in 0..100_000_u32 {
        let address = SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0B00_0000 + number).into(), 5);
        let client = Client { transport: Transport::Udp(0), address };
        if let Action::Reply(answer) = bench.hear(client, &begin) {
            answered += 1;
            assert!(answer.len() <= 120, "{} bytes for {}", answer.len(), begin.len());
        }
    }
    // One each for as many as are told apart, and what all others share.
    assert_eq!(answered, 8_192 + 5_000);
    let relay = &bench.relay;
    assert!(relay.allocations.is_empty() && relay.clients.is_empty() && relay.users.is_empty());
    assert!(relay.networks.is_empty() && bench.ports.open.is_empty());
    let client = Client { transport: Transport::Udp(0), address: "1.2.3.4:5".parse().unwrap() };
    let mut bench = Bench::new();
    let binding = request(method::BINDING, 1).finish();
    let count = (0..500).filter(|_| matches!(bench.hear(client, &binding), Action::Reply(_))).count();
    assert_eq!(count, 100);
    bench.pass(Duration::from_secs(1));
    let count = (0..500).filter(|_| matches!(bench.hear(client, &binding), Action::Reply(_))).count();
    assert_eq!(count, 20);
}

#[test]
fn who_guesses_passwords_is_not_answered_for_a_while_and_who_has_one_is_not_held_up() {
    let mut bench = Bench::new();
    let mut alice = bench.asker("alice", "1.2.3.4:6");
    bench.allocate(&mut alice);
    let client = Client { transport: Transport::Udp(0), address: "1.2.3.4:5".parse().unwrap() };
    let mut guesser = Asker::new(client, &username(UNIX + 60, "alice"), "guess");
    guesser.nonce = bench.nonce(client);
    let mut bob = bench.asker("bob", "1.2.3.4:7");
    let asked = [attribute_of_transport(17)];
    for _ in 0..20 {
        assert_eq!(bench.ask(&mut guesser, method::ALLOCATE, &asked), Said::Error(401));
    }
    let refused = bench.metrics.refused[Refused::Rate as usize].load(Relaxed);
    for _ in 0..200 {
        assert_eq!(bench.ask(&mut guesser, method::ALLOCATE, &asked), Said::Silence);
    }
    assert_eq!(bench.metrics.refused[Refused::Rate as usize].load(Relaxed), refused + 200);
    // The guesser may be anybody who writes that address on datagrams.
    assert_eq!(bench.ask(&mut alice, method::REFRESH, &[]), Said::Success);
    assert_eq!(bench.ask(&mut bob, method::ALLOCATE, &asked), Said::Success);
    bench.pass(60 * SECOND);
    guesser.nonce = bench.nonce(client);
    assert_eq!(bench.ask(&mut guesser, method::ALLOCATE, &asked), Said::Error(401), "forgiven");
}

#[test]
fn who_floods_an_address_shuts_out_neither_its_connections_nor_who_has_a_password() {
    let mut bench = Bench::new();
    let mut alice = bench.asker("alice", "1.2.3.4:6");
    bench.allocate(&mut alice);
    let flooder = Client { transport: Transport::Udp(0), address: "1.2.3.4:5".parse().unwrap() };
    let binding = request(method::BINDING, 1).finish();
    let mut answers = |client| (0..500).filter(|_| matches!(bench.hear(client, &binding), Action::Reply(_))).count();
    assert!(answers(flooder) < 500);
    let connection = Client { transport: Transport::Stream(1), address: "1.2.3.4:7".parse().unwrap() };
    assert_eq!(answers(connection), 500);
    let mut bob = bench.asker_with(&username(UNIX + 60, "bob"), "1.2.3.4:7", Transport::Stream(1));
    bench.allocate(&mut bob);
    // Told that its nonce is old, which it has to be to get another.
    let nonce = std::mem::replace(&mut alice.nonce, "old".to_owned());
    assert_eq!(bench.ask(&mut alice, method::REFRESH, &[]), Said::Error(438));
    alice.nonce = nonce;
    assert_eq!(bench.ask(&mut alice, method::REFRESH, &[]), Said::Success);
}

#[test]
fn a_refused_peer_is_told_once_a_second() {
    let mut bench = Bench::new();
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    bench.allocate(&mut asker);
    for (expected, pause) in [(Said::Error(403), 0), (Said::Silence, 999), (Said::Silence, 1), (Said::Error(403), 0)] {
        let peer = asker.peer("127.0.0.1:22");
        assert_eq!(bench.ask(&mut asker, method::CREATE_PERMISSION, &[peer]), expected);
        bench.pass(Duration::from_millis(pause));
    }
}
