//! Writes what the corpus begins with: messages of the contract, and streams as our own packetizers make them, in order,
//! out of order, doubled and with losses. Deterministic: run again, it writes the same.

use std::fs;
use std::path::Path;

use ahoy_fuzz::steps::Script;
use ahoy_rtp::red::{self, Copy};
use ahoy_rtp::{FramePacketizer, OpusPacketizer, PictureFormat, RtpPacket, Slabs};

const CALL: &str = "0b2c9b1e-3b1a-4c57-8a2f-0d6e7f8a9b0c";
const SDP: &str = "v=0\\r\\no=- 1 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\nt=0 0\\r\\na=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\\r\\n";

fn main() -> std::io::Result<()> {
    for (index, text) in signaling().into_iter().enumerate() {
        write("wire_message", index, text.replace("CALL", CALL).replace("SDP", SDP).as_bytes())?;
    }
    for (index, text) in control().into_iter().enumerate() {
        write("control_message", index, text.replace("CALL", CALL).replace("SDP", SDP).as_bytes())?;
    }
    for (target, format) in [("assembler_h264", PictureFormat::H264), ("assembler_vp8", PictureFormat::Vp8)] {
        for (index, order) in [Order::AsSent, Order::Reversed, Order::Doubled, Order::Lost].into_iter().enumerate() {
            write(target, index, &pictures(format, order, 60))?;
            write("nack", index, &pictures(PictureFormat::Vp8, order, 300))?;
        }
    }
    for (index, copies) in [0, 1, 2].into_iter().enumerate() {
        write("jitter", 2 * index, &sound(copies, Order::AsSent))?;
        write("jitter", 2 * index + 1, &sound(copies, Order::Lost))?;
        write("red", index, &redundant(copies, b"own"))?;
    }
    for (index, history) in relayed().iter().enumerate() {
        write("turn_relay", index, history)?;
    }
    for (index, piece) in [3, 21, 255].into_iter().enumerate() {
        write("turn_stream", index, &in_pieces(&stream(), piece))?;
    }
    write("congestion", 0, &reports())?;
    write("lip_sync", 0, &clocks())
}

fn write(target: &str, index: usize, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{index:02}")), bytes)
}

fn signaling() -> Vec<&'static str> {
    vec![
        r#"{"type":"login","protocol":1,"username":"alice","session":"9f0c51d2a7e34b18","name":"Alice","device":"laptop","host":"localhost:9270","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","signature":"AAAA","resume":"token","seq":7,"invite":"x"}"#,
        r#"{"type":"login","protocol":1,"username":"guest-a","session":"9f0c51d2a7e34b18"}"#,
        r#"{"type":"contacts","usernames":["bob","carol"]}"#,
        r#"{"type":"ice_servers"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"offer","call":"CALL","to":"bob","n":0,"sdp":"SDP","video":true,"name":"Al\u202eice"}"#,
        r#"{"type":"offer","call":"CALL","to":"bob/19ce44d05b7a1c02","n":1,"sdp":"v=0"}"#,
        r#"{"type":"progress","call":"CALL","to":"bob","state":"ringing","device":"phone"}"#,
        r#"{"type":"answer","call":"CALL","to":"bob","n":0,"sdp":"SDP","early":true}"#,
        r#"{"type":"candidate","call":"CALL","to":"bob","candidate":{"candidate":"candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}"#,
        r#"{"type":"restart","call":"CALL","to":"bob","n":2}"#,
        r#"{"type":"close","call":"CALL","to":"bob/19ce44d05b7a1c02","reason":"hangup","mood":1.25e-3}"#,
        r#"{"type":"hello","protocols":[1],"server":"ahoy-server 0.1.0","challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","guests":true}"#,
        r#"{"type":"welcome","username":"alice","session":"9f0c51d2a7e34b18","resumed":false,"received":0,"resume":"t","linger_s":30,"ice_servers":[{"urls":["turn:192.0.2.1:3478"],"username":"u","credential":"c"}],"ttl_s":600}"#,
        r#"{"type":"error","code":"rate_limited","message":"slower","call":"CALL","retry_s":3}"#,
        r#"{"type":"presence","username":"bob","online":true}"#,
        r#"{"type":"relayed","call":"CALL","to":["bob/19ce44d05b7a1c02"]}"#,
        r#"{"type":"missed","calls":[{"from":"carol","at":"2026-11-21T09:30:00Z","video":true,"count":2}]}"#,
        r#"{"type":"offer","call":"CALL","from":"alice/9f0c51d2a7e34b18","devices":2,"age_ms":17,"n":0,"sdp":"SDP","video":false}"#,
        r#"{"type":"close","call":"CALL","from":"bob/19ce44d05b7a1c02","reason":"elsewhere","by":"bob/19ce44d05b7a1c03"}"#,
    ]
}

