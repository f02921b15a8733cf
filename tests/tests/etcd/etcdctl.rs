//! The real etcdctl on both: the same commands, the same words. Start at [`SCRIPT`].
//!
//! What no two servers have in common (their numbers, terms, ports, leases that they chose) is
//! replaced by its name before the comparison. Where the store differs on purpose, [`Judge`] says so.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::run::{Said, run};
use tests::server::{Make, Plan, Server, tool};

use crate::differential::judged;
use crate::scratch;

/// One command on a busy computer; etcdctl's own patience is 5 s for most.
const COMMAND: Duration = Duration::from_secs(60);

/// How the two outcomes are held against each other.
#[derive(Clone, Copy, Debug)]
enum Judge {
    /// Every word is the same.
    Same,
    /// Both end well.
    Well(#[allow(dead_code, reason = "for the reader")] &'static str),
    /// Every word but these, counted from 0, of comma-separated lines.
    But(&'static [usize], #[allow(dead_code, reason = "for the reader")] &'static str),
}

use Judge::{But, Same, Well};

/// Command lines, split at blanks; `''` is an empty word, `{lease}` the lease granted last, `{file}` a
/// file of this server's.
const SCRIPT: &[(&str, Judge)] = &[
    // Before anything was written.
    ("get nothing", Same),
    ("get nothing -w json", Same),
    ("get nothing -w fields", Same),
    ("endpoint hashkv", Same),
    ("endpoint health", Same),
    ("del nothing", Same),
    // Writing.
    ("put a 1", Same),
    ("put a 2 --prev-kv", Same),
    ("put a/x one", Same),
    ("put a/y two", Same),
    ("put a/z three -w json", Same),
    ("put b 10 -w fields", Same),
    ("put b 11 --prev-kv -w json", Same),
    ("put c ''", Same),
    ("put c --ignore-value", Same),
    ("put none --ignore-value", Same),
    ("put none 1 --lease=abc", Same),
    ("put '' 1", Same),
    ("put c 1 --ignore-lease", Same),
    // Reading, with every flag.
    ("get a", Same),
    ("get a --print-value-only", Same),
    ("get a -w json", Same),
    ("get a -w fields", Same),
    ("get a -w table", Same),
    ("get a -w simple --hex", Same),
    ("get a/ --prefix", Same),
    ("get a/ --prefix --keys-only", Same),
    ("get a/ --prefix --count-only", Same),
    ("get a/ --prefix --count-only -w fields", Same),
    ("get a/ --prefix --keys-only -w json", Same),
    ("get a/ --prefix --limit=2", Same),
    ("get a/ --prefix --limit=2 -w json", Same),
    ("get '' --prefix --order=DESCEND", Same),
    ("get '' --prefix --order=ASCEND --sort-by=VALUE", Same),
    ("get '' --prefix --sort-by=CREATE --order=DESCEND", Same),
    ("get '' --prefix --sort-by=MODIFY", Same),
    ("get '' --prefix --sort-by=VERSION --order=DESCEND", Same),
    ("get '' --from-key", Same),
    ("get a/y --from-key --limit=2", Same),
    ("get a b", Same),
    ("get a c --rev=4", Same),
    ("get a --rev=2 -w json", Same),
    ("get a --rev=1000", Same),
    ("get a --consistency=s", Same),
    ("get a --consistency=l", Same),
    ("get a --min-mod-rev=3", Same),
    ("get a/ --prefix --max-mod-rev=4", Same),
    ("get a/ --prefix --min-create-rev=5", Same),
    ("get a/ --prefix --max-create-rev=4", Same),
    // Deleting.
    ("del a/x", Same),
    ("del a/ --prefix --prev-kv", Same),
    ("del b --prev-kv -w json", Same),
    ("del x --from-key", Same),
    ("put d 1", Same),
    ("put e 1", Same),
    ("del d f -w fields", Same),
    // History.
    ("get a --rev=2", Same),
    ("endpoint hashkv -w json", Same),
    ("endpoint hashkv --rev=6", Same),
    ("compaction 5", Same),
    ("compaction 5", Same),
    ("compaction 1000", Same),
    ("compaction 7 --physical", Same),
    ("get a --rev=2", Same),
    ("endpoint hashkv", Same),
    ("endpoint hashkv --rev=9", Same),
    // Leases.
    ("lease list", Same),
    ("lease grant 300", Same),
    ("put leased 1 --lease={lease}", Same),
    ("get leased", Same),
    ("get leased -w json", Same),
    ("get leased -w fields", Same),
    ("put leased 2 --ignore-lease", Same),
    ("lease timetolive {lease}", Same),
    ("lease timetolive {lease} --keys", Same),
    ("lease list", Same),
    ("lease list -w json", Same),
    ("lease keep-alive --once {lease}", Same),
    ("lease keep-alive --once {lease} -w json", Same),
    ("lease revoke {lease}", Same),
    ("lease revoke {lease}", Same),
    ("lease timetolive {lease}", Same),
    ("lease keep-alive --once 123", Same),
    ("get leased --prefix", Same),
    ("lease grant 9000000001", Same),
    ("lease grant 60 -w json", Same),
    // The server.
    ("endpoint health -w json", Same),
    (
        "endpoint status",
        But(&[2, 3, 6, 7, 8], "version, size, term, and index are the server's own"),
    ),
    ("endpoint status -w json", Well("the same numbers")),
    ("endpoint status -w fields", Well("the same numbers")),
    ("member list", But(&[3], "the store has no peers, hence no peer's address")),
    ("alarm list", Same),
    ("alarm disarm", Same),
    ("defrag", Same),
    ("snapshot save {file}", Same),
    ("auth status", But(&[], "")),
    ("lock l echo held", Same),
    ("move-leader 1", Well("neither has whom to move to")),
];

/// What is typed into `etcdctl txn -i`: comparisons, what then, what else.
const TXNS: &[&str] = &[
    "mod(\"a\") > \"0\"\n\nput a then\nget a\n\nget nothing\n\n",
    "value(\"a\") = \"else\"\n\nput a no\n\nput a else\nget a -w json\ndel c\n\n",
    "create(\"new\") = \"0\"\nversion(\"new\") = \"0\"\n\nput new 1\n\n\n",
    "mod(\"new\") < \"1000\"\n\ndel new\nget a --prefix\n\nget new\n\n",
    "\nput k 1\nput k 2\n\n\n",
    "\n\n\n",
];

/// One of the two, with the names of what is its own.
struct Place {
    server: Server,
    cluster: u64,
    member: u64,
    lease: String,
    leases: Vec<String>,
}

impl Place {
    fn start(make: Make, folder: &Path) -> Place {
        let server = Server::start(Plan::new(make, folder.join(make.name())).hasty());
        let mut place =
            Place { server, cluster: 0, member: 0, lease: String::new(), leases: vec![] };
        let said = place.run("get nothing -w json", "").well().out;
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
        let number = |name: &str| answer["header"][name].as_u64().unwrap();
        (place.cluster, place.member) = (number("cluster_id"), number("member_id"));
        place
    }

