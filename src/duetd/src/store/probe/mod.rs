//! `duetd store probe`: writes through a store for a while and sees what becomes of them. Start at
//! [`Probe::run`]. What it counts is decided in [`record`].
//!
//! ```text
//!  /duet-probe/RUN/write/00000000000000000001    one key for each write, its value its number
//!  /duet-probe/RUN/acknowledged                  with --keep: which ones were acknowledged, for --verify
//! ```

mod record;

use std::process::ExitCode;
use std::time::Duration;

use ::store::client::{Client, Code, Status};
use ::store::config;
use ::store::wire::proto::{DeleteRangeRequest, PutRequest, RangeRequest};
use clap::Args;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::record::{Answer, Change, Record, Span};
use super::{endpoint, words};
use crate::{console, exit, service};

/// The version of the JSON.
const FORMAT: u32 = 1;
/// Where probes' keys are.
const FOLDER: &str = "/duet-probe/";
/// Writes of one probe: some 100 bytes of the store's memory each, of which it has 2 GiB.
const MOST_WRITES: u128 = 1_000_000;
/// The most bytes of a value: etcd takes requests of 1.5 MiB.
const MOST_BYTES: i64 = 1 << 20;
/// The most bytes of values that a probe writes: a fraction of what a store takes.
const MOST_IN_ALL: u128 = 256 << 20;
/// Keys that are read at once: of usual values, and of large ones as many as an answer holds.
const PAGE: i64 = 5_000;
const PAGE_BYTES: i64 = 1 << 20;
/// How long the store may take to answer a read when the writes are over: longer than it is without a
/// leader when a room is lost.
const READING: Duration = Duration::from_secs(60);
/// After a read that failed.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Probe {
    #[command(flatten)]
    store: endpoint::Store,

    /// How often a key is written; later, if the one before took longer
    #[arg(long, value_name = "SPAN", default_value = "100ms", value_parser = config::parse_span)]
    every: Duration,

    /// For how long; Ctrl-C ends it earlier
    #[arg(long = "for", value_name = "SPAN", default_value = "60s", value_parser = config::parse_span)]
    length: Duration,

    /// How long the store may take to answer one write
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = config::parse_span)]
    deadline: Duration,

    /// How long each value is; more than the usual few bytes only to see what that does
    #[arg(long, value_name = "BYTES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MOST_BYTES))]
    bytes: u32,

    /// Leave the keys there, for --verify
    #[arg(long)]
    keep: bool,

    /// Write nothing; read back what an earlier probe kept, and remove it (but with --keep)
    #[arg(long, value_name = "RUN", conflicts_with_all = ["every", "length", "deadline", "bytes"])]
    verify: Option<String>,

    /// Print JSON for a script, one document a line: changes as they come, at last the summary
    #[arg(long)]
    json: bool,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum ProbeError {
    #[error(
        "that would be {writes} writes of {bytes} bytes, and a probe makes at most {MOST_WRITES}, of {} MiB \
         in all",
        MOST_IN_ALL >> 20
    )]
    #[diagnostic(code(usage::probe), help("write less often (--every) or not as long (--for)"))]
    TooMany { writes: u128, bytes: u32 },
    #[error("--every and --deadline must be longer than 0")]
    #[diagnostic(code(usage::probe), help("write --every 100ms --deadline 2s"))]
    Zero,
    #[error("the store at {endpoint} has no kept writes of a probe `{run}`")]
    #[diagnostic(
        code(input::probe),
        help("`duetd store probe --keep` prints the run that it kept; was it read back already?")
    )]
    NoRun { endpoint: String, run: String },
    #[error("the store at {endpoint} does not let the probe {action}")]
    #[diagnostic(
        code(network::probe),
        help("`duetd store status` shows why; keys that are left are below /duet-probe/")
    )]
    Store {
        endpoint: String,
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What it all came to.
#[derive(Debug, Serialize)]
struct Summary {
    format: u32,
    run: String,
    acknowledged: u64,
    refused: u64,
    /// No answer in time: these may be there or not.
    silent: u64,
    longest_gap_ms: u64,
    /// When that began, since the probe did.
    longest_gap_at_ms: u64,
    /// Seconds since 1970, from the first write to the last answer.
    from: f64,
    to: f64,
    /// Acknowledged, and not there when read back.
    missing: u64,
}

/// What a kept run leaves for who verifies it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    acknowledged: Vec<Span>,
}

