//! The link between the rooms. Start at [`Link::send`]: it says when a packet arrives, and how often.

use pair::Room;
use store::disk::sim::Dice;

use crate::moment::Moment;
use crate::plan::Ways;

/// One link with its two ways, and what is wrong with them until when.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// By receiver: cut until then.
    cut: [Moment; 2],
    /// By receiver: until when it flaps, since when, and how long it is up or down.
    flap: [(Moment, Moment, u64); 2],
    noise: Noise,
}

#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    until: Moment,
    lost_percent: u8,
    repeated_percent: u8,
    late_ms: u64,
}

/// How long a packet is on its way in microseconds when nothing is wrong: two rooms of one site.
const FAST: usize = 100;
const SLOW: usize = 900;

impl Link {
    /// Nothing passes these ways until then.
    pub fn cut(&mut self, ways: Ways, until: Moment) {
        for room in [Room::A, Room::B].into_iter().filter(|room| ways.has(*room)) {
            self.cut[room as usize] = self.cut[room as usize].max(until);
        }
    }

    /// These ways are down and up in turn, each for `every_ms`.
    pub fn flap(&mut self, ways: Ways, now: Moment, until: Moment, every_ms: u64) {
        for room in [Room::A, Room::B].into_iter().filter(|room| ways.has(*room)) {
            self.flap[room as usize] = (until, now, every_ms.max(1));
        }
    }

    /// Packets are lost, repeated and late until then.
    pub fn noise(&mut self, until: Moment, lost: u8, repeated: u8, late_ms: u64) {
        self.noise = Noise { until, lost_percent: lost, repeated_percent: repeated, late_ms };
    }

    /// Whether something that is sent to the room now leaves.
    #[must_use]
    pub fn is_up(&self, to: Room, now: Moment) -> bool {
        let (until, since, every_ms) = self.flap[to as usize];
        let down = now < until && (now.since(since).as_millis() as u64 / every_ms) % 2 == 0;
        now >= self.cut[to as usize] && !down
    }

    /// When a packet that is sent to the room now arrives: never, once, or twice.
    pub fn send(&mut self, to: Room, now: Moment, dice: &mut Dice) -> [Option<Moment>; 2] {
        if !self.is_up(to, now) {
            return [None, None];
        }
        let noisy = now < self.noise.until;
        let percent = |dice: &mut Dice| dice.below(100) as u8;
        if noisy && percent(dice) < self.noise.lost_percent {
            return [None, None];
        }
        let late = if noisy { self.noise.late_ms as usize * 1000 } else { 0 };
        let mut arrival = || {
            let late = if late > 0 && dice.one_in(2) { dice.below(late) } else { 0 };
            Moment(now.0 + (FAST + dice.below(SLOW) + late) as u64)
        };
        let first = arrival();
        let second = arrival();
        let again = noisy && percent(dice) < self.noise.repeated_percent;
        [Some(first), again.then_some(second)]
    }

    /// Nothing is wrong any more.
    pub fn mend(&mut self) {
        *self = Link::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_can_be_cut() {
        let mut link = Link::default();
        link.cut(Ways::ToA, Moment(10));
        assert!(!link.is_up(Room::A, Moment(9)) && link.is_up(Room::B, Moment(9)));
        assert!(link.is_up(Room::A, Moment(10)));
    }

    #[test]
    fn it_flaps() {
        let mut link = Link::default();
        link.flap(Ways::Both, Moment::ZERO, Moment::from_millis(100), 10);
        let up = |ms| link.is_up(Room::A, Moment::from_millis(ms));
        assert_eq!(
            [0, 9, 10, 19, 20, 95, 100].map(up),
            [false, false, true, true, false, true, true]
        );
    }

    #[test]
    fn noise_loses_repeats_and_reorders() {
        let mut link = Link::default();
        link.noise(Moment(1000), 30, 30, 5);
        let dice = &mut Dice::new(1);
        let sent: Vec<_> = (0..1000).map(|now| link.send(Room::A, Moment(now), dice)).collect();
        let count = |at: usize| sent.iter().filter(|arrivals| arrivals[at].is_some()).count();
        assert!((600..800).contains(&count(0)) && (100..400).contains(&count(1)));
        let first: Vec<_> = sent.iter().filter_map(|arrivals| arrivals[0]).collect();
        assert!(!first.is_sorted());
        assert!(link.send(Room::A, Moment(1000), dice)[1].is_none());
    }
}
