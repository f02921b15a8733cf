//! How far a boot has come, read from the serial log as it grows. Start at [`Stages::feed`] (pure)
//! and [`Watcher::look`] (reads the file).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::screen;

/// How much of the log's end is kept for the screen.
const KEPT: usize = 128 << 10;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// A boot's milestones, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The firmware said its first byte.
    Firmware,
    /// The firmware handed over to a boot loader.
    BootLoader,
    /// The kernel, or the stub before it, spoke.
    Kernel,
    /// /init hands over to the real root.
    SwitchRoot,
    /// systemd spoke.
    Systemd,
    /// The status screen was drawn.
    StatusScreen,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 6] = [
        Stage::Firmware,
        Stage::BootLoader,
        Stage::Kernel,
        Stage::SwitchRoot,
        Stage::Systemd,
        Stage::StatusScreen,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Firmware => "firmware",
            Stage::BootLoader => "boot loader",
            Stage::Kernel => "kernel",
            Stage::SwitchRoot => "switch root",
            Stage::Systemd => "systemd",
            Stage::StatusScreen => "status screen",
        })
    }
}

/// What in the log begins a stage. The first byte of all begins the firmware.
const MARKS: [(&[u8], Stage); 7] = [
    // MdeModulePkg's boot device selection.
    (b"BdsDxe: loading Boot", Stage::Firmware),
    (b"BdsDxe: starting Boot", Stage::BootLoader),
    // The kernel's EFI stub, and the first line of the kernel's log.
    (b"EFI stub: ", Stage::Kernel),
    (b"Linux version ", Stage::Kernel),
    // The last line of /init (crate initrd).
    (b"duet: switch", Stage::SwitchRoot),
    (b"systemd[1]: ", Stage::Systemd),
    // What duetd begins a screen with: cursor off, home, erase. Firmware and boot loaders erase
    // the screen too, but not so.
    (b"\x1b[?25l\x1b[H\x1b[2J", Stage::StatusScreen),
];
/// The longest of [`MARKS`], less one: what must be kept for a mark that comes in two parts.
const OVERLAP: usize = 20;

/// When each stage was reached, and how often the machine started anew by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    reached: [Option<Duration>; Stage::ALL.len()],
    restarts: u32,
    overlap: Vec<u8>,
}

impl Stages {
    /// When the stage was reached in the current boot, counted from power-on.
    pub fn reached(&self, stage: Stage) -> Option<Duration> {
        self.reached[stage as usize]
    }

    /// The last stage that was reached in the current boot.
    pub fn last(&self) -> Option<Stage> {
        Stage::ALL.into_iter().rev().find(|stage| self.reached(*stage).is_some())
    }

    /// How often the firmware began again since power-on: after a reset by the watchdog, by
    /// dm-verity, by the guest itself.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Takes what was said next, `at` this time since power-on.
    pub fn feed(&mut self, said: &[u8], at: Duration) {
        if said.is_empty() {
            return;
        }
        self.reached[Stage::Firmware as usize].get_or_insert(at);
        let old = self.overlap.len();
        let mut text = std::mem::take(&mut self.overlap);
        text.extend_from_slice(said);
        for (end, stage) in marks(&text) {
            if end > old {
                self.pass(stage, at);
            }
        }
        self.overlap = text.split_off(text.len().saturating_sub(OVERLAP));
    }

    fn pass(&mut self, stage: Stage, at: Duration) {
        let came_to = self.last();
        if stage == Stage::Firmware && came_to > Some(Stage::BootLoader) {
            let restarts = self.restarts.saturating_add(1);
            *self = Stages { restarts, ..Stages::default() };
        }
        self.reached[stage as usize].get_or_insert(at);
    }
}

/// Where marks end in the text, in the order in which they come.
fn marks(text: &[u8]) -> Vec<(usize, Stage)> {
    let mut found = Vec::new();
    for at in 0..text.len() {
        for (mark, stage) in MARKS {
            if text[at..].starts_with(mark) {
                found.push((at + mark.len(), stage));
            }
        }
    }
    found
}

/// Reads a serial log as it grows.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    file: Option<File>,
    stages: Stages,
    kept: Vec<u8>,
    screen: String,
}

impl Watcher {
    /// Watches the log from its first byte on. It need not exist yet.
    pub fn new(path: &Path) -> Watcher {
        let (stages, kept, screen) = Default::default();
        Watcher { path: path.into(), file: None, stages, kept, screen }
    }

