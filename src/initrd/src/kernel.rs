//! The kernel calls that rustix has no safe form of: ioctls of device-mapper, partitions, loop
//! devices and ext4. Start at [`open_mapped`].
//!
//! This is the one file of the project that may hold `unsafe`. Each block passes a structure whose
//! layout is that of the kernel's own header, named beside it, and which outlives the call.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Result;
use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode, Setter, Updater, ioctl, opcode};
use std::ffi::c_void;

/// include/uapi/linux/dm-ioctl.h, `struct dm_ioctl`: the head of every call.
#[repr(C)]
#[derive(Clone, Copy)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// The same, `struct dm_target_spec`: one line of a table; its parameters follow it.
#[repr(C)]
#[derive(Clone, Copy)]
struct DmTargetSpec {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}

/// Room for a target's parameters. A verity table with SHA-256 has about 300 bytes.
const PARAMETERS: usize = 1024;

/// A call with one target. `repr(C)` lays the three parts out without gaps, as the kernel reads them.
#[repr(C)]
struct DmCall {
    head: DmIoctl,
    target: DmTargetSpec,
    parameters: [u8; PARAMETERS],
}

const _: () = {
    assert!(size_of::<DmIoctl>() == 312);
    assert!(size_of::<DmTargetSpec>() == 40);
    assert!(size_of::<DmCall>() == 312 + 40 + PARAMETERS);
};

const DM_GROUP: u8 = 0xfd;
const DM_DEV_CREATE: Opcode = opcode::read_write::<DmIoctl>(DM_GROUP, 3);
const DM_DEV_SUSPEND: Opcode = opcode::read_write::<DmIoctl>(DM_GROUP, 6);
const DM_TABLE_LOAD: Opcode = opcode::read_write::<DmIoctl>(DM_GROUP, 9);
const DM_READONLY_FLAG: u32 = 1;

/// One line of a device-mapper table.
pub struct Target<'a> {
    /// Name of the target's kind: `verity`.
    pub kind: &'a str,
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// What the target takes after its kind, separated by spaces.
    pub parameters: &'a str,
}

/// Makes the read-only device `name` of one target and switches it on. Returns its minor number:
/// the node is /dev/dm-MINOR. `control` is /dev/mapper/control.
pub fn open_mapped(control: impl AsFd, name: &str, uuid: &str, target: &Target<'_>) -> Result<u32> {
    let control = control.as_fd();
    let mut call = empty_call(name, uuid)?;
    // SAFETY: the opcode is dm's own; the kernel reads and writes at most `data_size` bytes, which
    // is the size of `call`; `call` outlives the ioctl.
    unsafe { ioctl(control, Updater::<DM_DEV_CREATE, DmCall>::new(&mut call))? };
    // Linux's MKDEV as stat(2) shows it: 8 low bits of the minor, then the major, then the rest.
    let dev = call.head.dev;
    let minor = (dev & 0xff) | ((dev >> 12) & 0xf_ff00);

    let mut call = empty_call(name, "")?;
    call.head.flags = DM_READONLY_FLAG;
    call.head.target_count = 1;
    call.target.length = target.sectors;
    call.target.next = (size_of::<DmTargetSpec>() + PARAMETERS) as u32;
    put(&mut call.target.target_type, target.kind)?;
    put(&mut call.parameters, target.parameters)?;
    // SAFETY: as above; the target lies at `data_start` and its parameters end with a NUL.
    unsafe { ioctl(control, Updater::<DM_TABLE_LOAD, DmCall>::new(&mut call))? };

    // A suspend without the suspend flag resumes: it puts the loaded table into use.
    let mut call = empty_call(name, "")?;
    call.head.flags = DM_READONLY_FLAG;
    // SAFETY: as for the first call.
    unsafe { ioctl(control, Updater::<DM_DEV_SUSPEND, DmCall>::new(&mut call))? };
    u32::try_from(minor).map_err(|_| rustix::io::Errno::OVERFLOW)
}

fn empty_call(name: &str, uuid: &str) -> Result<DmCall> {
    let mut call = DmCall {
        head: DmIoctl {
            version: [4, 0, 0],
            data_size: size_of::<DmCall>() as u32,
            data_start: size_of::<DmIoctl>() as u32,
            target_count: 0,
            open_count: 0,
            flags: 0,
            event_nr: 0,
            padding: 0,
            dev: 0,
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        },
        target: DmTargetSpec {
            sector_start: 0,
            length: 0,
            status: 0,
            next: 0,
            target_type: [0; 16],
        },
        parameters: [0; PARAMETERS],
    };
    put(&mut call.head.name, name)?;
    put(&mut call.head.uuid, uuid)?;
    Ok(call)
}

