//! Puts the state partition on /var. Start at [`mount_state`].
//!
//! What to do is decided in [`crate::state`]; here it is done, with the e2fsprogs of the verified
//! root, and in an order that a power cut at any point leaves right.

use crate::command::{self, Outcome};
use crate::console::Log;
use crate::content::{BACKUP_OFFSET, Content, Ext4, HEAD_BYTES};
use crate::failure::Failure;
use crate::record::Action;
use crate::root::BUILD_AGAIN;
use crate::state::{self, Decision, Facts, LABEL};
use rustix::fs::syncfs;
use rustix::mount::{MountFlags, mount};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Bounds of the tools. Each is far above what a slow disk of many TiB needs, and ends a tool that a
/// dying disk holds.
const MKFS_LIMIT: Duration = Duration::from_secs(600);
const RESIZE_LIMIT: Duration = Duration::from_secs(600);
const FSCK_LIMIT: Duration = Duration::from_secs(3600);

/// What to tell a person whose state partition cannot be used. There is nothing to do on the
/// machine itself: it has no shell, on purpose.
const ELSEWHERE: &str = "Start a rescue system. To keep the data: e2fsck -f the partition, or copy \
     it away. To begin anew: wipefs -a the partition; Duet then makes it again.";

/// Makes, checks or grows the file system on the partition `device` as needed and mounts it on
/// /var. `bytes_before` is the partition's size before this boot grew it.
pub fn mount_state(log: &Log, device: &str, bytes_before: u64) -> Result<Action, Failure> {
    let facts = look(device, bytes_before).map_err(|error| {
        Failure::new(&format!("read the state partition {device}"), error, ELSEWHERE)
    })?;
    match state::decide(&facts) {
        Decision::Refuse(why) => {
            Err(Failure::new(&format!("use the state partition {device}"), why, ELSEWHERE))
        }
        Decision::Format => {
            log.say(&format!("making a file system on {device}"));
            format(device, facts.bytes)?;
            Ok(Action::Formatted)
        }
        Decision::Mount { check, grow } => {
            if check {
                log.note(format!("{device} had errors; e2fsck looked at it"));
                fsck(device, &["-p"])?;
            }
            mount_or_mend(log, device)?;
            Ok(if grow { grow_file_system(log, device) } else { Action::Mounted })
        }
        Decision::Repair { grow } => {
            log.note(format!(
                "{device} had lost its first superblock; it was restored from the second"
            ));
            let (block, size) = ((BACKUP_OFFSET / 4096).to_string(), "4096");
            fsck(device, &["-p", "-b", &block, "-B", size])?;
            mount_or_mend(log, device)?;
            Ok(if grow { grow_file_system(log, device) } else { Action::Mounted })
        }
    }
}

fn look(device: &str, bytes_before: u64) -> std::io::Result<Facts> {
    let mut partition = File::open(device)?;
    let bytes = partition.seek(SeekFrom::End(0))?;
    partition.rewind()?;
    let mut head = Vec::new();
    (&partition).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let backup = state::may_have_backup(bytes_before.min(bytes)).then(|| {
        let mut superblock = [0; 1024];
        partition.read_exact_at(&mut superblock, BACKUP_OFFSET).map(|()| Ext4::parse(&superblock))
    });
    Ok(Facts { content: Content::of(&head), backup: backup.transpose()?.flatten(), bytes })
}

/// Makes the file system under a label that says "unfinished", and renames it as the last step.
fn format(device: &str, bytes: u64) -> Result<(), Failure> {
    let mut arguments = state::mkfs_arguments(bytes);
    arguments.push(device);
    let wanted = format!("make a file system on the state partition {device}");
    let outcome = run("/usr/sbin/mkfs.ext4", &arguments, MKFS_LIMIT, &wanted)?;
    if outcome.code != Some(0) {
        let failure = Failure::new(&wanted, format!("mkfs.ext4: {}", outcome.ending()), ELSEWHERE);
        return Err(failure.with_seen(outcome.words));
    }
    let finish = || -> Result<(), std::io::Error> {
        mount_ext4(device)?;
        let var = File::open("/var")?;
        syncfs(&var)?;
        crate::kernel::set_label(&var, LABEL)?;
        Ok(syncfs(&var)?)
    };
    finish().map_err(|error| Failure::new(&wanted, error, ELSEWHERE))
}

