//! Faults by chance, one after the other and some at once, for as long as `DUET_STORM` says (seconds; else a
//! few), from the seed `DUET_SEED`. A program of faults is a pure function of its seed; how they fall
//! between the clients' requests is not.

use std::fs;
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::Signal;
use serde_json::json;
use tests::chance::Chance;
use tests::programs::say;
use tests::two_rooms::{Cable, Grants, Side, Site, alone};

use super::load::Load;

/// What happens, and is put right some time later.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(Side),
    KillBoth,
    Freeze(Side),
    CutLink,
    CutOff(Side),
    Mute(Side),
    Witness,
    End(Side),
    EndBoth,
    HandOver,
    /// Of rooms in sync: what one has is lost.
    Disk(Side),
}

fn fault(chance: &mut Chance) -> Fault {
    let side = chance.pick(&Side::BOTH);
    match chance.below(14) {
        0..3 => Fault::Kill(side),
        3 => Fault::KillBoth,
        4 | 5 => Fault::Freeze(side),
        6 => Fault::CutLink,
        7 => Fault::CutOff(side),
        8 => Fault::Mute(side),
        9 => Fault::Witness,
        10 => Fault::End(side),
        11 => Fault::EndBoth,
        12 => Fault::Disk(side),
        _ => Fault::HandOver,
    }
}

fn ms(chance: &mut Chance, low: i64, high: i64) -> Duration {
    Duration::from_millis(chance.between(low, high).unsigned_abs())
}

/// Faults of two kinds can be there at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Process,
    Cable,
    Witness,
    Person,
}

impl Fault {
    fn kind(self) -> Kind {
        match self {
            Fault::CutLink | Fault::CutOff(_) | Fault::Mute(_) => Kind::Cable,
            Fault::Witness => Kind::Witness,
            Fault::HandOver => Kind::Person,
            _ => Kind::Process,
        }
    }

    /// Whether it can come while `first` is there.
    fn fits(self, first: Fault) -> bool {
        // What takes a site that is in sync comes first.
        self.kind() != first.kind() && !matches!(self, Fault::Disk(_))
    }

    fn strike(self, site: &mut Site) {
        match self {
            Fault::Kill(side) => site.room_mut(side).kill(),
            Fault::KillBoth => Side::BOTH.into_iter().for_each(|side| site.room_mut(side).kill()),
            Fault::Freeze(side) => site.room(side).signal(Signal::STOP),
            Fault::CutLink => site.cables.pull(Cable::Link),
            Fault::CutOff(side) => {
                site.cables.pull(Cable::Link);
                site.cables.pull(Cable::Out(side));
            }
            Fault::Mute(side) => site.cables.mute(side),
            Fault::Witness => site.witness.as_mut().unwrap().stop(),
            Fault::End(side) => site.room_mut(side).stop(),
            Fault::EndBoth => {
                Side::BOTH.into_iter().for_each(|side| site.room(side).signal(Signal::TERM));
                for side in Side::BOTH {
                    assert!(site.room_mut(side).ended().success());
                }
            }
            Fault::Disk(side) => {
                site.in_sync();
                site.room_mut(side).kill();
                fs::remove_dir_all(&site.room(side).plan.data).unwrap();
                // Before that, the other room cannot know that it is alone.
                site.until("the other room goes on alone", || {
                    let status = site.status(side.other());
                    status.is_some_and(|status| status["in_sync"] == json!([side.other().letter()]))
                });
            }
            Fault::HandOver => {
                for side in Side::BOTH {
                    // The room that does not lead refuses, and the leader may, too.
                    let _ = site.room(side).ask(Method::POST, "/duet/pair/hand-over");
                }
            }
        }
    }

    fn put_right(self, site: &mut Site) {
        match self {
            Fault::Kill(side) | Fault::End(side) | Fault::Disk(side) => site.room_mut(side).start(),
            Fault::KillBoth | Fault::EndBoth => {
                Side::BOTH.into_iter().for_each(|side| site.room_mut(side).start());
            }
            Fault::Freeze(side) => site.room(side).signal(Signal::CONT),
            Fault::CutLink | Fault::Mute(_) => site.cables.plug(Cable::Link),
            Fault::CutOff(side) => {
                site.cables.plug(Cable::Out(side));
                site.cables.plug(Cable::Link);
            }
            Fault::Witness => site.witness.as_mut().unwrap().go_on(),
            Fault::HandOver => {}
        }
    }
}

#[test]
fn what_was_acknowledged_outlasts_a_storm() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().map_or(usual, |text| text.parse().expect("it is a number"))
    };
    let (seconds, seed) = (number("DUET_STORM", 20), number("DUET_SEED", 1));
    alone(|| {
        say(&format!("rooms:   seed {seed}\n"));
        let mut chance = Chance::new(seed);
        let mut site = Site::start(Grants::Witness);
        let load = Load::start(&site);
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let mut faults = vec![fault(&mut chance)];
            let second = fault(&mut chance);
            if chance.percent(40) && second.fits(faults[0]) {
                faults.push(second);
            }
            for fault in &faults {
                say(&format!("storm: {:?} {fault:?}\n", load.book.now()));
                fault.strike(&mut site);
                load.go_on(ms(&mut chance, 20, 4000));
            }
            if chance.percent(50) {
                faults.reverse();
            }
            for fault in faults {
                fault.put_right(&mut site);
                // Often before the rooms are in sync again.
                load.go_on(ms(&mut chance, 0, 3000));
            }
        }
        load.finish(&site);
    });
}
