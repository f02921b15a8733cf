//! What is refused before any state is looked at.

use super::*;

/// A transaction in short: `a` puts, `-a..c` deletes, `?a` reads, `(x|y)` nests, with the steps of both
/// branches; blanks part steps.
fn ops(text: &str) -> Vec<RequestOp> {
    let mut rest = text;
    parse(&mut rest)
}

fn parse(rest: &mut &str) -> Vec<RequestOp> {
    let mut ops = Vec::new();
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(['|', ')']) {
            return ops;
        }
        if let Some(inner) = rest.strip_prefix('(') {
            *rest = inner;
            let success = parse(rest);
            *rest = rest.strip_prefix('|').unwrap();
            let failure = parse(rest);
            *rest = rest.strip_prefix(')').unwrap();
            ops.push(RequestOp::Txn(TxnRequest { compare: Vec::new(), success, failure }));
            continue;
        }
        let (word, after) = rest.split_at(rest.find([' ', '|', ')']).unwrap_or(rest.len()));
        *rest = after;
        ops.push(match word.split_at(1) {
            ("-", text) => RequestOp::DeleteRange(delete(text)),
            ("?", text) => RequestOp::Range(range(text)),
            _ => RequestOp::Put(put(word, "")),
        });
    }
}

fn txn(success: &str, failure: &str) -> TxnRequest {
    TxnRequest { compare: Vec::new(), success: ops(success), failure: ops(failure) }
}

#[test]
fn a_key_is_written_once() {
    let fine = [
        "a b c",
        "a -b -c..",
        "a ?a ?a..z",
        "b -a..b -c..e e",
        "-a -a -a..c",
        "(a|a) b",
        "(a|-a)",
        // A deletion without end is no hindrance, nor is one that holds nothing.
        "-a.. b",
        "b -z..a",
        // What a nested one deletes after another put it, or the other way in two branches.
        "(a|) (-a|)",
        "(a -b|b -a)",
    ];
    let twice = [
        "a a",
        "a -a",
        "-a..c b",
        "b -a..c",
        "-c..e -a..b -a..d d",
        "(a|) a",
        "(|a) a",
        "(a|) (|a)",
        "(-a|) a",
        "(|-a..c) b",
        "(-a|) (a|)",
        "-a..b (x|a)",
        "(a a|)",
        "(((a|)|)|) a",
    ];
    for text in fine {
        assert_eq!(txn(text, "").check(DEFAULT_MAX_TXN_OPS), Ok(()), "{text}");
        assert_eq!(txn(text, text).check(DEFAULT_MAX_TXN_OPS), Ok(()), "{text}");
    }
    for text in twice {
        assert_eq!(txn(text, "").check(DEFAULT_MAX_TXN_OPS), Err(Error::DuplicateKey), "{text}");
        assert_eq!(txn("", text).check(DEFAULT_MAX_TXN_OPS), Err(Error::DuplicateKey), "{text}");
    }
}

#[test]
fn spans_that_touch_and_overlap_are_merged() {
    let spans = "-c..e -a..b -b..c -g -k..m -h..l -f..f -d..j";
    for (key, deleted) in [("a", true), ("e", true), ("g", true), ("lz", true), ("m", false)] {
        let request = txn(&format!("{spans} {key}"), "");
        assert_eq!(request.check(DEFAULT_MAX_TXN_OPS).is_err(), deleted, "{key}");
    }
}

#[test]
fn steps_are_bounded_together_with_their_nesting() {
    let compare = |count| {
        let one = Compare {
            keys: keys("a"),
            result: CompareResult::Equal,
            target: CompareTarget::Version(0),
        };
        TxnRequest { compare: vec![one; count], ..TxnRequest::default() }
    };
    assert_eq!(compare(128).check(128), Ok(()));
    assert_eq!(compare(129).check(128), Err(Error::TooManyOps));
    assert_eq!(txn("a b c", "").check(3), Ok(()));
    assert_eq!(txn("a b", "a b c").check(2), Err(Error::TooManyOps));
    // Each nesting takes away what the one around it may have.
    assert_eq!(txn("(a b|)", "").check(3), Ok(()));
    assert_eq!(txn("(a b|)", "").check(2), Err(Error::TooManyOps));
    assert_eq!(txn("x (a (b|)|)", "").check(5), Ok(()));
    assert_eq!(txn("x (a (b|)|)", "").check(4), Err(Error::TooManyOps));
    // The count is looked at before the keys.
    assert_eq!(txn("? ? ?", "").check(2), Err(Error::TooManyOps));
}

#[test]
fn each_step_is_checked() {
    for text in ["?", "(?|)", "a (b|?)"] {
        assert_eq!(txn(text, "").check(9), Err(Error::EmptyKey), "{text}");
    }
    let keep = PutRequest { ignore_value: true, ..put("a", "x") };
    let request = TxnRequest { success: vec![RequestOp::Put(keep)], ..TxnRequest::default() };
    assert_eq!(request.check(9), Err(Error::ValueProvided));
    let compare =
        Compare { keys: keys(""), result: CompareResult::Equal, target: CompareTarget::Version(0) };
    let request = TxnRequest { compare: vec![compare], ..txn("?", "") };
    assert_eq!(request.check(9), Err(Error::EmptyKey));
}

#[test]
fn what_only_reads() {
    assert!(txn("?a ?b", "?c").is_read_only());
    assert!(!txn("?a", "b").is_read_only());
    assert!(!txn("-a", "").is_read_only());
    assert!(!txn("(?a|)", "").is_read_only());
}
