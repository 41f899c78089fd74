use super::*;
use crate::candidate::check;
use crate::sockets::checks::tests::{credentials, known, request};
use crate::sockets::pipe::QUEUE_BYTES;
use crate::sockets::tunnels::{Tunnelled, Tunnels};
use std::future::poll_fn;
use std::io::IoSliceMut;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, TokioRuntime};

const DEADLINE: Duration = Duration::from_secs(20);

/// Alice's side, with a UDP socket, in a session without a path.
struct Bench {
    streams: Arc<Streams>,
    socket: Arc<Tunnelled>,
    news: mpsc::Receiver<News>,
    running: JoinHandle<()>,
    _known: watch::Sender<Known>,
}

impl Bench {
    fn start() -> Self {
        let known = watch::Sender::new(known("alice", Some("bob")));
        let streams = Streams::new(known.subscribe());
        let socket = another(&streams);
        let (told, news) = mpsc::channel(64);
        // After a path over TCP there is hardly a head start, and so nothing to wait for here.
        streams.path_changed(true, Some(virtual_address(true, 0)));
        streams.path_changed(false, None);
        streams.begin_session();
        let running = tokio::spawn(Arc::clone(&streams).run(told));
        Self { streams, socket, news, running, _known: known }
    }

    async fn news(&mut self) -> News {
        timeout(DEADLINE, self.news.recv()).await.unwrap().unwrap()
    }

    /// Where it listens; it is told with where it connects from.
    async fn listens(&mut self) -> SocketAddr {
        let [listens, connects] = [self.news().await, self.news().await].map(|news| match news {
            News::Own(attribute) => check(&attribute, true).unwrap(),
            News::Reached(attribute) => panic!("{attribute}"),
        });
        assert_eq!((listens.transport, connects.transport), (Transport::Listens, Transport::Connects));
        listens.address.unwrap()
    }

    /// What comes next on the UDP socket.
    async fn receive(&self) -> (SocketAddr, Vec<u8>) {
        let (mut buffer, mut meta) = (vec![0; 2000], [RecvMeta::default()]);
        let received = poll_fn(|cx| self.socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta));
        assert_eq!(timeout(DEADLINE, received).await.unwrap().unwrap(), 1);
        (meta[0].addr, buffer[..meta[0].len].to_vec())
    }

    /// Whether there is a connection at this address, now or soon.
    async fn ends(&self, address: SocketAddr) {
        let ended = async {
            while self.streams.state().open.contains_key(&address) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, ended).await.unwrap();
    }
}

fn another(streams: &Arc<Streams>) -> Arc<Tunnelled> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TokioRuntime.wrap_udp_socket(socket).unwrap();
    Tunnelled::new(socket, Arc::new(Tunnels::default()), Arc::clone(streams)).unwrap()
}

fn send(socket: &Tunnelled, destination: SocketAddr, contents: &[u8], size: Option<usize>) {
    let transmit = Transmit { destination, ecn: None, contents, segment_size: size, src_ip: None };
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match socket.poll_send(&mut cx, &transmit) {
        std::task::Poll::Ready(sent) => assert_eq!(sent.unwrap(), contents.len()),
        std::task::Poll::Pending => panic!("sending waits"),
    }
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let reading = async {
        let mut datagram = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut datagram).await.unwrap();
        datagram
    };
    timeout(DEADLINE, reading).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap(), Ok(0) | Err(_))
}

fn listens_at(address: SocketAddr) -> CheckedCandidate {
    let (ip, port) = (address.ip(), address.port());
    check(&format!("1 1 tcp 7 {ip} {port} typ host tcptype passive"), true).unwrap()
}

#[tokio::test]
async fn only_a_check_of_the_peers_opens_a_connection_and_then_datagrams_go_both_ways() {
    let mut bench = Bench::start();
    let address = bench.listens().await;
    let for_alice = request("bob", &credentials("alice"), false);
    let mut forged = credentials("alice");
    forged.password.push('!');
    for wrong in [
        vec![0x80; 40],
        b"GET / HTTP/1.1".to_vec(),
        request("bob", &credentials("carol"), false),
        request("bob", &forged, false),
    ] {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        stranger.write_all(&framed(&wrong).unwrap()).await.unwrap();
        assert!(is_closed(&mut stranger).await, "{wrong:x?}");
    }
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(&[framed(&for_alice).unwrap(), framed(&[0x80; 3]).unwrap()].concat()).await.unwrap();
    let (from, first) = bench.receive().await;
    assert!(Streams::is_virtual(from) && first == for_alice);
    assert_eq!(bench.receive().await, (from, vec![0x80; 3]));
    send(&bench.socket, from, &[1, 2, 3, 4, 5], Some(2));
    for piece in [&[1, 2][..], &[3, 4], &[5]] {
        assert_eq!(read(&mut peer).await, piece);
    }
    // Another socket has no business there, and nobody at an address that was never given out.
    send(&another(&bench.streams), from, &[9], None);
    send(&bench.socket, virtual_address(true, 77), &[9], None);
    send(&bench.socket, from, &[6], None);
    assert_eq!(read(&mut peer).await, [6]);
    drop(peer);
    bench.ends(from).await;
    send(&bench.socket, from, &[7], None);
}

