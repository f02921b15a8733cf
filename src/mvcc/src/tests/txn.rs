//! Transactions: which branch, what their steps see, and what is refused before anything is done.

use expect_test::expect;

use super::*;

fn compare(key: &str, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { keys: keys(key), result, target }
}

fn show_response(response: &TxnResponse) -> String {
    let responses = response.responses.iter().map(|op| match op {
        ResponseOp::Range(revision, range) => {
            let kvs: Vec<_> = range.kvs.iter().map(|kv| show_kv(kv)).collect();
            format!("{revision}: [{}] of {}", kvs.join(", "), range.count)
        }
        ResponseOp::Put(revision, put) => {
            let prev = put.prev_kv.as_ref().map_or("nothing".into(), |kv| show_kv(kv));
            format!("{revision}: put, told {prev}")
        }
        ResponseOp::DeleteRange(revision, delete) => {
            format!("{revision}: deleted {}, told {}", delete.deleted, delete.prev_kvs.len())
        }
        ResponseOp::Txn(revision, txn) => format!("{revision}: ({})", show_response(txn)),
    });
    let responses: Vec<_> = responses.collect();
    format!("{}: {}", response.succeeded, responses.join("; "))
}

#[test]
fn conditions() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{Create, Lease, Mod, Value, Version};
    let state = script("+7; a=1; a=2; b=1@7; c=2");
    let cases = [
        ("a", Equal, Version(2), true),
        ("a", Greater, Version(2), false),
        ("a", Less, Version(3), true),
        ("a", NotEqual, Version(2), false),
        ("a", Equal, Create(2), true),
        ("a", Equal, Mod(3), true),
        ("a", Equal, Mod(2), false),
        ("a", Equal, Value("2".into()), true),
        ("a", Less, Value("3".into()), true),
        ("b", Equal, Lease(7), true),
        ("a", Equal, Lease(0), true),
        // What is not there has all numbers 0, and no value that could be compared.
        ("x", Equal, Mod(0), true),
        ("x", Less, Mod(1), true),
        ("x", Greater, Lease(0), false),
        ("x", Equal, Value("".into()), false),
        ("x", NotEqual, Value("2".into()), false),
        // Of a range every key must do; of an empty range, what is not there.
        ("a..d", Greater, Create(1), true),
        ("a..d", Equal, Value("2".into()), false),
        ("a..", Less, Mod(6), true),
        ("a..", Less, Mod(5), false),
        ("x..", Equal, Version(0), true),
        ("x..", Equal, Value("".into()), false),
    ];
    for (key, result, target, met) in cases {
        let compare = compare(key, result, target);
        let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
        assert_eq!(state.read_txn(&request).unwrap().succeeded, met, "{request:?}");
    }
    let both = |last| {
        let first = compare("a", Equal, Version(2));
        vec![first, compare("a", Equal, Version(last))]
    };
    for last in [2, 3] {
        let request = TxnRequest { compare: both(last), ..TxnRequest::default() };
        assert_eq!(state.read_txn(&request).unwrap().succeeded, last == 2);
    }
}

