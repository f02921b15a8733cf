//! `cargo fuzz run uki`: see [`duet_fuzz::uki`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::uki(data);
});
