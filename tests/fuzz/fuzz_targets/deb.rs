//! `cargo fuzz run deb`: see [`duet_fuzz::deb`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::deb(data);
});