/// Mounts, and if that fails asks e2fsck for help once. Replaying a journal after a power cut is the
/// mount's own work and no failure.
fn mount_or_mend(log: &Log, device: &str) -> Result<(), Failure> {
    let Err(first) = mount_ext4(device) else { return Ok(()) };
    log.note(format!("{device} could not be mounted ({first}); e2fsck looked at it"));
    fsck(device, &["-p"])?;
    mount_ext4(device).map_err(|error| {
        Failure::new(&format!("mount the state partition {device}"), error, ELSEWHERE)
    })
}

/// Programs are run from /var (k3s unpacks its own there, containers theirs, some of them setuid), so
/// neither noexec nor nosuid; device nodes belong to /dev alone.
fn mount_ext4(device: &str) -> rustix::io::Result<()> {
    let flags = MountFlags::NOATIME | MountFlags::NODEV;
    mount(device, "/var", "ext4", flags, c"errors=remount-ro")
}

/// e2fsck(8), "EXIT CODE": 1 is "errors corrected", 2 the same for a mounted root; from 4 on it is not.
fn fsck(device: &str, arguments: &[&str]) -> Result<(), Failure> {
    let wanted = format!("mend the state partition {device}");
    let arguments: Vec<&str> = arguments.iter().copied().chain([device]).collect();
    let outcome = run("/usr/sbin/e2fsck", &arguments, FSCK_LIMIT, &wanted)?;
    if outcome.code.is_some_and(|code| code < 4) {
        return Ok(());
    }
    let problem = format!("e2fsck could not do so by itself: {}", outcome.ending());
    Err(Failure::new(&wanted, problem, ELSEWHERE).with_seen(outcome.words))
}

/// Grows the mounted file system to its partition. If that fails the machine still has its state,
/// and the next boot tries again.
fn grow_file_system(log: &Log, device: &str) -> Action {
    match command::run("/usr/sbin/resize2fs", &[device], RESIZE_LIMIT) {
        Ok(Outcome { code: Some(0), .. }) => Action::Grown,
        Ok(outcome) => {
            let words = outcome.words.join("; ");
            log.note(format!(
                "{device} could not be grown: resize2fs: {}: {words}",
                outcome.ending()
            ));
            Action::Mounted
        }
        Err(error) => {
            log.note(format!("{device} could not be grown: cannot run resize2fs: {error}"));
            Action::Mounted
        }
    }
}

fn run(
    program: &str,
    arguments: &[&str],
    limit: Duration,
    wanted: &str,
) -> Result<Outcome, Failure> {
    command::run(program, arguments, limit).map_err(|error| {
        Failure::new(wanted, format!("cannot run {program}: {error}"), BUILD_AGAIN)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::content::tests::superblock;

    #[test]
    fn both_superblocks_are_seen_and_a_stale_one_is_not() {
        let path = std::env::temp_dir().join(format!("duet-var-{}", std::process::id()));
        let image = File::create(&path).unwrap();
        image.set_len(200 << 20).unwrap();
        image.write_all_at(&superblock("duet-state", 40_000, 1), BACKUP_OFFSET).unwrap();
        let device = path.to_str().unwrap();
        let facts = look(device, 200 << 20).unwrap();
        assert_eq!((facts.content, facts.bytes), (Content::Nothing, 200 << 20));
        assert_eq!(facts.backup.unwrap().label, "duet-state");
        // Before it was grown the partition ended before the second superblock.
        assert_eq!(look(device, 64 << 20).unwrap().backup, None);
        image.write_all_at(&superblock("duet-new", 51_200, 1), 1024).unwrap();
        let Content::Ext4(found) = look(device, 0).unwrap().content else { panic!("not found") };
        assert_eq!(found.bytes, 200 << 20);
        std::fs::remove_file(&path).unwrap();
    }
}