fn control() -> Vec<&'static str> {
    vec![
        r#"{"type":"media","audio":true,"video":false,"screen":false}"#,
        r#"{"type":"shown","width":640,"height":360}"#,
        r#"{"type":"accepted","call":"CALL","video":true}"#,
        r#"{"type":"offer","call":"CALL","n":1,"sdp":"SDP"}"#,
        r#"{"type":"answer","call":"CALL","n":1,"sdp":"SDP"}"#,
        r#"{"type":"restart","call":"CALL","n":1}"#,
        r#"{"type":"close","call":"CALL","reason":"hangup"}"#,
        r#"{"type":"verify","call":"CALL","commit":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
    ]
}

#[derive(Clone, Copy)]
enum Order {
    AsSent,
    Reversed,
    Doubled,
    Lost,
}

/// Bytes without zeros, so that no start code arises.
fn noise(head: &[u8], length: usize) -> Vec<u8> {
    head.iter().copied().chain((0..length).map(|at| (at % 255 + 1) as u8)).collect()
}

/// Twelve pictures, 33 ms apart, each of a packet or three; the first is a key picture, and the seventh.
fn pictures(format: PictureFormat, order: Order, bytes: usize) -> Vec<u8> {
    let key: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88],
        PictureFormat::Vp8 => &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
    };
    let delta: &[u8] = match format {
        PictureFormat::H264 => &[0, 0, 0, 1, 0x41, 0x88],
        PictureFormat::Vp8 => &[0x31, 0x02, 0x00],
    };
    let mut packetizer = FramePacketizer::new(65_530);
    let mut script = Script::default();
    script.other(40);
    for index in 0..12_u32 {
        let head = if index % 6 == 0 { key } else { delta };
        let length = if index % 6 == 0 { 3_000 } else { bytes };
        let unit = noise(head, length);
        let mut packets: Vec<RtpPacket> = packetizer.packetize(format, &unit, index * 3_000).collect();
        match order {
            Order::AsSent => {}
            Order::Reversed => packets.reverse(),
            Order::Doubled => packets = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect(),
            Order::Lost if index % 4 == 3 => drop(packets.pop()),
            Order::Lost => {}
        }
        packets.iter().for_each(|packet| script.packet(packet, false));
        script.wait(33);
    }
    script.wait(1_500);
    script.0
}

/// A second of sound, 20 ms a packet, with so many copies in each.
fn sound(copies: usize, order: Order) -> Vec<u8> {
    let mut packetizer = OpusPacketizer::new(7, 1_000);
    let mut script = Script::default();
    let mut sent: Vec<bytes::Bytes> = Vec::new();
    for index in 0..50_usize {
        // Configuration 15 (hybrid fullband, 20 ms) with repair data.
        let payload = noise(&[15 << 3, 0b1100_0000], 10 + index % 7);
        let mut packet = packetizer.packetize(&payload, 960);
        let before = sent.len().min(copies);
        sent.push(packet.payload.clone());
        if copies > 0 {
            packet.payload = redundant(before, &payload).into();
        }
        if !matches!(order, Order::Lost) || index % 5 != 2 {
            script.packet(&packet, copies > 0);
        }
        script.wait(20);
    }
    script.wait(500);
    script.0
}

fn redundant(copies: usize, payload: &[u8]) -> Vec<u8> {
    let copy = |back| Copy { back: 960 * back, payload: noise(&[15 << 3, 0b1100_0000], 9).into() };
    let copies: Vec<Copy> = (1..=copies as u32).rev().map(copy).collect();
    red::join(111, &copies, payload, &mut Slabs::default()).expect("short copies can be described").to_vec()
}

