use super::*;
use crate::sockets::pipe::QUEUE_BYTES;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::task::Waker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use webrtc::runtime::{Runtime, TokioRuntime};

const DEADLINE: Duration = Duration::from_secs(20);

/// Sockets on loopback with a tunnel to `listener`, whose server has the number 1. Other ways have no start.
fn tunnelled(listener: &TcpListener) -> (Arc<Tunnels>, Arc<Tunnelled>) {
    let tunnels = Arc::new(Tunnels::default());
    let url = format!("turn:{}?transport=tcp", listener.local_addr().unwrap());
    assert_eq!(tunnels.usable(&url, true), Some((virtual_url(1), true)));
    tunnels.set_head_start(false);
    let socket = another(&tunnels);
    (tunnels, socket)
}

fn another(tunnels: &Arc<Tunnels>) -> Arc<Tunnelled> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TokioRuntime.wrap_udp_socket(socket).unwrap();
    Tunnelled::new(socket, Arc::clone(tunnels), Streams::new(watch::Sender::default().subscribe())).unwrap()
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Over UDP, where sending may wait.
async fn send_over_udp(socket: &Tunnelled, destination: SocketAddr, contents: &[u8]) {
    let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
    let sent = poll_fn(|cx| socket.poll_send(cx, &transmit));
    tokio::time::timeout(DEADLINE, sent).await.unwrap().unwrap();
}

/// Into a tunnel: that never waits, or the test fails.
fn send(socket: &Tunnelled, destination: SocketAddr, contents: &[u8]) -> io::Result<usize> {
    let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
    match socket.poll_send(&mut Context::from_waker(Waker::noop()), &transmit) {
        Poll::Ready(sent) => sent,
        Poll::Pending => panic!("sending waits"),
    }
}

async fn receive(socket: &Tunnelled) -> (SocketAddr, Vec<u8>) {
    let (mut buffer, mut meta) = (vec![0; 2000], [RecvMeta::default()]);
    let received = poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta));
    assert_eq!(tokio::time::timeout(DEADLINE, received).await.unwrap().unwrap(), 1);
    (meta[0].addr, buffer[..meta[0].len].to_vec())
}

/// Sends until the tunnel has ended.
async fn end_of(socket: &Tunnelled) -> io::ErrorKind {
    let ended = async {
        for id in 0_u32.. {
            if let Err(error) = send(socket, virtual_address(1), &request(id)) {
                return error.kind();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("numbers do not end")
    };
    tokio::time::timeout(DEADLINE, ended).await.unwrap()
}

/// A Refresh, of which any number may be on their way.
fn request(id: u32) -> Vec<u8> {
    let mut message = vec![0x00, 0x04, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend([0; 8]);
    message.extend(id.to_be_bytes());
    message
}

fn channel_data(payload: usize) -> Vec<u8> {
    let mut message = vec![0x40, 0x00];
    message.extend((payload as u16).to_be_bytes());
    message.resize(4 + payload, 7);
    message
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    buffer
}

#[tokio::test]
async fn what_goes_to_a_virtual_address_comes_out_at_the_server_and_its_answers_come_from_there() {
    let listener = listener().await;
    let (_, socket) = tunnelled(&listener);
    assert_eq!(send(&socket, virtual_address(1), &request(1)).unwrap(), 20);
    // What is repeated is not sent twice, and what is no TURN not at all.
    send(&socket, virtual_address(1), &request(1)).unwrap();
    send(&socket, virtual_address(1), &[0x80; 40]).unwrap();
    send(&socket, virtual_address(1), &channel_data(5)).unwrap();
    send(&socket, virtual_address(1), &request(2)).unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(read(&mut server, 20).await, request(1));
    let padded = read(&mut server, 12).await;
    assert_eq!(padded[..9], channel_data(5));
    assert_eq!(read(&mut server, 20).await, request(2));
    for bytes in (1..=8).chain([1200]) {
        let mut message = channel_data(bytes);
        message.resize(message.len().next_multiple_of(4), 0);
        server.write_all(&message).await.unwrap();
        assert_eq!(receive(&socket).await, (virtual_address(1), channel_data(bytes)));
    }
    // One that no datagram could carry is left out.
    server.write_all(&channel_data(2000)).await.unwrap();
    server.write_all(&channel_data(8)).await.unwrap();
    assert_eq!(receive(&socket).await.1, channel_data(8));
    drop(socket);
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, server.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_server_that_stops_reading_stalls_nothing() {
    let listener = listener().await;
    let (_, socket) = tunnelled(&listener);
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let (own, far) = (socket.local_addr().unwrap(), other.local_addr().unwrap());
    send(&socket, virtual_address(1), &request(1)).unwrap();
    let (server, _) = listener.accept().await.unwrap();
    for _ in 0..20_000 {
        assert_eq!(send(&socket, virtual_address(1), &channel_data(1000)).unwrap(), 1004);
    }
    tokio::task::yield_now().await;
    {
        let open = lock(&socket.open);
        assert!(open[&1].out.lost() > 0 && open[&1].out.queued_bytes() <= QUEUE_BYTES);
    }
    let other = tokio::net::UdpSocket::from_std(other).unwrap();
    for number in 0..10_u8 {
        send_over_udp(&socket, far, &[0x80, number]).await;
        let mut buffer = [0; 8];
        let (bytes, from) = tokio::time::timeout(DEADLINE, other.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..bytes], from), (&[0x80, number][..], own));
        other.send_to(&[0x81, number], own).await.unwrap();
        assert_eq!(receive(&socket).await, (far, vec![0x81, number]));
    }
    drop(server);
}

#[tokio::test]
async fn a_server_that_floods_does_not_keep_datagrams_from_being_read() {
    let listener = listener().await;
    let (_, socket) = tunnelled(&listener);
    send(&socket, virtual_address(1), &request(1)).unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let flood = tokio::spawn(async move { while server.write_all(&channel_data(1200).repeat(50)).await.is_ok() {} });
    while receive(&socket).await.0 != virtual_address(1) {}
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.send_to(&[0x80; 3], socket.local_addr().unwrap()).unwrap();
    let mut until_then = 0;
    while receive(&socket).await.0 != other.local_addr().unwrap() {
        until_then += 1;
        assert!(until_then < 1000, "the flood alone is read");
    }
    flood.abort();
}

#[tokio::test]
async fn garbage_and_the_end_of_the_connection_end_a_tunnel_and_it_is_not_begun_again() {
    for (said, kind) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], io::ErrorKind::InvalidData), (b"", io::ErrorKind::UnexpectedEof)]
    {
        let listener = listener().await;
        let (tunnels, socket) = tunnelled(&listener);
        send(&socket, virtual_address(1), &request(0)).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        read(&mut server, 20).await;
        server.write_all(said).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(end_of(&socket).await, kind);
        assert_eq!(lock(&tunnels.failed).get(&1), Some(&Outcome::Unreachable));
        let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(again.is_err(), "there is a second connection");
    }
}

