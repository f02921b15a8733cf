//! `cargo fuzz run log`: see `src/store.rs`.
#![no_main]

#[allow(dead_code)] // each target calls one of them
#[path = "../src/store.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::log(data);
});
