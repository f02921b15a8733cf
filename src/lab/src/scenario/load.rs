//! Writes through a room while things happen: `duetd store probe` over ssh. Start at [`Load::start`];
//! [`Written::judge`] is pure.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// What is carried out in the room.
const PROBE: &str = "duetd store probe --json";
/// How long the probe may take beyond its time: it waits a minute for a store that does not answer.
const REST: Duration = Duration::from_secs(120);

/// How much of a complaint is told.
const LONGEST_COMPLAINT: usize = 200;

/// What a probe said at the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Written {
    pub(super) run: String,
    pub(super) acknowledged: u64,
    pub(super) longest_gap_ms: u64,
    pub(super) missing: u64,
}

impl Written {
    /// For how long at a time nothing was acknowledged, at most.
    pub(super) fn longest_gap(&self) -> Duration {
        Duration::from_millis(self.longest_gap_ms)
    }
}

/// How writes fare from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Change {
    at_ms: u64,
    state: String,
    why: Option<String>,
}

/// A line of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Change(Change),
    Written(Written),
}

/// A probe that runs.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
    lines: Receiver<Line>,
    /// The last line that ssh or the probe complained with, after a colon.
    complaint: Arc<Mutex<String>>,
    last: Option<Change>,
    end: Instant,
}

impl Load {
    /// Begins to write, for so long. `ssh` makes the command line that carries out a command in the room.
    pub(super) fn start(
        ssh: impl Fn(&str) -> Vec<OsString>,
        length: Duration,
    ) -> Result<Load, String> {
        let ms = length.as_millis();
        Load::by(ssh(&format!("{PROBE} --every 100ms --for {ms}ms --deadline 2s --keep")), length)
    }

    /// The same with values of so many bytes, each of which may take a while, and which nobody asks for later.
    pub(super) fn of(
        ssh: impl Fn(&str) -> Vec<OsString>,
        length: Duration,
        every: Duration,
        bytes: u32,
    ) -> Result<Load, String> {
        let (ms, every) = (length.as_millis(), every.as_millis());
        let flags = format!("--every {every}ms --for {ms}ms --deadline 20s --bytes {bytes}");
        Load::by(ssh(&format!("{PROBE} {flags}")), length)
    }

