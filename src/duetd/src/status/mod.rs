//! What there is to know about this node, in one value: [`Status`]. The screen, `duetd status` and its
//! JSON all show this and nothing else.
//!
//! [`collect`] looks at the machine and makes a [`Seen`]; [`judge`] turns it into findings, each with
//! its cure; [`Status::of`] puts both together. Only `collect` touches anything outside.
//!
//! The JSON is described by [`SCHEMA`], which `duetd status --help` prints. Keys are only ever added
//! to it; whatever would break a script raises [`FORMAT`].

pub(crate) mod collect;
pub(crate) mod command;
pub(crate) mod judge;
mod network;
pub(crate) mod pair;
mod record;

use std::net::IpAddr;

use agent::kubernetes::{Alike, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use site::Slot;

use crate::address::Taken;
use crate::boot_count::Tries;
use crate::clock::Clock;
use crate::disks::report::{Entry, Report};
use crate::node::{Identity, Keeping, Node, Problem};
use crate::rtnetlink;
use crate::systemd::Units;

pub(crate) use record::{BootRecord, Verdict};

/// The version of the JSON that `duetd status --json` prints.
pub(crate) const FORMAT: u32 = 1;

/// What the JSON holds, for people who write scripts.
pub(crate) const SCHEMA: &str = "\
The JSON of format 1. Later releases may add keys; what is here stays.

  format         1
  health         \"starting\", \"good\", \"degraded\" (it works, somebody should look) or \"bad\"
  findings       [{severity: \"bad\" | \"warning\", code, what, cure}], the worst first
  node           {site, room: \"a\" | \"b\", room_title, role, name, addresses, ssh_keys, seed_issued,
                 seed_expires}, or null without a good seed; addresses are the static ones
  hostname       the name that the kernel has
  release        {version, image}
  boot           {state: \"trial\" | \"good\", tries_left, slot: \"a\" | \"b\", root_hash, verified,
                 netboot}
  uptime_s       whole seconds since the kernel started
  network        [{name, mac, carrier, speed_mbit, addresses: [{address, prefix}]}]
  clock          {synchronised, source, ahead_s}
  storage        {path, used_bytes, free_bytes}
  watchdog       {device, armed, timeout_s}, or null
  pair           how this room's store stands with the other room's: the page /duet/pair of the store
                 (docs/two-rooms.md); null on a worker, and while the store does not answer
  disks          what `duetd disks` left of each disk: [{name, serial, wwid, model, bytes, state, why,
                 partition}], as `duetd disks --help` says; null if it has not run
  ssh_host_key   its fingerprint, \"SHA256:...\"
  secrets        how the seed's secrets are kept: \"sealed\" to this machine's TPM, or in a \"file\" that
                 root alone can read; null where there are none
  components     [{name, version, present, source, why}]: what the image has beside packages, such as
                 k3s, and why it was left out
  kubernetes     {alike: what both rooms must tell k3s alike, state: {phase: \"off\" | \"waits\" |
                 \"starts\" | \"ready\" | \"unready\" | \"failed\", why, machines: [{name, zone, ready}],
                 authority: the hash of the cluster's authority, at_s} or null}; null where the image has
                 no k3s

What is not known or does not apply is null.";

/// The node's status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// The findings in one word.
    pub health: Health,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// Who this node is.
    pub node: Option<Identity>,
    /// The name that the kernel has.
    pub hostname: String,
    /// What runs.
    pub release: Release,
    /// How it started.
    pub boot: Boot,
    /// Since when it runs.
    pub uptime_s: u64,
    /// The network interfaces.
    pub network: Vec<Interface>,
    /// The clock.
    pub clock: Clock,
    /// The state partition.
    pub storage: Storage,
    /// What restarts the machine if it hangs.
    pub watchdog: Option<Watchdog>,
    /// How this room's store stands with the other room's.
    pub pair: Option<Value>,
    /// What came of each disk.
    pub disks: Option<Vec<Entry>>,
    /// The fingerprint of the ssh host key.
    pub ssh_host_key: Option<String>,
    /// How the seed's secrets are kept.
    pub secrets: Option<Keeping>,
    /// What the image has beside packages, or was to have.
    pub components: Vec<Component>,
    /// How Kubernetes is, where the image has it.
    pub kubernetes: Option<Kubernetes>,
}

/// Kubernetes on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Kubernetes {
    /// What both rooms must tell k3s alike.
    pub alike: Alike,
    /// How it is; nothing before it was looked at.
    pub state: Option<State>,
}

/// The whole in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// Services are still being started.
    Starting,
    /// Nothing to report.
    Good,
    /// The node does its work; somebody should look.
    Degraded,
    /// The node does not do its work.
    Bad,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// How much it matters. First, so that the worst sorts first.
    pub severity: Severity,
    /// What it is, and its cure.
    #[serde(flatten)]
    pub problem: Problem,
}

/// How much a finding matters; the worst is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The node does not do its work.
    Bad,
    /// The node works, but somebody should look.
    Warning,
}

/// The image that runs, from os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Release {
    /// Its version.
    pub version: Option<String>,
    /// Its name, such as `duet-control`.
    pub image: Option<String>,
}

