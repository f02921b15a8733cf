//! What a page of measurements says of the computer that they were made on.

use std::fs;
use std::thread;

/// Its processors and how busy they are, as `2 cores (AMD EPYC), at a load of 0.10 before it began`.
///
/// # Panics
/// If the kernel does not show it (proc(5)).
#[must_use]
pub fn machine() -> String {
    let cores = thread::available_parallelism().expect("there is a processor");
    let cpu = fs::read_to_string("/proc/cpuinfo").expect("the kernel shows its processors");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let load = fs::read_to_string("/proc/loadavg").expect("the kernel shows its load");
    let load = load.split(' ').next().unwrap_or("?");
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores ({model}), at a load of {load} before it began")
}
