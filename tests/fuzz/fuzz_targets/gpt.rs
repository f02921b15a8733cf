//! `cargo fuzz run gpt`: see [`duet_fuzz::gpt`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::gpt(data);
});
