//! The whole way over real sockets, with a page that is played here.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use ahoy_client::{Picture, VideoFrame};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, WebSocket, client as handshake};

use super::wire::{Decodes, HEADER_LEN, RawForm};
use super::*;

/// For what should come at once; long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);
const ORIGIN: &str = "tauri://localhost";

fn start() -> (Frames, FramesAddress) {
    let frames = Frames::start(FramesOptions::default()).unwrap();
    let address = frames.address().unwrap();
    (frames, address)
}

fn knock(address: &FramesAddress) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn upgrade(address: &FramesAddress, origin: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
    let mut request = format!("ws://127.0.0.1:{}/", address.port).into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    match handshake(request, knock(address)) {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::HandshakeError::Failure(WsError::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

fn showing(width_px: u16, height_px: u16) -> String {
    let decodes = r#"{"vp8":true,"h264":false}"#;
    format!(r#"{{"widthPx":{width_px},"heightPx":{height_px},"raw":"i420","decodes":{decodes}}}"#)
}

fn hello(token: &str) -> Message {
    hello_showing(token, &showing(64, 48))
}

fn hello_showing(token: &str, showing: &str) -> Message {
    Message::text(format!(r#"{{"token":"{token}","view":"remote","showing":{showing}}}"#))
}

/// A page that proved itself and looks at the other side's pictures.
fn page(frames: &Frames, address: &FramesAddress) -> WebSocket<TcpStream> {
    page_showing(frames, address, &showing(64, 48))
}

fn page_showing(frames: &Frames, address: &FramesAddress, showing: &str) -> WebSocket<TcpStream> {
    let line_before = frames.shared.next_line.load(Ordering::Relaxed);
    let mut page = upgrade(address, Some(ORIGIN)).unwrap();
    page.send(hello_showing(&address.token, showing)).unwrap();
    let deadline = Instant::now() + SOON;
    while frames.shared.next_line.load(Ordering::Relaxed) == line_before || looks(frames) == PictureForm::Nothing {
        assert!(Instant::now() < deadline, "the page was not let in");
        thread::yield_now();
    }
    page
}

fn looks(frames: &Frames) -> PictureForm {
    frames.form(PictureView::Remote, None)
}

fn show(frames: &Frames, rtp: u32) {
    show_sized(frames, rtp, 64, 48);
}

fn show_sized(frames: &Frames, rtp: u32, width: u32, height: u32) {
    let frame = VideoFrame::new(width, height, vec![128; (width * height * 3 / 2) as usize]).unwrap();
    let picture = Picture::Raw(frame);
    frames.show(ShownPicture { view: PictureView::Remote, rtp, captured_at: None, picture });
}

/// Sequence and RTP time stamp of the next picture.
fn read_picture(page: &mut WebSocket<TcpStream>) -> (u32, u32) {
    let message = page.read().unwrap().into_data();
    let number = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
    assert_eq!(message.len(), HEADER_LEN + 64 * 48 * 3 / 2);
    (number(8), number(12))
}

fn answer(page: &mut WebSocket<TcpStream>, sequence: u32) {
    page.send(Message::text(format!(r#"{{"kind":"drawn","sequence":{sequence}}}"#))).unwrap();
}

fn hung_up(page: &mut WebSocket<TcpStream>) -> bool {
    loop {
        match page.read() {
            Ok(Message::Binary(_)) => {}
            Ok(Message::Close(_)) | Err(WsError::ConnectionClosed | WsError::Protocol(_)) => return true,
            Err(WsError::Io(error)) => return error.kind() != std::io::ErrorKind::WouldBlock,
            Ok(_) | Err(_) => return false,
        }
    }
}

#[test]
fn a_picture_reaches_the_page_and_its_word_comes_back() {
    let (frames, address) = start();
    let (told, drawn) = mpsc::channel();
    frames.when_drawn(move |drawn| told.send(drawn).unwrap());
    let mut page = page(&frames, &address);
    let before = Instant::now();
    show(&frames, 4242);
    assert_eq!(read_picture(&mut page), (0, 4242));
    assert!(drawn.try_recv().is_err(), "told before the page said so");
    answer(&mut page, 0);
    let drawn = drawn.recv_timeout(SOON).unwrap();
    assert_eq!((drawn.view, drawn.rtp, drawn.captured_at), (PictureView::Remote, 4242, None));
    assert!(before <= drawn.given_at && drawn.given_at <= drawn.drawn_at);
}

#[test]
fn other_origins_are_refused_before_they_say_a_word() {
    let (_frames, address) = start();
    for origin in
        [None, Some("null"), Some("https://ahoy.example"), Some("tauri://localhost.example"), Some("http://localhost")]
    {
        assert_eq!(upgrade(&address, origin).err(), Some(403), "{origin:?}");
    }
    for origin in ["tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"] {
        assert!(upgrade(&address, Some(origin)).is_ok(), "{origin}");
    }
}

#[test]
fn wrong_tokens_and_other_first_words_end_the_connection() {
    let (frames, address) = start();
    let mut wrong = address.token.clone().into_bytes();
    wrong[31] ^= 1;
    let wrong = String::from_utf8(wrong).unwrap();
    for first in [
        hello(&wrong),
        hello(""),
        Message::text(r#"{"kind":"drawn","sequence":0}"#),
        Message::text("{"),
        Message::text(format!("{}{}", " ".repeat(wire::PAGE_MESSAGE_MAX), hello(&address.token))),
        Message::text("[".repeat(wire::PAGE_MESSAGE_MAX)),
        Message::binary(vec![0; 16]),
        Message::binary(vec![0; 1 << 20]),
        Message::Close(None),
    ] {
        let mut stranger = upgrade(&address, Some(ORIGIN)).unwrap();
        // A megabyte may not get through before the other end hangs up.
        let _ = stranger.send(first.clone());
        assert!(hung_up(&mut stranger), "{first:.60}");
        assert_eq!(looks(&frames), PictureForm::Nothing, "{first:.60}");
    }
    page(&frames, &address);
}

#[test]
fn who_says_nothing_is_sent_away_and_only_a_few_may_try_at_once() {
    let (frames, address) = start();
    let mut silent = knock(&address);
    let mut half = knock(&address);
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut mute = upgrade(&address, Some(ORIGIN)).unwrap();
    let _fourth = knock(&address);
    let mut fifth = knock(&address);
    let began = Instant::now();
    assert_eq!(fifth.read(&mut [0; 1]).unwrap_or(0), 0, "there was a fifth place");
    assert!(began.elapsed() < Duration::from_secs(1), "the fifth had to wait");
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    assert_eq!(half.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(hung_up(&mut mute));
    page(&frames, &address);
}

#[test]
fn a_page_that_answers_nothing_gets_two_pictures_and_then_the_newest() {
    let (frames, address) = start();
    let mut page = page(&frames, &address);
    for rtp in 0..2 {
        show(&frames, rtp);
        assert_eq!(read_picture(&mut page), (rtp, rtp));
    }
    for rtp in 2..500 {
        show(&frames, rtp);
    }
    answer(&mut page, 0);
    assert_eq!(read_picture(&mut page), (2, 499), "the newest comes next, whatever lay between");
    // The second is still unanswered: these two came while two were on their way.
    show(&frames, 500);
    page.get_ref().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(page.read().is_err(), "a third picture was on its way");
}

#[test]
fn a_page_that_reads_nothing_never_holds_up_who_gives_pictures() {
    let (frames, address) = start();
    // Two such pictures are more than the system's buffers take.
    let _page = page_showing(&frames, &address, &showing(4096, 4096));
    let frame = VideoFrame::new(4096, 2048, vec![128; 4096 * 2048 * 3 / 2]).unwrap();
    let began = Instant::now();
    for rtp in 0..2000 {
        let picture = Picture::Raw(frame.clone());
        frames.show(ShownPicture { view: PictureView::Remote, rtp, captured_at: None, picture });
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn the_page_gets_the_size_at_which_it_shows_them() {
    let (frames, address) = start();
    let mut page = page(&frames, &address);
    show_sized(&frames, 1, 1280, 960);
    assert_eq!(read_picture(&mut page), (0, 1));
    answer(&mut page, 0);
    let hidden = showing(0, 48);
    page.send(Message::text(format!(r#"{{"kind":"showing","showing":{hidden}}}"#))).unwrap();
    let deadline = Instant::now() + SOON;
    while looks(&frames) != PictureForm::Nothing {
        assert!(Instant::now() < deadline, "a hidden page still gets pictures");
        thread::yield_now();
    }
    page.send(Message::text(format!(r#"{{"kind":"showing","showing":{}}}"#, showing(64, 48)))).unwrap();
    while looks(&frames) == PictureForm::Nothing {
        assert!(Instant::now() < deadline, "a page that is visible again gets none");
        thread::yield_now();
    }
    show(&frames, 2);
    assert_eq!(read_picture(&mut page), (1, 2));
}

#[test]
fn a_reloaded_page_gets_the_pictures_and_the_old_connection_ends() {
    let (frames, address) = start();
    let mut old = page(&frames, &address);
    let mut new = page(&frames, &address);
    assert!(hung_up(&mut old));
    show(&frames, 7);
    assert_eq!(read_picture(&mut new), (0, 7));
}

#[test]
fn a_page_that_says_nonsense_later_is_sent_away_too() {
    for nonsense in [r#"{"kind":"drawn","sequence":"one"}"#, r#"{"kind":"hello"}"#, ""] {
        let (frames, address) = start();
        let mut page = page(&frames, &address);
        page.send(Message::text(nonsense)).unwrap();
        assert!(hung_up(&mut page), "{nonsense}");
        let deadline = Instant::now() + SOON;
        while looks(&frames) != PictureForm::Nothing {
            assert!(Instant::now() < deadline, "pictures still go to a page that is gone");
            thread::yield_now();
        }
    }
}

#[test]
fn a_line_of_the_shell_carries_the_same_bytes() {
    struct Chute(mpsc::Sender<bytes::Bytes>);
    impl Line for Chute {
        fn send(&self, message: bytes::Bytes) -> Result<(), LineClosed> {
            self.0.send(message).map_err(|_| LineClosed)
        }
    }
    let frames = Frames::start(FramesOptions { form: WantedForm::Rgba, socket: false }).unwrap();
    assert_eq!(frames.address(), None);
    let (send, pictures) = mpsc::channel();
    let showing = Showing { width_px: 64, height_px: 48, raw: RawForm::I420, decodes: Decodes::default() };
    let line = frames.open_line(View::Remote, showing, Arc::new(Chute(send)));
    show(&frames, 5);
    let message = pictures.recv_timeout(SOON).unwrap();
    assert_eq!(message.len(), HEADER_LEN + 64 * 48 * 4);
    frames.hear(line, PageMessage::Drawn { sequence: 0 }).unwrap();
    frames.close_line(line);
    assert_eq!(frames.hear(line, PageMessage::Drawn { sequence: 1 }), Err(LineClosed));
    assert!(pictures.recv_timeout(SOON).is_err(), "the line was kept");
}

#[test]
fn dropping_it_hangs_up_and_ends_its_threads() {
    let (frames, address) = start();
    let mut page = page(&frames, &address);
    let shared = Arc::downgrade(&frames.shared);
    drop(frames);
    assert!(shared.upgrade().is_none(), "something still holds on to it");
    assert!(hung_up(&mut page));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port)).is_err());
}
