//! Carries steps out on a site, keeps the time, and waits for what must be true. Start at [`Runner::act`].
//! What the steps are is in [`super::acts`].

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use site::Room;

use super::expect::Authority;
use super::judge::{Goal, Sights, contradiction, pair, saying};
use super::load::{Load, Written};
use super::observe::Observer;
use super::site::{Site, Words};
use super::timeline::{Event, Outcome, Verdict, seconds};
use super::{Scenario, acts};
use crate::LabError;

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(200);

/// What ssh ends with when it did not get as far as the command.
const SSH_FAILED: i32 = 255;
/// After such an end: a server that refuses for a while does not refuse for longer then.
const RECONNECT: Duration = Duration::from_secs(2);

/// Why a scenario goes no further.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(String),
    LeftOut(String),
}

impl From<LabError> for Stop {
    fn from(error: LabError) -> Stop {
        Stop::Failed(error.to_string())
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop::Failed(why)
    }
}

/// Writes that one room acknowledged and the other one must have when it is back.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) run: String,
    pub(super) acknowledged: u64,
}

/// How long things may take, and how long others are given.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From power-on to anything that a machine does by itself.
    pub boot: Duration,
    /// From a loss to a decision.
    pub decision: Duration,
    /// For how long what was decided must stay so.
    pub stays: Duration,
    /// For how long is written before something is lost.
    pub run_up: Duration,
    /// For how long is written in all: the loss, the grant, and some time after both.
    pub load: Duration,
    /// How old what a room said may be.
    pub recent: Duration,
}

impl Pace {
    /// For machines that may have to be emulated on a computer that is busy: ten times what they need on a
    /// quiet one.
    pub const MACHINES: Pace = Pace {
        boot: Duration::from_secs(600),
        decision: Duration::from_secs(120),
        stays: Duration::from_secs(10),
        run_up: Duration::from_secs(5),
        load: Duration::from_secs(30),
        recent: Duration::from_secs(20),
    };
}

/// A site to which things happen.
pub(super) struct Runner<'l> {
    pub(super) site: &'l mut dyn Site,
    pub(super) pace: Pace,
    tell: &'l mut dyn FnMut(&Event),
    pub(super) seed: u64,
    /// Nothing has happened to it since its disks were blank.
    pub(super) fresh: bool,
    /// How long a first boot takes to its status screen.
    pub(super) boot: Duration,
    pub(super) owed: Vec<Owed>,
    began: Instant,
    observers: BTreeMap<String, Observer>,
    scenario: &'static str,
    events: Vec<Event>,
    measured: BTreeMap<&'static str, f64>,
}

