//! `cargo fuzz run cpio`: see [`duet_fuzz::cpio`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    duet_fuzz::cpio(data);
});
