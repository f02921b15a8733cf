//! Records and their bytes.
#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out);
    out
}

fn check(effect: Effect, line: Expect, hex: Expect) {
    let record = Record { index: 300, term: 2, effect };
    let bytes = encoded(&record);
    assert_eq!(Record::decode(&bytes).unwrap(), record);
    line.assert_eq(&record.to_string());
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.assert_eq(&digits.join(" "));
}

/// These bytes are in people's log files: a change here is a new format.
#[test]
fn the_encoding_stays() {
    let changes = vec![
        Change::Put { key: bytes("a"), value: bytes("xyz"), lease: 255 },
        Change::Delete { key: bytes("b\n") },
    ];
    check(
        Effect::Write { revision: 7, changes },
        expect![[r#"300 term 2 revision 7: put "a" 3 B lease ff, delete "b\n""#]],
        expect!["01 01 ac 02 02 07 02 01 01 61 03 78 79 7a ff 01 02 02 62 0a"],
    );
    check(
        Effect::Grant { id: 5, ttl: 60 },
        expect!["300 term 2 grant lease 5 for 60 s"],
        expect!["01 02 ac 02 02 05 3c"],
    );
    check(
        Effect::Revoke { id: -1, revision: 9 },
        expect!["300 term 2 revoke lease ffffffffffffffff, then at revision 9"],
        expect!["01 03 ac 02 02 ff ff ff ff ff ff ff ff ff 01 09"],
    );
    check(
        Effect::Compact { revision: 4 },
        expect!["300 term 2 compact at revision 4"],
        expect!["01 04 ac 02 02 04"],
    );
    check(
        Effect::Leap { revision: 400 },
        expect!["300 term 2 leap to revision 400"],
        expect!["01 05 ac 02 02 90 03"],
    );
}

#[test]
fn what_is_no_record_is_refused_with_its_reason() {
    let cases: [(&[u8], &str); 10] = [
        (&[], "the bytes end before the record does"),
        (&[2, 4, 1, 1, 1], "it has format 2, and this version reads format 1"),
        (&[1, 9, 1, 1, 1], "impossible kind of record"),
        (&[1, 4, 1, 1], "the bytes end before the record does"),
        (&[1, 4, 1, 1, 1, 1], "1 bytes follow the record"),
        (&[1, 4, 1, 1, 0x81, 0], "impossible number"),
        (&[1, 4, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], "impossible number"),
        (&[1, 1, 1, 1, 1, 255, 255, 255, 255, 15], "the bytes end before the record does"),
        (&[1, 1, 1, 1, 1, 1, 3, 0], "impossible kind of change"),
        (&[1, 1, 1, 1, 1, 1, 2, 200, 1, 0], "the bytes end before the record does"),
    ];
    for (bytes, reason) in cases {
        assert_eq!(Record::decode(bytes).unwrap_err().to_string(), reason, "{bytes:?}");
    }
}

fn effects() -> impl Strategy<Value = Effect> {
    let text = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let change = prop_oneof![
        (text(), text(), any::<i64>()).prop_map(|(key, value, lease)| Change::Put {
            key,
            value,
            lease
        }),
        text().prop_map(|key| Change::Delete { key }),
    ];
    prop_oneof![
        (any::<i64>(), proptest::collection::vec(change, 0..9))
            .prop_map(|(revision, changes)| Effect::Write { revision, changes }),
        (any::<i64>(), any::<i64>()).prop_map(|(id, ttl)| Effect::Grant { id, ttl }),
        (any::<i64>(), any::<i64>()).prop_map(|(id, revision)| Effect::Revoke { id, revision }),
        any::<i64>().prop_map(|revision| Effect::Compact { revision }),
    ]
}

proptest! {
    #[test]
    fn every_record_is_read_as_it_was_written(
        index in any::<u64>(), term in any::<u64>(), effect in effects(), cut in any::<usize>(),
    ) {
        let record = Record { index, term, effect };
        let bytes = encoded(&record);
        prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
        prop_assert!(Record::decode(&bytes[..cut % bytes.len()]).is_err());
    }

    #[test]
    fn what_is_read_has_one_encoding(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let [format, kind, ..] = &mut bytes[..] {
            (*format, *kind) = (1, 1 + *kind % 4);
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&record), bytes);
        }
    }
}
