//! One wire with many ends: a bridge, and for each machine a network namespace with one card, `wire`. Start at
//! [`Lan::lay`].
//!
//! There is no route for multicast and none is needed: mDNS names the interface of each packet.

use std::time::Duration;

use tests::programs::plain;
use tests::run::run;

/// Which addresses a machine's card has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Has {
    /// The link-local one of IPv6 that every card gives itself.
    LinkLocal,
    /// This one of IPv4, and none of IPv6.
    V4(&'static str),
}

/// The bridge. It goes with the world in which the test runs.
pub(crate) struct Lan(());

impl Lan {
    /// Lays the bridge, whose end in this network is `lan`. It has no address.
    pub(crate) fn lay() -> Lan {
        ip("link add lan type bridge");
        // A bridge that waits for who wants which group loses the first packets.
        ip("link set lan type bridge mcast_snooping 0 stp_state 0 forward_delay 0");
        ip("link set lan addrgenmode none");
        ip("link set lan up");
        Lan(())
    }

    /// Adds a machine, which is not plugged in yet.
    pub(crate) fn add(&self, name: &str, has: Has) {
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("link add port-{name} type veth peer name wire netns {name}"));
        ip(&format!("link set port-{name} addrgenmode none"));
        ip(&format!("link set port-{name} master lan"));
        if let Has::V4(address) = has {
            ip(&format!("-n {name} link set wire addrgenmode none"));
            ip(&format!("-n {name} addr add {address}/24 dev wire"));
        }
        ip(&format!("-n {name} link set wire up"));
    }

    /// Gives a machine a card `cni0` as containers have one, behind which is another network, `name`.
    pub(crate) fn add_container(&self, machine: &str, name: &str) {
        ip(&format!("netns add {name}"));
        ip(&format!("-n {machine} link add cni0 type veth peer name wire netns {name}"));
        ip(&format!("-n {machine} addr add 10.42.0.1/24 dev cni0"));
        ip(&format!("-n {name} addr add 10.42.0.2/24 dev wire"));
        ip(&format!("-n {machine} link set cni0 up"));
        ip(&format!("-n {name} link set wire up"));
    }

    /// Plugs a machine in.
    pub(crate) fn plug(&self, name: &str) {
        ip(&format!("link set port-{name} up"));
    }

    /// Pulls its cable.
    pub(crate) fn pull(&self, name: &str) {
        ip(&format!("link set port-{name} down"));
    }

    /// Gives a machine another address of IPv4.
    pub(crate) fn renumber(&self, name: &str, old: &str, new: &str) {
        // In the other order, the kernel takes the new one away with the old one.
        ip(&format!("-n {name} addr del {old}/24 dev wire"));
        ip(&format!("-n {name} addr add {new}/24 dev wire"));
    }

    /// Gives this network, in which the test itself is, an address on the wire.
    pub(crate) fn join(&self, address: &str) {
        ip(&format!("addr add {address}/24 dev lan"));
    }
}

/// A command of iproute2.
pub(crate) fn ip(words: &str) {
    let _ = run(plain("ip").args(words.split(' ')), Duration::from_secs(20)).well();
}
