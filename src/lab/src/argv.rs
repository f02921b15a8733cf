//! The machine as QEMU is told about it. Start at [`compose`]: a pure function of the plan.
//!
//! What a guest can see of its machine (addresses, slots, UUID) depends on names in the plan only,
//! so that interfaces and disks are called the same at every power-on.

use std::path::Path;

use crate::places::{MachinePlaces, Places, fingerprint};
use crate::plan::{DiskBus, LabPlan, MachinePlan, THIRD, WirePlan, WitnessPlan};
use crate::{Accelerator, LabError};

/// The network through which one logs in. No wire may have this name.
pub(crate) const ADMIN: &str = "admin";
/// The first PCI slot for wires; those before it are given out below.
const FIRST_WIRE_SLOT: usize = 0x10;
/// The PCI slot of the first data disk; the last one's is before the wires'.
const FIRST_DATA_SLOT: usize = 0x6;
/// The PCI slot of the card to the third place: behind the last wire's.
const THIRD_SLOT: usize = 0x1c;
/// The network of the third place, another one than QEMU's usual, which the admin network has.
const THIRD_NET: &str = "10.0.3.0/24";
/// Where the status page is in the guest.
const PAGE: u16 = 8443;
/// What is added to the kernel's command line: the kernel's, /init's and systemd's messages on the
/// serial line, by which [`crate::Stage`] is told. Costs one second of emulation. systemd-stub(7)
/// takes it from the machine; the image stays as it is.
const KERNEL_ARGUMENTS: &str = "loglevel=7";
/// How often a wire's other end is looked for while that machine is off.
const RECONNECT_MS: u32 = 500;

/// The network card's name in QEMU, by which [`crate::qmp`] cuts a link.
pub(crate) fn card(network: &str) -> String {
    format!("nic-{network}")
}

/// QEMU's arguments for one machine of the plan.
pub(crate) fn compose(
    plan: &LabPlan,
    machine: &MachinePlan,
    places: &Places,
    firmware: &Path,
    accelerator: Accelerator,
) -> Result<Vec<String>, LabError> {
    let own = places.machine(machine.name.as_str());
    let mut argv = Argv::default();
    argv.board(machine, accelerator);
    argv.supervision(&own)?;
    argv.firmware(firmware, &own)?;
    argv.disk(machine, &own)?;
    argv.data_disks(machine, &own)?;
    argv.devices();
    if machine.tpm {
        argv.tpm(&own)?;
    }
    argv.admin(machine);
    for (index, wire) in plan.wires.iter().enumerate() {
        if wire.ends.contains(&machine.name) {
            argv.wire(machine, wire, FIRST_WIRE_SLOT + index, places)?;
        }
    }
    if let Some(witness) = &plan.witness {
        argv.third(machine, witness, &plan.duet)?;
    }
    Ok(argv.0)
}

#[derive(Default)]
struct Argv(Vec<String>);

impl Argv {
    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn board(&mut self, machine: &MachinePlan, accelerator: Accelerator) {
        let name = &machine.name;
        self.0.extend(["-nodefaults".into(), "-no-user-config".into()]);
        self.option("-name", format!("guest={name},process=duet-{name},debug-threads=on"));
        self.option("-uuid", uuid(name.as_str()));
        self.option("-machine", "q35,vmport=off");
        self.option("-accel", accelerator.option());
        self.option("-cpu", accelerator.cpu());
        self.option("-smp", machine.cpus.to_string());
        self.option("-m", format!("{}M", machine.memory_mib));
        let clock = machine.clock.as_deref().unwrap_or("utc");
        self.option("-rtc", format!("base={clock}"));
        let extra = format!("io.systemd.stub.kernel-cmdline-extra={KERNEL_ARGUMENTS}");
        self.option("-smbios", format!("type=11,value={extra}"));
    }