    fn command(&self, line: &str) -> Command {
        let mut command = tool("usr/bin/etcdctl");
        command.arg(format!("--endpoints={}", self.server.endpoint()));
        // `lock` runs a command.
        command.env("PATH", "/usr/bin:/bin");
        let file = self.server.folder().join("saved");
        for word in line.split_whitespace() {
            let word = if word == "''" { "" } else { word };
            let word = word.replace("{lease}", &self.lease);
            command.arg(word.replace("{file}", &file.display().to_string()));
        }
        command
    }

    /// Runs a command to its end, with `input` typed in.
    fn run(&mut self, line: &str, input: &str) -> Said {
        let mut command = self.command(line);
        let said = if input.is_empty() {
            run(&mut command, COMMAND)
        } else {
            // A person's shell types it in; here it is a file.
            let typed = self.server.folder().join("typed");
            fs::write(&typed, input).unwrap();
            typed_in(&command, &typed)
        };
        if let Some(rest) = said.out.strip_prefix("lease ") {
            if rest.contains(" granted with ") {
                self.lease = rest.split(' ').next().unwrap().to_owned();
                self.leases.push(self.lease.clone());
            }
        }
        said
    }

    /// Starts one that does not end by itself.
    fn spawn(&self, line: &str) -> Talk {
        let mut command = self.command(line);
        let path = self.server.folder().join("talk");
        let out = fs::File::create(&path).unwrap();
        command.stdin(Stdio::piped()).stdout(out).stderr(Stdio::null());
        Talk { child: command.spawn().unwrap(), path }
    }

    /// The text with names in the place of what is this server's own.
    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(&self.server.endpoint(), "ENDPOINT");
        text = text.replace(self.server.endpoint().trim_start_matches("http://"), "ENDPOINT");
        text = text.replace(&self.server.folder().display().to_string(), "FOLDER");
        for (number, name) in [(self.cluster, "CLUSTER"), (self.member, "MEMBER")] {
            text = text.replace(&number.to_string(), name).replace(&format!("{number:x}"), name);
        }
        for lease in &self.leases {
            let number = i64::from_str_radix(lease, 16).unwrap();
            text = text.replace(lease, "LEASE").replace(&number.to_string(), "LEASE");
        }
        // The client's own log is on standard error, in lines of JSON.
        let lines = text.lines().filter(|line| !line.starts_with("{\"level\""));
        let mut plain = String::new();
        for line in lines {
            let line = after(line, "\"raft_term\":", "TERM");
            let line = after(&line, "\"RaftTerm\" : ", "TERM");
            let line = after(&line, "remaining(", "SECONDS");
            let line = after(&line, "\"ttl\":", "SECONDS");
            let line = after(&line, "\"ID\":", "ID");
            let line = after(&line, "\"id\":", "ID");
            let line = until(&line, "took = ", "TIME");
            let line = until(&line, "\"took\":\"", "TIME");
            let _ = writeln!(plain, "{line}");
        }
        plain
    }
}

