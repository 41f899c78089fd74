//! Calls from window to window.

use std::thread;
use std::time::{Duration, Instant};

use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::family::members;
use ahoy_tests::harness::likeness::Clip;
use ahoy_tests::harness::ssim::ssim;
use ahoy_tests::harness::window::{SIZE, View, Window};
use ahoy_tests::harness::{DEADLINE, Server};

use crate::people::{Couple, assert_sees, peer, showing, sources, take_turn};

/// How soon a page that was loaded anew must be back in its call.
const BACK: Duration = Duration::from_secs(2);

#[test]
fn two_people_call_by_name_and_see_each_other_until_one_hangs_up() {
    let Some(couple) = Couple::meet() else { return };
    let (alice, bob) = (&couple.alice, &couple.bob);
    alice.call("bob");
    alice.wait_for_text("Ringing");
    bob.wait_for_text("is calling with picture");
    bob.click("Answer with picture");
    couple.see_each_other();
    for (window, source) in [(alice, &sources().plain), (bob, &sources().turned)] {
        assert_is_own_mirror_image(window, source);
    }

    alice.click("Mute microphone");
    bob.wait_for_text("alice is muted");
    alice.click("Turn camera off");
    bob.wait_for_text("alice’s camera is off");
    assert_sees(alice, View::Remote, &sources().turned);
    alice.click("Mute microphone");
    bob.wait_for("alice unmuted", |_| Ok((!bob.text().contains("alice is muted")).then_some(())));
    alice.click("Turn camera off");
    couple.see_each_other();

    bob.click("Hang up");
    for window in [alice, bob] {
        window.wait_for_screen("ended");
        let text = window.text();
        assert!(text.contains("Lasted 0:") && text.contains('.'), "how long and why: {text}");
        window.click("Back to home");
        window.wait_for_screen("home");
    }
}

#[test]
fn a_declined_call_ends_on_both_sides_and_says_so_to_the_caller() {
    let Some(couple) = Couple::meet() else { return };
    let (alice, bob) = (&couple.alice, &couple.bob);
    alice.call("bob");
    bob.click("Decline");
    alice.wait_for_screen("ended");
    alice.wait_for_text("declined");
    bob.wait_for_screen("home");
}

#[test]
fn a_call_is_made_and_answered_with_keys_alone() {
    let Some(couple) = Couple::meet() else { return };
    let (alice, bob) = (&couple.alice, &couple.bob);
    alice.call("bob");
    bob.wait_for_screen("incoming");
    // Meant for something else: it must not answer.
    bob.press_enter();
    bob.press(&['\u{e009}', '\u{e008}', 'v']);
    couple.see_each_other();
    alice.press(&['\u{e009}', 'd']);
    bob.wait_for_text("alice is muted");
    bob.press(&['v']);
    alice.wait_for_text("bob’s camera is off");
    alice.press(&['\u{e009}', '\u{e008}', 'e']);
    bob.wait_for_screen("ended");
}

#[test]
fn a_page_loaded_anew_is_back_in_the_call_within_two_seconds() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let mut echo = peer(&server, "echo", &sources().plain).start_signed_in("echo");
    let Some(alice) = showing(&desktop, &sources().plain).open("alice") else { return };
    alice.sign_in(&server);
    alice.call("echo");
    assert_sees(&alice, View::Remote, &sources().plain);
    let fresh = "return window.seenBefore === undefined";
    alice.ask("window.seenBefore = true");
    let began = alice.reload();
    alice.wait_for("a fresh page", |driver| {
        Ok(driver.execute(fresh, serde_json::json!([]))?.as_bool().filter(|is| *is))
    });
    let picture = alice.look(View::Remote);
    let took = began.elapsed();
    alice.wait_for("another picture", |_| Ok((alice.look(View::Remote) != picture).then_some(())));
    println!("back after {took:?}, in motion after {:?}", began.elapsed());
    assert!(took <= BACK, "back in the call after {took:?}");
    assert_sees(&alice, View::Remote, &sources().plain);
    alice.click("Hang up");
    echo.wait_for("ended");
    echo.process().interrupt();
    echo.ends_with(0);
}

#[test]
fn the_call_outlives_the_program_that_draws_the_page() {
    let _turn = take_turn();
    let Some(desktop) = Desktop::start() else { return };
    let server = Server::start();
    let bob = peer(&server, "bob", &sources().turned);
    let answering = bob.start_signed_in("answer");
    let Some(mut alice) = showing(&desktop, &sources().plain).open("alice") else { return };
    alice.sign_in(&server);
    alice.call("bob");
    assert_sees(&alice, View::Remote, &sources().turned);
    let painted = alice.app().all("window_painted").len();
    let drawing = members(alice.app().process().id()).into_iter().find(|member| member.name == "WebKitWebProces");
    drawing.expect("a program draws the page").kill();
    // A new one draws it, and the call was never left.
    alice.wait_for_nth("window_painted", painted);
    let drawn = alice.app().all("frame_drawn").len();
    alice.wait_for_nth("frame_drawn", drawn + 30);
    assert!(answering.all("ended").is_empty(), "the other side is still in the call");
    let shown = desktop.display.look().painted();
    assert!(shown > 100_000, "the window shows something: {shown} pixels");
}

/// On the screen one's own picture is the way one knows it from mirrors.
#[track_caller]
fn assert_is_own_mirror_image(window: &Window, source: &ahoy_tests::harness::media::Source) {
    let mut clip = Clip::open(&source.clip);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let place = window.place(View::Local);
        let seen = window.desktop().display.look().part(place).luma(SIZE.0, SIZE.1);
        let mirrored: Vec<u8> = seen.chunks_exact(SIZE.0).flat_map(|row| row.iter().rev()).copied().collect();
        let [as_sent, turned] = [&seen, &mirrored].map(|picture| clip.find(picture, SIZE.0).ssim);
        if turned > as_sent + 0.1 {
            println!("own picture: {turned:.3} mirrored, {as_sent:.3} not");
            return;
        }
        let itself = ssim(&seen, &mirrored, SIZE.0);
        assert!(
            Instant::now() < deadline,
            "{:?} shows no mirror image: {turned:.3} mirrored, {as_sent:.3} not, {itself:.3} symmetric",
            place
        );
        thread::sleep(Duration::from_millis(100));
    }
}
