//! Networks that fail under a call, and what leaves a machine before its user says yes.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ahoy_tests::harness::cli::file;
use ahoy_tests::harness::lab::End;
use ahoy_tests::harness::pace::allow;
use ahoy_tests::harness::rig::{Nat, Packet, Rig, longest_freeze, longest_silence, now_ns};
use ahoy_tests::harness::{DEADLINE, Running, Server};

use crate::{beside_others, camera};

/// How long a call goes on before something happens to it.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a callee lets it ring before it accepts.
const RINGS: Duration = Duration::from_secs(2);

/// Checks that media came in each second of that time, by the figures of each second. Pictures alone would not do: on a
/// machine that is busy a path looks narrow, and then sound goes first.
pub(crate) fn hears(peer: &Running, from_ns: u64, to_ns: u64) {
    let seconds = peer.all("stats").into_iter().filter(|stats| (from_ns..to_ns).contains(&stats.t_ns()));
    let received: Vec<u64> = seconds.map(|stats| stats.number("packets_received")).collect();
    assert!(received.len() > 1 && received.windows(2).all(|pair| pair[0] < pair[1]), "{received:?}");
}

/// A call with picture and sound between the two ends: alice, who called, at A.
pub(crate) struct Call {
    pub(crate) rig: Rig,
    server: Server,
    pub(crate) alice: Running,
    pub(crate) bob: Running,
    /// What each has heard, once it has ended.
    heard: [PathBuf; 2],
}

impl Call {
    fn begin(rig: Rig, arguments: &[&str]) -> Self {
        let server = rig.server(arguments);
        Self::begin_at(rig, server, &[])
    }

    /// The same at a server that runs, with more options for both.
    pub(crate) fn begin_at(rig: Rig, server: Server, options: &[&str]) -> Self {
        let clis = ["alice", "bob"].map(|user| {
            let cli = Rig::cli(&server, user).with_media().and(&["--frame-events", "--commands"]).and(options);
            let heard = file(&cli.file("heard.wav"));
            cli.with("--speaker", &heard)
        });
        let heard = clis.each_ref().map(|cli| cli.file("heard.wav"));
        let bob = rig.enter(End::B, || clis[1].start_signed_in("answer"));
        let alice = rig.enter(End::A, || clis[0].start("call bob"));
        for peer in [&alice, &bob] {
            peer.wait_for("connected");
            peer.wait_for("first_frame");
        }
        sleep(SETTLED);
        Self { rig, server, alice, bob, heard }
    }

    /// Both show pictures without a stop longer than `most` in the time from `from_ns`, which is waited for.
    fn shows(&self, from_ns: u64, lasts: Duration, most: Duration) {
        let to_ns = from_ns + lasts.as_nanos() as u64;
        sleep(Duration::from_nanos(to_ns.saturating_sub(now_ns())));
        for (name, peer) in [("alice", &self.alice), ("bob", &self.bob)] {
            let longest = longest_freeze(peer, from_ns, to_ns);
            println!("{name} saw nothing for {longest:?} at most");
            assert!(longest <= allow(most), "{name} saw nothing for {longest:?}");
        }
    }

    /// Both have had another path within `most` of `from_ns`, and see each other by it.
    pub(crate) fn is_moved(&self, from_ns: u64, most: Duration) {
        for (name, peer) in [("alice", &self.alice), ("bob", &self.bob)] {
            let back = peer.wait_for_nth("connected", peer.all("connected").len().max(2) - 1).t_ns();
            let took = Duration::from_nanos(back.saturating_sub(from_ns));
            println!("{name} has another path after {took:?}");
            assert!(back > from_ns && took <= allow(most), "{name} had no path for {took:?}");
            let deadline = Instant::now() + DEADLINE;
            while !peer.all("frame_shown").iter().any(|shown| shown.t_ns() > back) {
                assert!(Instant::now() < deadline, "{name} sees nothing by the new path");
                sleep(Duration::from_millis(50));
            }
        }
    }

