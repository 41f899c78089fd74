//! The rig itself: that its networks do what the tests beside this one take for granted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ahoy_tests::harness::DEADLINE;
use ahoy_tests::harness::lab::End;
use ahoy_tests::harness::rig::{Nat, Rig};

/// How long a packet on this machine may take.
const SOON: Duration = Duration::from_secs(2);
/// How long nothing comes until nothing will.
const NEVER: Duration = Duration::from_millis(200);

fn bind(address: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).expect("the address is there");
    socket.set_read_timeout(Some(SOON)).expect("a socket can be told to give up");
    socket
}

fn at(rig: &Rig, end: End) -> UdpSocket {
    rig.enter(end, || bind(Ipv4Addr::UNSPECIFIED))
}

fn in_the_internet(rig: &Rig) -> UdpSocket {
    rig.in_the_internet(|| bind(rig.internet_address()))
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("it is bound").port()
}

/// What comes, and where from. `None`: nothing.
fn comes(socket: &UdpSocket, within: Duration) -> Option<SocketAddr> {
    socket.set_read_timeout(Some(within)).expect("a socket can be told to give up");
    socket.recv_from(&mut [0; 16]).ok().map(|(_, from)| from)
}

#[test]
fn each_end_reaches_the_other_and_the_server_until_it_is_cut_off_without_a_word() {
    let Some(rig) = Rig::start() else { return };
    let (a, b, s) = (at(&rig, End::A), at(&rig, End::B), in_the_internet(&rig));
    let to_b = (rig.address(End::B), port(&b));
    let to_s = (rig.internet_address(), port(&s));
    a.send_to(b"hello", to_b).expect("there is a route");
    assert_eq!(comes(&b, SOON), Some(SocketAddr::from((rig.address(End::A), port(&a)))));
    rig.cut(End::A);
    for _ in 0..3 {
        a.send_to(b"lost", to_b).expect("nobody is told");
        a.send_to(b"lost", to_s).expect("nobody is told");
        b.send_to(b"lost", (rig.address(End::A), port(&a))).expect("nobody is told");
    }
    assert_eq!([comes(&b, NEVER), comes(&s, NEVER), comes(&a, NEVER)], [None; 3]);
    b.send_to(b"hello", to_s).expect("only A is cut off");
    assert!(comes(&s, SOON).is_some());
    rig.mend(End::A);
    a.send_to(b"hello", to_b).expect("there is a route");
    assert!(comes(&b, SOON).is_some());
}

#[test]
fn routers_translate_as_they_are_told_to() {
    let Some(rig) = Rig::start_behind([Nat::PortRestricted, Nat::Symmetric]) else { return };
    let servers = [in_the_internet(&rig), in_the_internet(&rig)];
    let seen = |end| {
        let socket = at(&rig, end);
        let seen = servers.each_ref().map(|server| {
            socket.send_to(b"who am I", (rig.internet_address(), port(server))).expect("there is a route");
            comes(server, SOON).expect("it comes")
        });
        (socket, seen)
    };
    let (a, [a_first, a_second]) = seen(End::A);
    let (_b, [b_first, b_second]) = seen(End::B);
    assert_eq!(a_first.ip(), rig.router_address(End::A), "the router's address");
    assert_eq!(a_first, a_second, "one port for every destination");
    assert_eq!((b_first.ip(), b_second.ip()), (rig.router_address(End::B).into(), rig.router_address(End::B).into()));
    assert_ne!(b_first.port(), b_second.port(), "another port for each destination");
    servers[0].send_to(b"answer", a_first).expect("there is a route");
    assert!(comes(&a, SOON).is_some(), "answers come in");
    in_the_internet(&rig).send_to(b"unasked", a_first).expect("there is a route");
    assert_eq!(comes(&a, NEVER), None, "nothing else does");
}

