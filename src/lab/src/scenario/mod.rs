//! What may happen to two rooms, done to a lab on purpose, and judged. Start at [`run`].
//!
//! A [`Scenario`] is a small function of steps (`acts`); what must be true after a step is a
//! `judge::Goal`, and what may be expected of a site is in `expect`. Both are pure and tested with what
//! real stores said. Rooms are watched over ssh (`observe`), and written to through the one that is to
//! survive (`load`).
//!
//! ```text
//!  acts ──► Runner ──► Site (power, cables, disks, witness): a Lab
//!             │ ◄───── observe: `duetd status --json` of both rooms ──► Sights ──► Goal::met
//!             └──────► load: `duetd store probe` in the room that survives
//! ```

mod acts;
mod expect;
mod faults;
mod judge;
mod kubernetes;
mod load;
mod observe;
mod runner;
mod seen;
mod site;
mod timeline;

use std::str::FromStr;

use crate::LabError;

pub use runner::Pace;
pub use site::{Answers, Site, Words};
pub use timeline::{Event, Outcome, Verdict, moments};

/// Something that may happen to two rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Two blank disks: to the status screens, to the peer, to both in sync.
    FirstBoot,
    /// The leading room loses its power under load.
    LoseLeader,
    /// The following room loses its power under load.
    LoseFollower,
    /// The room that is off comes back, and has all that was acknowledged meanwhile.
    ComeBack,
    /// Both lose their power, and get it back together.
    BothOff,
    /// Both lose their power, and room a gets it back first.
    OneAloneA,
    /// Both lose their power, and room b gets it back first.
    OneAloneB,
    /// The rooms do not hear each other, with the witness in reach of both, of one, of nobody.
    CutLink,
    /// A machine of another site is on the same wire.
    Stranger,
    /// Room b's machine is replaced by a blank one.
    NewMachine,
    /// The power of a first boot is cut at ten moments.
    FirstBootCuts,
    /// Kubernetes' API is served by both rooms, and by one when the other is lost.
    Kubernetes,
    /// Room b's machine is a blank one whose clock says 1970 at each start.
    Clock1970,
    /// Room b's machine is a blank one without a cable, which comes later.
    LateCarrier,
    /// Both machines are blank, and no DHCP server answers.
    NoDhcp,
    /// The cable between the rooms loses large packets without a word.
    SmallMtu,
    /// Both machines have one address.
    AddressConflict,
    /// The disk of room b's machine is smaller than the image.
    SmallDisk,
}

impl Scenario {
    /// What may happen to two rooms, in the order of `all`.
    pub const ALL: [Scenario; 12] = [
        Scenario::FirstBoot,
        Scenario::LoseLeader,
        Scenario::LoseFollower,
        Scenario::ComeBack,
        Scenario::BothOff,
        Scenario::OneAloneA,
        Scenario::OneAloneB,
        Scenario::CutLink,
        Scenario::Stranger,
        Scenario::NewMachine,
        Scenario::FirstBootCuts,
        Scenario::Kubernetes,
    ];

    /// Bad surroundings, in the order of `faults`.
    pub const FAULTS: [Scenario; 6] = [
        Scenario::Clock1970,
        Scenario::LateCarrier,
        Scenario::NoDhcp,
        Scenario::SmallMtu,
        Scenario::SmallDisk,
        Scenario::AddressConflict,
    ];

    /// As a person types it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::FirstBoot => "first-boot",
            Scenario::LoseLeader => "lose-leader",
            Scenario::LoseFollower => "lose-follower",
            Scenario::ComeBack => "come-back",
            Scenario::BothOff => "both-off",
            Scenario::OneAloneA => "one-alone-a",
            Scenario::OneAloneB => "one-alone-b",
            Scenario::CutLink => "cut-link",
            Scenario::Stranger => "stranger",
            Scenario::NewMachine => "new-machine",
            Scenario::FirstBootCuts => "first-boot-cuts",
            Scenario::Kubernetes => "kubernetes",
            Scenario::Clock1970 => "clock-1970",
            Scenario::LateCarrier => "late-carrier",
            Scenario::NoDhcp => "no-dhcp",
            Scenario::SmallMtu => "small-mtu",
            Scenario::AddressConflict => "address-conflict",
            Scenario::SmallDisk => "small-disk",
        }
    }
}

impl FromStr for Scenario {
    type Err = LabError;

    fn from_str(name: &str) -> Result<Scenario, LabError> {
        let known = Scenario::ALL.into_iter().chain(Scenario::FAULTS);
        let found = known.clone().find(|scenario| scenario.name() == name);
        found.ok_or_else(|| LabError::Scenario {
            name: name.to_owned(),
            known: known.map(Scenario::name).collect::<Vec<_>>().join(", "),
        })
    }
}

/// The scenarios of these names in the order in which they are run: `all` stands for all that may happen to
/// two rooms, `faults` for all bad surroundings, and who was lost comes back next.
///
/// # Errors
/// If there is none of a name.
pub fn plan(names: &[String]) -> Result<Vec<Scenario>, LabError> {
    let mut named = Vec::new();
    for name in names {
        match name.as_str() {
            // It follows each loss by itself.
            "all" => named.extend(Scenario::ALL.into_iter().filter(|s| *s != Scenario::ComeBack)),
            "faults" => named.extend(Scenario::FAULTS),
            name => named.push(name.parse()?),
        }
    }
    let mut planned = Vec::new();
    for (index, scenario) in named.iter().enumerate() {
        planned.push(*scenario);
        let loses = [Scenario::LoseLeader, Scenario::LoseFollower].contains(scenario);
        if loses && named.get(index + 1) != Some(&Scenario::ComeBack) {
            planned.push(Scenario::ComeBack);
        }
    }
    Ok(planned)
}

/// Does the scenarios to a site that just came up, one after the other, and tells each event. After one that
/// failed, the others are left out, since they would begin in a state that nobody knows.
pub fn run(
    site: &mut dyn Site,
    scenarios: &[Scenario],
    pace: Pace,
    seed: u64,
    tell: &mut dyn FnMut(&Event),
) -> Vec<Outcome> {
    let mut runner = runner::Runner::new(site, pace, seed, tell);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for scenario in scenarios {
        let failed = outcomes.iter().find(|one| matches!(one.verdict, Verdict::Failed(_)));
        let outcome = match failed {
            Some(failed) => Outcome::left_out(*scenario, failed.scenario),
            None => runner.act(*scenario),
        };
        outcomes.push(outcome);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn planned(names: &str) -> String {
        let names: Vec<String> = names.split(' ').map(str::to_owned).collect();
        plan(&names).unwrap().into_iter().map(Scenario::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_was_lost_comes_back_next() {
        assert_eq!(planned("lose-leader"), "lose-leader come-back");
        assert_eq!(planned("lose-leader come-back both-off"), "lose-leader come-back both-off");
        let all = planned("all");
        assert!(
            all.starts_with("first-boot lose-leader come-back lose-follower come-back both-off")
        );
        assert!(all.ends_with("stranger new-machine first-boot-cuts kubernetes"), "{all}");
        assert!(planned("faults").starts_with("clock-1970 late-carrier no-dhcp"));
    }

    #[test]
    fn a_name_that_there_is_not_is_answered_with_those_that_there_are() {
        let error = plan(&["lose-all".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("lose-all"));
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("first-boot, lose-leader"), "{help}");
    }
}
