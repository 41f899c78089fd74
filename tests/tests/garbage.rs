//! A peer with a real path, but without sense: what it sends over the control channel and as media is garbage. The call
//! goes on, pictures are shown as soon as they are pictures again, and the next call works.

use std::thread;
use std::time::{Duration, Instant};

use ahoy_media::FrameRate;
use ahoy_rtp::{FramePacketizer, PictureFormat, RtpPacket};
use ahoy_tests::harness::cli::{Cli, Event, Running};
use ahoy_tests::harness::datagrams::{Fire, Meddler, Whose, address_in};
use ahoy_tests::harness::media::access_units;
use ahoy_tests::harness::peer::{new_call, text};
use ahoy_tests::harness::wire::on_loopback;
use ahoy_tests::harness::{DEADLINE, Peer, Server, skipped};
use ahoy_transport::{
    Candidate, Certificate, PathState, Peer as Wire, PeerEvent, PeerEvents, ReceivedMedia, Track, VideoCodec,
};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::runtime::Runtime;

#[test]
fn garbage_on_the_control_channel_is_ignored() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let mut zoe = Wired::call(&server, "guest-zoe", "echo", |offer| offer);
    zoe.wait_for(|event| *event == PeerEvent::ControlOpen);
    echo.wait_for("connected");
    let other = new_call();
    let nested = "[".repeat(30_000);
    let long = json!({"type": "media", "audio": "x".repeat(60_000)}).to_string();
    for words in [
        "",
        "{",
        "null",
        "[]",
        "\u{0}\u{1F4DE}",
        r#"{"type":7}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"media"}"#,
        r#"{"type":"media","audio":"yes","video":1,"screen":null}"#,
        r#"{"type":"media","type":"close"}"#,
        r#"{"type":"offer","call":"no"}"#,
        r#"{"type":"verify","commit":7}"#,
        r#"{"type":"verify"}"#,
        // The callee's word, but zoe is the caller and has not committed herself.
        r#"{"type":"verify","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        &nested,
        &long,
        &json!({"type": "close", "call": other, "reason": "hangup"}).to_string(),
        &json!({"type": "accepted", "call": other, "video": true}).to_string(),
        &json!({"type": "answer", "call": zoe.call, "n": 9, "sdp": "v=0\r\n"}).to_string(),
        &json!({"type": "restart", "call": zoe.call, "n": 4_000_000_000_u32}).to_string(),
        &json!({"type": "candidate", "call": zoe.call, "candidate": {"candidate": "candidate:x"}}).to_string(),
    ] {
        zoe.say(words);
    }
    // The channel keeps its order: when this has arrived, all of it has.
    zoe.say(&json!({"type": "media", "audio": true, "video": false, "screen": false}).to_string());
    assert!(echo.wait_for("remote_sending").flag("audio"));
    assert!(echo.all("ended").is_empty(), "the call goes on");
    zoe.say(&json!({"type": "close", "call": zoe.call, "reason": "hangup"}).to_string());
    assert_eq!(echo.wait_for("ended").text("reason"), "hangup");
    echo.takes_the_next_call(&server);
}

#[test]
fn sound_and_h264_that_are_garbage_do_no_harm() {
    let clip = clip();
    let pictures: Vec<Vec<u8>> = access_units(&clip).into_iter().take(60).map(<[u8]>::to_vec).collect();
    garbage_does_no_harm(VideoCodec::H264, PictureFormat::H264, &pictures);
    one_damaged_picture_asks_for_one_key_frame(VideoCodec::H264, PictureFormat::H264, &pictures);
}

