//! Calls between the command-line peer and pages in browsers: `tests/peers/guest.html` speaks the contract as a guest.
//! What must hold stands in `ahoy_tests::foreign`.

use ahoy_tests::foreign::Making;
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::{chromium, firefox};

const CHROMIUM: Making =
    Making { open: chromium::open, has_files: true, codec: Codec::H264, folder: env!("CARGO_TARGET_TMPDIR") };
const FIREFOX: Making =
    Making { open: firefox::open, has_files: false, codec: Codec::Vp8, folder: env!("CARGO_TARGET_TMPDIR") };

#[test]
fn a_page_in_chromium_calls_in_h264() {
    CHROMIUM.guest_calls_and_hangs_up(Codec::H264);
}

#[test]
fn a_page_in_chromium_calls_in_vp8() {
    CHROMIUM.guest_calls_and_hangs_up(Codec::Vp8);
}

#[test]
fn a_page_in_chromium_is_called_in_h264() {
    CHROMIUM.guest_is_called_and_hung_up_on(Codec::H264);
}

#[test]
fn a_page_in_chromium_is_called_in_vp8() {
    CHROMIUM.guest_is_called_and_hung_up_on(Codec::Vp8);
}

#[test]
fn a_page_in_chromium_calls_with_sound_alone() {
    CHROMIUM.guest_calls_with_sound_alone();
}

#[test]
fn a_page_in_chromium_is_called_with_sound_alone() {
    CHROMIUM.guest_is_called_with_sound_alone();
}

#[test]
fn a_page_in_chromium_mutes() {
    CHROMIUM.guest_mutes();
}

#[test]
fn a_page_in_chromium_that_called_holds() {
    CHROMIUM.calling_guest_holds();
}

#[test]
fn a_page_in_chromium_that_was_called_holds() {
    CHROMIUM.called_guest_holds();
}

#[test]
fn a_page_in_chromium_that_called_restarts_ice() {
    CHROMIUM.calling_guest_restarts_ice();
}

#[test]
fn a_page_in_chromium_that_was_called_asks_for_an_ice_restart() {
    CHROMIUM.called_guest_asks_for_ice_restart();
}

#[test]
fn a_page_in_firefox_calls() {
    FIREFOX.guest_calls_and_hangs_up(Codec::Vp8);
}

#[test]
fn a_page_in_firefox_is_called() {
    FIREFOX.guest_is_called_and_hung_up_on(Codec::Vp8);
}

#[test]
fn a_page_in_firefox_calls_with_sound_alone() {
    FIREFOX.guest_calls_with_sound_alone();
}

#[test]
fn a_page_in_firefox_is_called_with_sound_alone() {
    FIREFOX.guest_is_called_with_sound_alone();
}

#[test]
fn a_page_in_firefox_that_called_holds() {
    FIREFOX.calling_guest_holds();
}

#[test]
fn a_page_in_firefox_that_was_called_holds() {
    FIREFOX.called_guest_holds();
}
