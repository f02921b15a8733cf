//! The cables between the rooms and the outside, which can be pulled, in one direction or both. Start at
//! [`Cables::lay`].

use std::time::Duration;

use super::Side;
use crate::programs::plain;
use crate::run::{Said, run};

/// A command of iproute2.
const COMMAND: Duration = Duration::from_secs(20);

/// Nobody's hardware address: what is sent there is taken by nobody.
const NOBODY: &str = "02:00:00:00:00:99";

/// A cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// Between the rooms.
    Link,
    /// Between a room and the outside.
    Out(Side),
}

/// Whether this kernel can lose and delay packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netem {
    /// It does now.
    On,
    /// It does not know how (`tc qdisc … netem`).
    Missing,
}

/// The network: two namespaces, `a` and `b`, and the one of this process.
#[derive(Debug)]
pub struct Cables(());

impl Cables {
    /// Makes namespaces and cables.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub(super) fn lay() -> Cables {
        for side in Side::BOTH {
            ip(&format!("netns add {}", side.letter()));
            ip(&format!("-n {} link set lo up", side.letter()));
        }
        ip("link add name cable netns a type veth peer name cable netns b");
        for (side, number) in [(Side::A, 1), (Side::B, 2)] {
            let room = side.letter();
            ip(&format!("link add out-{room} type veth peer name out netns {room}"));
            ip(&format!("addr add 10.78.{number}.1/24 dev out-{room}"));
            ip(&format!("-n {room} addr add {}/24 dev out", Cables::outside(side)));
            ip(&format!("-n {room} addr add {}/24 dev cable", Cables::inside(side)));
            ip(&format!("link set out-{room} up"));
            ip(&format!("-n {room} link set out up"));
            ip(&format!("-n {room} link set cable up"));
        }
        Cables(())
    }

    /// The room's address on the link.
    #[must_use]
    pub fn inside(side: Side) -> &'static str {
        if side == Side::A { "10.77.0.1" } else { "10.77.0.2" }
    }

    /// The room's address as it is seen from outside.
    #[must_use]
    pub fn outside(side: Side) -> &'static str {
        if side == Side::A { "10.78.1.2" } else { "10.78.2.2" }
    }

    /// The address of the outside, as each room sees it.
    #[must_use]
    pub fn world(side: Side) -> &'static str {
        if side == Side::A { "10.78.1.1" } else { "10.78.2.1" }
    }

    /// Pulls a cable: nothing passes either way.
    pub fn pull(&self, cable: Cable) {
        self.set(cable, "down");
    }

    /// Plugs it in again, also after [`Cables::mute`].
    pub fn plug(&self, cable: Cable) {
        self.set(cable, "up");
        for side in Side::BOTH {
            if cable == Cable::Link {
                // It may not have been muted.
                let _ = try_ip(&format!(
                    "-n {} neigh del {} dev cable",
                    side.letter(),
                    Cables::inside(side.other())
                ));
            }
        }
    }

    /// What room `side` sends over the link is lost, without anybody being told; what it is sent arrives.
    pub fn mute(&self, side: Side) {
        let (room, peer) = (side.letter(), Cables::inside(side.other()));
        ip(&format!("-n {room} neigh replace {peer} lladdr {NOBODY} dev cable nud permanent"));
    }

    /// Has the link take its time and lose packets.
    #[must_use]
    pub fn trouble(&self, what: &str) -> Netem {
        let mut known = true;
        for side in Side::BOTH {
            let words = format!("-n {} qdisc replace dev cable root netem {what}", side.letter());
            let said = run(plain("tc").args(words.split(' ')), COMMAND);
            known &= said.code == Some(0);
        }
        if known { Netem::On } else { Netem::Missing }
    }

    fn set(&self, cable: Cable, state: &str) {
        match cable {
            // One end is enough: the other one loses its carrier.
            Cable::Link => ip(&format!("-n a link set cable {state}")),
            Cable::Out(side) => ip(&format!("link set out-{} {state}", side.letter())),
        }
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        for side in Side::BOTH {
            let room = side.letter();
            // What is gone already is gone.
            let _ = try_ip(&format!("link del out-{room}"));
            let _ = try_ip(&format!("netns del {room}"));
        }
    }
}

fn try_ip(words: &str) -> Said {
    run(plain("ip").args(words.split(' ')), COMMAND)
}

fn ip(words: &str) {
    let _ = try_ip(words).well();
}