#[test]
fn sound_and_vp8_that_are_garbage_do_no_harm() {
    let Ok(mut encoder) = ahoy_media::VideoCodec::Vp8.encoder(700_000, FrameRate::THIRTY) else {
        skipped("this build has no VP8");
        return;
    };
    let mut decoder = ahoy_media::VideoCodec::H264.decoder().expect("in every build");
    let clip = clip();
    let frames = access_units(&clip).into_iter().take(60).map(|unit| decoder.decode(unit).expect("the clip is whole"));
    let encoded = frames.flatten().map(|frame| encoder.encode(&frame, false).expect("it can be encoded"));
    let pictures: Vec<Vec<u8>> = encoded.flatten().map(|encoded| encoded.data).collect();
    garbage_does_no_harm(VideoCodec::Vp8, PictureFormat::Vp8, &pictures);
    one_damaged_picture_asks_for_one_key_frame(VideoCodec::Vp8, PictureFormat::Vp8, &pictures);
}

/// `pictures` begin with a key frame.
fn garbage_does_no_harm(codec: VideoCodec, format: PictureFormat, pictures: &[Vec<u8>]) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").and(&["--frame-events"]).start_signed_in("echo");
    let mut zoe = Wired::call_in(&server, "guest-zoe", "echo", codec, |offer| offer);
    echo.wait_for("connected");
    // Sequence numbers stay in order: SRTP itself drops what is out of it (RFC 3711 §3.3.1), and our code never sees it.
    for track in [Track::Microphone, Track::Screen, Track::Camera] {
        for sequence in 0..600 {
            let length = random.random_range(0..1_180);
            let payload: Bytes = (0..length).map(|_| random.random::<u8>()).collect();
            zoe.send(track, RtpPacket { sequence, timestamp: random.random(), marker: random.random(), payload });
        }
    }
    // Real pictures with damage: bits turned, ends cut off, packets left out, doubled and out of place.
    let mut packetizer = FramePacketizer::new(600);
    for (number, picture) in pictures.iter().enumerate() {
        let mut packets: Vec<RtpPacket> = packetizer.packetize(format, picture, number as u32 * 3_000).collect();
        for packet in &mut packets {
            let mut payload = packet.payload.to_vec();
            let at = random.random_range(0..payload.len());
            match random.random_range(0..6) {
                0 => payload[at] ^= 1 << random.random_range(0..8),
                1 => payload.truncate(at),
                2 => packet.sequence = packet.sequence.wrapping_add(random.random_range(0..9)),
                3 => packet.timestamp = random.random(),
                _ => {}
            }
            packet.payload = payload.into();
        }
        for packet in packets {
            zoe.send(Track::Camera, packet);
        }
    }
    assert!(echo.all("ended").is_empty(), "the call goes on");
    // From here on the pictures are good again, and each round begins with a key frame.
    let deadline = Instant::now() + DEADLINE;
    let first: u32 = random.random();
    let mut sent = 0;
    let shown = |sent: u32| {
        let since = |rtp: u64| (rtp as u32).wrapping_sub(first);
        echo.all("frame_shown").iter().any(|event| since(event.number("rtp")) < sent * 3_000)
    };
    while !shown(sent) {
        assert!(Instant::now() < deadline, "no picture is shown any more");
        for picture in pictures {
            for packet in packetizer.packetize(format, picture, first.wrapping_add(sent * 3_000)) {
                zoe.send(Track::Camera, packet);
            }
            sent += 1;
        }
    }
    let requested = key_frames_requested(&echo);
    zoe.hang_up();
    echo.wait_for("ended");
    // At first 0.3 s apart, then ever further: some in the damage, none for each damaged packet.
    assert!(requested <= 20, "{requested} key frames were asked for");
    echo.takes_the_next_call(&server);
}

