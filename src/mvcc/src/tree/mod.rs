//! A persistent B+ tree from key bytes to slots. Start at [`Tree`].
//!
//! A clone is one reference more, and never changes afterwards: a change copies the nodes on its path
//! that somebody else holds too, and works in place on those that nobody else holds. Each inner node
//! knows of each child how many live slots are below and the newest stamp, so counting a range takes
//! O(log n). There is no empty node, no parent link and no sibling link.

mod fences;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use fences::Fences;
pub(crate) use read::Iter;

/// Slots in a leaf. Small, since writing to a leaf that a snapshot shares copies all of its slots,
/// and each copy touches a reference count that is likely not in the processor's cache.
const LEAF_MAX: usize = 16;
/// Children of an inner node; small for the same reason.
const INNER_MAX: usize = 16;
/// A leaf that is full of nothing but what it holds grows by this: less waste than doubling.
const LEAF_GROWTH: usize = 2;

/// What a tree holds, sorted by its key. The key of a slot never changes while it is in a tree.
pub(crate) trait Slot: Clone {
    /// What it is sorted by.
    fn key(&self) -> &[u8];
    /// Whether [`Tree::count`] counts it.
    fn is_live(&self) -> bool {
        true
    }
    /// The newest revision that it knows of; [`Tree::count_at`] skips what is older than it asks for.
    fn stamp(&self) -> i64 {
        0
    }
    /// Where a key is among the sorted slots of a leaf, or else where it belongs.
    fn find(slots: &[Self], key: &[u8]) -> Result<usize, usize> {
        slots.binary_search_by(|slot| slot.key().cmp(key))
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Tree<S> {
    root: Option<Arc<Node<S>>>,
}

#[derive(Clone, Debug)]
enum Node<S> {
    Leaf(Vec<S>),
    Inner(Inner<S>),
}

#[derive(Clone, Debug)]
struct Inner<S> {
    children: Vec<Child<S>>,
    fences: Fences,
}

#[derive(Debug)]
struct Child<S> {
    node: Arc<Node<S>>,
    /// How many live slots are below.
    live: u64,
    /// No slot below has a newer stamp. It may be too high, which costs time only.
    stamp: i64,
}

impl<S> Clone for Child<S> {
    fn clone(&self) -> Child<S> {
        Child { node: Arc::clone(&self.node), live: self.live, stamp: self.stamp }
    }
}

/// What an insertion did below.
struct Grown<S> {
    old: Option<S>,
    live: i64,
    stamp: i64,
    /// The node became two: the fence between them, and the right one.
    split: Option<(Vec<u8>, Child<S>)>,
}

/// What an edit did below.
struct Edited<R> {
    answer: R,
    live: i64,
    stamp: i64,
}

impl<S> Default for Tree<S> {
    fn default() -> Tree<S> {
        Tree { root: None }
    }
}

impl<S: Slot> Tree<S> {
    /// Puts a slot in, in place of the one with the same key, which is given back.
    pub(crate) fn insert(&mut self, slot: S) -> Option<S> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![slot])));
            return None;
        };
        let grown = Arc::make_mut(root).insert(slot);
        if let Some((fence, right)) = grown.split {
            let left = Child::new(Arc::clone(root));
            let inner = Inner { children: vec![left, right], fences: Fences::new(&[&fence]) };
            self.root = Some(Arc::new(Node::Inner(inner)));
        }
        grown.old
    }

    /// Changes the slot of a key in place; its key must stay. Nothing if the key is not there.
    pub(crate) fn edit<R>(&mut self, key: &[u8], change: impl FnOnce(&mut S) -> R) -> Option<R> {
        let edited = Arc::make_mut(self.root.as_mut()?).edit(key, change)?;
        Some(edited.answer)
    }

    /// Takes the slot of a key out.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<S> {
        // So that nothing is copied for a key that is not there.
        self.get(key)?;
        let root = self.root.as_mut()?;
        let slot = Arc::make_mut(root).remove(key)?;
        loop {
            match &**root {
                Node::Leaf(slots) if slots.is_empty() => self.root = None,
                Node::Inner(inner) if inner.children.len() == 1 => {
                    *root = Arc::clone(&inner.children[0].node);
                    continue;
                }
                _ => {}
            }
            return Some(slot);
        }
    }
}

impl<S: Slot> Child<S> {
    fn new(node: Arc<Node<S>>) -> Child<S> {
        let (live, stamp) = node.sum();
        Child { node, live, stamp }
    }
}