    /// Detached from the terminal, found again by its sockets. The machine waits for `cont`, so
    /// that links that are cut stay cut from its first instruction on.
    fn supervision(&mut self, own: &MachinePlaces) -> Result<(), LabError> {
        self.0.extend(["-S".into(), "-daemonize".into()]);
        self.option("-pidfile", text(&own.pid)?);
        // A detached QEMU keeps its standard error only if it logs something.
        self.option("-d", "unimp");
        self.option("-D", text(&own.qemu_log)?);
        let qmp = value(&own.qmp)?;
        self.option("-chardev", format!("socket,id=qmp,path={qmp},server=on,wait=off"));
        self.option("-mon", "chardev=qmp,mode=control");
        let (serial, log) = (value(&own.serial)?, value(&own.serial_log)?);
        self.option(
            "-chardev",
            format!("socket,id=serial,path={serial},server=on,wait=off,logfile={log}"),
        );
        self.option("-serial", "chardev:serial");
        self.option("-display", "none");
        Ok(())
    }

    fn firmware(&mut self, code: &Path, own: &MachinePlaces) -> Result<(), LabError> {
        let (code, variables) = (value(code)?, value(&own.variables)?);
        self.option("-drive", format!("if=pflash,format=raw,unit=0,readonly=on,file={code}"));
        self.option("-drive", format!("if=pflash,format=raw,unit=1,file={variables}"));
        // Looking for a network boot server would cost a minute (OvmfPkg/README).
        for family in ["IPv4", "IPv6"] {
            self.option("-fw_cfg", format!("name=opt/org.tianocore/{family}PXESupport,string=n"));
        }
        Ok(())
    }

    /// Killing QEMU loses nothing that it handed to this computer's page cache, so waiting for the
    /// real disk (`cache.no-flush=off`) would be slower and no more true to a power cut.
    fn disk(&mut self, machine: &MachinePlan, own: &MachinePlaces) -> Result<(), LabError> {
        self.blockdev("disk", &own.disk)?;
        let name = &machine.name;
        let device = match machine.disk_bus {
            DiskBus::Nvme => format!("nvme,serial=duet-{name}"),
            DiskBus::VirtioBlk => "virtio-blk-pci".to_owned(),
        };
        self.option("-device", format!("{device},drive=disk,addr=0x3,bootindex=1"));
        Ok(())
    }

    /// The guest knows them by their serial numbers: the order in which it finds disks is chance.
    fn data_disks(&mut self, machine: &MachinePlan, own: &MachinePlaces) -> Result<(), LabError> {
        for (index, disk) in machine.data_disks.iter().enumerate() {
            let node = format!("data-{}", index + 1);
            self.blockdev(&node, &own.data_disk(index))?;
            let (serial, slot) = (&disk.serial, FIRST_DATA_SLOT + index);
            let device = match machine.disk_bus {
                DiskBus::Nvme => "nvme",
                DiskBus::VirtioBlk => "virtio-blk-pci",
            };
            self.option("-device", format!("{device},serial={serial},drive={node},addr={slot:#x}"));
        }
        Ok(())
    }

    fn blockdev(&mut self, node: &str, file: &Path) -> Result<(), LabError> {
        let file = value(file)?;
        self.option(
            "-blockdev",
            format!(
                "driver=raw,node-name={node},discard=unmap,cache.no-flush=on,\
                 file.driver=file,file.filename={file}"
            ),
        );
        Ok(())
    }

    fn devices(&mut self) {
        self.option("-device", "VGA,addr=0x1");
        // Without a source of randomness this firmware offers no network at all.
        self.option("-device", "virtio-rng-pci,addr=0x4");
        self.option("-device", "i6300esb,addr=0x5");
        self.option("-action", "watchdog=reset");
    }

    /// A chip on the processor's own bus, as most servers of today have (TCG PC Client Platform TPM
    /// Profile, CRB interface). Its driver is built into Debian's kernel.
    fn tpm(&mut self, own: &MachinePlaces) -> Result<(), LabError> {
        let socket = value(&own.tpm.socket)?;
        self.option("-chardev", format!("socket,id=tpm,path={socket}"));
        self.option("-tpmdev", "emulator,id=tpm0,chardev=tpm");
        self.option("-device", "tpm-crb,tpmdev=tpm0");
        Ok(())
    }