impl Probe {
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        if self.every.is_zero() || self.deadline.is_zero() {
            return Err(ProbeError::Zero.into());
        }
        let writes = self.length.as_nanos() / self.every.as_nanos();
        if writes > MOST_WRITES || writes * u128::from(self.bytes) > MOST_IN_ALL {
            return Err(ProbeError::TooMany { writes, bytes: self.bytes }.into());
        }
        endpoint::within(async {
            let endpoint = self.store.endpoint.clone();
            let client = Client::connect(&endpoint, self.store.certificates.tls().as_ref()).await?;
            let place = Place { client, endpoint, bytes: self.bytes };
            match &self.verify {
                Some(run) => self.read_back(place, run).await,
                None => self.write(place).await,
            }
        })
    }

    async fn write(&self, mut place: Place) -> Result<ExitCode, miette::Report> {
        let run = run_name();
        let folder = format!("{FOLDER}{run}/");
        let from = site_seconds();
        let record = self.load(&mut place, &folder).await?;
        let to = site_seconds();
        let missing = record::missing(record.spans(), place.numbers(&folder).await?.into_iter());
        if self.keep {
            let kept = Kept { acknowledged: record.spans().to_vec() };
            place.keep(&folder, &kept).await?;
        } else {
            place.remove(&folder).await?;
        }
        let (longest_gap_ms, longest_gap_at_ms) = record.longest_gap_ms();
        let summary = Summary {
            format: FORMAT,
            run,
            acknowledged: record.acknowledged(),
            refused: record.refused(),
            silent: record.silent(),
            longest_gap_ms,
            longest_gap_at_ms,
            from,
            to,
            missing,
        };
        if self.json {
            line(&summary)?;
        } else {
            console::answer(&describe(&summary, self.keep))?;
        }
        Ok(match (summary.missing, summary.acknowledged) {
            (0, 0) => ExitCode::from(exit::REFUSED),
            (0, _) => ExitCode::SUCCESS,
            _ => ExitCode::from(exit::INTEGRITY),
        })
    }

    /// One write after the other, until it is time.
    async fn load(&self, place: &mut Place, folder: &str) -> Result<Record, miette::Report> {
        let end = service::told_to_end()?;
        tokio::pin!(end);
        let begun = Instant::now();
        let mut record = Record::default();
        let mut write = 0;
        let mut next = begun;
        while next < begun + self.length {
            tokio::select! {
                () = sleep_until(next) => {}
                () = &mut end => break,
            }
            write += 1;
            let answer = place.put(folder, write, self.deadline).await;
            if let Some(change) = record.take(write, begun.elapsed(), &answer) {
                if self.json {
                    line(&change)?;
                } else {
                    console::answer(&describe_change(&change))?;
                }
            }
            next = (next + self.every).max(Instant::now());
        }
        record.end(begun.elapsed());
        Ok(record)
    }

    async fn read_back(&self, mut place: Place, run: &str) -> Result<ExitCode, miette::Report> {
        let folder = format!("{FOLDER}{run}/");
        let Some(kept) = place.kept(&folder).await? else {
            let endpoint = place.endpoint;
            return Err(ProbeError::NoRun { endpoint, run: run.to_owned() }.into());
        };
        let found = place.numbers(&folder).await?;
        let missing = record::missing(&kept.acknowledged, found.into_iter());
        if !self.keep {
            place.remove(&folder).await?;
        }
        let acknowledged: u64 =
            kept.acknowledged.iter().map(|span| span.last.saturating_sub(span.first) + 1).sum();
        if self.json {
            #[derive(Serialize)]
            struct Verified<'a> {
                format: u32,
                run: &'a str,
                acknowledged: u64,
                missing: u64,
            }
            line(&Verified { format: FORMAT, run, acknowledged, missing })?;
        } else {
            console::answer(&format!("{}\n", verdict(acknowledged, missing)))?;
        }
        Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::INTEGRITY) })
    }
}

/// The store that is probed.
struct Place {
    client: Client,
    endpoint: String,
    /// How long each value is.
    bytes: u32,
}