impl<'l> Runner<'l> {
    pub(super) fn new(
        site: &'l mut dyn Site,
        pace: Pace,
        seed: u64,
        tell: &'l mut dyn FnMut(&Event),
    ) -> Runner<'l> {
        let since = site.on_for();
        let now = Instant::now();
        Runner {
            site,
            pace,
            tell,
            seed,
            fresh: true,
            boot: Duration::from_secs(40),
            owed: Vec::new(),
            began: now.checked_sub(since).unwrap_or(now),
            observers: BTreeMap::new(),
            scenario: "",
            events: Vec::new(),
            measured: BTreeMap::new(),
        }
    }

    /// Does one scenario, and says what it came to.
    pub(super) fn act(&mut self, scenario: Scenario) -> Outcome {
        let begun = Instant::now();
        self.scenario = scenario.name();
        self.say("begins");
        let verdict = match acts::act(self, scenario) {
            Ok(()) => Verdict::Survived,
            Err(Stop::Failed(why)) => Verdict::Failed(why),
            Err(Stop::LeftOut(why)) => Verdict::LeftOut(why),
        };
        self.fresh = false;
        self.say(verdict.to_string());
        Outcome {
            scenario: self.scenario,
            verdict,
            seconds: seconds(begun.elapsed()),
            measured: std::mem::take(&mut self.measured),
            events: std::mem::take(&mut self.events),
        }
    }

    pub(super) fn say(&mut self, what: impl Into<String>) {
        let scenario = self.scenario;
        let event = Event { scenario, seconds: seconds(self.began.elapsed()), what: what.into() };
        (self.tell)(&event);
        self.events.push(event);
    }

    pub(super) fn measure(&mut self, name: &'static str, value: f64) {
        self.measured.insert(name, value);
    }

    /// The control machine of a room.
    pub(super) fn machine(&self, room: Room) -> Result<String, Stop> {
        let found = self.site.machines().into_iter().find(|(_, of)| *of == room);
        let name = found.map(|(name, _)| name.to_string());
        name.ok_or_else(|| Stop::Failed(format!("the lab has no machine of room {room}")))
    }

    pub(super) fn off(&mut self, room: Room) -> Result<(), Stop> {
        let name = self.machine(room)?;
        self.site.power_off(&name)?;
        self.say(format!("{name} loses its power"));
        Ok(())
    }

    pub(super) fn on(&mut self, room: Room) -> Result<(), Stop> {
        let name = self.machine(room)?;
        self.site.power_on(&name)?;
        self.say(format!("{name} gets its power back"));
        Ok(())
    }

    pub(super) fn new_disk(&mut self, room: Room) -> Result<(), Stop> {
        let name = self.machine(room)?;
        self.site.new_disk(&name)?;
        self.say(format!("{name} is a blank machine now"));
        Ok(())
    }

    pub(super) fn cut(&mut self, cable: &str) -> Result<(), Stop> {
        self.site.set_cable(cable, false)?;
        self.say(format!("the cable {cable} is cut"));
        Ok(())
    }

    pub(super) fn mend(&mut self, cable: &str) -> Result<(), Stop> {
        self.site.set_cable(cable, true)?;
        self.say(format!("the cable {cable} is whole again"));
        Ok(())
    }

    pub(super) fn mend_all(&mut self) -> Result<(), Stop> {
        self.site.cut()?.iter().try_for_each(|cable| self.mend(cable.as_str()))
    }

    /// Sets what a machine's clock says at each start; false where there is none.
    pub(super) fn set_clock(&mut self, room: Room, clock: Option<&str>) -> Result<bool, Stop> {
        let name = self.machine(room)?;
        let set = self.site.set_clock(&name, clock)?;
        if set {
            self.say(format!(
                "the clock of {name} says {} at each start",
                clock.unwrap_or("what is right")
            ));
        }
        Ok(set)
    }

    /// Looks every `pause` until a look gives something, which gets the time at which this began; else says why
    /// nothing came of the last look in time.
    pub(super) fn wait<T>(
        &mut self,
        limit: Duration,
        pause: Duration,
        mut look: impl FnMut(&mut Self, Instant) -> Result<Result<T, String>, Stop>,
    ) -> Result<T, Stop> {
        let begun = Instant::now();
        loop {
            let in_time = begun.elapsed() < limit;
            match look(self, begun)? {
                Ok(found) => return Ok(found),
                Err(_) if in_time => thread::sleep(pause),
                Err(why) => return Err(format!("{why}, after {} s", limit.as_secs()).into()),
            }
        }
    }

    /// Waits until a machine's screen shows all of these, however its lines are broken.
    pub(super) fn until_screen(&mut self, room: Room, texts: &[&str]) -> Result<(), Stop> {
        let name = self.machine(room)?;
        self.wait(self.pace.boot, PAUSE, |runner, _| {
            let screen = runner.site.screen(&name)?;
            let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(match texts.iter().find(|text| !words.contains(**text)) {
                None => Ok(()),
                Some(text) => Err(format!("{name} does not show {text:?}, but:\n{screen}\n")),
            })
        })
    }

    /// Waits until one of two goals is met.
    pub(super) fn until_either(&mut self, goals: [Goal; 2]) -> Result<(), Stop> {
        self.wait(self.pace.boot, PAUSE, |runner, begun| {
            let sights = runner.sights(begun)?;
            Ok(goals[0].met(&sights).or_else(|_| goals[1].met(&sights)))
        })
    }

    /// Waits until exactly one room's machine finds this wrong, and says which.
    pub(super) fn until_one_says(&mut self, code: &'static str) -> Result<Room, Stop> {
        self.wait(self.pace.boot, PAUSE, |runner, begun| {
            Ok(match saying(&runner.sights(begun)?, code)[..] {
                [one] => Ok(one),
                [] => Err(format!("no room says {code}")),
                _ => Err(format!("both rooms say {code}")),
            })
        })
    }

    /// Waits until the writes are over, and says what came of them; `which` is what they were, such as
    /// ` of 1 MiB`.
    pub(super) fn finish(&mut self, load: Load, which: &str) -> Result<Written, Stop> {
        let mut told = Vec::new();
        let written = load.finish(&mut |line| told.push(line));
        told.into_iter().for_each(|line| self.say(line));
        let written = written?;
        self.say(format!(
            "all {} acknowledged writes{which} are there; for {:.1} s none was acknowledged",
            written.acknowledged,
            written.longest_gap().as_secs_f64()
        ));
        Ok(written)
    }

    /// What both rooms say, if they said it after `since`.
    pub(super) fn sights(&mut self, since: Instant) -> Result<Sights, Stop> {
        let mut sights = [None, None];
        for (room, sight) in [Room::A, Room::B].into_iter().zip(&mut sights) {
            let name = self.machine(room)?;
            if !self.observers.contains_key(&name) {
                let observer = Observer::new(self.site.ssh(&name)?);
                self.observers.insert(name.clone(), observer);
            }
            // What a machine said before its power went does not count any more.
            if self.site.is_on(&name)? {
                *sight = self.observers[&name].seen(since, self.pace.recent);
            }
        }
        match contradiction(&sights) {
            Some(both) => Err(Stop::Failed(both)),
            None => Ok(sights),
        }
    }

    /// Waits until the goal is met, and returns how long that took.
    pub(super) fn until(&mut self, goal: Goal, limit: Duration) -> Result<Duration, Stop> {
        self.wait(limit, PAUSE, |runner, begun| {
            Ok(goal.met(&runner.sights(begun)?).map(|()| begun.elapsed()))
        })
    }

    /// Sees that the goal stays met.
    pub(super) fn hold(&mut self, goal: Goal, length: Duration) -> Result<(), Stop> {
        let begun = Instant::now();
        let earlier = self.recently();
        while begun.elapsed() < length {
            goal.met(&self.sights(earlier)?).map_err(|why| {
                let after = seconds(begun.elapsed());
                Stop::Failed(format!("{why}, {after:.1} s after that was not so"))
            })?;
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Mends what is cut, switches on what is off, and waits until both rooms are in sync.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        self.mend_all()?;
        if self.site.mend_witness()? {
            self.say("the witness is back");
        }
        for (name, _) in self.site.machines() {
            if !self.site.is_on(name.as_str())? {
                self.site.power_on(name.as_str())?;
                self.say(format!("{name} gets its power back"));
            }
        }
        self.until(Goal::InSync, self.pace.boot).map(drop)
    }

    /// Who decides for the site.
    pub(super) fn authority(&mut self) -> Result<Authority, Stop> {
        let sights = self.sights(self.recently())?;
        let kind = &pair(&sights, Room::A)?.authority.kind;
        Authority::parse(kind)
            .ok_or_else(|| Stop::LeftOut(format!("nothing is known of the authority `{kind}`")))
    }

    /// Whether a room's machine has come so far.
    pub(super) fn at_status_screen(&self, room: Room) -> Result<bool, Stop> {
        let name = self.machine(room)?;
        Ok(self.site.shows_status_screen(&name)?)
    }

    /// Since the machines were switched on first.
    pub(super) fn since_power_on(&self) -> Duration {
        self.began.elapsed()
    }

    /// The machines are switched on first now.
    pub(super) fn begin_anew(&mut self) {
        self.began = Instant::now();
    }

    /// Before this, what a room said is too old to be judged.
    pub(super) fn recently(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.pace.recent).unwrap_or(now)
    }

    /// Makes command lines that carry out a command on a room's machine.
    pub(super) fn ssh(&self, room: Room) -> Result<Words, Stop> {
        Ok(self.site.ssh(&self.machine(room)?)?.0)
    }

    /// What a command on a room's machine printed.
    pub(super) fn carry_out(&self, room: Room, command: &str) -> Result<String, Stop> {
        let words = self.ssh(room)?(command);
        let (program, arguments) = words.split_first().ok_or_else(|| "no ssh".to_owned())?;
        let begun = Instant::now();
        let output = loop {
            let mut ssh = Command::new(program);
            ssh.args(arguments).stdin(Stdio::null());
            let output = ssh.output().map_err(|error| format!("ssh does not start: {error}"))?;
            // That is ssh's own no (ssh(1), "EXIT STATUS"): the command was not carried out.
            if output.status.code() != Some(SSH_FAILED) || begun.elapsed() > self.pace.recent {
                break output;
            }
            thread::sleep(RECONNECT);
        };
        if output.stdout.is_empty() && !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.trim().lines().next_back().unwrap_or("nothing was said");
            return Err(format!("`{command}` in room {room} failed: {last}").into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