    fn by(words: Vec<OsString>, length: Duration) -> Result<Load, String> {
        let (program, arguments) = words.split_first().ok_or("there is no ssh")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("ssh does not start: {error}"))?;
        let complaint = Arc::new(Mutex::new(String::new()));
        if let Some(errors) = child.stderr.take() {
            let complaint = Arc::clone(&complaint);
            thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    *complaint.lock().unwrap_or_else(PoisonError::into_inner) =
                        format!(": {}", line.chars().take(LONGEST_COMPLAINT).collect::<String>());
                }
            });
        }
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some(line) = parse(&line) {
                        if sender.send(line).is_err() {
                            return;
                        }
                    }
                }
            });
        }
        Ok(Load { child, lines, complaint, last: None, end: Instant::now() + length + REST })
    }

    /// Waits until writes are acknowledged.
    pub(super) fn until_acknowledged(&mut self, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        while self.last.as_ref().is_none_or(|last| last.state != "acknowledged") {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(Line::Change(change)) => self.last = Some(change),
                Ok(Line::Written(_)) => return Err("writes ended before one was lost".into()),
                Err(RecvTimeoutError::Timeout) => return Err("no write is acknowledged".into()),
                Err(RecvTimeoutError::Disconnected) => {
                    let why = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
                    return Err(format!(
                        "the probe broke off before a write was acknowledged{why}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Waits for the end, and judges it.
    pub(super) fn finish(mut self, tell: &mut dyn FnMut(String)) -> Result<Written, String> {
        loop {
            match self.lines.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
                Ok(Line::Change(change)) => {
                    tell(change.describe());
                    self.last = Some(change);
                }
                Ok(Line::Written(written)) => return written.judge(self.last.as_ref()),
                Err(RecvTimeoutError::Timeout) => return Err("the probe does not end".into()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the probe broke off before it had read its writes back".into());
                }
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Change {
    fn describe(&self) -> String {
        let why = self.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let seconds = self.at_ms as f64 / 1000.0;
        match self.state.as_str() {
            "acknowledged" => format!("writes are acknowledged, {seconds:.1} s after they began"),
            "refused" => format!("writes are refused{why}"),
            _ => format!("writes are not answered{why}"),
        }
    }
}

impl Written {
    /// Whether nothing was lost, and writes went on.
    fn judge(self, last: Option<&Change>) -> Result<Written, String> {
        if self.missing > 0 {
            let Written { missing, acknowledged, .. } = self;
            return Err(format!("{missing} of {acknowledged} acknowledged writes are lost"));
        }
        match last {
            Some(last) if last.state == "acknowledged" => Ok(self),
            Some(last) => Err(format!("in the end {}", last.describe())),
            None => Err("no write was acknowledged".to_owned()),
        }
    }
}

/// What carries out the reading back of a run, and what it must say.
pub(super) fn verify_command(run: &str) -> String {
    format!("{PROBE} --verify {run}")
}

/// Judges the answer to [`verify_command`]: how many writes are there.
pub(super) fn verified(output: &str, acknowledged: u64) -> Result<u64, String> {
    #[derive(Deserialize)]
    struct Verified {
        acknowledged: u64,
        missing: u64,
    }
    let said: Verified = serde_json::from_str(output.trim())
        .map_err(|_| "the writes of before cannot be read back there".to_owned())?;
    match said {
        Verified { missing: 0, acknowledged: there } if there == acknowledged => Ok(there),
        Verified { missing, .. } => {
            Err(format!("{missing} of {acknowledged} acknowledged writes are not there"))
        }
    }
}

fn parse(line: &str) -> Option<Line> {
    let written = serde_json::from_str(line).map(Line::Written);
    written.or_else(|_| serde_json::from_str(line).map(Line::Change)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// As `duetd store probe --json` writes them.
    const LINES: [&str; 4] = [
        r#"{"at_ms":27,"state":"acknowledged","why":null,"write":1}"#,
        r#"{"at_ms":9100,"state":"silent","why":"no answer in 2s","write":72}"#,
        r#"{"at_ms":10402,"state":"acknowledged","why":null,"write":73}"#,
        r#"{"format":1,"run":"probe-8f0a55ee","acknowledged":500,"refused":0,"silent":1,
            "longest_gap_ms":3402,"longest_gap_at_ms":7000,"from":1.0,"to":61.0,"missing":0}"#,
    ];

    fn said(lines: &[&str]) -> impl Fn(&str) -> Vec<OsString> {
        let lines: Vec<String> = lines.iter().map(|line| line.replace('\n', "")).collect();
        let script = format!("cat <<'END'\n{}\nEND\n", lines.join("\n"));
        move |_: &str| ["sh", "-c", &script].map(OsString::from).to_vec()
    }

    #[test]
    fn a_load_that_goes_on_after_a_gap_is_good() {
        let mut load = Load::start(said(&LINES), SECOND).unwrap();
        load.until_acknowledged(Duration::from_secs(10)).unwrap();
        let mut told = Vec::new();
        let written = load.finish(&mut |line| told.push(line)).unwrap();
        assert_eq!((written.acknowledged, written.longest_gap_ms), (500, 3402));
        assert_eq!(
            told,
            [
                "writes are not answered (no answer in 2s)",
                "writes are acknowledged, 10.4 s after they began"
            ]
        );
    }

    #[test]
    fn what_is_lost_or_never_goes_on_is_not() {
        let judged = |lines: &[&str]| {
            Load::start(said(lines), SECOND).unwrap().finish(&mut |_| {}).unwrap_err()
        };
        let lost = LINES[3].replace("\"missing\":0", "\"missing\":2");
        assert_eq!(judged(&[LINES[0], &lost]), "2 of 500 acknowledged writes are lost");
        let stopped = judged(&[LINES[0], LINES[1], LINES[3]]);
        assert_eq!(stopped, "in the end writes are not answered (no answer in 2s)");
        assert!(judged(&[LINES[0]]).contains("broke off"));
        let mut silent = Load::start(said(&[LINES[1]]), SECOND).unwrap();
        assert!(silent.until_acknowledged(Duration::from_secs(10)).is_err());
    }

    #[test]
    fn the_other_room_must_have_all() {
        let said = |missing| {
            format!("{{\"format\":1,\"run\":\"x\",\"acknowledged\":500,\"missing\":{missing}}}\n")
        };
        assert_eq!(verified(&said(0), 500), Ok(500));
        assert!(verified(&said(3), 500).unwrap_err().starts_with("3 of 500"));
        assert!(verified(&said(0), 501).is_err(), "another run's note");
        assert!(verified("", 500).is_err());
    }
}
