#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ahoy_fuzz::messages::control_message(data));
