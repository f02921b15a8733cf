//! What the kernel says of this process, for the page of metrics (proc(5)).

use std::fs;

/// Resident memory in bytes; 0 if it cannot be read.
pub(crate) fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").map_or(0, |status| resident(&status))
}

/// Open file descriptors; 0 if they cannot be counted.
pub(crate) fn open_files() -> u64 {
    // The folder that is being read is one of them.
    fs::read_dir("/proc/self/fd").map_or(0, |files| files.count().saturating_sub(1) as u64)
}

fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1024 kB\nThreads:\t5\n"), 1 << 20);
        assert_eq!(resident("VmRSS:\tmuch\n"), 0);
        assert!(resident_bytes() > 0 && open_files() > 0);
    }
}
