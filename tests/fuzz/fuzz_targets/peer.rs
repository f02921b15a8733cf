//! `cargo fuzz run peer`: see `src/peer.rs`.
#![no_main]

#[path = "../src/peer.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::peer(data);
});
