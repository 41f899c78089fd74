#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ahoy_transport::fuzzing::datagrams(data));