/// `pictures` begin with a key frame, and none of the others is one.
fn one_damaged_picture_asks_for_one_key_frame(codec: VideoCodec, format: PictureFormat, pictures: &[Vec<u8>]) {
    // What is sent while the callee is not ready yet is missing there, and a key frame is asked for: that is not meant.
    const READY: usize = 30;
    const DAMAGED: usize = 40;
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").and(&["--frame-events"]).start_signed_in("echo");
    let mut zoe = Wired::call_in(&server, "guest-zoe", "echo", codec, |offer| offer);
    echo.wait_for("connected");
    let mut packetizer = FramePacketizer::new(0);
    let (mut at, mut wanted_at) = (0, Vec::new());
    // Twice the clip: whole once more after the key frame that is asked for.
    for number in 0..2 * pictures.len() {
        let mut picture = pictures[at].clone();
        if number == DAMAGED {
            assert_ne!(at, 0, "it is no key frame");
            damage(format, &mut picture);
        }
        for packet in packetizer.packetize(format, &picture, number as u32 * 3_000) {
            zoe.send(Track::Camera, packet);
        }
        at = (at + 1) % pictures.len();
        if zoe.wants_key_frame(FrameRate::THIRTY.slot_start(1)) {
            wanted_at.push(number);
            at = 0;
        }
    }
    assert_eq!(key_frames_requested(&echo), wanted_at.len() as u64, "{wanted_at:?}");
    wanted_at.retain(|number| *number >= READY);
    // Asked for at once, not when some pause is over.
    assert!(matches!(wanted_at[..], [number] if (DAMAGED..DAMAGED + 10).contains(&number)), "{wanted_at:?}");
    let shown: Vec<u64> = echo.all("frame_shown").iter().map(|event| event.number("rtp") / 3_000).collect();
    assert!(!shown.contains(&(DAMAGED as u64)), "the damaged picture is not shown: {shown:?}");
    assert!(shown.iter().any(|number| *number > DAMAGED as u64 + 30), "pictures are shown again: {shown:?}");
    zoe.hang_up();
    echo.wait_for("ended");
    echo.takes_the_next_call(&server);
}

/// Makes something of a picture that comes as far as the decoder, and no further.
fn damage(format: PictureFormat, picture: &mut [u8]) {
    let keep = match format {
        // The header of its NAL unit.
        PictureFormat::H264 => picture.windows(3).rposition(|code| code == [0, 0, 1]).expect("Annex B") + 4,
        PictureFormat::Vp8 => 0,
    };
    picture[keep..].fill(0xff);
}

/// By statistics that were made after this was asked.
fn key_frames_requested(running: &Running) -> u64 {
    running.wait_for_nth("stats", running.all("stats").len()).number("key_frames_requested")
}

#[test]
fn a_certificate_other_than_the_announced_one_is_not_talked_to() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let announced = Certificate::generate().expect("there is randomness");
    let fingerprint = format!("a=fingerprint:sha-256 {}", announced.fingerprint().trim_start_matches("sha-256 "));
    let _zoe = Wired::call(&server, "guest-zoe", "echo", |offer| {
        let lines: Vec<&str> = offer
            .lines()
            .map(|line| if line.starts_with("a=fingerprint:sha-256") { fingerprint.as_str() } else { line })
            .collect();
        lines.join("\r\n") + "\r\n"
    });
    assert_eq!(echo.wait_for("ended").text("reason"), "failed");
    assert!(echo.all("connected").is_empty() && echo.all("first_frame").is_empty());
    echo.takes_the_next_call(&server);
}

#[test]
fn hellos_and_other_dtls_of_a_stranger_do_not_keep_a_call_from_being_set_up() {
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let fire = Fire::begin();
    // At both ends, from before either has heard of the other.
    let mut zoe = Wired::call_by(
        &server,
        "guest-zoe",
        "echo",
        VideoCodec::H264,
        |offer| offer,
        |_, candidate| {
            address_in(&candidate).into_iter().for_each(|address| fire.at(address));
            Some(candidate)
        },
    );
    zoe.wait_for(|event| *event == PeerEvent::ControlOpen);
    echo.wait_for("connected");
    assert!(fire.shots() > 100, "{} datagrams", fire.shots());
    // Nor does it end one that is.
    zoe.say(&json!({"type": "media", "audio": true, "video": false, "screen": false}).to_string());
    assert!(echo.wait_for("remote_sending").flag("audio"));
    assert!(echo.all("ended").is_empty());
    zoe.hang_up();
    echo.wait_for("ended");
    drop(fire);
    echo.takes_the_next_call(&server);
}

