//! What can go wrong in the lab. Start at [`LabError`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the lab could not do what it was asked to do.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LabError {
    /// The tools tree lacks a file that the lab needs.
    #[error("the tools tree {} has no {file}", root.display())]
    #[diagnostic(
        code(lab::tools),
        help(
            "lay the tree out again from profiles/lab-tools.toml: remove it and run `duet lab up`"
        )
    )]
    Tools {
        /// The tools tree.
        root: PathBuf,
        /// Path in the tree.
        file: &'static str,
    },

    /// The plan cannot be carried out as written.
    #[error("the lab cannot be laid out so: {why}")]
    #[diagnostic(code(lab::plan), help("{cure}"))]
    Plan {
        /// What is wrong with it.
        why: String,
        /// What to write instead.
        cure: String,
    },

    /// There is no lab in the directory.
    #[error("there is no lab in {}", dir.display())]
    #[diagnostic(code(lab::none), help("start one with `duet lab up`"))]
    None {
        /// Where it was looked for.
        dir: PathBuf,
    },

    /// A lab runs in the directory already.
    #[error("the lab in {} is up already: {running} is on", dir.display())]
    #[diagnostic(
        code(lab::up),
        help("look at it with `duet lab status`, end it with `duet lab down`")
    )]
    Up {
        /// The lab's directory.
        dir: PathBuf,
        /// The machines that run.
        running: String,
    },

    /// Another command works on the same lab.
    #[error("another command is at work on the lab in {}", dir.display())]
    #[diagnostic(code(lab::busy), help("wait until it has ended, then try again"))]
    Busy {
        /// The lab's directory.
        dir: PathBuf,
    },

    /// The lab's own notes cannot be understood.
    #[error("cannot understand the lab's notes in {}", path.display())]
    #[diagnostic(
        code(lab::notes),
        help("remove the lab's directory; `duet lab up` then makes a new one")
    )]
    Notes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },

    /// There is no such machine.
    #[error("the lab has no machine `{name}`")]
    #[diagnostic(code(lab::machine), help("its machines are {known}"))]
    Machine {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },

    /// There is no such wire.
    #[error("the lab has no wire `{name}`")]
    #[diagnostic(code(lab::wire), help("its wires are {known}"))]
    Wire {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },

    /// The machine must be on for this.
    #[error("machine {machine} is off")]
    #[diagnostic(code(lab::off), help("start it with `duet lab power-on {machine}`"))]
    Off {
        /// Its name.
        machine: String,
    },

    /// The machine must be off for this.
    #[error("machine {machine} is on already")]
    #[diagnostic(code(lab::on), help("pull its plug with `duet lab power-off {machine}`"))]
    On {
        /// Its name.
        machine: String,
    },

    /// QEMU did not start.
    #[error("QEMU did not start machine {machine}: {said}")]
    #[diagnostic(code(lab::start), help("{cure}"))]
    Start {
        /// Its name.
        machine: String,
        /// The end of what QEMU said.
        said: String,
        /// What to do about it.
        cure: &'static str,
    },

    /// QEMU refused a command, or gave no answer.
    #[error("QEMU of machine {machine} did not carry out `{command}`: {said}")]
    #[diagnostic(
        code(lab::qmp),
        help(
            "see qemu.log beside the machine's disk; `duet lab power-off {machine}` always works"
        )
    )]
    Qmp {
        /// The machine's name.
        machine: String,
        /// The QMP command.
        command: &'static str,
        /// The answer.
        said: String,
    },

    /// There is no such scenario.
    #[error("there is no scenario `{name}`")]
    #[diagnostic(code(usage::scenario), help("there are {known}; `all` is all of them"))]
    Scenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },

    /// The lab has no third place.
    #[error("the lab has no witness")]
    #[diagnostic(code(lab::no_witness), help("start one with `duet lab up --witness FOLDER`"))]
    NoWitness,

    /// A program beside the machines must not run for this.
    #[error("the {name} runs already")]
    #[diagnostic(code(lab::on), help("`duet lab status` shows its process"))]
    DaemonRuns {
        /// What it is.
        name: String,
    },

    /// A program beside the machines must run for this.
    #[error("the {name} does not run")]
    #[diagnostic(code(lab::off), help("`duet lab {name} start` starts it"))]
    DaemonOff {
        /// What it is.
        name: String,
    },

    /// A program beside the machines did not start.
    #[error("the {name} did not start; it said:\n{said}")]
    #[diagnostic(code(lab::daemon), help("all that it said is in {}", log.display()))]
    Daemon {
        /// What it is.
        name: String,
        /// The end of what it said.
        said: String,
        /// Its log.
        log: PathBuf,
    },

    /// The switches of a wire do not answer.
    #[error("the switches of wire {wire} do not answer")]
    #[diagnostic(code(lab::switch), help("end the lab with `duet lab down` and start it anew"))]
    Switch {
        /// The wire.
        wire: String,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The process did not end although it was killed.
    #[error("machine {machine} (process {pid}) does not end")]
    #[diagnostic(code(lab::kill), help("its disk may hang; look with `ps -o stat,wchan {pid}`"))]
    Survived {
        /// Its name.
        machine: String,
        /// Its process.
        pid: u32,
    },

    /// What was waited for did not happen in time.
    #[error("machine {machine} did not reach {goal} within {} s; it last showed:\n{last}", limit.as_secs())]
    #[diagnostic(
        code(lab::timeout),
        help("the whole serial log is {}; without KVM a busy computer needs more time", log.display())
    )]
    TimedOut {
        /// Its name.
        machine: String,
        /// What was waited for.
        goal: String,
        /// How long.
        limit: Duration,
        /// The end of what it showed.
        last: String,
        /// Its serial log.
        log: PathBuf,
    },

    /// The machine went off while something was waited for.
    #[error("machine {machine} went off before it reached {goal}; it last showed:\n{last}")]
    #[diagnostic(
        code(lab::died),
        help("the whole serial log is {}, and qemu.log lies beside it", log.display())
    )]
    Died {
        /// Its name.
        machine: String,
        /// What was waited for.
        goal: String,
        /// The end of what it showed.
        last: String,
        /// Its serial log.
        log: PathBuf,
    },

    /// The disk is full.
    #[error("cannot {action} {}: no space is left", path.display())]
    #[diagnostic(
        code(output::full),
        help(
            "each machine's disk takes as much as its image holds and grows with use; free some space"
        )
    )]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },

    /// The system refused something else.
    #[error("cannot {action} {}", path.display())]
    #[diagnostic(
        code(lab::system),
        help("is the lab's directory yours, and on a local file system?")
    )]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl LabError {
    /// For `map_err`: names the action and the file, and tells a full disk from the rest.
    pub(crate) fn system<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> LabError {
        let path = path.to_path_buf();
        move |source| {
            let source = source.into();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    LabError::Full { action, path, source }
                }
                _ => LabError::System { action, path, source },
            }
        }
    }
}