/// The line with the number after `mark` replaced.
fn after(line: &str, mark: &str, name: &str) -> String {
    let Some((before, rest)) = line.split_once(mark) else { return line.to_owned() };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{mark}{name}{rest}")
}

/// The line with the duration after `mark` replaced.
fn until(line: &str, mark: &str, name: &str) -> String {
    let Some((before, rest)) = line.split_once(mark) else { return line.to_owned() };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || ".µmns".contains(c));
    format!("{before}{mark}{name}{rest}")
}

fn typed_in(command: &Command, typed: &Path) -> Said {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "typed=$0; exec \"$@\" <\"$typed\""]).arg(typed);
    shell.arg(command.get_program()).args(command.get_args());
    run(&mut shell, COMMAND)
}

/// An etcdctl that goes on until it is stopped.
struct Talk {
    child: Child,
    path: std::path::PathBuf,
}

impl Talk {
    fn type_in(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// What it has said, once that ends so, or the time is over.
    fn said(&self, end: &str, limit: Duration) -> String {
        let over = Instant::now() + limit;
        loop {
            let said = fs::read_to_string(&self.path).unwrap();
            if said.ends_with(end) || Instant::now() > over {
                return said;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcome(place: &mut Place, line: &str, input: &str, judge: Judge) -> String {
    let said = place.run(line, input);
    let text = place.plain(&format!("{}{}", said.out, said.err));
    let kept = |line: &str| match judge {
        But(columns, _) => line
            .split(", ")
            .enumerate()
            .map(|(at, word)| if columns.contains(&at) { "…" } else { word })
            .collect::<Vec<_>>()
            .join(", "),
        Same => line.to_owned(),
        Well(_) => String::new(),
    };
    let lines: Vec<String> = text.lines().map(kept).filter(|line| !line.is_empty()).collect();
    format!("exit code {:?}\n{}\n", said.code, lines.join("\n"))
}

fn both(folder: &Path) -> [Place; 2] {
    let other = folder.join("other");
    [Place::start(Make::Etcd, folder), Place::start(judged(), &other)]
}

#[test]
fn commands_have_the_same_outcome() {
    let folder = scratch("etcdctl");
    let [mut etcd, mut store] = both(folder.path());
    let mut differences = String::new();
    let typed = TXNS.iter().map(|input| ("txn -i", *input, Same));
    let commands = SCRIPT.iter().map(|(line, judge)| (*line, "", *judge)).chain(typed);
    for (line, input, judge) in commands {
        let left = outcome(&mut etcd, line, input, judge);
        let right = outcome(&mut store, line, input, judge);
        if left != right {
            let _ = writeln!(
                differences,
                "$ etcdctl {line}\n{input}--- etcd\n{left}--- store\n{right}"
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn watches_say_the_same() {
    let folder = scratch("etcdctl");
    let said = both(folder.path()).map(|mut place| {
        let mut put = |line: &str| drop(place.run(line, "").well());
        put("put a 1");
        put("put a 2");
        put("put a/1 x");
        put("del a/1");
        let past = place.spawn("watch --rev=2 --prefix --prev-kv a");
        let past = past.said("DELETE\na/1\nx\na/1\n\n", COMMAND);
        let mut talk = place.spawn("watch -i");
        talk.type_in("watch w/ --prefix\nwatch --prev-kv v\n");
        // There is no sign that a watch has begun but that it tells.
        for key in ["w/begun", "v"] {
            let over = Instant::now() + COMMAND;
            while !talk.said(&format!("{key}\nbegun\n"), Duration::from_millis(200)).contains(key) {
                let _ = place.run(&format!("put {key} begun"), "").well();
                assert!(Instant::now() < over, "the watch of {key} does not begin");
            }
        }
        for line in ["put v 1", "put v 2", "put w/1 x", "del v", "del w/1", "put v end"] {
            let _ = place.run(line, "").well();
        }
        let all = talk.said("end\n", COMMAND);
        let (_, on) = all.split_once("PUT\nv\nbegun\nv\n1\n").unwrap_or_else(|| panic!("{all}"));
        [past, on.to_owned()]
    });
    assert_eq!(said[0], said[1], "etcd (left) and the store (right) differ");
    let told = "PUT\nv\n1\nv\n2\nPUT\nw/1\nx\nDELETE\nv\n2\nv\n\nDELETE\nw/1\n\nPUT\nv\nend\n";
    assert_eq!(said[0][1], told);
}

/// etcdctl's own idea of a sound server: 150 writes a second for a minute.
#[test]
fn check_perf_is_passed() {
    let folder = scratch("etcdctl");
    let mut server = Server::start(Plan::new(judged(), folder.path().join("store")));
    let mut command = tool("usr/bin/etcdctl");
    command.arg(format!("--endpoints={}", server.endpoint())).args(["check", "perf", "--load=s"]);
    let said = run(&mut command, Duration::from_secs(120));
    // Its other lines judge single stalls of this computer's disk.
    assert!(said.out.contains("PASS: Throughput"), "{said}");
    server.stop();
}
