//! `cargo fuzz run fat`: see [`duet_fuzz::fat`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::fat(data);
});