impl Place {
    async fn put(&mut self, folder: &str, write: u64, deadline: Duration) -> Answer {
        let request = PutRequest {
            key: format!("{folder}write/{write:020}").into(),
            value: value(write, self.bytes).into(),
            ..PutRequest::default()
        };
        match timeout(deadline, self.client.kv.put(request)).await {
            Ok(Ok(_)) => Answer::Acknowledged,
            Ok(Err(status)) => answer(&status),
            Err(_) => Answer::None(format!("no answer in {deadline:?}")),
        }
    }

    /// The numbers whose keys are there with the right value, ascending.
    async fn numbers(&mut self, folder: &str) -> Result<Vec<u64>, miette::Report> {
        let prefix = format!("{folder}write/");
        // The next character after the slash.
        let end = format!("{folder}write0");
        let mut from = prefix.clone();
        let mut numbers = Vec::new();
        let limit = (PAGE_BYTES / i64::from(self.bytes)).clamp(1, PAGE);
        loop {
            let request = RangeRequest {
                key: from.clone().into(),
                range_end: end.clone().into(),
                limit,
                ..RangeRequest::default()
            };
            let page = self.range(request).await?;
            for pair in &page {
                let number = std::str::from_utf8(&pair.0).ok();
                let number: Option<u64> =
                    number.and_then(|key| key.strip_prefix(&prefix)?.parse().ok());
                let value = std::str::from_utf8(&pair.1).ok().and_then(|value| value.parse().ok());
                numbers.extend(number.filter(|number| value == Some(*number)));
            }
            match page.last() {
                Some((key, _)) if page.len() as i64 == limit => {
                    // The least key after this one.
                    from = String::from_utf8_lossy(key).into_owned() + "\0";
                }
                _ => return Ok(numbers),
            }
        }
    }

    async fn kept(&mut self, folder: &str) -> Result<Option<Kept>, miette::Report> {
        let key = format!("{folder}acknowledged");
        let page = self.range(RangeRequest { key: key.into(), ..RangeRequest::default() }).await?;
        Ok(page.first().and_then(|(_, value)| serde_json::from_slice(value).ok()))
    }

    /// A linearizable read, tried again for as long as nobody leads.
    async fn range(
        &mut self,
        request: RangeRequest,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, miette::Report> {
        let client = self.client.kv.clone();
        let answer = self.try_for("read", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.range(request).await }
        });
        let pairs = answer.await?.into_inner().kvs.into_iter();
        Ok(pairs.map(|pair| (pair.key.to_vec(), pair.value.to_vec())).collect())
    }

    async fn keep(&mut self, folder: &str, kept: &Kept) -> Result<(), miette::Report> {
        let value = serde_json::to_vec(kept).map_err(|error| miette::miette!("{error}"))?;
        let key = format!("{folder}acknowledged");
        let request = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
        let client = self.client.kv.clone();
        let put = self.try_for("note what was acknowledged", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.put(request).await }
        });
        put.await.map(drop)
    }

    async fn remove(&mut self, folder: &str) -> Result<(), miette::Report> {
        let request = DeleteRangeRequest {
            key: folder.to_owned().into(),
            range_end: format!("{}0", folder.trim_end_matches('/')).into(),
            ..DeleteRangeRequest::default()
        };
        let client = self.client.kv.clone();
        let deleted = self.try_for("remove its keys", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.delete_range(request).await }
        });
        deleted.await.map(drop)
    }

    /// Until it is answered well, or it takes too long. Each of these may be done twice.
    async fn try_for<T, W>(
        &self,
        action: &'static str,
        ask: impl Fn() -> W,
    ) -> Result<T, miette::Report>
    where
        W: Future<Output = Result<T, Status>>,
    {
        let end = Instant::now() + READING;
        loop {
            let source: Box<dyn std::error::Error + Send + Sync> =
                match timeout(READING / 4, ask()).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(status)) => status.into(),
                    Err(late) => late.into(),
                };
            if Instant::now() >= end {
                let endpoint = self.endpoint.clone();
                return Err(ProbeError::Store { endpoint, action, source }.into());
            }
            sleep(PAUSE).await;
        }
    }
}

/// The number of a write, in so many bytes if it has less: zeros before it leave it what it is.
fn value(write: u64, bytes: u32) -> String {
    let number = write.to_string();
    "0".repeat((bytes as usize).saturating_sub(number.len())) + &number
}

