//! What a key takes in memory beyond its own bytes. Run alone: `cargo test -p mvcc -- --ignored memory`.

use super::*;

const KEYS: u64 = 300_000;

/// Bytes of this process that are in memory (`proc_pid_statm(5)`, in pages of 4 KiB).
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

fn key(number: u64) -> String {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    format!("/registry/pods/namespace-{:03}/pod-{spread:011x}", number % 200)
}

/// Keys as Kubernetes has them, in no order.
#[test]
#[ignore = "fills some 200 MiB, and other tests would disturb it"]
fn what_a_key_takes_beyond_its_bytes() {
    let value = "v".repeat(300);
    let own = (key(0).len() + value.len()) as u64;
    let before = resident();
    let mut state = State::new();
    for number in 0..KEYS {
        state.put(&put(&key(number), &value)).unwrap();
    }
    let with_event = (resident() - before) / KEYS - own;
    // Measured 253: the version 128, its bytes' count 32, the allocator's rounding 12, its event 26,
    // and the rest is the tree.
    assert!(with_event < 270, "{with_event} bytes a key with one version and its event");

    state.compact(state.revision()).unwrap();
    let before = resident();
    let mut builder = State::builder();
    for item in state.items() {
        builder.push(own_bytes(item)).unwrap();
    }
    let built = builder.finish().unwrap();
    // Measured 213.
    let without_event = (resident() - before) / KEYS - own;
    assert!(without_event < 225, "{without_event} bytes a key with one version, compacted");
    assert!(built.content_eq(&state));
}

/// As a reader of checkpoints makes it: key and value in one allocation of their own.
fn own_bytes(item: Item) -> Item {
    let Item::Version { sub, kind, kv } = item else { return item };
    let mut key = Bytes::from([&kv.key[..], &kv.value[..]].concat());
    let value = key.split_off(kv.key.len());
    Item::Version { sub, kind, kv: KeyValue { key, value, ..KeyValue::clone(&kv) }.into() }
}
