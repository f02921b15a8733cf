//! Stands in for systemd in the boot tests: says what /init has prepared, then acts as the kernel
//! command line asks (`probe=…`) and switches the machine off.
//!
//! Each line on the console is `probe: KEY VALUE`.

use std::fs;
use std::io::{Read, Write};

fn say(key: &str, value: &str) {
    let mut console = fs::File::options().write(true).open("/dev/console").expect("a console");
    console.write_all(format!("probe: {key} {value}\n").as_bytes()).expect("a console that writes");
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("({error})")).trim().to_owned()
}

/// Reads all of the root, so that every block passes dm-verity.
fn read_all(folder: &str) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a type");
        let path = entry.path().to_string_lossy().into_owned();
        if kind.is_dir() {
            bytes += read_all(&path);
        } else if kind.is_file() {
            let mut content = Vec::new();
            let read = fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut content));
            bytes += read.unwrap_or(0) as u64;
        }
    }
    bytes
}

fn main() {
    let wish = text("/proc/cmdline");
    let wish = wish.split_whitespace().find_map(|word| word.strip_prefix("probe=")).unwrap_or("");
    for line in text("/proc/mounts").lines() {
        say("mount", line);
    }
    for line in text("/run/duet/boot.json").lines() {
        say("json", line);
    }
    say("arguments", &std::env::args().skip(1).collect::<Vec<_>>().join(" "));
    say("machine-id", &text("/etc/machine-id"));
    say(
        "root",
        &fs::read_dir("/")
            .expect("a root")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" "),
    );
    say("memory", text("/proc/meminfo").lines().nth(1).unwrap_or(""));
    let seed = text("/efi/duet/seed.toml");
    say("seed", &seed);
    let boots = text("/var/boots").parse::<u32>().unwrap_or(0) + 1;
    let kept = fs::File::create("/var/boots").and_then(|mut file| {
        file.write_all(boots.to_string().as_bytes())?;
        file.sync_all()
    });
    say("boots", &kept.map_or_else(|error| error.to_string(), |()| boots.to_string()));
    say("var-mib", &(rustix::fs::statvfs("/var").expect("a /var").f_blocks / 256).to_string());
    if wish == "read-all" {
        say("read", &read_all("/usr").to_string());
    }
    say("over", "1");
    rustix::fs::sync();
    rustix::system::reboot(rustix::system::RebootCommand::PowerOff).expect("a power switch");
}