impl<S: Slot> Node<S> {
    /// How many slots or children.
    fn len(&self) -> usize {
        match self {
            Node::Leaf(slots) => slots.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    fn max(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF_MAX,
            Node::Inner(_) => INNER_MAX,
        }
    }

    /// How many live slots are below, and their newest stamp.
    fn sum(&self) -> (u64, i64) {
        match self {
            Node::Leaf(slots) => slots.iter().fold((0, 0), |(live, stamp), slot| {
                (live + u64::from(slot.is_live()), stamp.max(slot.stamp()))
            }),
            Node::Inner(inner) => inner
                .children
                .iter()
                .fold((0, 0), |(live, stamp), child| (live + child.live, stamp.max(child.stamp))),
        }
    }

    fn insert(&mut self, slot: S) -> Grown<S> {
        match self {
            Node::Leaf(slots) => insert_in_leaf(slots, slot),
            Node::Inner(inner) => inner.insert(slot),
        }
    }

    fn edit<R, F: FnOnce(&mut S) -> R>(&mut self, key: &[u8], change: F) -> Option<Edited<R>> {
        match self {
            Node::Leaf(slots) => {
                let at = S::find(slots, key).ok()?;
                let slot = &mut slots[at];
                let before = i64::from(slot.is_live());
                let answer = change(slot);
                let live = i64::from(slot.is_live()) - before;
                Some(Edited { answer, live, stamp: slot.stamp() })
            }
            Node::Inner(inner) => {
                let at = inner.fences.child_for(key);
                let child = &mut inner.children[at];
                let edited = Arc::make_mut(&mut child.node).edit(key, change)?;
                child.note(edited.live, edited.stamp);
                Some(edited)
            }
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<S> {
        match self {
            Node::Leaf(slots) => {
                let at = S::find(slots, key).ok()?;
                Some(slots.remove(at))
            }
            Node::Inner(inner) => {
                let at = inner.fences.child_for(key);
                let child = &mut inner.children[at];
                let slot = Arc::make_mut(&mut child.node).remove(key)?;
                child.note(-i64::from(slot.is_live()), 0);
                inner.mend(at);
                Some(slot)
            }
        }
    }
}

impl<S> Child<S> {
    fn note(&mut self, live: i64, stamp: i64) {
        self.live = self.live.checked_add_signed(live).expect("what goes had been counted");
        self.stamp = self.stamp.max(stamp);
    }
}

fn insert_in_leaf<S: Slot>(slots: &mut Vec<S>, slot: S) -> Grown<S> {
    let (live, stamp) = (i64::from(slot.is_live()), slot.stamp());
    let at = match S::find(slots, slot.key()) {
        Ok(at) => {
            let old = std::mem::replace(&mut slots[at], slot);
            let live = live - i64::from(old.is_live());
            return Grown { old: Some(old), live, stamp, split: None };
        }
        Err(at) => at,
    };
    if slots.len() < LEAF_MAX {
        if slots.len() == slots.capacity() {
            slots.reserve_exact(LEAF_GROWTH);
        }
        slots.insert(at, slot);
        return Grown { old: None, live, stamp, split: None };
    }
    // Keys that come in rising order leave full leaves behind.
    let middle = if at == slots.len() { at } else { LEAF_MAX / 2 };
    let mut right = slots.split_off(middle);
    if at <= middle && !right.is_empty() {
        slots.insert(at, slot);
    } else {
        right.insert(at - middle, slot);
    }
    slots.shrink_to(slots.len() + LEAF_GROWTH);
    let fence = fences::between(slots[slots.len() - 1].key(), right[0].key());
    let right = Child::new(Arc::new(Node::Leaf(right)));
    Grown { old: None, live, stamp, split: Some((fence, right)) }
}

impl<S: Slot> Inner<S> {
    fn insert(&mut self, slot: S) -> Grown<S> {
        let at = self.fences.child_for(slot.key());
        let child = &mut self.children[at];
        let mut grown = Arc::make_mut(&mut child.node).insert(slot);
        let Some((fence, right)) = grown.split.take() else {
            child.note(grown.live, grown.stamp);
            return grown;
        };
        (child.live, child.stamp) = child.node.sum();
        self.children.insert(at + 1, right);
        self.fences.insert(at, &fence);
        if self.children.len() > INNER_MAX {
            let appended = at + 2 == self.children.len();
            let keep = if appended { INNER_MAX } else { self.children.len() / 2 };
            let children = self.children.split_off(keep);
            let (up, fences) = self.fences.split(keep - 1);
            let right = Arc::new(Node::Inner(Inner { children, fences }));
            grown.split = Some((up, Child::new(right)));
        }
        grown
    }

    /// After a removal from a child: an empty child goes, and a sparse one is joined with a neighbour
    /// if both fit into one. So no node is empty, and sparse nodes have dense neighbours.
    fn mend(&mut self, at: usize) {
        let (len, max) = (self.children[at].node.len(), self.children[at].node.max());
        if len == 0 {
            self.children.remove(at);
            if self.fences.len() > 0 {
                self.fences.remove(at.saturating_sub(1));
            }
            return;
        }
        let left = at.saturating_sub(1);
        if len >= max / 4 || left + 1 >= self.children.len() {
            return;
        }
        if self.children[left].node.len() + self.children[left + 1].node.len() <= max {
            self.join(left);
        }
    }

    /// Makes one child of two.
    fn join(&mut self, left: usize) {
        let right = self.children.remove(left + 1);
        let fence = self.fences.get(left).to_vec();
        self.fences.remove(left);
        let child = &mut self.children[left];
        child.live += right.live;
        child.stamp = child.stamp.max(right.stamp);
        match (Arc::make_mut(&mut child.node), Arc::unwrap_or_clone(right.node)) {
            (Node::Leaf(slots), Node::Leaf(more)) => slots.extend(more),
            (Node::Inner(inner), Node::Inner(more)) => {
                inner.children.extend(more.children);
                inner.fences.join(&fence, &more.fences);
            }
            _ => unreachable!("all leaves are at one depth"),
        }
    }
}