#[test]
fn media_that_come_twice_or_under_a_wrong_tag_are_dropped() {
    const PACKETS: u16 = 400;
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let meddler = Meddler::begin();
    let way = |whose, candidate: String| meddler.between(whose, &candidate);
    let mut zoe = Wired::call_by(&server, "guest-zoe", "echo", VideoCodec::H264, |offer| offer, way);
    echo.wait_for("connected");
    zoe.wait_for(|event| *event == PeerEvent::ControlOpen);
    for sequence in 0..PACKETS {
        // Opus, 20 ms of hybrid fullband.
        let payload = [&[15 << 3][..], &[sequence as u8; 60]].concat().into();
        zoe.send(
            Track::Microphone,
            RtpPacket { sequence, timestamp: u32::from(sequence) * 960, marker: false, payload },
        );
    }
    let received = |event: &Event| event.number("packets_received");
    let deadline = Instant::now() + DEADLINE;
    let mut stats = echo.wait_for_nth("stats", echo.all("stats").len());
    while received(&stats) == 0 {
        assert!(Instant::now() < deadline, "nothing comes through");
        stats = echo.wait_for_nth("stats", echo.all("stats").len());
    }
    let settled = echo.wait_for_nth("stats", echo.all("stats").len());
    assert!(meddler.spoilt() > u64::from(PACKETS), "{} were added", meddler.spoilt());
    assert!(received(&settled) <= u64::from(PACKETS), "{} of {PACKETS} came", received(&settled));
    assert!(echo.all("ended").is_empty(), "the call goes on");
    zoe.hang_up();
    echo.wait_for("ended");
    echo.takes_the_next_call(&server);
}

#[test]
fn opus_that_is_garbage_does_no_harm() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = Server::start();
    let mut echo = Cli::new(&server, "echo").start_signed_in("echo");
    let mut zoe = Wired::call(&server, "guest-zoe", "echo", |offer| offer);
    echo.wait_for("connected");
    // In order and in time, so that all of it comes as far as the decoder: each configuration and frame count, and noise.
    for sequence in 0..500_u16 {
        let length = random.random_range(1..400);
        let mut payload: Vec<u8> = (0..length).map(|_| random.random()).collect();
        payload[0] = (sequence % 256) as u8;
        let packet =
            RtpPacket { sequence, timestamp: u32::from(sequence) * 960, marker: false, payload: payload.into() };
        zoe.send(Track::Microphone, packet);
        thread::sleep(Duration::from_millis(4));
    }
    echo.wait_for_nth("stats", echo.all("stats").len());
    assert!(echo.all("ended").is_empty(), "the call goes on");
    zoe.hang_up();
    echo.wait_for("ended");
    echo.takes_the_next_call(&server);
}

fn clip() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/media/signer-480p30.h264")).expect("the clip")
}

/// A peer made by hand, with a real connection behind it.
struct Wired {
    peer: Peer,
    call: String,
    callee: String,
    wire: Wire,
    events: PeerEvents,
    // What comes back is not looked at; it must not be dropped all the same.
    _media: ReceivedMedia,
    sent: u32,
    // Dropped last: everything above runs on it.
    runtime: Runtime,
}

impl Wired {
    /// Calls somebody who accepts, with an offer that `spoil` may change, and tells them how to be reached.
    fn call(server: &Server, name: &str, callee: &str, spoil: impl Fn(String) -> String) -> Self {
        Self::call_in(server, name, callee, VideoCodec::H264, spoil)
    }

    /// The same, in a codec.
    fn call_in(server: &Server, name: &str, callee: &str, codec: VideoCodec, spoil: impl Fn(String) -> String) -> Self {
        Self::call_by(server, name, callee, codec, spoil, |_, candidate| Some(candidate))
    }