/// How this boot came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Boot {
    /// Whether the boot loader still counts.
    pub state: BootState,
    /// How often this system is tried again if this boot does not become good.
    pub tries_left: Option<u32>,
    /// The slot; none when netbooted.
    pub slot: Option<Slot>,
    /// The hash that stands for every byte of the root.
    pub root_hash: Option<String>,
    /// Whether the kernel checks every byte of the root against that hash.
    pub verified: bool,
    /// Whether the root came over the network.
    pub netboot: bool,
}

/// Whether this system has proven itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BootState {
    /// Not yet: the boot loader counts the tries.
    Trial,
    /// Yes, or there is nothing that counts.
    Good,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<String>,
    /// Whether something is at the other end of the cable; not known while the interface is down.
    pub carrier: Option<bool>,
    /// Its speed, where the driver says one.
    pub speed_mbit: Option<u32>,
    /// Its addresses, link-local ones last.
    pub addresses: Vec<InterfaceAddress>,
}

/// An address with its subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of the subnet's prefix in bits.
    pub prefix: u8,
}

impl InterfaceAddress {
    /// Whether the address is of use beyond this link.
    pub(crate) fn is_routable(&self) -> bool {
        rtnetlink::is_routable(self.address)
    }
}

/// Something that is no package, as the build of the image wrote it down (docs/image.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Component {
    /// Its name, such as `k3s`.
    pub name: String,
    /// Its release.
    pub version: String,
    /// Whether the image has it.
    pub present: bool,
    /// Where it came from.
    pub source: Option<String>,
    /// Why it was left out.
    pub why: Option<String>,
}

/// The file system that holds /var.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Storage {
    /// Where it is mounted.
    pub path: String,
    /// How much of it is filled.
    pub used_bytes: u64,
    /// How much of it can still be filled; what the file system keeps for root is in neither.
    pub free_bytes: u64,
}

impl Storage {
    /// How full it is, rounded up, as df(1) counts.
    pub(crate) fn used_percent(&self) -> u64 {
        let whole = self.used_bytes.saturating_add(self.free_bytes);
        if whole == 0 { 0 } else { self.used_bytes.saturating_mul(100).div_ceil(whole) }
    }
}

/// The device that restarts the machine when nobody strokes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Watchdog {
    /// What the driver calls itself.
    pub device: String,
    /// Whether it runs.
    pub armed: bool,
    /// After how many seconds it acts.
    pub timeout_s: Option<u32>,
}

/// What [`collect`] saw, not yet judged. A part that could not be had is an error as text.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What `duetd boot` left.
    pub node: Result<Node, String>,
    /// What /init left.
    pub record: Result<BootRecord, String>,
    /// What `duetd health` left, if it is done.
    pub verdict: Option<Verdict>,
    /// The tries of this boot's entry, if the boot loader counts them.
    pub tries: Option<Tries>,
    /// Whether the root is on dm-verity.
    pub verified: bool,
    /// What systemd says.
    pub units: Result<Units, String>,
    /// What chrony says.
    pub clock: Result<Clock, String>,
    /// See [`Status::hostname`].
    pub hostname: String,
    /// See [`Status::release`].
    pub release: Release,
    /// See [`Status::uptime_s`].
    pub uptime_s: u64,
    /// See [`Status::network`].
    pub network: Vec<Interface>,
    /// See [`Status::storage`].
    pub storage: Storage,
    /// See [`Status::watchdog`].
    pub watchdog: Option<Watchdog>,
    /// Which addresses of this node's other machines have.
    pub taken: Vec<Taken>,
    /// What is odd on the wire, and worth a look.
    pub neighbours: Vec<Problem>,
    /// What the store says of the pair; nothing where there is none.
    pub pair: Option<pair::Answer>,
    /// What `duetd disks` left, if it has run.
    pub disks: Option<Report>,
    /// See [`Status::components`].
    pub components: Vec<Component>,
    /// See [`Status::kubernetes`].
    pub kubernetes: Option<Kubernetes>,
}

/// The unit that tells the boot loader that this boot is good.
const BLESS: &str = "systemd-bless-boot.service";

impl Status {
    /// Judges what was seen.
    pub(crate) fn of(seen: &Seen) -> Status {
        let blessed = seen.units.as_ref().is_ok_and(|units| units.is_active(BLESS));
        let tries = seen.tries.filter(|_| !blessed);
        let record = seen.record.as_ref().ok();
        let node = seen.node.as_ref().ok();
        let findings = judge::findings(seen);
        Status {
            format: FORMAT,
            health: judge::health(seen, &findings),
            findings,
            node: node.and_then(|node| node.identity.clone()),
            hostname: seen.hostname.clone(),
            release: seen.release.clone(),
            boot: Boot {
                state: if tries.is_some() { BootState::Trial } else { BootState::Good },
                tries_left: tries.map(|tries| tries.left),
                slot: record.and_then(|record| record.slot),
                root_hash: record.and_then(|record| record.root_hash.clone()),
                verified: seen.verified,
                netboot: record.is_some_and(|record| record.netboot),
            },
            uptime_s: seen.uptime_s,
            network: seen.network.clone(),
            clock: seen.clock.clone().unwrap_or_default(),
            storage: seen.storage.clone(),
            watchdog: seen.watchdog.clone(),
            pair: seen.pair.clone().and_then(Result::ok),
            disks: seen.disks.clone().map(|report| report.disks),
            ssh_host_key: node.and_then(|node| node.host_key.clone()),
            secrets: node.and_then(|node| node.secrets),
            components: seen.components.clone(),
            kubernetes: seen.kubernetes.clone(),
        }
    }
}
