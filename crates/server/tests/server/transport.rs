//! Section 1: HTTP, frames, closing, pings, and readers too slow.

use std::time::Duration;

use serde_json::json;

use crate::harness::*;

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn http_answers_two_pages_and_refuses_the_rest() {
    let server = Server::start().await;
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("GET /ws/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        ("POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        ("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 426),
        ("nonsense\r\n\r\n", 400),
        (&upgrade_request("/ws", "").replace("GET", "HEAD"), 405),
        (&upgrade_request("/other", ""), 404),
        (&upgrade_request("/ws", "").replace("13", "12"), 426),
        (&upgrade_request("/ws", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (&upgrade_request("/ws", "").replace("Sec-WebSocket-Key", "X-Key"), 400),
    ] {
        let (head, _) = Raw::request(server.address, request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{head}");
    }
    let (_, raw) = Raw::request(server.address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.body().await, "ok");
    let (head, raw) = Raw::request(server.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.contains("text/html") && raw.body().await.contains("Ahoy"), "{head}");
}

#[tokio::test]
async fn the_handshake_is_that_of_rfc_6455_without_a_subprotocol() {
    let server = Server::start().await;
    let request =
        upgrade_request("/ws", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
    let (head, _) = Raw::request(server.address, &request).await;
    let head = head.to_lowercase();
    // The example of RFC 6455 §1.3.
    for line in ["http/1.1 101 ", "connection: upgrade\r\n", "upgrade: websocket\r\n", "s3pplmbitxaq9kygzzhzrbk+xoo="] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("sec-websocket-protocol") && !head.contains("extensions"), "{head}");
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_gets_403() {
    let server = Server::with(|config| {
        config.hosts.public = vec!["calls.example.org".parse().unwrap()];
        config.hosts.allowed_origins = vec!["friends.example.net".parse().unwrap()];
    })
    .await;
    for (origin, status) in [
        ("", 101),
        ("Origin: https://calls.example.org\r\n", 101),
        ("Origin: https://friends.example.net\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://calls.example.org.evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://127.0.0.1\r\n", 403),
        ("Origin: https://calls.example.org\r\nOrigin: https://evil.example\r\n", 403),
    ] {
        let (head, _) = Raw::request(server.address, &upgrade_request("/ws", origin)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}\n{head}");
    }
}

#[tokio::test]
async fn a_handshake_has_16_kib_of_headers_and_its_time() {
    let server = Server::with(|config| config.timing.handshake = 300 * MS).await;
    let with_headers_of = |bytes: usize| {
        let bare = upgrade_request("/ws", "X-Pad: \r\n").len();
        upgrade_request("/ws", &format!("X-Pad: {}\r\n", "x".repeat(bytes - bare)))
    };
    for (bytes, status) in [(16 * 1024, 101), (16 * 1024 + 1, 431), (200 * 1024, 431), (1024 * 1024, 431)] {
        let (head, _) = Raw::request(server.address, &with_headers_of(bytes)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {head}");
    }
    let (head, mut raw) = Raw::request(server.address, "GET /ws HTTP/1.1\r\nHost: x\r\n").await;
    assert!(head.is_empty(), "{head}");
    raw.gone().await;
}

#[tokio::test]
async fn headers_that_trickle_in_do_not_hold_a_connection() {
    let server = Server::with(|config| config.timing.handshake = 300 * MS).await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let trickle = async {
        use tokio::io::AsyncWriteExt as _;
        let mut every = tokio::time::interval(20 * MS);
        while writer.write_all(b"G").await.is_ok() {
            every.tick().await;
        }
    };
    let gone = async {
        use tokio::io::AsyncReadExt as _;
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest).await;
    };
    soon("the end", async {
        tokio::select! {
            () = trickle => {}
            () = gone => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_signs_in_is_sent_away() {
    let server = Server::with(|config| config.timing.login = 300 * MS).await;
    let mut idle = server.connect().await;
    assert_eq!(idle.closed().await, 1008);
    let mut pinging = Raw::connect(server.address).await;
    let mut every = tokio::time::interval(50 * MS);
    loop {
        pinging.send_text(r#"{"type":"ping"}"#).await;
        let (opcode, payload) = pinging.frame().await.unwrap();
        if opcode == CLOSE {
            assert_eq!(payload[..2], 1008_u16.to_be_bytes());
            break;
        }
        every.tick().await;
    }
    let mut flooding = Raw::connect(server.address).await;
    for _ in 0..2_000 {
        flooding.send_text(r#"{"type":"ping"}"#).await;
    }
    let mut answered = 0;
    while flooding.frame().await.unwrap().0 != CLOSE {
        answered += 1;
    }
    assert!(answered < 1_500, "it is sent away before all it said was read: {answered}");
    let mut signed_in = server.enter("guest-a", 1).await;
    tokio::time::sleep(400 * MS).await;
    signed_in.nothing_came().await;
}

#[tokio::test]
async fn a_message_of_64_kib_is_taken_and_a_longer_one_closes_with_1009() {
    let server = Server::start().await;
    let ping_of = |bytes: usize| {
        let bare = json!({"type": "ping", "pad": ""}).to_string().len();
        json!({"type": "ping", "pad": "x".repeat(bytes - bare)}).to_string()
    };
    let mut client = server.connect().await;
    client.send_text(&ping_of(64 * 1024)).await;
    assert_eq!(client.next().await["type"], "pong");
    client.send_text(&ping_of(64 * 1024 + 1)).await;
    assert_eq!(client.closed().await, 1009);

    let half = ping_of(64 * 1024 + 1).into_bytes();
    let (first, second) = half.split_at(40_000);
    let mut raw = Raw::connect(server.address).await;
    raw.send_frame(TEXT, first).await;
    raw.send_frame(FIN | CONTINUATION, second).await;
    assert_eq!(raw.closed().await, 1009, "in fragments");
}

#[tokio::test]
async fn fragments_without_end_are_one_message_too_long() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    // With a mask of nothing. One more than there may be bytes, and many behind it.
    let fragment = [CONTINUATION, 0x81, 0, 0, 0, 0, b' '];
    raw.send_frame(TEXT, b"{").await;
    raw.send_bytes(&fragment.repeat(100_000)).await;
    assert_eq!(raw.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_of_nothing_without_end_are_silence_and_keep_nobody_from_talking() {
    let server = Server::with(|config| (config.timing.silence, config.timing.login) = (600 * MS, 60_000 * MS)).await;
    let mut alice = server.enter("alice", 1).await;
    let address = server.address;
    // From a thread of its own, without a pause: there is always more to read.
    let flood = std::thread::spawn(move || {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.write_all(upgrade_request("/ws", "").as_bytes()).unwrap();
        stream.write_all(&[TEXT, 0x80, 0, 0, 0, 0]).unwrap();
        let nothing = [CONTINUATION, 0x80, 0, 0, 0, 0].repeat(10_000);
        let began = tokio::time::Instant::now();
        while stream.write_all(&nothing).is_ok() {
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "it is not closed");
        }
    });
    while !flood.is_finished() {
        alice.nothing_came().await;
        tokio::time::sleep(20 * MS).await;
    }
    flood.join().unwrap();
}

#[tokio::test]
async fn a_frame_that_only_announces_too_much_closes_at_once() {
    let server = Server::start().await;
    for announced in [64 * 1024 + 1, 1 << 30, u64::MAX >> 1, u64::MAX] {
        for opcode in [TEXT, BINARY] {
            let mut raw = Raw::connect(server.address).await;
            let mut header = vec![FIN | opcode, 0x80 | 127];
            header.extend(announced.to_be_bytes());
            header.extend([1, 2, 3, 4]);
            raw.send_bytes(&header).await;
            assert_eq!(raw.closed().await, 1009, "{announced}");
        }
    }
}

#[tokio::test]
async fn the_close_frame_arrives_although_the_client_goes_on_sending() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    // More than the system's buffers hold: it must be read for the client to get to reading.
    raw.send_frame(FIN | TEXT, &vec![b' '; 32_000_000]).await;
    assert_eq!(raw.closed().await, 1009);
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_with_1007() {
    let server = Server::start().await;
    for frames in [
        vec![(FIN | TEXT, &b"{\"type\":\"\xff\"}"[..])],
        vec![(FIN | TEXT, b"{\"type\":\"ping\xc3")],
        vec![(FIN | TEXT, b"\xed\xa0\x80")],
        vec![(TEXT, b"{\"type\":\xc3"), (FIN | CONTINUATION, b"\x28}")],
        vec![(FIN | CLOSE, b"\x03\xe8\xff")],
    ] {
        let mut raw = Raw::connect(server.address).await;
        for (first_byte, payload) in &frames {
            raw.send_frame(*first_byte, payload).await;
        }
        assert_eq!(raw.closed().await, 1007, "{frames:?}");
    }
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message_even_when_a_character_is_cut() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    let text = "{\"type\":\"ping\",\"pad\":\"é😀\"}".as_bytes();
    for (index, byte) in text.iter().enumerate() {
        let first_byte = if index == 0 { TEXT } else { CONTINUATION };
        raw.send_frame(first_byte, &[*byte]).await;
        raw.send_frame(FIN | PING, b"between").await;
    }
    raw.send_frame(FIN | CONTINUATION, b"").await;
    loop {
        match raw.frame().await.unwrap() {
            (PONG, payload) => assert_eq!(payload, b"between"),
            (TEXT, payload) => break assert_eq!(payload, b"{\"type\":\"pong\"}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_breaks_rfc_6455_closes_with_1002() {
    let server = Server::start().await;
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(payload);
        frame
    };
    let mut long_ping = vec![FIN | PING, 0x80 | 126, 0, 126, 0, 0, 0, 0];
    long_ping.extend([0; 126]);
    for (what, bytes) in [
        ("unmasked", vec![FIN | TEXT, 2, b'{', b'}']),
        ("first reserved bit", masked(FIN | 0x40 | TEXT, b"{}")),
        ("second reserved bit", masked(FIN | 0x20 | TEXT, b"{}")),
        ("third reserved bit", masked(FIN | 0x10 | TEXT, b"{}")),
        ("reserved data opcode", masked(FIN | 3, b"")),
        ("reserved control opcode", masked(FIN | 11, b"")),
        ("continuation of nothing", masked(FIN | CONTINUATION, b"{}")),
        ("message inside a message", [masked(TEXT, b"{"), masked(FIN | TEXT, b"}")].concat()),
        ("control frame in fragments", masked(PING, b"")),
        ("control frame too long", long_ping),
        ("close with half a code", masked(FIN | CLOSE, &[3])),
        ("close with a code that nobody may send", masked(FIN | CLOSE, &1005_u16.to_be_bytes())),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send_bytes(&bytes).await;
        assert_eq!(raw.closed().await, 1002, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_third_closes_with_1008() {
    let server = Server::start().await;
    for text in [
        "",
        "hello",
        "[]",
        "null",
        "{} {}",
        "{\"type\":\"ping\"",
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping","a":{"b":1,"b":2}}"#,
        r#"{"type":"ping","\u0074ype":"ping"}"#,
        "{}",
        r#"{"type":7}"#,
        r#"{"type":null}"#,
        &format!("{{\"a\":{}", "[".repeat(60_000)),
        r#"{"type":"ping","a":1e999}"#,
    ] {
        let mut client = server.connect().await;
        for _ in 0..3 {
            client.send_text(text).await;
            let answer = client.next().await;
            assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_message")), "{text}");
        }
        assert_eq!(client.closed().await, 1008, "{text}");
    }
    let mut raw = Raw::connect(server.address).await;
    for _ in 0..3 {
        raw.send_frame(FIN | BINARY, br#"{"type":"ping"}"#).await;
        let (_, answer) = raw.frame().await.unwrap();
        assert!(String::from_utf8(answer).unwrap().contains("bad_message"));
    }
    assert_eq!(raw.closed().await, 1008, "binary");
}

#[tokio::test]
async fn bad_messages_further_apart_than_the_span_do_not_close() {
    let server = Server::with(|config| config.limits.bad_messages.span = 50 * MS).await;
    let mut client = server.connect().await;
    for _ in 0..4 {
        client.send_text("no").await;
        assert_eq!(client.next().await["code"], "bad_message");
        tokio::time::sleep(60 * MS).await;
    }
    client.nothing_came().await;
}

#[tokio::test]
async fn a_type_that_is_not_listed_is_unknown_and_closes_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    for kind in ["dance", "", "hello", "welcome", "relayed", "presence", "PING"] {
        assert_eq!(client.refused(json!({"type": kind, "call": CALL})).await, "unknown_type", "{kind}");
    }
    assert!(client.refused(json!({"type": "x".repeat(60_000)})).await == "unknown_type");
}

#[tokio::test]
async fn a_ping_of_either_kind_is_answered_at_any_time() {
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send_frame(FIN | PING, b"are you there").await;
    assert_eq!(raw.frame().await.unwrap(), (PONG, b"are you there".to_vec()));
    raw.send_text(r#"{"type":"ping","from":"x"}"#).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, br#"{"type":"pong"}"#.to_vec()), "before `welcome` no `seq`");
    let mut guest = server.enter("guest-a", 1).await;
    assert_eq!(guest.ask(json!({"type": "ping"})).await, json!({"type": "pong", "seq": 1}));
    assert_eq!(guest.ask(json!({"type": "ping"})).await, json!({"type": "pong", "seq": 2}));
}

#[tokio::test]
async fn the_servers_pings_carry_the_last_number_sent() {
    let server = Server::with(|config| config.timing.ping = 50 * MS).await;
    let mut raw = Raw::connect(server.address).await;
    assert_eq!(raw.frame().await.unwrap(), (PING, b"0".to_vec()), "before `welcome`");
    let login = json!({"type":"login","protocol":1,"username":"guest-a","session":session(1)});
    raw.send_text(&login.to_string()).await;
    raw.send_text(r#"{"type":"ping"}"#).await;
    soon("a ping after the second message", async {
        let mut sent = 0;
        loop {
            match raw.frame().await.unwrap() {
                (TEXT, payload) => sent += u8::from(payload.ends_with(b"\"seq\":1}")),
                (PING, payload) if sent == 1 => break assert_eq!(payload, b"1"),
                (PING, payload) => assert_eq!(payload, b"0"),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_connection_is_dropped_and_one_that_answers_pings_is_not() {
    let server = Server::with(|config| {
        config.timing.ping = 50 * MS;
        config.timing.silence = 400 * MS;
    })
    .await;
    let mut silent = Raw::connect(server.address).await;
    let mut answering = server.enter("guest-a", 1).await;
    // Its socket answers pings while it waits here.
    let outlived = tokio::select! {
        () = silent.gone() => true,
        _ = answering.next() => false,
    };
    assert!(outlived);
    answering.nothing_came().await;
}

#[tokio::test]
async fn a_client_that_closes_with_1000_is_gone_at_once() {
    let server = Server::start().await;
    let mut alice = server.enter("guest-alice", 1).await;
    for (number, code) in [Some(1000_u16), Some(1001), Some(4999), None].into_iter().enumerate() {
        let name = format!("guest-bob-{number}");
        let mut raw = Raw::connect(server.address).await;
        let login = json!({"type":"login","protocol":1,"username":name,"session":session(2)});
        raw.send_text(&login.to_string()).await;
        assert_eq!(raw.frame().await.unwrap().0, TEXT);
        let payload = code.map_or(vec![], |code| code.to_be_bytes().to_vec());
        raw.send_frame(FIN | CLOSE, &payload).await;
        assert_eq!(raw.frame().await.unwrap(), (CLOSE, payload), "the same code back");
        raw.gone().await;
        if code == Some(1000) {
            assert_eq!(alice.refused(offer(&address(&name, 2))).await, "offline");
            server.enter(&name, 3).await;
        } else {
            alice.send(offer(&address(&name, 2))).await;
            alice.nothing_came().await;
            assert_eq!(server.connect().await.login(&name, 3).await["code"], "username_taken");
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_is_signed_out_after_it_lingered() {
    let server = Server::with(|config| config.timing.linger = 2_000 * MS).await;
    let mut alice = server.enter("guest-alice", 1).await;
    let bob = server.enter("guest-bob", 2).await;
    drop(bob);
    assert_eq!(alice.ask(offer("guest-bob")).await["type"], "relayed");
    let answer = alice.next().await;
    assert_eq!((&answer["code"], &answer["call"]), (&json!("offline"), &json!(CALL)));
    assert_eq!(alice.refused(offer("guest-bob")).await, "unknown_user");
    server.enter("guest-bob", 3).await;
}

#[tokio::test]
async fn all_that_may_be_said_at_once_reaches_who_reads_and_who_says_it_waits() {
    let server = Server::start().await;
    let mut bob = server.enter("bob", 1).await;
    let mut guest = server.enter("guest-a", 1).await;
    let pad = "x".repeat(60_000);
    for number in 0..16 {
        let candidate =
            json!({"type":"candidate","call":CALL,"to":"bob","number":number,"candidate":{"candidate":pad}});
        guest.send(candidate).await;
    }
    guest.send(json!({"type": "ping"})).await;
    // A megabyte, over a link of 3 MB/s: longer than a reader may be too slow for.
    for number in 0..16 {
        assert_eq!(bob.next().await["number"], number);
        tokio::time::sleep(20 * MS).await;
    }
    assert_eq!(guest.next().await["type"], "pong");
    assert_eq!(bob.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_reader_too_slow_is_disconnected_and_nobody_else_feels_it() {
    let server = Server::start().await;
    let mut slow = Raw::connect(server.address).await;
    let login = json!({"type":"login","protocol":1,"username":"guest-slow","session":session(2)});
    slow.send_text(&login.to_string()).await;
    let (_, welcome) = slow.frame().await.unwrap();
    let mut quick = server.enter("guest-quick", 3).await;
    let pad = "x".repeat(60_000);
    // From many senders, because one alone may not send so much at once.
    for sender in 0..6 {
        let mut alice = server.enter(&format!("guest-{sender}"), 1).await;
        for _ in 0..10 {
            let candidate =
                json!({"type":"candidate","call":CALL,"to":address("guest-slow", 2),"candidate":{"candidate":pad}});
            alice.send(candidate).await;
            let aside = json!({"type":"restart","call":CALL,"to":"guest-quick","n":sender});
            alice.send(aside).await;
            assert_eq!(quick.next().await["n"], sender);
            let answer = alice.ask(json!({"type":"ping"})).await;
            assert_eq!(answer["type"], "pong");
        }
    }
    // Its session lingers, but what it missed is not kept.
    assert_eq!(server.connect().await.login("guest-slow", 3).await["code"], "username_taken");
    let welcome: serde_json::Value = serde_json::from_slice(&welcome).unwrap();
    let again = server.connect().await.come_back(&welcome, 0).await;
    assert_eq!((&again["type"], &again["resumed"]), (&json!("welcome"), &json!(false)));
    let read = slow.count_to_the_end().await;
    assert!(read < 60 * pad.len(), "{read} bytes waited for one that does not read");
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = Server::with(|config| config.connections_max = 2).await;
    let (_first, second) = (server.enter("guest-a", 1).await, server.enter("guest-b", 1).await);
    let (head, _) = Raw::request(server.address, &upgrade_request("/ws", "")).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    second.leave().await;
    soon("room", async {
        loop {
            let (head, _) = Raw::request(server.address, &upgrade_request("/ws", "")).await;
            if head.starts_with("HTTP/1.1 101 ") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_tells_everybody() {
    let server = Server::start().await;
    let mut signed_in = server.enter("guest-a", 1).await;
    let mut waiting = server.connect().await;
    let mut silent = Raw::connect(server.address).await;
    let stopped = tokio::spawn(server.stop());
    assert_eq!((signed_in.closed().await, waiting.closed().await, silent.closed().await), (1001, 1001, 1001));
    soon("the end of the server", stopped).await.unwrap();
}