    /// Takes what is new, `at` this time since power-on. What was there before the first look is
    /// dated by it: watch from power-on for true times.
    pub fn look(&mut self, at: Duration) -> io::Result<()> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut chunk = vec![0; CHUNK];
        let mut grew = false;
        loop {
            let length = file.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            grew = true;
            self.stages.feed(&chunk[..length], at);
            self.kept.extend_from_slice(&chunk[..length]);
            self.kept.drain(..self.kept.len().saturating_sub(KEPT));
        }
        if grew {
            self.screen = screen::last(&self.kept);
        }
        Ok(())
    }

    /// How far the boot has come.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The screen as it was last drawn.
    pub fn screen(&self) -> &str {
        &self.screen
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    const BOOT: &[&[u8]] = &[
        b"\x1b[2J\x1b[01;01H\x1b[=3h",
        b"BdsDxe: loading Boot0001 \"UEFI disk\"\r\nBdsDxe: starting Boot0001\r\n\x1b[H\x1b[2J",
        b"EFI stub: Loaded initrd\r\n[    0.000000] Linux version 6.12.94\r\n",
        b"[    8.2] duet: switch: systemd takes over (8.20 s)\r\n",
        b"[    9.1] systemd[1]: Detected architecture x86-64.\r\n",
        b"\x1b[?25l\x1b[H\x1b[2Jroom a, node a1\r\n",
    ];

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn boot(stages: &mut Stages, from: u64) {
        for (index, said) in BOOT.iter().enumerate() {
            stages.feed(said, seconds(from + index as u64));
        }
    }

    #[test]
    fn stages_are_dated_by_their_first_sign() {
        let mut stages = Stages::default();
        assert_eq!(stages.last(), None);
        boot(&mut stages, 1);
        let dates: Vec<_> = Stage::ALL.map(|stage| stages.reached(stage).unwrap().as_secs()).into();
        assert_eq!(dates, [1, 2, 3, 4, 5, 6]);
        stages.feed(b"EFI stub: EFI stub: \x1b[?25l\x1b[H\x1b[2J", seconds(60));
        assert_eq!(stages.reached(Stage::StatusScreen), Some(seconds(6)));
        assert_eq!(stages.restarts(), 0);
    }

    #[test]
    fn every_way_to_cut_the_log_gives_the_same() {
        let log = BOOT.concat();
        for size in [1, 2, 3, 7, 19, 20, 21, 64] {
            let mut stages = Stages::default();
            log.chunks(size).for_each(|chunk| stages.feed(chunk, seconds(1)));
            assert_eq!(stages.last(), Some(Stage::StatusScreen), "in parts of {size}");
            assert_eq!(stages.restarts(), 0, "in parts of {size}");
        }
        let longest = MARKS.iter().map(|(mark, _)| mark.len()).max().unwrap();
        assert_eq!(longest - 1, OVERLAP);
    }

    #[test]
    fn a_machine_that_begins_again_is_counted_and_dated_anew() {
        let mut stages = Stages::default();
        boot(&mut stages, 1);
        boot(&mut stages, 11);
        assert_eq!(stages.restarts(), 1);
        assert_eq!(stages.reached(Stage::Kernel), Some(seconds(13)));
        stages.feed(BOOT[0], seconds(20));
        stages.feed(BOOT[1], seconds(21));
        assert_eq!((stages.restarts(), stages.last()), (2, Some(Stage::BootLoader)));
    }

    #[test]
    fn a_menu_of_the_boot_loader_is_no_status_screen() {
        let mut stages = Stages::default();
        BOOT[..2].iter().for_each(|said| stages.feed(said, seconds(1)));
        assert_eq!(stages.last(), Some(Stage::BootLoader));
    }

    #[test]
    fn a_watcher_follows_a_file_that_does_not_exist_yet() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("serial.log");
        let mut watcher = Watcher::new(&log);
        watcher.look(seconds(0)).unwrap();
        assert_eq!(watcher.stages().last(), None);
        let mut file = File::create(&log).unwrap();
        for (index, said) in BOOT.iter().enumerate() {
            file.write_all(said).unwrap();
            watcher.look(seconds(index as u64 + 1)).unwrap();
            assert_eq!(watcher.stages().last(), Some(Stage::ALL[index]));
        }
        assert_eq!(watcher.screen(), "room a, node a1");
    }
}
