//! What is to happen, by time. Start at [`Queue`]. What was put in first is first among equals, so a run
//! is the same each time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::moment::Moment;

/// Things and when they happen.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    put: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Moment,
    order: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { heap: BinaryHeap::new(), put: 0 }
    }
}

impl<T> Queue<T> {
    /// This is to happen then.
    pub fn put(&mut self, at: Moment, what: T) {
        self.put += 1;
        self.heap.push(Reverse(Entry { at, order: self.put, what }));
    }

    /// What happens next, and when.
    pub fn take(&mut self) -> Option<(Moment, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_by_order() {
        let mut queue = Queue::default();
        for (at, what) in [(5, 'd'), (1, 'a'), (3, 'b'), (3, 'c')] {
            queue.put(Moment(at), what);
        }
        let all: String = std::iter::from_fn(|| queue.take()).map(|(_, what)| what).collect();
        assert_eq!(all, "abcd");
    }
}