#[tokio::test]
async fn what_the_peer_names_is_connected_to_once_unless_services_listen_there_or_it_is_too_much() {
    let mut bench = Bench::start();
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let [first, second] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    bench.streams.offer(&listens_at(first));
    bench.streams.offer(&listens_at(first));
    bench.streams.offer(&listens_at(SocketAddr::from(([127, 0, 0, 1], 1023))));
    bench.listens().await;
    let mut reached = Vec::new();
    for (listener, address) in [(&listeners[0], None), (&listeners[1], Some(second))] {
        if let Some(address) = address {
            // When it has begun, too.
            bench.streams.offer(&listens_at(address));
        }
        let (mut peer, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let News::Reached(attribute) = bench.news().await else { panic!("where it listens was told") };
        let fields: Vec<&str> = attribute.split(' ').collect();
        let virtual_address = SocketAddr::new(fields[4].parse().unwrap(), fields[5].parse().unwrap());
        assert!(Streams::is_virtual(virtual_address) && attribute.ends_with(" typ host"), "{attribute}");
        send(&bench.socket, virtual_address, &[1, 2, 3], None);
        assert_eq!(read(&mut peer).await, [1, 2, 3]);
        peer.write_all(&framed(&[4]).unwrap()).await.unwrap();
        assert_eq!(bench.receive().await, (virtual_address, vec![4]));
        reached.push(peer);
    }
    let again = listeners[0].accept();
    assert!(timeout(Duration::from_millis(50), again).await.is_err(), "it was named twice");
    let mut more = Vec::new();
    for _ in 0..8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        bench.streams.offer(&listens_at(listener.local_addr().unwrap()));
        more.push(listener);
    }
    for _ in 0..6 {
        assert!(matches!(bench.news().await, News::Reached(_)));
    }
    assert!(timeout(Duration::from_millis(50), bench.news.recv()).await.is_err(), "eight are enough");
    // With its socket each connection ends.
    drop(bench.socket);
    for mut peer in reached {
        assert!(is_closed(&mut peer).await);
    }
}

#[tokio::test]
async fn strangers_hold_eight_places_at_most_and_none_when_there_is_a_path() {
    let mut bench = Bench::start();
    let address = bench.listens().await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut too_many = TcpStream::connect(address).await.unwrap();
    assert!(is_closed(&mut too_many).await);
    bench.streams.path_changed(true, None);
    for mut stream in silent {
        assert!(is_closed(&mut stream).await);
    }
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(DEADLINE, closed).await.unwrap();
    assert!(!bench.running.is_finished());
}

#[tokio::test]
async fn a_peer_that_does_not_read_stalls_nothing() {
    let mut bench = Bench::start();
    let address = bench.listens().await;
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(&framed(&request("bob", &credentials("alice"), false)).unwrap()).await.unwrap();
    let (from, _) = bench.receive().await;
    for _ in 0..20_000 {
        send(&bench.socket, from, &[0x80; 1000], None);
    }
    {
        let state = bench.streams.state();
        let inlet = &state.open[&from].inlet;
        assert!(inlet.lost() > 0 && inlet.queued_bytes() <= QUEUE_BYTES);
    }
    let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    other.send_to(&[0x81; 3], bench.socket.local_addr().unwrap()).unwrap();
    assert_eq!(bench.receive().await, (other.local_addr().unwrap(), vec![0x81; 3]));
    // When it reads, what was queued comes whole.
    assert_eq!(read(&mut peer).await, [0x80; 1000]);
}

#[test]
fn virtual_addresses_are_nobodys() {
    for (is_v4, number) in [(true, 0), (true, 65_535), (false, 0), (false, 65_535)] {
        let address = virtual_address(is_v4, number);
        assert!(Streams::is_virtual(address) && address.is_ipv4() == is_v4);
        let attribute = format!("1 1 udp 7 {} 9 typ host", address.ip());
        assert!(check(&attribute, true).is_err(), "no peer may name {attribute}");
    }
    for other in ["240.0.0.1:3478", "10.0.0.1:9", "[2001:db8::1]:9", "[::1]:9"] {
        assert!(!Streams::is_virtual(other.parse().unwrap()), "{other}");
    }
}
