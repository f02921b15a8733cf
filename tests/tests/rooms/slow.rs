//! A link that takes its time and loses packets: rooms far apart, and a cable that is about to break.

use std::time::Duration;

use tests::programs::say;
use tests::two_rooms::{Grants, Netem, Side, Site, alone};

use super::load::Load;

/// Either way: rooms a thousand kilometres apart.
const DELAY: Duration = Duration::from_millis(10);

#[test]
fn the_link_is_slow_and_loses() {
    alone(|| {
        let mut site = Site::plan(Grants::Witness);
        let wires = match site.cables.trouble("delay 10ms 2ms loss 2%") {
            Netem::On => None,
            Netem::Missing => {
                say("rooms: LOSS WAS NOT TESTED HERE: this kernel has no netem; delay by a wire\n");
                Some(site.over_wires())
            }
        };
        for wire in wires.iter().flatten() {
            wire.delay(DELAY);
        }
        for side in Side::BOTH {
            site.room_mut(side).start();
        }
        site.in_sync();
        let load = Load::start(&site);
        let begun = load.book.now();
        load.go_on(Duration::from_secs(3));
        for side in Side::BOTH {
            let pause = load.tell("a slow link", side, begun);
            assert!(pause < Duration::from_secs(1), "writes stood still for {pause:?}");
        }
        let failed = Side::BOTH.map(|side| load.book.failures(side));
        assert!(failed.iter().all(Vec::is_empty), "a slow link fails no write: {failed:#?}");
        load.finish(&site);
        drop(wires);
    });
}