    /// Only this computer's loopback leads in, and nothing leads out.
    fn admin(&mut self, machine: &MachinePlan) {
        let (ssh, page) = (machine.ssh_port, machine.page_port);
        self.option(
            "-netdev",
            format!(
                "user,id=net-{ADMIN},restrict=on,hostfwd=tcp:127.0.0.1:{ssh}-:22,\
                 hostfwd=tcp:127.0.0.1:{page}-:{PAGE}"
            ),
        );
        self.card(machine, ADMIN, 2);
    }

    /// A network in which there is one place: the witness. QEMU starts a relay for each connection
    /// to it, with the connection as standard input and output (qemu(1), guestfwd).
    fn third(
        &mut self,
        machine: &MachinePlan,
        witness: &WitnessPlan,
        duet: &Path,
    ) -> Result<(), LabError> {
        let relay = shell_word(text(duet)?);
        let command = format!("{relay} lab relay 127.0.0.1:{}", witness.port).replace(',', ",,");
        let at = LabPlan::WITNESS_AT;
        self.option(
            "-netdev",
            format!(
                "user,id=net-{THIRD},restrict=on,ipv6=off,net={THIRD_NET},\
                 guestfwd=tcp:{at}-cmd:{command}"
            ),
        );
        self.card(machine, THIRD, THIRD_SLOT);
        Ok(())
    }

    /// The first end listens, the second connects, and again whenever the first was off. Where there are
    /// more, a switch listens, with a socket for each room.
    fn wire(
        &mut self,
        machine: &MachinePlan,
        wire: &WirePlan,
        slot: usize,
        places: &Places,
    ) -> Result<(), LabError> {
        let name = &wire.name;
        let side = if wire.ends[0] == machine.name && !wire.is_switched() {
            "server=on".to_owned()
        } else {
            format!("server=off,reconnect-ms={RECONNECT_MS}")
        };
        let socket = match wire.is_switched() {
            true => value(&places.switch(name.as_str()).side(machine.room))?,
            false => value(&places.wire(name.as_str()))?,
        };
        self.option(
            "-netdev",
            format!("stream,id=net-{name},{side},addr.type=unix,addr.path={socket}"),
        );
        self.card(machine, name.as_str(), slot);
        Ok(())
    }

    fn card(&mut self, machine: &MachinePlan, network: &str, slot: usize) {
        let (id, mac) = (card(network), mac(machine.name.as_str(), network));
        // An empty ROM: the network boot code of the card hangs some kernels, and is not in the
        // tools tree.
        self.option(
            "-device",
            format!(
                "virtio-net-pci,id={id},netdev=net-{network},mac={mac},romfile=,addr={slot:#x}"
            ),
        );
    }
}

/// The address of a machine's card on a network, in QEMU's own range 52:54:00.
pub(crate) fn mac(machine: &str, network: &str) -> String {
    let [.., a, b, c] = fingerprint(format!("{machine}/{network}").as_bytes()).to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// A machine's UUID, made from its name (RFC 9562, section 5.8).
fn uuid(machine: &str) -> String {
    let high = fingerprint(format!("uuid/{machine}").as_bytes());
    let low = fingerprint(format!("{machine}/uuid").as_bytes());
    let version = (high & !0xf000) | 0x8000;
    let variant = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff
    )
}

/// A path as the value of an option's key: commas are doubled (QEMU's manual, "Generic options").
fn value(path: &Path) -> Result<String, LabError> {
    Ok(text(path)?.replace(',', ",,"))
}

