//! `cargo fuzz run verity`: see [`duet_fuzz::verity`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::verity(data);
});