/// Whether the store says that the write was not done, or nobody knows.
fn answer(status: &Status) -> Answer {
    let why = status.message();
    let networks = [Code::Cancelled, Code::Unknown, Code::DeadlineExceeded, Code::Unavailable];
    // A no of the store's own, but for those that come while a write is under way.
    let sure = why.starts_with("etcdserver: ")
        && !["etcdserver: request timed out", "etcdserver: server stopped"]
            .iter()
            .any(|unsure| why.starts_with(unsure));
    match networks.contains(&status.code()) && !sure {
        true => Answer::None(why.to_owned()),
        false => Answer::Refused(why.to_owned()),
    }
}

fn run_name() -> String {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
    format!("probe-{:08x}", u32::from_le_bytes(bytes))
}

fn site_seconds() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    (since.unwrap_or_default().as_secs_f64() * 1000.0).round() / 1000.0
}

/// One JSON document in one line.
fn line(value: &impl Serialize) -> Result<(), miette::Report> {
    let text = serde_json::to_string(value)
        .map_err(|error| miette::miette!("cannot write the answer as JSON: {error}"))?;
    console::answer(&(text + "\n"))
}

fn describe_change(change: &Change) -> String {
    let why = change.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let seconds = change.at_ms as f64 / 1000.0;
    format!("{seconds:>8.1} s  write {:<6} {}{why}\n", change.write, change.state)
}

fn describe(summary: &Summary, kept: bool) -> String {
    let Summary { run, acknowledged, refused, silent, missing, .. } = summary;
    let gap = summary.longest_gap_ms as f64 / 1000.0;
    let at = summary.longest_gap_at_ms as f64 / 1000.0;
    let mut text = format!(
        "writes       {acknowledged} acknowledged, {refused} refused, {silent} without an answer\n\
         longest gap  {gap:.1} s, from {at:.1} s on\n\
         read back    {}\n",
        verdict(*acknowledged, *missing)
    );
    if kept {
        text += &format!("kept as      {run}: `duetd store probe --verify {run}` reads it back\n");
    }
    text
}

fn verdict(acknowledged: u64, missing: u64) -> String {
    match (acknowledged, missing) {
        (0, _) => "nothing was acknowledged".to_owned(),
        (_, 0) => format!("all of {} are there", words::count(acknowledged, "acknowledged write")),
        _ => format!("{missing} of {} LOST", words::count(acknowledged, "acknowledged write")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_refusal_is_told_from_silence() {
        let refused = |status: Status| matches!(answer(&status), Answer::Refused(_));
        assert!(refused(Status::unavailable("etcdserver: no leader")));
        assert!(refused(Status::resource_exhausted("etcdserver: mvcc: database space exceeded")));
        assert!(refused(Status::permission_denied("no")));
        assert!(!refused(Status::unavailable("etcdserver: server stopped")));
        let lost = "etcdserver: request timed out, possibly due to previous leader failure";
        assert!(!refused(Status::unavailable(lost)));
        assert!(!refused(Status::unknown("transport error")));
    }

    #[test]
    fn a_long_value_is_the_same_number() {
        assert_eq!((value(12, 1).as_str(), value(12, 5).as_str()), ("12", "00012"));
        let long = value(12, MOST_BYTES as u32);
        assert_eq!((long.len() as i64, long.parse()), (MOST_BYTES, Ok(12_u64)));
    }

    #[test]
    fn a_person_reads_what_happened() {
        let change = Change {
            at_ms: 12_340,
            state: "refused",
            why: Some("etcdserver: no leader".into()),
            write: 120,
        };
        let summary = Summary {
            format: FORMAT,
            run: "probe-0badcafe".into(),
            acknowledged: 580,
            refused: 3,
            silent: 1,
            longest_gap_ms: 2345,
            longest_gap_at_ms: 11_900,
            from: 1.0,
            to: 61.0,
            missing: 0,
        };
        expect![[r#"
                12.3 s  write 120    refused: etcdserver: no leader
            writes       580 acknowledged, 3 refused, 1 without an answer
            longest gap  2.3 s, from 11.9 s on
            read back    all of 580 acknowledged writes are there
            kept as      probe-0badcafe: `duetd store probe --verify probe-0badcafe` reads it back
        "#]]
        .assert_eq(&(describe_change(&change) + &describe(&summary, true)));
        assert_eq!(verdict(7, 2), "2 of 7 acknowledged writes LOST");
    }
}