#[tokio::test]
async fn a_server_that_nobody_is_at_ends_its_tunnel() {
    let gone = listener().await;
    let (tunnels, socket) = tunnelled(&gone);
    drop(gone);
    assert_eq!(end_of(&socket).await, io::ErrorKind::ConnectionRefused);
    assert_eq!(lock(&tunnels.failed).get(&1), Some(&Outcome::Unreachable));
}

#[tokio::test]
async fn no_connection_is_made_where_a_better_way_is_found_in_time() {
    for way in ["path", "relay"] {
        let listener = listener().await;
        let (tunnels, socket) = tunnelled(&listener);
        tunnels.set_head_start(true);
        let turn = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
        let mut allocate = request(9);
        allocate[1] = 0x03;
        send_over_udp(&socket, turn, &allocate).await;
        send(&socket, virtual_address(1), &request(0)).unwrap();
        if way == "path" {
            tunnels.path_changed(true);
        } else {
            allocate[0] = 0x01;
            tunnels.heard(Instant::now(), &allocate);
        }
        assert_eq!(end_of(&socket).await, io::ErrorKind::ConnectionAborted, "{way}");
        assert_eq!(tunnels.outcome(1), Outcome::NotAsked);
        let connected = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(connected.is_err(), "{way}: there is a connection");
    }
    // Where none is found, the tunnel comes after its time.
    let listener = listener().await;
    let (tunnels, socket) = tunnelled(&listener);
    tunnels.set_head_start(true);
    let start = Instant::now();
    send(&socket, virtual_address(1), &request(0)).unwrap();
    tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    assert!(start.elapsed() >= HEAD_START);
}

#[tokio::test]
async fn a_server_is_asked_from_one_socket_alone() {
    let listener = listener().await;
    let (tunnels, first) = tunnelled(&listener);
    let second = another(&tunnels);
    let sent = [&first, &second].map(|socket| send(socket, virtual_address(1), &request(0)).is_ok());
    assert_eq!(sent, [false, true], "the newest, as after an ICE restart");
    drop(second);
    assert!(send(&first, virtual_address(1), &request(0)).is_ok());
    let unknown = send(&first, virtual_address(2), &request(0));
    assert_eq!(unknown.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn a_server_keeps_its_number_and_too_many_are_not_used() {
    let tunnels = Tunnels::default();
    let first = tunnels.usable("turn:a.example.org?transport=tcp", true);
    assert_eq!(tunnels.usable("turns:a.example.org", true), Some((virtual_url(2), true)));
    assert_eq!(tunnels.usable("turn:a.example.org?transport=tcp", true), first);
    assert_eq!(tunnels.usable("stun:a.example.org", false), Some(("stun:a.example.org".into(), false)));
    for number in 3..=SERVERS {
        assert!(tunnels.usable(&format!("turns:{number}.example.org"), true).is_some());
    }
    assert_eq!(tunnels.usable("turns:last.example.org", true), None);
    assert_eq!(tunnels.targets().len(), usize::from(SERVERS) + 1);
}