#[test]
fn steps_see_what_was_done_before_them_but_nested_conditions_do_not() {
    let mut state = script("a=1; b=1");
    let all = || RequestOp::Range(range("\0.."));
    let nested = TxnRequest {
        compare: vec![compare("a", CompareResult::Equal, CompareTarget::Value("1".into()))],
        success: vec![RequestOp::Put(put("c", "3")), all()],
        failure: vec![],
    };
    let request = TxnRequest {
        compare: vec![],
        success: vec![
            all(),
            RequestOp::DeleteRange(delete("x")),
            RequestOp::Put(PutRequest { prev_kv: true, ..put("a", "2") }),
            RequestOp::DeleteRange(delete("y")),
            all(),
            RequestOp::Range(RangeRequest { revision: 2, ..range("\0..") }),
            RequestOp::Txn(nested),
            RequestOp::DeleteRange(DeleteRangeRequest { prev_kv: true, ..delete("b") }),
            all(),
        ],
        failure: vec![],
    };
    let (response, effect) = state.txn(&request).unwrap();
    expect![[r#"
        true: 3: [a=1 @2 from 2 v1, b=1 @3 from 3 v1] of 2
        3: deleted 0, told 0
        4: put, told a=1 @2 from 2 v1
        4: deleted 0, told 0
        4: [a=2 @4 from 2 v2, b=1 @3 from 3 v1] of 2
        4: [a=1 @2 from 2 v1] of 1
        0: (true: 4: put, told nothing
        4: [a=2 @4 from 2 v2, b=1 @3 from 3 v1, c=3 @4 from 4 v1] of 3)
        4: deleted 1, told 1
        4: [a=2 @4 from 2 v2, c=3 @4 from 4 v1] of 2"#]]
    .assert_eq(&show_response(&response).replace("; ", "\n"));
    let Some(Effect::Write { revision, changes }) = effect else { panic!("no write") };
    assert_eq!((revision, changes.len(), state.revision()), (4, 3, 4));
}

#[test]
fn a_transaction_that_writes_nothing_makes_no_revision() {
    let mut state = script("a=1");
    let request = TxnRequest {
        success: vec![RequestOp::Range(range("a")), RequestOp::DeleteRange(delete("b"))],
        ..TxnRequest::default()
    };
    let (response, effect) = state.txn(&request).unwrap();
    assert_eq!((effect, state.revision()), (None, 2));
    assert_eq!(show_response(&response), "true: 2: [a=1 @2 from 2 v1] of 1; 2: deleted 0, told 0");
}

#[test]
fn refused_transactions_change_nothing() {
    let keep = |key| PutRequest { ignore_value: true, ..put(key, "") };
    let lease = |key, lease| PutRequest { lease, ..put(key, "1") };
    let at = |revision| RequestOp::Range(RangeRequest { revision, ..range("a") });
    let put = |request| RequestOp::Put(request);
    let nest = |success| RequestOp::Txn(TxnRequest { success, ..TxnRequest::default() });
    let cases = [
        (vec![put(lease("a", 9))], Error::LeaseNotFound),
        (vec![put(keep("x"))], Error::KeyNotFound),
        (vec![at(9)], Error::FutureRevision),
        (vec![at(2)], Error::Compacted),
        // Unlike in a range of its own.
        (vec![at(-1)], Error::Compacted),
        // All puts are checked before all ranges, in their order.
        (vec![at(9), put(lease("a", 9))], Error::LeaseNotFound),
        (vec![put(lease("a", 9)), put(keep("x"))], Error::LeaseNotFound),
        (vec![put(keep("x")), put(lease("a", 9))], Error::KeyNotFound),
        (vec![put(lease("x", 0)), nest(vec![at(2)]), at(9)], Error::Compacted),
        // The revision that is being made is not there to be read yet.
        (vec![put(lease("x", 0)), at(5)], Error::FutureRevision),
        // A key that a deletion without end took away cannot be kept: etcd ends its process here.
        (
            vec![put(lease("x", 0)), RequestOp::DeleteRange(delete("a..")), put(keep("b"))],
            Error::KeyNotFound,
        ),
    ];
    for (success, error) in cases {
        let mut state = script("a=1; b=2; a=3; !3");
        let before = state.clone();
        let request = TxnRequest { success, ..TxnRequest::default() };
        assert_eq!(state.txn(&request), Err(error), "{request:?}");
        assert!(state.content_eq(&before) && state.size() == before.size());
        // What is not on the way is not looked at.
        let never = compare("a", CompareResult::Equal, CompareTarget::Mod(1));
        let request = TxnRequest { compare: vec![never], ..request };
        assert!(state.txn(&request).is_ok());
    }
}