    /// Hangs up, and checks that nobody heard nothing for longer than that.
    pub(crate) fn ends_well(mut self, silence: Duration) {
        self.alice.tell("hang-up");
        self.alice.ends_with(0);
        self.bob.ends_with(0);
        for heard in &self.heard {
            let longest = longest_silence(heard);
            assert!(longest <= allow(silence), "{} heard nothing for {longest:?}", heard.display());
        }
    }
}

/// After a cut of that length at the caller, and in another call at the callee, of media and signaling, both see each other
/// within that time of its end.
fn a_cut_is_survived(lasts: Duration, back: Duration) {
    let _turn = beside_others();
    for end in [End::A, End::B] {
        let Some(rig) = Rig::start() else { return };
        let call = Call::begin(rig, &[]);
        call.rig.cut(end);
        sleep(lasts);
        call.rig.mend(end);
        call.shows(now_ns(), allow(back) + Duration::from_secs(2), back);
        // Half a second for the concealment's end and for what was being said.
        call.ends_well(lasts + back + Duration::from_millis(500));
    }
}

#[test]
fn after_a_cut_of_3_s_media_are_back_within_a_second() {
    a_cut_is_survived(Duration::from_secs(3), Duration::from_secs(1));
}

#[test]
fn after_a_cut_of_8_s_media_are_back_within_3_s() {
    a_cut_is_survived(Duration::from_secs(8), Duration::from_secs(3));
}

#[test]
fn after_a_cut_of_25_s_media_are_back_within_3_s() {
    a_cut_is_survived(Duration::from_secs(25), Duration::from_secs(3));
}

#[test]
fn a_cut_of_a_minute_ends_the_call_with_a_reason_and_another_can_be_made_at_once() {
    let _turn = beside_others();
    let Some(rig) = Rig::start() else { return };
    let mut call = Call::begin(rig, &[]);
    call.rig.cut(End::A);
    let cut = now_ns();
    for peer in [&mut call.alice, &mut call.bob] {
        let status = peer.process().wait(Duration::from_secs(60));
        assert_eq!(status.code(), Some(1), "a call that breaks off");
        let lost = Duration::from_nanos(peer.wait_for("path_lost").t_ns() - cut);
        assert!(lost <= allow(Duration::from_secs(5)), "it took {lost:?} to notice");
        let ended = peer.wait_for("ended");
        assert!(!ended.text("message").is_empty() && ended.flag("connected"));
        let took = Duration::from_nanos(ended.t_ns() - cut);
        assert!(took <= allow(Duration::from_secs(50)), "it took {took:?} to end");
    }
    call.rig.mend(End::A);
    let mut bob = call.rig.enter(End::B, || Rig::cli(&call.server, "bella").start_signed_in("answer"));
    let mut again = call.rig.enter(End::A, || Rig::cli(&call.server, "anna").start("call bella --seconds 0.5"));
    again.ends_with(0);
    bob.ends_with(0);
}

/// Media go on within 3 s of what `change` does to the caller (A) or the callee (B), each in a call of its own.
fn a_change_is_survived(ends: &[End], change: impl Fn(&Rig, End)) {
    let _turn = beside_others();
    for &end in ends {
        let Some(rig) = Rig::start() else { return };
        let call = Call::begin(rig, &[]);
        let changed = now_ns();
        change(&call.rig, end);
        let most = Duration::from_secs(3);
        call.shows(changed, 2 * allow(most), most);
        call.ends_well(most);
    }
}

#[test]
fn another_address_is_moved_to_within_3_s() {
    a_change_is_survived(&[End::A, End::B], |rig, end| {
        rig.set_address(end, 7);
    });
}

#[test]
fn another_interface_is_moved_to_within_3_s() {
    a_change_is_survived(&[End::A], to_another_interface);
}

#[test]
fn another_interface_of_the_callee_is_moved_to_within_3_s() {
    a_change_is_survived(&[End::B], to_another_interface);
}

fn to_another_interface(rig: &Rig, end: End) {
    rig.second_interface(end);
    rig.interface_down(end);
}

