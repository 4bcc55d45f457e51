//! `make fuzz` runs this.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| longshore_fuzz::records::check(data));
