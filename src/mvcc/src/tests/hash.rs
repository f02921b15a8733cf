//! The checksum against etcd's own values (etcd v3.5.16 `mvcc/hash_test.go`).

use super::*;

/// The keys of etcd's test, by the number of the put.
fn pick(number: i64) -> &'static str {
    match number {
        _ if number % 142 == 30 => "zenek",
        _ if number % 71 == 30 => "xavery",
        _ => ["alice", "bob", "celine", "dominik", "eve", "frederica", "gorge"]
            [usize::try_from(number % 7).unwrap()],
    }
}

/// Puts numbers, hashes, compacts, again and again; `middle`: not at the newest revision.
fn check(middle: bool, swept: bool, expected: &[(u32, i64, i64)]) {
    let mut state = State::new();
    let mut start = 0;
    let cycles = std::iter::repeat_n(71, expected.len() - 1).chain([1_210]);
    for (count, expected) in cycles.zip(expected) {
        for number in start..=start + count {
            state.put(&put(pick(number), &number.to_string())).unwrap();
        }
        let revision = if middle { start + count / 2 } else { 0 };
        let HashKv { hash, compact_revision, revision } = state.hash_kv(revision).unwrap();
        assert_eq!((hash, compact_revision, revision), *expected);
        state.compact(revision).unwrap();
        if swept {
            sweep(&mut state);
        } else {
            state.sweep(30);
        }
        start += 71;
    }
}

const MIDDLE: [(u32, i64, i64); 19] = [
    (4082599214, -1, 35),
    (2279933401, 35, 106),
    (3284231217, 106, 177),
    (126286495, 177, 248),
    (900108730, 248, 319),
    (2475485232, 319, 390),
    (1226296507, 390, 461),
    (2503661030, 461, 532),
    (4155130747, 532, 603),
    (106915399, 603, 674),
    (406914006, 674, 745),
    (1882211381, 745, 816),
    (806177088, 816, 887),
    (664311366, 887, 958),
    (1496914449, 958, 1029),
    (2434525091, 1029, 1100),
    (3988652253, 1100, 1171),
    (1122462288, 1171, 1242),
    (724436716, 1242, 1883),
];

const NEWEST: [(u32, i64, i64); 19] = [
    (1913897190, -1, 73),
    (224860069, 73, 145),
    (1565167519, 145, 217),
    (1566261620, 217, 289),
    (2037173024, 289, 361),
    (691659396, 361, 433),
    (2713730748, 433, 505),
    (3919322507, 505, 577),
    (769967540, 577, 649),
    (2909194793, 649, 721),
    (1576921157, 721, 793),
    (4067701532, 793, 865),
    (2226384237, 865, 937),
    (2923408134, 937, 1009),
    (2680329256, 1009, 1081),
    (1546717673, 1081, 1153),
    (2713657846, 1153, 1225),
    (1046575299, 1225, 1297),
    (2017735779, 1297, 2508),
];

#[test]
fn etcds_values_at_the_newest_revision() {
    for swept in [true, false] {
        check(false, swept, &NEWEST);
    }
}

#[test]
fn etcds_values_at_a_revision_in_the_middle() {
    for swept in [true, false] {
        check(true, swept, &MIDDLE);
    }
}

#[test]
fn revisions_that_cannot_be_hashed() {
    let mut state = script("a=1; a=2; a=3");
    state.compact(3).unwrap();
    assert_eq!(state.hash_kv(2), Err(Error::Compacted));
    assert_eq!(state.hash_kv(5), Err(Error::FutureRevision));
    assert_eq!(state.hash_kv(0), state.hash_kv(4));
    assert!(state.hash_kv(3).is_ok());
}

/// Leases, several changes at one revision, deletions, also at the compaction revision, and nothing
/// left at all: values that an etcd 3.5.16 gave for the same requests.
#[test]
fn etcds_values_with_deletions_and_leases() {
    let hash = |state: &State, revision| {
        let HashKv { hash, compact_revision, .. } = state.hash_kv(revision).unwrap();
        (hash, compact_revision)
    };
    for swept in [true, false] {
        let compact = |state: &mut State, revision| {
            state.compact(revision).unwrap();
            if swept {
                sweep(state);
            }
        };
        let mut state = State::new();
        assert_eq!(hash(&state, 0), (1084519789, -1));
        run(&mut state, "+7; a=1@7; b=1 c=1; a=2; -b..d; b=3; -a");
        assert_eq!(hash(&state, 0), (1774519884, -1));
        assert_eq!(hash(&state, 2), (4202119179, -1));
        assert_eq!(hash(&state, 5), (3980815585, -1));
        compact(&mut state, 5);
        assert_eq!(hash(&state, 6), (3051472, 5));
        assert_eq!(hash(&state, 0), (1528348558, 5));
        compact(&mut state, 7);
        assert_eq!(hash(&state, 0), (3309805061, 7));
        run(&mut state, "-b");
        assert_eq!(hash(&state, 0), (1246943115, 7));
        compact(&mut state, 8);
        assert_eq!(hash(&state, 0), (1084519789, 8));
    }
}