#[test]
fn an_interface_that_only_appears_changes_nothing() {
    let _turn = beside_others();
    let Some(rig) = Rig::start() else { return };
    let call = Call::begin(rig, &[]);
    let appeared = now_ns();
    call.rig.second_interface(End::A);
    call.shows(appeared, Duration::from_secs(4), Duration::from_secs(1));
    assert!(call.alice.all("path_lost").is_empty() && call.bob.all("path_lost").is_empty());
    call.ends_well(Duration::from_secs(1));
}

#[test]
fn where_there_is_no_way_through_the_call_ends_and_says_so() {
    let _turn = beside_others();
    let Some(rig) = Rig::start_behind([Nat::Symmetric; 2]) else { return };
    rig.block_udp(End::A);
    rig.block_udp(End::B);
    let server = rig.server(&["--no-turn"]);
    let mut bob = rig.enter(End::B, || Rig::cli(&server, "bob").start_signed_in("answer"));
    let mut alice = rig.enter(End::A, || Rig::cli(&server, "alice").start("call bob"));
    let accepted = alice.wait_for("accepted").t_ns();
    let said = [&mut alice, &mut bob].map(|peer| peer.ends_with(4));
    for words in said {
        assert!(words.contains("No direct path between you was found"), "{words}");
        assert!(words.contains("ask who runs the server"), "{words}");
    }
    for peer in [&alice, &bob] {
        let took = Duration::from_nanos(peer.wait_for("ended").t_ns() - accepted);
        assert!(took <= allow(Duration::from_secs(15)), "{took:?}");
    }
}

#[test]
fn where_no_udp_passes_and_nobody_relays_two_meet_over_tcp_and_leave_nothing_open() {
    let _turn = beside_others();
    let Some(rig) = Rig::start() else { return };
    rig.block_udp(End::A);
    rig.block_udp(End::B);
    let server = rig.server(&["--no-turn"]);
    let cli = |user| Rig::cli(&server, user).with_media();
    let mut bob = rig.enter(End::B, || cli("bob").start_signed_in("answer --calls 2"));
    let mut held = Vec::new();
    // A stranger rings once a minute.
    for (call, caller) in ["alice", "anna"].into_iter().enumerate() {
        let mut alice = rig.enter(End::A, || cli(caller).start("call bob --seconds 5"));
        let accepted = alice.wait_for("accepted").t_ns();
        let connected = alice.wait_for("connected");
        let took = Duration::from_nanos(connected.t_ns() - accepted);
        println!("connected by {} {took:?} after it was accepted", connected.text("path"));
        assert!(took <= allow(Duration::from_secs(15)), "{took:?}");
        for (peer, nth) in [(&alice, 0), (&bob, call)] {
            let sees = peer.wait_for_nth("first_frame", nth).t_ns();
            let to = sees + Duration::from_millis(3_500).as_nanos() as u64;
            sleep(Duration::from_nanos(to.saturating_sub(now_ns())));
            hears(peer, sees, to);
        }
        alice.ends_with(0);
        bob.wait_for_nth("ended", call);
        // What a call holds is given back a moment later.
        sleep(SETTLED);
        let open = bob.process().descriptors().len();
        held.push(open);
    }
    assert!(held[1] <= held[0], "descriptors after each call: {held:?}");
    bob.ends_with(0);
}

#[test]
fn where_no_udp_passes_and_routers_translate_by_destination_a_relay_is_used_within_5_s() {
    let _turn = beside_others();
    let Some(rig) = Rig::start_behind([Nat::Symmetric; 2]) else { return };
    rig.block_udp(End::A);
    rig.block_udp(End::B);
    let relay = format!("{}:3478", rig.internet_address());
    // The rig's addresses are private ones, which a relay refuses unless told otherwise.
    let server = rig.server(&["--turn-listen", &relay, "--turn-allow-private"]);
    let bob = rig.enter(End::B, || Rig::cli(&server, "bob").with_media().start_signed_in("answer"));
    let mut alice = rig.enter(End::A, || Rig::cli(&server, "alice").with_media().start("call bob --seconds 2"));
    let accepted = alice.wait_for("accepted").t_ns();
    let connected = alice.wait_for("connected");
    assert_eq!(connected.text("path"), "relay");
    let took = Duration::from_nanos(connected.t_ns() - accepted);
    assert!(took <= allow(Duration::from_secs(5)), "{took:?}");
    bob.wait_for("first_frame");
    alice.ends_with(0);
}