    /// The same, where each side is told what `way` makes of the other's candidates.
    fn call_by(
        server: &Server,
        name: &str,
        callee: &str,
        codec: VideoCodec,
        spoil: impl Fn(String) -> String,
        way: impl Fn(Whose, String) -> Option<String>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("there are threads");
        let (wire, events, media) = runtime.block_on(Wire::open(on_loopback(codec))).expect("there are sockets");
        let call = new_call();
        let peer = Peer::guest(server, name);
        let mut wired = Self { peer, call, callee: callee.into(), wire, events, _media: media, sent: 0, runtime };
        let offer = wired.runtime.block_on(wired.wire.make_offer(false)).expect("it can offer");
        wired.peer.dial(callee, &wired.call, &spoil(offer));
        let answer = wired.peer.expect_about("answer", &wired.call);
        wired.runtime.block_on(wired.wire.apply_answer(text(&answer, "sdp"))).expect("the answer is good");
        wired.exchange_candidates(text(&answer, "from"), way);
        wired
    }

    fn exchange_candidates(&mut self, callee: &str, way: impl Fn(Whose, String) -> Option<String>) {
        loop {
            match self.runtime.block_on(self.events.next()) {
                Some(PeerEvent::Candidate(own)) => {
                    let ufrag = own.ufrag.as_deref().unwrap_or_default();
                    if let Some(candidate) = way(Whose::Own, own.candidate) {
                        self.peer.candidate(&self.call, callee, &candidate, ufrag);
                    }
                }
                Some(PeerEvent::EndOfCandidates { .. }) => break,
                Some(_) => {}
                None => panic!("the connection was closed"),
            }
        }
        loop {
            let message = self.peer.expect_about("candidate", &self.call);
            let candidate = &message["candidate"];
            if text(candidate, "candidate").is_empty() {
                break;
            }
            let Some(theirs) = way(Whose::Theirs, text(candidate, "candidate").into()) else { continue };
            let theirs = Candidate {
                candidate: theirs,
                mid: candidate["sdpMid"].as_str().map(Into::into),
                line_index: None,
                ufrag: candidate["usernameFragment"].as_str().map(Into::into),
            };
            self.runtime.block_on(self.wire.add_candidate(theirs)).expect("their candidates are good");
        }
    }

    fn wait_for(&mut self, wanted: impl Fn(&PeerEvent) -> bool) {
        let waiting = async {
            while let Some(event) = self.events.next().await {
                if wanted(&event) {
                    return;
                }
                assert_ne!(event, PeerEvent::Path(PathState::Failed));
            }
            panic!("the connection was closed");
        };
        self.runtime.block_on(async { tokio::time::timeout(DEADLINE, waiting).await }).expect("it happens in time");
    }

    /// Waits for so long, and tells whether a key frame was asked for meanwhile.
    fn wants_key_frame(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut is_wanted = false;
        let events = &mut self.events;
        self.runtime.block_on(async {
            while let Ok(event) = tokio::time::timeout_at(deadline.into(), events.next()).await {
                match event {
                    Some(PeerEvent::KeyFrameWanted(Track::Camera)) => is_wanted = true,
                    Some(_) => {}
                    None => panic!("the connection was closed"),
                }
            }
        });
        is_wanted
    }

    /// Says something on the control channel.
    fn say(&self, words: &str) {
        self.runtime.block_on(self.wire.send_control(words.into())).expect("the channel is open");
    }

    /// Sends a packet, at most 4,000 a second: a loopback socket's buffer takes no more at once.
    fn send(&mut self, track: Track, packet: RtpPacket) {
        // A track that the other side does not take is none to test.
        let _ = self.wire.sender(track).send(packet);
        self.sent += 1;
        if self.sent.is_multiple_of(20) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn hang_up(&mut self) {
        self.peer.close(&self.call, &self.callee, "hangup");
    }
}
