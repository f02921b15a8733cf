//! `cargo fuzz run pe`: see [`duet_fuzz::pe`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::pe(data);
});