#[test]
fn routers_that_translate_by_port_let_two_meet_with_the_help_of_their_signaling() {
    let _turn = beside_others();
    let Some(rig) = Rig::start_behind([Nat::PortRestricted, Nat::None]) else { return };
    let call = Call::begin(rig, &[]);
    call.shows(now_ns(), Duration::from_secs(4), Duration::from_secs(1));
    call.ends_well(Duration::from_secs(1));
}

#[test]
fn a_stranger_learns_no_address_before_the_user_says_yes() {
    let _turn = beside_others();
    let Some(rig) = Rig::start() else { return };
    let server = rig.server(&[]);
    let leaves = rig.capture(End::B);
    let answer = format!("answer --delay-ms {}", RINGS.as_millis());
    let mut bob = rig.enter(End::B, || Rig::cli(&server, "bob").with_media().start_signed_in(&answer));
    let mut alice = rig.enter(End::A, || Rig::cli(&server, "alice").with_media().start("call bob --seconds 1"));
    alice.ends_with(0);
    bob.ends_with(0);
    let accepted = bob.wait_for("incoming").t_ns() + RINGS.as_nanos() as u64;
    let packets = leaves.packets();
    let (before, after): (Vec<Packet>, Vec<Packet>) = packets.into_iter().partition(|packet| packet.t_ns < accepted);
    let to_server = |packet: &Packet| packet.protocol == 6 && packet.to.to_string() == server.host();
    assert!(before.iter().any(to_server), "bob has signed in");
    let others: Vec<_> = before.iter().filter(|packet| !to_server(packet)).collect();
    assert!(others.is_empty(), "before he said yes: {others:?}");
    let to_alice = |packet: &Packet| packet.is_rtp() && *packet.to.ip() == rig.address(End::A);
    assert!(after.iter().any(to_alice), "afterwards there is a call");
}

#[test]
fn before_the_user_says_yes_no_media_leave_and_the_camera_is_shut() {
    let _turn = beside_others();
    let Some(camera) = camera() else { return };
    let Some(rig) = Rig::start() else { return };
    let server = rig.server(&[]);
    let leaves = rig.capture(End::B);
    let answer = format!("answer --delay-ms {}", RINGS.as_millis());
    // To a contact the path is made while it rings: the case in which something could leave.
    let callee = Rig::cli(&server, "bob").with("--camera", "default").with("--microphone", "tone");
    let callee = callee.and(&["--contact", "alice", "--frame-events"]).with_environment(camera.environment());
    let mut bob = rig.enter(End::B, || callee.start_signed_in(&answer));
    let caller = Rig::cli(&server, "alice").with_media().and(&["--contact", "bob"]);
    let mut alice = rig.enter(End::A, || caller.start("call bob --seconds 1"));
    let accepted = bob.wait_for("incoming").t_ns() + RINGS.as_nanos() as u64;
    while now_ns() + 100_000_000 < accepted {
        assert!(!is_open(&mut bob), "the camera is on while it rings");
        sleep(Duration::from_millis(20));
    }
    bob.wait_for("frame_captured");
    assert!(is_open(&mut bob), "the camera is on in the call");
    alice.ends_within(DEADLINE, 0);
    bob.ends_with(0);
    let packets = leaves.packets();
    let (before, after): (Vec<Packet>, Vec<Packet>) = packets.into_iter().partition(|packet| packet.t_ns < accepted);
    assert!(before.iter().any(|packet| packet.is_dtls()), "the path is made while it rings");
    assert!(!before.iter().any(|packet| packet.is_rtp()), "media left before he said yes");
    assert!(after.iter().any(|packet| packet.is_rtp()), "afterwards they do");
    assert!(bob.wait_for("frame_captured").t_ns() >= accepted);
}

/// Whether the fake camera is open: it is a timer descriptor, and nothing else in this program is.
fn is_open(peer: &mut Running) -> bool {
    peer.process().descriptors().iter().any(|name| name.contains("timerfd"))
}
