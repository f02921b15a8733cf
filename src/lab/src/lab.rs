//! The lab as a whole: what `duet lab` and tests do with it. Start at [`Lab::up`] and [`Lab::open`].

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use site::Label;

use crate::attach::{self, Left};
use crate::machine::{Found, Machine};
use crate::notes::{self, Lock, Notes};
use crate::plan::{HOST, THIRD, WITNESS, list};
use crate::status::{LabStatus, MachineStatus, Power, WireStatus};
use crate::watch::{Stages, Watcher};
use crate::{
    Accelerator, LabError, LabPlan, MachinePlan, Places, Probe, Tools, screen, ssh, switch, third,
};

/// How long `status` waits for a QEMU's word; a person waits for `status`.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);
/// How long an ssh server may take to greet. QEMU takes the connection while the guest still starts.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// A lab that is up. It does not end when this value does: see [`Lab::down`].
#[derive(Debug)]
pub struct Lab {
    pub(crate) places: Places,
    pub(crate) notes: Notes,
}

/// What [`Lab::up`] is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Finding out whether KVM works.
    Probing,
    /// What executes the machines, and why.
    Probed(&'a Probe),
    /// Copying a machine's disk.
    Disk {
        /// The machine.
        machine: &'a str,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The witness runs.
    Witness,
    /// The machine is on.
    On(&'a str),
}

/// How a machine is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// The plug is pulled: the guest notices nothing.
    Plug,
    /// The power button is pressed, and the guest has this long to shut itself down.
    Button(Duration),
}

/// What [`Lab::down`] leaves in the lab's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The logs.
    Logs,
    /// Nothing of the lab's.
    Nothing,
}

