//! Finds the watches that a key concerns. Start at [`Index::find`]. Watches of the same range share one
//! place, so that a thousand of them cost one look.

use std::collections::HashMap;

use bytes::Bytes;
use mvcc::KeyRange;

/// Watches by range: exact keys in a table, spans in an array ordered by their start, in which the
/// middle of each part knows the furthest end within the part (an implicit interval tree).
#[derive(Debug, Default)]
pub(crate) struct Index {
    groups: HashMap<KeyRange, Vec<u64>>,
    spans: Vec<Span>,
    /// The spans no longer fit the groups.
    stale: bool,
}

#[derive(Debug)]
struct Span {
    range: KeyRange,
    /// The furthest end in the part whose middle this is; none is without end.
    reach: Option<Bytes>,
}

impl Index {
    pub(crate) fn insert(&mut self, range: &KeyRange, watch: u64) {
        let group = self.groups.entry(range.clone()).or_default();
        group.push(watch);
        self.stale |= group.len() == 1 && !range.is_single();
    }

    pub(crate) fn remove(&mut self, range: &KeyRange, watch: u64) {
        let Some(group) = self.groups.get_mut(range) else { return };
        group.retain(|other| *other != watch);
        if group.is_empty() {
            self.groups.remove(range);
            self.stale |= !range.is_single();
        }
    }

    /// The watches of exactly this range.
    pub(crate) fn watches(&self, range: &KeyRange) -> &[u64] {
        self.groups.get(range).map_or(&[], Vec::as_slice)
    }

    /// Calls `found` with every range that has a watch and holds `key`.
    pub(crate) fn find(&mut self, key: &Bytes, mut found: impl FnMut(&KeyRange)) {
        let exact = KeyRange { key: key.clone(), end: Bytes::new() };
        if self.groups.contains_key(&exact) {
            found(&exact);
        }
        if self.stale {
            self.rebuild();
        }
        stab(&self.spans, key, &mut found);
    }

    fn rebuild(&mut self) {
        let spans = self.groups.keys().filter(|range| !range.is_single());
        self.spans = spans.map(|range| Span { range: range.clone(), reach: None }).collect();
        self.spans.sort_by(|a, b| a.range.key.cmp(&b.range.key));
        measure(&mut self.spans);
        self.stale = false;
    }
}

/// The end of a range that is no single key; none is without end.
fn end(range: &KeyRange) -> Option<Bytes> {
    (range.end.as_ref() != [0]).then(|| range.end.clone())
}

/// Tells the middle of every part how far the part reaches; gives the reach of the whole.
fn measure(spans: &mut [Span]) -> Option<Bytes> {
    if spans.is_empty() {
        return Some(Bytes::new());
    }
    let (left, rest) = spans.split_at_mut(spans.len() / 2);
    let (middle, right) = rest.split_first_mut()?;
    let reaches = [measure(left), end(&middle.range), measure(right)];
    middle.reach =
        reaches.into_iter().collect::<Option<Vec<Bytes>>>().and_then(|all| all.into_iter().max());
    middle.reach.clone()
}

fn stab(spans: &[Span], key: &Bytes, found: &mut impl FnMut(&KeyRange)) {
    let (left, rest) = spans.split_at(spans.len() / 2);
    let Some((middle, right)) = rest.split_first() else { return };
    if middle.reach.as_ref().is_some_and(|reach| reach <= key) {
        return;
    }
    stab(left, key, found);
    if middle.range.key <= *key {
        if end(&middle.range).is_none_or(|end| *key < end) {
            found(&middle.range);
        }
        stab(right, key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange {
            key: Bytes::copy_from_slice(key.as_bytes()),
            end: Bytes::copy_from_slice(end.as_bytes()),
        }
    }

    fn found(index: &mut Index, key: &str) -> Vec<String> {
        let mut all = Vec::new();
        index.find(&Bytes::copy_from_slice(key.as_bytes()), |range| {
            all.push(format!("{}..{}", range.key.escape_ascii(), range.end.escape_ascii()));
        });
        all.sort();
        all
    }

    #[test]
    fn keys_and_spans_are_found() {
        let mut index = Index::default();
        for (number, (key, end)) in
            [("b", ""), ("a", "c"), ("b", "d"), ("b", "\0"), ("x", "z")].into_iter().enumerate()
        {
            index.insert(&range(key, end), number as u64);
        }
        assert_eq!(found(&mut index, "a"), ["a..c"]);
        assert_eq!(found(&mut index, "b"), ["a..c", "b..", "b..\\x00", "b..d"]);
        assert_eq!(found(&mut index, "c"), ["b..\\x00", "b..d"]);
        assert_eq!(found(&mut index, "y"), ["b..\\x00", "x..z"]);
        index.remove(&range("b", "\0"), 3);
        assert_eq!(found(&mut index, "d"), [""; 0]);
        assert_eq!(index.watches(&range("x", "z")), [4]);
    }

    #[test]
    fn many_spans_are_found_as_a_search_of_all_finds_them() {
        let mut index = Index::default();
        let mut ranges = Vec::new();
        let mut seed = 7_u32;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for number in 0..200 {
            let from = next(90);
            let to = from + 1 + next(9);
            let one = range(&format!("{from:02}"), &format!("{to:02}"));
            index.insert(&one, number);
            ranges.push(one);
        }
        ranges.sort_by_key(|one| (one.key.clone(), one.end.clone()));
        ranges.dedup();
        for key in 0..100 {
            let key = format!("{key:02}");
            let mut expected: Vec<String> = (ranges.iter())
                .filter(|one| {
                    one.key.as_ref() <= key.as_bytes() && key.as_bytes() < one.end.as_ref()
                })
                .map(|one| format!("{}..{}", one.key.escape_ascii(), one.end.escape_ascii()))
                .collect();
            expected.sort();
            assert_eq!(found(&mut index, &key), expected, "{key}");
        }
    }
}
