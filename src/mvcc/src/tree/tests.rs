//! The tree against the standard library's, with snapshots taken on the way and its shape checked.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: Vec<u8>,
    live: bool,
    stamp: i64,
}

impl Slot for Item {
    fn key(&self) -> &[u8] {
        &self.key
    }
    fn is_live(&self) -> bool {
        self.live
    }
    fn stamp(&self) -> i64 {
        self.stamp
    }
}

type Model = BTreeMap<Vec<u8>, Item>;

/// Every node is within its bounds, all leaves are at one depth, each key is between its fences, and
/// the sums are right. Gives the depth.
fn check_node(node: &Node<Item>, from: Option<&[u8]>, to: Option<&[u8]>) -> usize {
    assert!(node.len() > 0 && node.len() <= node.max());
    match node {
        Node::Leaf(slots) => {
            assert!(slots.windows(2).all(|two| two[0].key < two[1].key));
            assert!(slots.iter().all(|slot| from.is_none_or(|from| *from <= *slot.key)));
            assert!(slots.iter().all(|slot| to.is_none_or(|to| *to > *slot.key)));
            0
        }
        Node::Inner(inner) => {
            assert_eq!(inner.fences.len() + 1, inner.children.len());
            let depths = inner.children.iter().enumerate().map(|(at, child)| {
                let (live, stamp) = child.node.sum();
                assert_eq!(child.live, live);
                assert!(child.stamp >= stamp);
                let from = if at == 0 { from } else { Some(inner.fences.get(at - 1)) };
                let to = if at == inner.fences.len() { to } else { Some(inner.fences.get(at)) };
                check_node(&child.node, from, to)
            });
            let depths: Vec<usize> = depths.collect();
            assert!(depths.iter().all(|depth| *depth == depths[0]), "{depths:?}");
            depths[0] + 1
        }
    }
}

fn check(tree: &Tree<Item>, model: &Model) {
    if let Some(root) = &tree.root {
        check_node(root, None, None);
    }
    assert!(tree.iter().eq(model.values()));
    assert_eq!(tree.is_empty(), model.is_empty());
    assert_eq!(tree.first(), model.values().next());
    assert_eq!(tree.live(), model.values().filter(|item| item.live).count() as u64);
}

fn check_at(tree: &Tree<Item>, model: &Model, from: &[u8], to: &[u8], stamp: i64) {
    let within = |item: &&Item| *item.key >= *from && *item.key < *to;
    let rest = model.range(from.to_vec()..).map(|(_, item)| item);
    assert!(tree.iter_from(from).eq(rest));
    assert_eq!(tree.floor(from), model.range(..=from.to_vec()).next_back().map(|(_, item)| item));
    let live = model.values().filter(within).filter(|item| item.live).count() as u64;
    assert_eq!(tree.count(from, Some(to)), live);
    // What is newer counts by another rule than its own life.
    let seen = |item: &Item| if item.stamp <= stamp { item.live } else { item.key.len() % 2 == 0 };
    let count = model.values().filter(within).filter(|item| seen(item)).count() as u64;
    assert_eq!(tree.count_at(from, Some(to), stamp, seen), count);
    let before = tree.count(b"", Some(from));
    let after = tree.iter_after(before).filter(|item| item.live);
    assert!(after.eq(model.range(from.to_vec()..).map(|(_, item)| item).filter(|item| item.live)));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, bool),
    Edit(Vec<u8>, bool),
    Remove(Vec<u8>),
    /// Removes all keys of a span, so that nodes run empty and join.
    Clear(Vec<u8>, usize),
    /// Inserts many keys in rising order.
    Fill(Vec<u8>, u8),
    Snapshot,
    Look(Vec<u8>, Vec<u8>, i64),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0), Just(b'a'), Just(b'b'), any::<u8>()], 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), any::<bool>()).prop_map(|(key, live)| Step::Insert(key, live)),
        2 => (key(), any::<bool>()).prop_map(|(key, live)| Step::Edit(key, live)),
        3 => key().prop_map(Step::Remove),
        1 => (key(), 0..60_usize).prop_map(|(key, count)| Step::Clear(key, count)),
        1 => (key(), any::<u8>()).prop_map(|(key, count)| Step::Fill(key, count)),
        1 => Just(Step::Snapshot),
        2 => (key(), key(), 0..300_i64).prop_map(|(from, to, stamp)| Step::Look(from, to, stamp)),
    ]
}

#[derive(Default)]
struct Pair {
    tree: Tree<Item>,
    model: Model,
}