/// Ten packets sent and reported, six times.
fn reports() -> Vec<u8> {
    let mut bytes = vec![0, 0];
    for round in 0..6_u64 {
        for _ in 0..10 {
            bytes.push(0);
            bytes.extend(1_200_u16.to_le_bytes());
            bytes.extend([5, 250]);
        }
        bytes.push(4);
        bytes.extend(40_u16.to_le_bytes());
        bytes.extend([6, 10]);
        bytes.extend(10_u16.to_le_bytes());
        bytes.extend((round * 43_000).to_le_bytes());
        (0..10_u16).for_each(|packet| bytes.extend((packet * 1_000).to_le_bytes()));
    }
    bytes
}

/// Three seconds of reports, sound and pictures.
fn clocks() -> Vec<u8> {
    let mut bytes = Vec::new();
    for second in 0..3_u64 {
        let ntp = (3_900_000_000 + second) << 32;
        for (kind, clock) in [(1, 48_000), (2, 90_000)] {
            bytes.push(kind);
            bytes.extend(ntp.to_le_bytes());
            bytes.extend((second as u32 * clock).to_le_bytes());
        }
        for tenth in 0..10_u32 {
            bytes.push(3);
            bytes.extend(40_u16.to_le_bytes());
            bytes.extend((second as u32 * 48_000 + tenth * 4_800).to_le_bytes());
            bytes.push(4);
            bytes.extend((second as u32 * 90_000 + tenth * 9_000).to_le_bytes());
            bytes.push(0);
            bytes.extend(100_u16.to_le_bytes());
        }
    }
    bytes
}

/// A message's header without a body (RFC 8489 §5), of a Binding request.
const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// A Binding request, and ChannelData with and without padding, as they stand in a stream.
fn stream() -> Vec<u8> {
    let mut bytes = BINDING.to_vec();
    for length in [8_u8, 5] {
        bytes.extend([0x40, 1, 0, length]);
        bytes.extend(noise(&[], usize::from(length.next_multiple_of(4))));
    }
    bytes.extend(BINDING);
    bytes
}

fn in_pieces(bytes: &[u8], piece: usize) -> Vec<u8> {
    bytes.chunks(piece).flat_map(|piece| [&[piece.len() as u8][..], piece].concat()).collect()
}

/// What clients do with a relay: ask for one, permit peers, bind a channel, send by either, refresh it, and go.
fn relayed() -> Vec<Vec<u8>> {
    const ALLOCATE: u8 = 3;
    const REFRESH: u8 = 4;
    const CREATE_PERMISSION: u8 = 8;
    const CHANNEL_BIND: u8 = 9;
    let about = |client: u8, method: u8, peer: u8| vec![2, client, method, peer, 0x40, 1];
    let raw = |client: u8, bytes: &[u8]| [&[0, client, 0, bytes.len() as u8][..], bytes].concat();
    let sent = |client: u8, peer: u8| [&[3, client, peer, 5][..], b"hello"].concat();
    let heard = |relay: u8, peer: u8| [&[4, 0, relay, peer, 0, 5][..], b"hello"].concat();
    let wait = |tenths: u16| [&[5, 0, 1][..], &tenths.to_be_bytes()].concat();
    let channel_data = [&[0x40, 1, 0, 5][..], b"hello"].concat();
    let one = |client: u8| {
        [
            raw(client, &BINDING),
            about(client, ALLOCATE, 0),
            about(client, CREATE_PERMISSION, 0),
            sent(client, 0),
            heard(0, 0),
            heard(1, 0),
            about(client, CHANNEL_BIND, 0),
            raw(client, &channel_data),
            heard(1, 0),
            wait(50),
            // LIFETIME of a minute, then of nothing.
            [&[1, client, REFRESH, 0, 7, 0, 0x0D, 4][..], &60_u32.to_be_bytes()].concat(),
            wait(700),
        ]
        .concat()
    };
    let refused: Vec<u8> =
        (0..12).flat_map(|peer| [about(0, CREATE_PERMISSION, peer), sent(0, peer)].concat()).collect();
    let both = [about(0, ALLOCATE, 0), about(1, ALLOCATE, 0)].concat();
    let to_each_other = [
        about(0, CREATE_PERMISSION, 4),
        about(1, CREATE_PERMISSION, 3),
        sent(0, 4),
        sent(1, 3),
        about(0, CHANNEL_BIND, 4),
        raw(0, &channel_data),
    ];
    vec![
        one(0),
        [one(4), vec![5, 4, 0]].concat(),
        [about(0, ALLOCATE, 0), refused].concat(),
        [both, to_each_other.concat()].concat(),
    ]
}
