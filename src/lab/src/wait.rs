//! Waiting until a machine has come as far as one wants. Start at [`Lab::wait_for`].

use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{Found, Machine};
use crate::notes::Run;
use crate::screen::tail;
use crate::watch::{Stages, Watcher};
use crate::{Lab, LabError};

/// How often is looked: often enough for stages to be dated by a tenth of a second.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of the screen that go into an error.
const LINES: usize = 20;

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a> {
    /// In words, for the error: `the status screen`.
    pub what: &'a str,
    /// For how long, from now on.
    pub limit: Duration,
}

/// A machine as it is seen at one moment.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    /// Its name.
    pub machine: &'a str,
    /// The time since it was switched on.
    pub since: Duration,
    /// Whether it is on.
    pub on: bool,
    /// How far its boot has come.
    pub stages: Stages,
    /// What its serial console shows.
    pub screen: String,
}

impl Lab {
    /// Waits until `until` is true for each of the machines, and returns what each looked like when
    /// it was. `progress` is told at every look about every machine that is still waited for.
    ///
    /// Ends early if a machine goes off, unless `until` is content with that.
    pub fn wait_for<'a>(
        &self,
        machines: &[&'a str],
        goal: Goal<'_>,
        until: &mut dyn FnMut(&Sight<'_>) -> bool,
        progress: &mut dyn FnMut(&Sight<'_>),
    ) -> Result<Vec<Sight<'a>>, LabError> {
        let deadline = Instant::now() + goal.limit;
        let mut watched = Vec::new();
        for name in machines {
            let machine = self.machine(name)?;
            let watcher = Watcher::new(&machine.places.serial_log);
            watched.push(Watched { name, machine, watcher, run: None, reached: None });
        }
        loop {
            // The time is taken first, so that the last look is after the deadline.
            let in_time = Instant::now() < deadline;
            for watched in watched.iter_mut().filter(|watched| watched.reached.is_none()) {
                let sight = watched.look()?;
                progress(&sight);
                if until(&sight) {
                    watched.reached = Some(sight);
                } else if !sight.on {
                    return Err(watched.went_off(goal, &sight));
                } else if !in_time {
                    return Err(watched.timed_out(goal, &sight));
                }
            }
            if watched.iter().all(|watched| watched.reached.is_some()) {
                return Ok(watched.into_iter().filter_map(|watched| watched.reached).collect());
            }
            thread::sleep(PAUSE);
        }
    }
}

struct Watched<'l, 'a> {
    name: &'a str,
    machine: Machine<'l>,
    watcher: Watcher,
    /// Its QEMU when it was seen last: another one has a log of its own.
    run: Option<Run>,
    reached: Option<Sight<'a>>,
}

impl<'a> Watched<'_, 'a> {
    fn look(&mut self) -> Result<Sight<'a>, LabError> {
        // Power first: what is said before the end is then seen in the same look.
        let on = match self.machine.find()? {
            Found::On(run, _) => {
                let before = self.run.replace(run.clone());
                if before.is_some_and(|before| before.process != run.process) {
                    self.watcher = Watcher::new(&self.machine.places.serial_log);
                }
                true
            }
            Found::Off | Found::Ended { .. } => false,
        };
        let since = self.run.as_ref().map(Run::since).unwrap_or_default();
        let log = &self.machine.places.serial_log;
        self.watcher.look(since).map_err(LabError::system("read", log))?;
        Ok(Sight {
            machine: self.name,
            since,
            on,
            stages: self.watcher.stages().clone(),
            screen: self.watcher.screen().to_owned(),
        })
    }

    fn went_off(&self, goal: Goal<'_>, sight: &Sight<'_>) -> LabError {
        LabError::Died {
            machine: self.name.into(),
            goal: goal.what.into(),
            last: tail(&sight.screen, LINES),
            log: self.machine.places.serial_log.clone(),
        }
    }

    fn timed_out(&self, goal: Goal<'_>, sight: &Sight<'_>) -> LabError {
        LabError::TimedOut {
            machine: self.name.into(),
            goal: goal.what.into(),
            limit: goal.limit,
            last: tail(&sight.screen, LINES),
            log: self.machine.places.serial_log.clone(),
        }
    }
}
