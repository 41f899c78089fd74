use super::*;

fn mailbox(waiting_bytes: usize) -> Mailbox {
    Mailbox::new(&Limits { waiting_bytes, ..Limits::default() }, Arc::default(), now())
}

fn drain(mailbox: &Mailbox) -> Vec<String> {
    std::iter::from_fn(|| mailbox.pop(str::to_owned)).collect()
}

#[test]
fn messages_come_out_in_order_and_numbered_once_told_to() {
    let mailbox = mailbox(1_000);
    mailbox.push(r#"{"type":"hello"}"#);
    mailbox.start_numbering();
    mailbox.push(r#"{"type":"a"}"#);
    mailbox.push(r#"{"type":"b"}"#);
    assert_eq!(drain(&mailbox), [r#"{"type":"hello"}"#, r#"{"type":"a","seq":1}"#, r#"{"type":"b","seq":2}"#]);
    assert_eq!(mailbox.last_sent(), 2);
}

#[test]
fn a_reader_too_slow_is_the_end_and_nothing_waits_any_more() {
    for (numbering, is_told) in [(false, true), (true, true), (false, false), (true, false)] {
        let mailbox = mailbox(45);
        if numbering {
            mailbox.start_numbering();
        }
        mailbox.push("{\"a\":\"12345678901\"}");
        assert!(!mailbox.is_crowded());
        mailbox.push("{\"a\":\"12345678901\"}");
        assert!(mailbox.push("{\"a\":\"12345678901\"}") && mailbox.is_crowded());
        assert_eq!(mailbox.ended(), None, "it may be about to read it");
        if is_told {
            mailbox.is_too_slow();
        } else {
            (0..50).for_each(|_| _ = mailbox.push("{\"a\":\"12345678901\"}"));
        }
        assert_eq!(mailbox.ended(), Some(End::TooSlow));
        mailbox.push("{\"a\":1}");
        mailbox.end(End::GoingAway);
        assert_eq!(mailbox.ended(), Some(End::TooSlow));
        assert!(drain(&mailbox).is_empty());
        mailbox.detach();
        assert!(matches!(mailbox.resume(0), Resumption::Lost));
    }
}

#[test]
fn what_was_taken_out_makes_room() {
    let mailbox = mailbox(20);
    for _ in 0..100 {
        mailbox.push("{\"a\":\"12345678\"}");
        assert!(mailbox.pop(|_| ()).is_some());
    }
    assert_eq!(mailbox.ended(), None);
}

#[test]
fn a_connection_that_ends_says_what_waits_and_the_session_keeps_what_comes_then() {
    let mailbox = mailbox(1_000);
    mailbox.start_numbering();
    mailbox.push("{\"a\":1}");
    mailbox.end(End::BadMessages);
    assert_eq!(drain(&mailbox), ["{\"a\":1,\"seq\":1}"]);
    mailbox.push("{\"a\":2}");
    mailbox.detach();
    mailbox.push("{\"a\":3}");
    assert!(matches!(mailbox.resume(1), Resumption::Resumed { received: 0 }));
    assert_eq!(mailbox.ended(), None);
    mailbox.welcome_back(VecDeque::from(["{\"hello\"}".into()]), "{\"welcome\"}".into());
    let all = drain(&mailbox);
    assert_eq!(all.len(), 4);
    assert_eq!(all[..2], ["{\"hello\"}", "{\"welcome\"}"]);
    assert!(all[2].starts_with("{\"a\":2,\"seq\":2,\"age_ms\":"), "{all:?}");
}

#[tokio::test]
async fn who_returns_before_the_old_connection_is_gone_waits_for_its_end() {
    let mailbox = mailbox(1_000);
    mailbox.start_numbering();
    let Resumption::Busy(gone) = mailbox.resume(0) else { panic!("it is busy") };
    assert_eq!(mailbox.ended(), Some(End::Replaced));
    mailbox.spend((1, 1), true, now()).unwrap();
    mailbox.detach();
    assert!(gone.await.is_err());
    assert!(matches!(mailbox.resume(0), Resumption::Resumed { received: 1 }));
}

#[test]
fn all_that_is_held_is_counted_and_given_back() {
    let held = Arc::new(AtomicUsize::new(0));
    let new = || Mailbox::new(&Limits::default(), Arc::clone(&held), now());
    let (here, away, slow) = (new(), new(), new());
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(50_000));
    here.push("{\"hello\":1}");
    assert_eq!((here.held(), held.load(Relaxed)), (11, 11));
    for mailbox in [&here, &away, &slow] {
        mailbox.start_numbering();
        mailbox.push(long.as_str());
    }
    let one = away.held();
    assert!(one > 50_000);
    assert_eq!(held.load(Relaxed), 3 * one + 11);
    // What was read and not acknowledged is still held, until room must be made.
    drain(&here);
    assert_eq!(here.held(), one);
    here.shed(usize::MAX);
    assert_eq!((here.held(), here.ended(), held.load(Relaxed)), (0, None, 2 * one));
    assert!(matches!(here.resume(0), Resumption::Lost));
    here.acknowledge(1);
    assert!(matches!(here.resume(1), Resumption::Busy(_)), "it has all that came");
    away.detach();
    away.shed(usize::MAX);
    assert!(matches!(away.resume(0), Resumption::Lost));
    slow.shed(usize::MAX);
    assert_eq!((slow.ended(), held.load(Relaxed)), (Some(End::TooSlow), 0));
    let more = new();
    more.push(long.as_str());
    drop(more);
    assert_eq!(held.load(Relaxed), 0);
}

#[test]
fn too_much_for_one_who_is_away_closes_it() {
    let mailbox = mailbox(100_000);
    mailbox.start_numbering();
    mailbox.detach();
    for _ in 0..255 {
        mailbox.push("{}");
    }
    assert!(!mailbox.lock().closed);
    mailbox.push("{}");
    assert!(mailbox.lock().closed);
    assert!(matches!(mailbox.resume(256), Resumption::Lost));
}
