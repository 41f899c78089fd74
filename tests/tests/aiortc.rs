//! Calls between the command-line peer and a Python program: `tests/peers/guest.py` speaks the contract as a guest, on
//! aiortc. What must hold stands in `ahoy_tests::foreign`. Left out is what aiortc cannot do: it makes no ICE restart, and
//! in an offer of its own within a call that it was called in it numbers its codecs anew, but goes on listening to the
//! old numbers alone, so that it does not come back from a hold.

use ahoy_tests::foreign::Making;
use ahoy_tests::harness::guest::Codec;
use ahoy_tests::harness::python;

const AIORTC: Making =
    Making { open: python::open, has_files: true, codec: Codec::H264, folder: env!("CARGO_TARGET_TMPDIR") };

#[test]
fn a_python_program_calls_in_h264() {
    AIORTC.guest_calls_and_hangs_up(Codec::H264);
}

#[test]
fn a_python_program_calls_in_vp8() {
    AIORTC.guest_calls_and_hangs_up(Codec::Vp8);
}

#[test]
fn a_python_program_is_called_in_h264() {
    AIORTC.guest_is_called_and_hung_up_on(Codec::H264);
}

#[test]
fn a_python_program_is_called_in_vp8() {
    AIORTC.guest_is_called_and_hung_up_on(Codec::Vp8);
}

#[test]
fn a_python_program_calls_with_sound_alone() {
    AIORTC.guest_calls_with_sound_alone();
}

#[test]
fn a_python_program_is_called_with_sound_alone() {
    AIORTC.guest_is_called_with_sound_alone();
}

#[test]
fn a_python_program_mutes() {
    AIORTC.guest_mutes();
}

#[test]
fn a_python_program_that_called_holds() {
    AIORTC.calling_guest_holds();
}
