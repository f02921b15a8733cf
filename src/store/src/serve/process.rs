//! What the kernel says of this process, for the metrics. The readers take the text of files under `/proc`
//! (proc(5)); [`Process::read`] opens them.

use std::fs;

/// Clock ticks a second in `/proc`: fixed for user space on every architecture that Duet has.
const TICKS: f64 = 100.0;

/// How the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) open_fds: u64,
    pub(crate) max_fds: u64,
}

impl Process {
    /// As it is now; what cannot be read is 0.
    pub(crate) fn read() -> Process {
        let mut process = Process::default();
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            process.stat(&stat);
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            process.status(&status);
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            process.limits(&limits);
        }
        // The folder that is being read is one of them.
        process.open_fds =
            fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1) as u64);
        process
    }

    fn stat(&mut self, text: &str) {
        // The name in parentheses may hold spaces; what follows it does not. Fields 14 and 15 of the line
        // are the 12th and 13th behind it.
        let Some((_, rest)) = text.rsplit_once(')') else { return };
        let mut ticks = rest.split_whitespace().skip(11).map(|field| field.parse::<f64>());
        if let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) {
            self.cpu_seconds = (user + system) / TICKS;
        }
    }

    fn status(&mut self, text: &str) {
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number = value.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
            let Some(number) = number else { continue };
            match name {
                "VmRSS" => self.resident_bytes = number << 10,
                "VmSize" => self.virtual_bytes = number << 10,
                "Threads" => self.threads = number,
                _ => {}
            }
        }
    }

    fn limits(&mut self, text: &str) {
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next());
        self.max_fds = soft.and_then(|text| text.parse().ok()).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn the_kernels_texts_are_read() {
        let mut process = Process::default();
        process.stat("7 (a b) c) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 5 0 100 1 2");
        process.status("Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t5\n");
        process.limits(
            "Max cpu time  unlimited unlimited seconds\nMax open files  1024  4096  files\n",
        );
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 1 << 20,
            virtual_bytes: 2 << 20,
            threads: 5,
            open_fds: 0,
            max_fds: 1024,
        };
        assert_eq!(process, expected);
        let own = Process::read();
        assert!(own.resident_bytes > 0 && own.open_fds > 0 && own.max_fds > 0, "{own:?}");
    }
}