/// Copies text into a field and keeps at least one NUL after it.
fn put(field: &mut [u8], text: &str) -> Result<()> {
    if text.len() >= field.len() || text.bytes().any(|byte| byte == 0) {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    field[..text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

/// include/uapi/linux/blkpg.h, `struct blkpg_ioctl_arg` and `struct blkpg_partition`.
#[repr(C)]
struct BlkpgArgument {
    op: i32,
    flags: i32,
    datalen: i32,
    data: *mut BlkpgPartition,
}

#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    pno: i32,
    devname: [u8; 64],
    volname: [u8; 64],
}

const _: () = assert!(size_of::<BlkpgPartition>() == 152 && size_of::<BlkpgArgument>() == 24);

const BLKPG: Opcode = opcode::none(0x12, 105);
const BLKPG_RESIZE_PARTITION: i32 = 3;
const BLKRRPART: Opcode = opcode::none(0x12, 95);

/// Tells the kernel the new length of a partition of `disk`, in bytes. Works while other
/// partitions of the disk are in use.
pub fn resize_partition(disk: impl AsFd, number: u32, start: u64, length: u64) -> Result<()> {
    let too_large = |_| rustix::io::Errno::OVERFLOW;
    let mut partition = BlkpgPartition {
        start: i64::try_from(start).map_err(too_large)?,
        length: i64::try_from(length).map_err(too_large)?,
        pno: i32::try_from(number).map_err(too_large)?,
        devname: [0; 64],
        volname: [0; 64],
    };
    let argument = BlkpgArgument {
        op: BLKPG_RESIZE_PARTITION,
        flags: 0,
        datalen: size_of::<BlkpgPartition>() as i32,
        data: &raw mut partition,
    };
    // SAFETY: the structures are those of blkpg.h; `partition` outlives the call, which reads it.
    unsafe { ioctl(disk, Setter::<BLKPG, BlkpgArgument>::new(argument)) }
}

/// Makes the kernel read the partition table of `disk` again. Fails with EBUSY while one of its
/// partitions is in use.
pub fn reread_partitions(disk: impl AsFd) -> Result<()> {
    // SAFETY: the opcode takes no argument.
    unsafe { ioctl(disk, NoArg::<BLKRRPART>::new()) }
}

/// include/uapi/linux/loop.h, `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// The same, `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);

const LOOP_CONFIGURE: Opcode = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;

/// Attaches `file` to the loop device `device`, read-only.
pub fn attach_loop(device: impl AsFd, file: BorrowedFd<'_>) -> Result<()> {
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(|_| rustix::io::Errno::BADF)?,
        block_size: 4096,
        info: LoopInfo {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            sizelimit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_READ_ONLY,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the structure is that of loop.h and is only read; `file` is open during the call.
    unsafe { ioctl(device, Setter::<LOOP_CONFIGURE, LoopConfig>::new(config)) }
}

/// Asks /dev/loop-control for the number of a free loop device.
pub fn free_loop(control: impl AsFd) -> Result<u32> {
    // SAFETY: see the type.
    let number = unsafe { ioctl(control, FreeLoop)? };
    u32::try_from(number).map_err(|_| rustix::io::Errno::NODEV)
}

/// The call answers by its return value, which no pattern of rustix hands on.
struct FreeLoop;

// SAFETY: LOOP_CTL_GET_FREE (loop.h) takes no argument and writes to no memory.
unsafe impl Ioctl for FreeLoop {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        0x4c82
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<IoctlOutput> {
        Ok(output)
    }
}

/// include/uapi/linux/fs.h, FSLABEL_MAX.
const LABEL_BYTES: usize = 256;
const FS_IOC_SETFSLABEL: Opcode = opcode::write::<[u8; LABEL_BYTES]>(0x94, 50);

/// Gives the file system that holds `mounted` a label, in its journal: all of it or nothing.
pub fn set_label(mounted: impl AsFd, label: &str) -> Result<()> {
    let mut bytes = [0; LABEL_BYTES];
    put(&mut bytes, label)?;
    // SAFETY: the kernel reads LABEL_BYTES bytes, which `bytes` has, and they end with a NUL.
    unsafe { ioctl(mounted, Setter::<FS_IOC_SETFSLABEL, [u8; LABEL_BYTES]>::new(bytes)) }
}