#[test]
fn two_behind_port_restricted_routers_meet_by_sending_at_once() {
    let Some(rig) = Rig::start_behind([Nat::PortRestricted; 2]) else { return };
    let server = in_the_internet(&rig);
    let [(a, a_seen), (b, b_seen)] = [End::A, End::B].map(|end| {
        let socket = at(&rig, end);
        socket.send_to(b"who am I", (rig.internet_address(), port(&server))).expect("there is a route");
        let seen = comes(&server, SOON).expect("it comes");
        (socket, seen)
    });
    for _ in 0..2 {
        a.send_to(b"hello", b_seen).expect("there is a route");
        b.send_to(b"hello", a_seen).expect("there is a route");
    }
    assert_eq!(comes(&a, SOON), Some(b_seen));
    assert_eq!(comes(&b, SOON), Some(a_seen));
}

#[test]
fn where_no_udp_passes_tcp_does() {
    let Some(rig) = Rig::start() else { return };
    rig.block_udp(End::A);
    let (a, s) = (at(&rig, End::A), in_the_internet(&rig));
    a.send_to(b"lost", (rig.internet_address(), port(&s))).expect("nobody is told");
    assert_eq!(comes(&s, NEVER), None);
    let server = rig.in_the_internet(|| TcpListener::bind((rig.internet_address(), 0))).expect("a port is free");
    let address = server.local_addr().expect("it is bound");
    rig.enter(End::A, || TcpStream::connect_timeout(&address, DEADLINE)).expect("TCP passes");
}

#[test]
fn an_end_gets_another_address_and_another_interface() {
    let Some(rig) = Rig::start() else { return };
    let s = in_the_internet(&rig);
    let source = || {
        let a = at(&rig, End::A);
        a.send_to(b"who am I", (rig.internet_address(), port(&s))).expect("there is a route");
        comes(&s, SOON).expect("it comes").ip()
    };
    assert_eq!(source(), rig.address(End::A));
    let other = rig.set_address(End::A, 7);
    assert!(other != rig.address(End::A) && source() == other);
    let second = rig.second_interface(End::A);
    assert_eq!(source(), second, "the second is preferred");
    let bound = rig.enter(End::A, || bind(other));
    rig.interface_down(End::A);
    assert_eq!(source(), second);
    // The kernel sends what comes from the address of the dead interface by the other one; the answer finds no way back.
    let _ = bound.send_to(b"lost", (rig.internet_address(), port(&s)));
    let _ = comes(&s, NEVER);
    s.send_to(b"lost", (other, port(&bound))).expect("there is a route");
    assert_eq!(comes(&bound, NEVER), None);
}

#[test]
fn what_leaves_an_end_is_recorded() {
    let Some(rig) = Rig::start() else { return };
    let capture = rig.capture(End::A);
    let (a, s) = (at(&rig, End::A), in_the_internet(&rig));
    let there = (rig.internet_address(), port(&s));
    a.send_to(&[0x80, 96], there).expect("there is a route");
    a.send_to(&[22, 254], there).expect("there is a route");
    let from = comes(&s, SOON).expect("it comes");
    s.send_to(&[0x80, 96], from).expect("there is a route");
    comes(&a, SOON).expect("it comes");
    let packets = capture.packets();
    let datagrams: Vec<_> = packets.iter().filter(|packet| packet.protocol == 17).collect();
    assert_eq!(datagrams.len(), 2, "what comes in is not recorded: {packets:?}");
    assert!(datagrams[0].is_rtp() && !datagrams[0].is_dtls() && datagrams[1].is_dtls());
    assert!(datagrams.iter().all(|packet| SocketAddr::from(packet.to) == SocketAddr::from(there)));
}

#[test]
fn nothing_of_it_is_left() {
    let Some(rig) = Rig::start() else { return };
    let a = at(&rig, End::A);
    let there = (rig.internet_address(), 9);
    a.send_to(b"on", there).expect("there is a route");
    drop(rig);
    // The kernel takes namespaces down by and by.
    let deadline = Instant::now() + DEADLINE;
    while a.send_to(b"off", there).is_ok() {
        assert!(Instant::now() < deadline, "its routers are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}