impl Lab {
    /// Lays a lab out afresh and switches all machines on. If one does not come on, those that did
    /// are switched off again.
    pub fn up(
        tools: &Tools,
        plan: LabPlan,
        short: &Path,
        progress: &mut dyn FnMut(Step<'_>),
    ) -> Result<Lab, LabError> {
        plan.check()?;
        let places = Places::new(&plan.dir, short);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(places.dir());
        made.map_err(LabError::system("make", places.dir()))?;
        let _lock = Lock::take(&places)?;
        refuse_running(&places, &plan)?;
        let probe = match plan.accelerator {
            Some(accelerator) => Probe { accelerator, reason: "you asked for it".into() },
            None => {
                progress(Step::Probing);
                Accelerator::probe(tools)
            }
        };
        progress(Step::Probed(&probe));
        notes::remove(&places.known_hosts())?;
        let notes = Notes { plan, tools: tools.root().into(), probe, cut: Vec::new() };
        // First the notes: `down` then cleans up after an `up` that was interrupted.
        notes::write(&places.notes(), &notes)?;
        let lab = Lab { places, notes };
        match lab.come_up(tools, progress) {
            Ok(()) => Ok(lab),
            Err(error) => {
                // The first error is the one to tell.
                let _ = lab.end(Leave::Logs);
                Err(error)
            }
        }
    }

    fn come_up(&self, tools: &Tools, progress: &mut dyn FnMut(Step<'_>)) -> Result<(), LabError> {
        let machines = &self.notes.plan.machines;
        for plan in machines {
            let name = plan.name.as_str();
            let machine = Machine::new(plan, &self.places);
            machine.prepare(tools, &mut |done, total| {
                progress(Step::Disk { machine: name, done, total });
            })?;
            machine.prepare_data_disks()?;
        }
        switch::come_up(&self.notes.plan, &self.places)?;
        third::come_up(&self.notes.plan, &self.places)?;
        if self.notes.plan.witness.is_some() {
            progress(Step::Witness);
        }
        for plan in machines {
            self.start(tools, plan)?;
            progress(Step::On(plan.name.as_str()));
        }
        Ok(())
    }

    /// The lab in `dir`, as an earlier command left it. `short` must be what [`Lab::up`] was given.
    pub fn open(dir: &Path, short: &Path) -> Result<Lab, LabError> {
        let dir = std::path::absolute(dir).map_err(LabError::system("find", dir))?;
        let places = Places::new(&dir, short);
        match notes::read(&places.notes())? {
            Some(notes) => Ok(Lab { places, notes }),
            None => Err(LabError::None { dir }),
        }
    }

    /// What the lab is made of.
    pub fn plan(&self) -> &LabPlan {
        &self.notes.plan
    }

    /// Where everything lies.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What executes the machines, and why.
    pub fn probe(&self) -> &Probe {
        &self.notes.probe
    }

    /// What the lab looks like now.
    pub fn status(&self) -> Result<LabStatus, LabError> {
        let plan = &self.notes.plan;
        let machines = plan.machines.iter().map(|machine| self.machine_status(machine));
        let wires = plan.cables().into_iter().map(|cable| {
            let mut ends = cable.machines;
            if ends.len() == 1 {
                let other = if cable.network == THIRD { WITNESS } else { HOST };
                ends.extend(other.parse());
            }
            WireStatus { cut: self.notes.cut.contains(&cable.name), name: cable.name, ends }
        });
        Ok(LabStatus {
            dir: self.places.dir().into(),
            probe: self.notes.probe.clone(),
            machines: machines.collect::<Result<_, _>>()?,
            wires: wires.collect(),
            witness: self.witness_status()?,
        })
    }

    /// How far a machine's boot has come. Its stages are not dated.
    pub(crate) fn stages(&self, name: &str) -> Result<Stages, LabError> {
        let serial_log = self.machine(name)?.places.serial_log;
        let mut watcher = Watcher::new(&serial_log);
        watcher.look(Duration::ZERO).map_err(LabError::system("read", &serial_log))?;
        Ok(watcher.stages().clone())
    }

    /// The cables that are cut.
    pub(crate) fn cables_cut(&self) -> &[Label] {
        &self.notes.cut
    }

    /// Whether a machine is on. QEMU is not asked how the guest is.
    pub(crate) fn machine_power(&self, name: &str) -> Result<Power, LabError> {
        Ok(match self.machine(name)?.find()? {
            Found::On(run, _) => {
                Power::On { pid: run.process.pid, since: run.since(), condition: None }
            }
            Found::Off => Power::Off,
            Found::Ended { with_host: true } => Power::HostRestarted,
            Found::Ended { with_host: false } => Power::WentOff,
        })
    }

    fn machine_status(&self, plan: &MachinePlan) -> Result<MachineStatus, LabError> {
        let machine = Machine::new(plan, &self.places);
        let mut power = self.machine_power(plan.name.as_str())?;
        if let Power::On { condition, .. } = &mut power {
            *condition = machine.condition(STATUS_PATIENCE);
        }
        let stages = self.stages(plan.name.as_str())?;
        let serial_log = machine.places.serial_log;
        Ok(MachineStatus {
            name: plan.name.clone(),
            room: plan.room,
            power,
            stage: stages.last(),
            restarts: stages.restarts(),
            ssh_port: plan.ssh_port,
            page: format!("https://127.0.0.1:{}/", plan.page_port),
            serial_log,
        })
    }

    /// Switches a machine off.
    pub fn power_off(&mut self, name: &str, switch: Switch) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let machine = self.machine(name)?;
        match switch {
            Switch::Button(patience) => machine.press_button(patience),
            Switch::Plug if machine.kill()? => Ok(()),
            Switch::Plug => Err(LabError::Off { machine: name.into() }),
        }
    }

    /// Switches a machine on, with the disk that it had.
    pub fn power_on(&mut self, name: &str) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let tools = Tools::open(&self.notes.tools)?;
        self.start(&tools, self.notes.plan.machine(name)?)
    }

