//! Looking things up in a [`Tree`]: by key, in order, and by count. Changes nothing.

use std::slice;

use super::{Child, Node, Slot, Tree};

impl<S: Slot> Tree<S> {
    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The slot of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&S> {
        let mut node = &**self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(slots) => {
                    let at = S::find(slots, key).ok()?;
                    return Some(&slots[at]);
                }
                Node::Inner(inner) => node = &inner.children[inner.fences.child_for(key)].node,
            }
        }
    }

    /// The slot with the first key.
    pub(crate) fn first(&self) -> Option<&S> {
        self.iter().next()
    }

    /// The slot with the last key that is not above `key`.
    pub(crate) fn floor(&self, key: &[u8]) -> Option<&S> {
        self.root.as_ref()?.floor(key)
    }

    /// How many live slots there are.
    pub(crate) fn live(&self) -> u64 {
        self.root.as_ref().map_or(0, |root| root.sum_live())
    }

    /// How many live slots have a key from `from` on and below `end` (none: without end).
    pub(crate) fn count(&self, from: &[u8], end: Option<&[u8]>) -> u64 {
        self.count_at(from, end, i64::MAX, S::is_live)
    }

    /// How many slots of a range are counted by `seen`, which must agree with [`Slot::is_live`] for
    /// every slot whose stamp is not above `stamp`: those are not looked at one by one.
    pub(crate) fn count_at(
        &self,
        from: &[u8],
        end: Option<&[u8]>,
        stamp: i64,
        seen: impl Fn(&S) -> bool,
    ) -> u64 {
        if end.is_some_and(|end| end <= from) {
            return 0;
        }
        self.root.as_ref().map_or(0, |root| root.count(Some(from), end, stamp, &seen))
    }

    /// All slots in order.
    pub(crate) fn iter(&self) -> Iter<'_, S> {
        let mut iter = Iter { path: Vec::new(), slots: [].iter() };
        if let Some(root) = &self.root {
            iter.descend(root);
        }
        iter
    }

    /// The slots in order, from the first whose key is not below `key`.
    pub(crate) fn iter_from(&self, key: &[u8]) -> Iter<'_, S> {
        let mut iter = Iter { path: Vec::new(), slots: [].iter() };
        let Some(root) = &self.root else { return iter };
        let mut node = &**root;
        loop {
            match node {
                Node::Leaf(slots) => {
                    let at = slots.partition_point(|slot| slot.key() < key);
                    iter.slots = slots[at..].iter();
                    return iter;
                }
                Node::Inner(inner) => {
                    let at = inner.fences.child_for(key);
                    iter.path.push(inner.children[at + 1..].iter());
                    node = &inner.children[at].node;
                }
            }
        }
    }

    /// The slots in order, after as many live ones as `skip` says.
    pub(crate) fn iter_after(&self, mut skip: u64) -> Iter<'_, S> {
        let mut iter = Iter { path: Vec::new(), slots: [].iter() };
        let Some(root) = &self.root else { return iter };
        let mut node = &**root;
        loop {
            match node {
                Node::Leaf(slots) => {
                    let mut at = 0;
                    while skip > 0 && at < slots.len() {
                        skip -= u64::from(slots[at].is_live());
                        at += 1;
                    }
                    iter.slots = slots[at..].iter();
                    return iter;
                }
                Node::Inner(inner) => {
                    let mut at = 0;
                    while at + 1 < inner.children.len() && skip >= inner.children[at].live {
                        skip -= inner.children[at].live;
                        at += 1;
                    }
                    iter.path.push(inner.children[at + 1..].iter());
                    node = &inner.children[at].node;
                }
            }
        }
    }
}

impl<S: Slot> Node<S> {
    fn sum_live(&self) -> u64 {
        match self {
            Node::Leaf(slots) => slots.iter().map(|slot| u64::from(slot.is_live())).sum(),
            Node::Inner(inner) => inner.children.iter().map(|child| child.live).sum(),
        }
    }

    fn floor(&self, key: &[u8]) -> Option<&S> {
        match self {
            Node::Leaf(slots) => {
                let after = slots.partition_point(|slot| slot.key() <= key);
                after.checked_sub(1).map(|at| &slots[at])
            }
            // The child that would hold the key may begin above it; the one before then has it.
            Node::Inner(inner) => {
                let at = inner.fences.child_for(key);
                inner.children[..=at].iter().rev().find_map(|child| child.node.floor(key))
            }
        }
    }

    /// A missing bound means that the whole node is within it.
    fn count(
        &self,
        from: Option<&[u8]>,
        end: Option<&[u8]>,
        stamp: i64,
        seen: &impl Fn(&S) -> bool,
    ) -> u64 {
        match self {
            Node::Leaf(slots) => {
                let first = from.map_or(0, |from| slots.partition_point(|slot| slot.key() < from));
                let last =
                    end.map_or(slots.len(), |end| slots.partition_point(|slot| slot.key() < end));
                slots[first..last.max(first)].iter().map(|slot| u64::from(seen(slot))).sum()
            }
            Node::Inner(inner) => {
                let first = from.map_or(0, |from| inner.fences.child_for(from));
                let last = end.map_or(inner.children.len() - 1, |end| inner.fences.child_for(end));
                let within = |at: usize, child: &Child<S>| {
                    let from = from.filter(|_| at == first);
                    let end = end.filter(|_| at == last);
                    if from.is_none() && end.is_none() && child.stamp <= stamp {
                        child.live
                    } else {
                        child.node.count(from, end, stamp, seen)
                    }
                };
                (first..=last).map(|at| within(at, &inner.children[at])).sum()
            }
        }
    }
}

/// Slots in the order of their keys.
#[derive(Debug)]
pub(crate) struct Iter<'a, S> {
    /// For each inner node on the way, the children that are still to come.
    path: Vec<slice::Iter<'a, Child<S>>>,
    slots: slice::Iter<'a, S>,
}

impl<'a, S> Iter<'a, S> {
    fn descend(&mut self, mut node: &'a Node<S>) {
        loop {
            match node {
                Node::Leaf(slots) => {
                    self.slots = slots.iter();
                    return;
                }
                Node::Inner(inner) => {
                    let mut children = inner.children.iter();
                    let Some(first) = children.next() else { return };
                    self.path.push(children);
                    node = &first.node;
                }
            }
        }
    }
}

impl<'a, S> Iterator for Iter<'a, S> {
    type Item = &'a S;

    fn next(&mut self) -> Option<&'a S> {
        loop {
            if let Some(slot) = self.slots.next() {
                return Some(slot);
            }
            match self.path.last_mut()?.next() {
                Some(child) => self.descend(&child.node),
                None => {
                    self.path.pop();
                }
            }
        }
    }
}
