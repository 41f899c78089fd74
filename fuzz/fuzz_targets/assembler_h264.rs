#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ahoy_fuzz::pictures::assembler_h264(data));