impl Pair {
    fn insert(&mut self, key: Vec<u8>, live: bool, stamp: i64) {
        let item = Item { key, live, stamp };
        let old = self.model.insert(item.key.clone(), item.clone());
        assert_eq!(self.tree.insert(item), old);
    }

    fn remove(&mut self, key: &[u8]) {
        assert_eq!(self.tree.remove(key), self.model.remove(key));
        assert_eq!(self.tree.get(key), None);
    }

    fn run(&mut self, step: Step, stamp: i64) {
        match step {
            Step::Insert(key, live) => self.insert(key, live, stamp),
            Step::Edit(key, live) => {
                let change = |item: &mut Item| (item.live, item.stamp) = (live, stamp);
                let edited = self.tree.edit(&key, change);
                assert_eq!(edited, self.model.get_mut(&key).map(change));
                assert_eq!(self.tree.get(&key), self.model.get(&key));
            }
            Step::Remove(key) => self.remove(&key),
            Step::Clear(key, count) => {
                let keys: Vec<_> = self.model.range(key..).take(count).collect();
                let keys: Vec<_> = keys.into_iter().map(|(key, _)| key.clone()).collect();
                keys.iter().for_each(|key| self.remove(key));
            }
            Step::Fill(key, count) => {
                (0..count).for_each(|last| self.insert([&key[..], &[last]].concat(), true, stamp));
            }
            Step::Look(from, to, stamp) => check_at(&self.tree, &self.model, &from, &to, stamp),
            Step::Snapshot => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::tests::cases(200)))]

    #[test]
    fn it_is_a_sorted_map_and_its_clones_stay(steps in proptest::collection::vec(step(), 1..200)) {
        let mut pair = Pair::default();
        let mut snapshots = Vec::new();
        for (stamp, step) in (1..).zip(steps) {
            if matches!(step, Step::Snapshot) {
                snapshots.push((pair.tree.clone(), pair.model.clone()));
            }
            pair.run(step, stamp);
        }
        check(&pair.tree, &pair.model);
        for (tree, model) in &snapshots {
            check(tree, model);
        }
    }
}

/// Falling order splits in the middle, rising order at the end: both give sound trees.
#[test]
fn keys_in_rising_and_falling_order() {
    for rising in [true, false] {
        let mut pair = Pair::default();
        for number in 0..3_000_u32 {
            let number = if rising { number } else { 3_000 - number };
            pair.insert(number.to_be_bytes().to_vec(), number % 3 == 0, i64::from(number));
        }
        check(&pair.tree, &pair.model);
        for number in [0, 1, 700, 1_500, 2_999, 3_000, 3_001_u32] {
            let (from, to) = (number.to_be_bytes(), (number + 333).to_be_bytes());
            check_at(&pair.tree, &pair.model, &from, &to, 1_000);
        }
        // As the history does it: from the front until nothing is left.
        while let Some(first) = pair.tree.first().map(|item| item.key.clone()) {
            pair.remove(&first);
        }
        check(&pair.tree, &pair.model);
    }
}

/// What nobody else holds is changed in place: no node is copied.
#[test]
fn a_node_that_nobody_else_holds_is_not_copied() {
    let mut pair = Pair::default();
    for number in 0..1_000_u32 {
        pair.insert(number.to_be_bytes().to_vec(), true, 1);
    }
    let root = |tree: &Tree<Item>| tree.root.as_ref().map(Arc::as_ptr);
    let before = root(&pair.tree);
    pair.tree.edit(&7_u32.to_be_bytes(), |item| item.stamp = 2).unwrap();
    assert_eq!(root(&pair.tree), before);
    let snapshot = pair.tree.clone();
    pair.tree.edit(&7_u32.to_be_bytes(), |item| item.stamp = 3).unwrap();
    assert_ne!(root(&pair.tree), before);
    assert_eq!(snapshot.get(&7_u32.to_be_bytes()).unwrap().stamp, 2);
    // And what is not there is not worth a copy.
    let before = root(&pair.tree);
    let _snapshot = pair.tree.clone();
    assert_eq!(pair.tree.remove(b"none"), None);
    assert_eq!(root(&pair.tree), before);
}

#[test]
fn a_fence_is_as_short_as_it_can_be() {
    let between = |left: &str, right: &str| fences::between(left.as_bytes(), right.as_bytes());
    assert_eq!(between("abc", "abd"), b"abd");
    assert_eq!(between("abc", "b"), b"b");
    assert_eq!(between("ab", "abzzz"), b"abz");
    assert_eq!(between("", "xyz"), b"x");
}