    /// Gives a machine that is off a blank disk, as if it were a new one: its image, and firmware that
    /// remembers nothing. Its ssh host key is forgotten, since it will make itself another one. Its data
    /// disks stay as they are.
    pub fn new_disk(&mut self, name: &str) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let machine = self.machine(name)?;
        if let Found::On(..) = machine.find()? {
            return Err(LabError::On { machine: name.into() });
        }
        machine.prepare(&Tools::open(&self.notes.tools)?, &mut |_, _| {})?;
        notes::forget_host(&self.places.known_hosts(), name)
    }

    /// Cuts a wire: both ends see their link go. It stays cut over power-offs.
    pub fn cut_link(&mut self, wire: &str) -> Result<(), LabError> {
        self.set_link(wire, false)
    }

    /// Mends a wire.
    pub fn mend_link(&mut self, wire: &str) -> Result<(), LabError> {
        self.set_link(wire, true)
    }

    fn set_link(&mut self, name: &str, up: bool) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let cable = self.notes.plan.cable(name)?;
        self.notes.cut.retain(|cut| *cut != cable.name);
        if !up {
            self.notes.cut.push(cable.name.clone());
        }
        // First the notes: a machine that comes on in between gets its link as noted.
        notes::write(&self.places.notes(), &self.notes)?;
        if cable.switched {
            return switch::set_trunk(&self.places, name, up);
        }
        for end in &cable.machines {
            let machine = self.machine(end.as_str())?;
            if let Found::On(..) = machine.find()? {
                machine.set_link(&cable.network, up)?;
            }
        }
        Ok(())
    }

    /// Bridges a terminal to a machine's serial console until Ctrl-] is typed or the machine goes
    /// off. What it said before is in [`Lab::screen`].
    pub fn console(
        &self,
        name: &str,
        input: impl AsFd,
        output: impl AsFd,
    ) -> Result<Left, LabError> {
        let machine = self.machine_that_is_on(name)?;
        let serial = &machine.places.serial;
        let stream = UnixStream::connect(serial).map_err(LabError::system("connect to", serial))?;
        attach::bridge(&stream, input.as_fd(), output.as_fd())
            .map_err(LabError::system("bridge the terminal to", serial))
    }

    /// The command line of the host's ssh that logs in to a machine, or carries out `command`
    /// there.
    pub fn ssh(&self, name: &str, command: &[String]) -> Result<Vec<OsString>, LabError> {
        let (plan, hosts) = (&self.notes.plan, self.places.known_hosts());
        Ok(ssh::argv(self.machine_that_is_on(name)?.plan, &plan.login, &hosts, command))
    }

    /// Whether the machine's ssh server greets. That the port is open means nothing: QEMU opens it. Not to be
    /// asked again and again: after fifteen such visits in a short time the server refuses even those who log
    /// in (sshd_config(5), `PerSourcePenalties`).
    pub fn ssh_answers(&self, name: &str) -> Result<bool, LabError> {
        Ok(greets(self.machine(name)?.plan.ssh_port))
    }

    /// What the machine's serial console shows, or showed last.
    pub fn screen(&self, name: &str) -> Result<String, LabError> {
        let log = self.machine(name)?.places.serial_log;
        Ok(screen::last(&fs::read(&log).map_err(LabError::system("read", &log))?))
    }

    /// Writes what the machine's video card shows to a PNG file.
    pub fn screendump(&self, name: &str, file: &Path) -> Result<(), LabError> {
        let file = std::path::absolute(file).map_err(LabError::system("find", file))?;
        self.machine_that_is_on(name)?.screendump(&file)
    }

    /// Switches all machines off, verifies that they are, and ends the lab. Also cleans up after a
    /// lab whose computer was restarted.
    pub fn down(mut self, leave: Leave) -> Result<(), LabError> {
        let _lock = self.lock()?;
        self.end(leave)
    }

    /// Ends everything that can be ended, and tells the first error.
    fn end(&self, leave: Leave) -> Result<(), LabError> {
        let machines = self.notes.plan.machines.iter();
        let machines: Vec<_> =
            machines.map(|machine| Machine::new(machine, &self.places)).collect();
        let ended: Vec<_> = machines.iter().map(|machine| machine.kill().map(drop)).collect();
        ended.into_iter().collect::<Result<(), _>>()?;
        for machine in &machines {
            machine.remove(leave)?;
        }
        third::end(&self.notes.plan, &self.places, leave)?;
        switch::end(&self.notes.plan, &self.places, leave)?;
        for wire in &self.notes.plan.wires {
            notes::remove(&self.places.wire(wire.name.as_str()))?;
        }
        remove_empty_dir(self.places.sockets());
        notes::remove(&self.places.known_hosts())?;
        notes::remove(&self.places.notes())?;
        if leave == Leave::Nothing {
            notes::remove(&self.places.lock())?;
            remove_empty_dir(self.places.dir());
        }
        Ok(())
    }

    fn start(&self, tools: &Tools, plan: &MachinePlan) -> Result<(), LabError> {
        let cut = self.cut_at(&plan.name);
        let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
        let (lab, accelerator) = (&self.notes.plan, self.notes.probe.accelerator);
        Machine::new(plan, &self.places).start(lab, &self.places, tools, accelerator, &cut)
    }

    /// The machine's networks whose cable is cut.
    fn cut_at(&self, machine: &Label) -> Vec<String> {
        let cables = self.notes.plan.cables().into_iter();
        // A cable between switches is cut there.
        let cut = cables.filter(|cable| self.notes.cut.contains(&cable.name) && !cable.switched);
        cut.filter(|cable| cable.machines.contains(machine)).map(|cable| cable.network).collect()
    }

    pub(crate) fn machine(&self, name: &str) -> Result<Machine<'_>, LabError> {
        Ok(Machine::new(self.notes.plan.machine(name)?, &self.places))
    }

    fn machine_that_is_on(&self, name: &str) -> Result<Machine<'_>, LabError> {
        let machine = self.machine(name)?;
        match machine.find()? {
            Found::On(..) => Ok(machine),
            Found::Off | Found::Ended { .. } => Err(LabError::Off { machine: name.into() }),
        }
    }

    /// Keeps other commands away, and takes note of what they did.
    pub(crate) fn lock(&mut self) -> Result<Lock, LabError> {
        let lock = Lock::take(&self.places)?;
        match notes::read(&self.places.notes())? {
            Some(notes) => self.notes = notes,
            None => return Err(LabError::None { dir: self.places.dir().into() }),
        }
        Ok(lock)
    }
}

