#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ahoy_server::turn::fuzzing::relay(data));
