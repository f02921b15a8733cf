//! The keys that part the children of an inner node: child `i` holds the keys from fence `i - 1` on,
//! up to but not including fence `i`. All of them lie in one buffer, so that a search touches one
//! piece of memory and a copy of a node is one copy of bytes. Never holds more than a node's fan-out,
//! so a change builds the buffer anew.

/// Where a fence ends within the buffer: its encoded length.
const OFFSET: usize = size_of::<u32>();

/// A node's fences: their ends (little endian, counted from the first fence's start), then their bytes.
#[derive(Clone, Debug)]
pub(super) struct Fences {
    packed: Box<[u8]>,
    count: u32,
}

/// The shortest key that is above `left` and not above `right`.
pub(super) fn between(left: &[u8], right: &[u8]) -> Vec<u8> {
    let common = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    right[..=common].to_vec()
}

impl Fences {
    /// The fences in order.
    pub(super) fn new(fences: &[&[u8]]) -> Fences {
        let bytes: usize = fences.iter().map(|fence| fence.len()).sum();
        let mut packed = Vec::with_capacity(fences.len() * OFFSET + bytes);
        let mut end = 0_u32;
        for fence in fences {
            end += u32::try_from(fence.len()).expect("a key is far shorter than 4 GiB");
            packed.extend_from_slice(&end.to_le_bytes());
        }
        for fence in fences {
            packed.extend_from_slice(fence);
        }
        let count = u32::try_from(fences.len()).expect("a node has few children");
        Fences { packed: packed.into_boxed_slice(), count }
    }

    /// How many there are: one less than there are children.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    fn end(&self, at: usize) -> usize {
        let mut bytes = [0; OFFSET];
        bytes.copy_from_slice(&self.packed[at * OFFSET..(at + 1) * OFFSET]);
        u32::from_le_bytes(bytes) as usize
    }

    /// One of them.
    pub(super) fn get(&self, at: usize) -> &[u8] {
        let base = self.len() * OFFSET;
        let start = if at == 0 { 0 } else { self.end(at - 1) };
        &self.packed[base + start..base + self.end(at)]
    }

    /// The child that holds `key`, if any does.
    pub(super) fn child_for(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn all(&self) -> Vec<&[u8]> {
        (0..self.len()).map(|at| self.get(at)).collect()
    }

    /// Puts a fence at a place; those from there on move up.
    pub(super) fn insert(&mut self, at: usize, fence: &[u8]) {
        let mut all = self.all();
        all.insert(at, fence);
        *self = Fences::new(&all);
    }

    /// Takes a fence away.
    pub(super) fn remove(&mut self, at: usize) {
        let mut all = self.all();
        all.remove(at);
        *self = Fences::new(&all);
    }

    /// Keeps the first `at` fences; gives the next one, which goes up to the parent, and the rest.
    pub(super) fn split(&mut self, at: usize) -> (Vec<u8>, Fences) {
        let all = self.all();
        let (up, right) = (all[at].to_vec(), Fences::new(&all[at + 1..]));
        *self = Fences::new(&all[..at]);
        (up, right)
    }

    /// Undoes [`Fences::split`].
    pub(super) fn join(&mut self, middle: &[u8], right: &Fences) {
        let mut all = self.all();
        all.push(middle);
        all.extend(right.all());
        *self = Fences::new(&all);
    }
}