/// Whether an ssh server greets at this port of the loopback.
pub(crate) fn greets(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let greets = || {
        let mut stream = TcpStream::connect_timeout(&address, GREETING_PATIENCE)?;
        stream.set_read_timeout(Some(GREETING_PATIENCE))?;
        // RFC 4253, section 4.2.
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting)?;
        Ok::<_, std::io::Error>(&greeting == b"SSH-")
    };
    greets().unwrap_or(false)
}

/// Ports of this computer's loopback that nobody listens on now, for [`MachinePlan::ssh_port`].
pub fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    // All are held until all are known, so that they differ.
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<_> = (0..count).map(listen).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// A new lab takes the place of an old one only if none of either's machines is on.
fn refuse_running(places: &Places, plan: &LabPlan) -> Result<(), LabError> {
    let old: Option<Notes> = notes::read(&places.notes())?;
    let mut running: Vec<&Label> = Vec::new();
    let old = old.iter().flat_map(|notes| &notes.plan.machines);
    for machine in old.chain(&plan.machines) {
        let on = matches!(Machine::new(machine, places).find()?, Found::On(..));
        if on && !running.contains(&&machine.name) {
            running.push(&machine.name);
        }
    }
    if running.is_empty() {
        return Ok(());
    }
    Err(LabError::Up { dir: places.dir().into(), running: list(running.into_iter()) })
}

/// Removes a directory of the lab's and all that is in it, if it is there.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::system("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory of the lab's, unless something else lies in it.
pub(crate) fn remove_empty_dir(dir: &Path) {
    let _ = fs::remove_dir(dir);
}
