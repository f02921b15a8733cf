//! Numbers that look random and are the same for the same seed, here and in a year: a test that
//! failed is run again by its seed. They are those of the simulated disk, in more shapes.

use store::disk::sim::Dice;

/// A stream of such numbers.
#[derive(Clone, Debug)]
pub struct Chance(Dice);

impl Chance {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Chance {
        Chance(Dice::new(seed))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0.roll()
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// A number from `low` on, below `high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.abs_diff(low).max(1);
        low + i64::try_from(self.number() % width).expect("it is below the width")
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stream() {
        // The first numbers of the reference implementation for this seed.
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.number(), 6_457_827_717_110_365_317);
        assert_eq!(chance.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bounds_hold() {
        let mut chance = Chance::new(7);
        assert!((0..1000).all(|_| chance.below(3) < 3));
        assert!((0..1000).all(|_| (-2..2).contains(&chance.between(-2, 2))));
        assert_eq!((0..1000).filter(|_| chance.percent(100)).count(), 1000);
    }
}
