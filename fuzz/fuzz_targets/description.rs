#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| ahoy_transport::fuzzing::description(text));
