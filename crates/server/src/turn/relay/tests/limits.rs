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

#[test]
fn an_allocation_carries_so_much_a_second_each_way() {
    let mut bench = Bench::with(|config| config.limits.user_bytes_per_s = 10_000);
    let mut asker = bench.asker("alice", "1.2.3.4:5");
    bench.allocate(&mut asker);
    let peer = asker.peer(PEER);
    assert_eq!(bench.ask(&mut asker, method::CHANNEL_BIND, &[number(0x4000), peer]), Said::Success);
    let data = [&[0x40, 0, 0x03, 0xE8][..], &[0; 1_000]].concat();
    let relay = bench.relay_of(&asker);
    for (seconds, expected) in [(0, 10), (2, 10), (0, 0)] {
        bench.pass(Duration::from_secs(seconds));
        let sent = (0..50).filter(|_| matches!(bench.hear(asker.client, &data), Action::ToPeer { .. })).count();
        let peer = PEER.parse().unwrap();
        let now = bench.now;
        let came =
            (0..50).filter(|_| !matches!(bench.relay.hear_peer(now, relay, peer, &data[4..]), Action::Nothing)).count();
        assert_eq!((sent, came), (expected, expected));
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
    let client = Client { transport: Transport::Udp(0), address: "1.2.3.4:5".parse().unwrap() };
    let mut guesser = Asker::new(client, &username(UNIX + 60, "alice"), "guess");
    guesser.nonce = bench.nonce(client);
    let asked = [attribute_of_transport(17)];
    for _ in 0..20 {
        assert_eq!(bench.ask(&mut guesser, method::ALLOCATE, &asked), Said::Error(401));
    }
    let mut neighbour = bench.asker("alice", "1.2.3.5:5");
    assert_eq!(bench.ask(&mut neighbour, method::ALLOCATE, &asked), Said::Success);
    let refused = bench.metrics.refused[Refused::Rate as usize].load(Relaxed);
    bench.ask(&mut guesser, method::ALLOCATE, &asked);
    assert_eq!(bench.metrics.refused[Refused::Rate as usize].load(Relaxed), refused + 1, "not even looked at");
    bench.pass(Duration::from_secs(60));
    let mut later = bench.asker("alice", "1.2.3.4:5");
    assert_eq!(bench.ask(&mut later, method::ALLOCATE, &asked), Said::Success);
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