/// A word as a shell would take it: QEMU parts a relay's command line by a shell's rules.
fn shell_word(word: String) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn text(path: &Path) -> Result<String, LabError> {
    path.to_str().map(str::to_owned).ok_or_else(|| LabError::Plan {
        why: format!("{} is not UTF-8", path.display()),
        cure: "use paths in UTF-8".into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use expect_test::{Expect, expect};

    use super::*;
    use crate::plan::tests::{data_disk, two_rooms, witness};

    fn composed(plan: &LabPlan, name: &str, accelerator: Accelerator) -> String {
        let places = Places::new(&plan.dir, Path::new("/tmp"));
        let machine = plan.machine(name).unwrap();
        let argv =
            compose(plan, machine, &places, Path::new("/tools/code.fd"), accelerator).unwrap();
        argv.join(" ").replace(" -", "\n-")
    }

    fn check(actual: &str, expected: Expect) {
        expected.assert_eq(actual);
    }

    #[test]
    fn the_first_room() {
        check(
            &composed(&two_rooms(), "a1", Accelerator::Tcg),
            expect![[r#"
                -nodefaults
                -no-user-config
                -name guest=a1,process=duet-a1,debug-threads=on
                -uuid 0161cd9a-38c4-8579-8a32-9533d41d20bb
                -machine q35,vmport=off
                -accel tcg,thread=multi
                -cpu max,la57=off
                -smp 1
                -m 512M
                -rtc base=utc
                -smbios type=11,value=io.systemd.stub.kernel-cmdline-extra=loglevel=7
                -S
                -daemonize
                -pidfile /lab/lab.run/a1.pid
                -d unimp
                -D /lab/a1/qemu.log
                -chardev socket,id=qmp,path=/lab/lab.run/a1.qmp,server=on,wait=off
                -mon chardev=qmp,mode=control
                -chardev socket,id=serial,path=/lab/lab.run/a1.serial,server=on,wait=off,logfile=/lab/a1/serial.log
                -serial chardev:serial
                -display none
                -drive if=pflash,format=raw,unit=0,readonly=on,file=/tools/code.fd
                -drive if=pflash,format=raw,unit=1,file=/lab/a1/variables.fd
                -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n
                -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n
                -blockdev driver=raw,node-name=disk,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/lab/a1/disk.img
                -device nvme,serial=duet-a1,drive=disk,addr=0x3,bootindex=1
                -device VGA,addr=0x1
                -device virtio-rng-pci,addr=0x4
                -device i6300esb,addr=0x5
                -action watchdog=reset
                -netdev user,id=net-admin,restrict=on,hostfwd=tcp:127.0.0.1:2201-:22,hostfwd=tcp:127.0.0.1:8201-:8443
                -device virtio-net-pci,id=nic-admin,netdev=net-admin,mac=52:54:00:aa:4f:5f,romfile=,addr=0x2
                -netdev stream,id=net-rooms,server=on,addr.type=unix,addr.path=/lab/lab.run/rooms.wire
                -device virtio-net-pci,id=nic-rooms,netdev=net-rooms,mac=52:54:00:7f:4b:c8,romfile=,addr=0x10"#]],
        );
    }

    #[test]
    fn the_other_room_differs_in_names_ports_and_its_end_of_the_wire() {
        let plan = two_rooms();
        let a1 = composed(&plan, "a1", Accelerator::Tcg);
        let b1 = composed(&plan, "b1", Accelerator::Tcg);
        let other: Vec<_> = b1.lines().filter(|line| !a1.contains(line)).collect();
        check(
            &other.join("\n"),
            expect![[r#"
            -name guest=b1,process=duet-b1,debug-threads=on
            -uuid 015e659a-38c1-8eea-8b88-a602aece123e
            -pidfile /lab/lab.run/b1.pid
            -D /lab/b1/qemu.log
            -chardev socket,id=qmp,path=/lab/lab.run/b1.qmp,server=on,wait=off
            -chardev socket,id=serial,path=/lab/lab.run/b1.serial,server=on,wait=off,logfile=/lab/b1/serial.log
            -drive if=pflash,format=raw,unit=1,file=/lab/b1/variables.fd
            -blockdev driver=raw,node-name=disk,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/lab/b1/disk.img
            -device nvme,serial=duet-b1,drive=disk,addr=0x3,bootindex=1
            -netdev user,id=net-admin,restrict=on,hostfwd=tcp:127.0.0.1:2202-:22,hostfwd=tcp:127.0.0.1:8202-:8443
            -device virtio-net-pci,id=nic-admin,netdev=net-admin,mac=52:54:00:30:74:48,romfile=,addr=0x2
            -netdev stream,id=net-rooms,server=off,reconnect-ms=500,addr.type=unix,addr.path=/lab/lab.run/rooms.wire
            -device virtio-net-pci,id=nic-rooms,netdev=net-rooms,mac=52:54:00:95:50:9f,romfile=,addr=0x10"#]],
        );
    }

    #[test]
    fn kvm_and_a_virtio_disk() {
        let mut plan = two_rooms();
        plan.machines[0].disk_bus = DiskBus::VirtioBlk;
        plan.machines[0].cpus = 2;
        let kvm = composed(&plan, "a1", Accelerator::Kvm);
        let tcg = composed(&two_rooms(), "a1", Accelerator::Tcg);
        let other: Vec<_> = kvm.lines().filter(|line| !tcg.contains(line)).collect();
        check(
            &other.join("\n"),
            expect![[r#"
            -accel kvm
            -cpu host
            -smp 2
            -device virtio-blk-pci,drive=disk,addr=0x3,bootindex=1"#]],
        );
    }

    #[test]
    fn data_disks_have_serial_numbers_and_slots_of_their_own() {
        let mut plan = two_rooms();
        plan.machines[0].data_disks = vec![data_disk(16, "one"), data_disk(1, "two")];
        plan.check().unwrap();
        let with = composed(&plan, "a1", Accelerator::Tcg);
        let without = composed(&two_rooms(), "a1", Accelerator::Tcg);
        let other: Vec<_> = with.lines().filter(|line| !without.contains(line)).collect();
        check(
            &other.join("\n"),
            expect![[r#"
            -blockdev driver=raw,node-name=data-1,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/lab/a1/data-1.img
            -device nvme,serial=one,drive=data-1,addr=0x6
            -blockdev driver=raw,node-name=data-2,discard=unmap,cache.no-flush=on,file.driver=file,file.filename=/lab/a1/data-2.img
            -device nvme,serial=two,drive=data-2,addr=0x7"#]],
        );
        const { assert!(FIRST_DATA_SLOT + crate::data_disk::MOST <= FIRST_WIRE_SLOT) };
    }

    #[test]
    fn a_tpm_is_at_a_socket_of_its_machine() {
        let mut plan = two_rooms();
        plan.machines[0].tpm = true;
        let with = composed(&plan, "a1", Accelerator::Tcg);
        let without = composed(&two_rooms(), "a1", Accelerator::Tcg);
        let other: Vec<_> = with.lines().filter(|line| !without.contains(line)).collect();
        check(
            &other.join("\n"),
            expect![[r#"
            -chardev socket,id=tpm,path=/lab/lab.run/a1.tpm
            -tpmdev emulator,id=tpm0,chardev=tpm
            -device tpm-crb,tpmdev=tpm0"#]],
        );
        assert!(!composed(&plan, "b1", Accelerator::Tcg).contains("tpm"), "b1 has none");
    }

    #[test]
    fn the_third_place_is_a_network_with_one_address() {
        let plan = LabPlan { witness: Some(witness()), ..two_rooms() };
        let with = composed(&plan, "a1", Accelerator::Tcg);
        let without = composed(&two_rooms(), "a1", Accelerator::Tcg);
        let other: Vec<_> = with.lines().filter(|line| !without.contains(line)).collect();
        check(
            &other.join("\n"),
            expect![[r#"
            -netdev user,id=net-third,restrict=on,ipv6=off,net=10.0.3.0/24,guestfwd=tcp:10.0.3.100:7411-cmd:'/my bin/duet' lab relay 127.0.0.1:7411
            -device virtio-net-pci,id=nic-third,netdev=net-third,mac=52:54:00:8c:22:21,romfile=,addr=0x1c"#]],
        );
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let mut plan = two_rooms();
        plan.dir = "/lab,readonly=on".into();
        let argv = composed(&plan, "a1", Accelerator::Tcg);
        assert!(argv.contains("filename=/lab,,readonly=on/a1/disk.img"), "{argv}");
        assert!(argv.contains("-D /lab,readonly=on/a1/qemu.log"), "{argv}");
    }

    #[test]
    fn addresses_are_stable_and_differ() {
        assert_eq!(mac("a1", "rooms"), mac("a1", "rooms"));
        let all = [mac("a1", "rooms"), mac("b1", "rooms"), mac("a1", ADMIN), mac("b1", ADMIN)];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one), "{all:?}");
        }
        assert_ne!(uuid("a1"), uuid("b1"));
        assert_eq!(uuid("a1").len(), 36);
    }
}
