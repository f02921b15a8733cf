//! What a process has used, as the kernel counts it (proc(5)).

use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second, on every Linux that is built as Debian's (USER_HZ).
const TICKS: u64 = 100;

/// The time on a processor, in user and kernel mode, of a process and its threads; 0 once it is gone.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold blanks; utime and stime are fields 14 and 15.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let number = |at: usize| after.split_whitespace().nth(at)?.parse::<u64>().ok();
    let ticks = number(11).unwrap_or(0) + number(12).unwrap_or(0);
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Resident memory in MiB: all of it, and the part that is no copy of a file.
pub(crate) fn memory(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
    };
    (number("VmRSS:"), number("RssAnon:"))
}
