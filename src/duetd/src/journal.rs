//! What the state store, the witness and the agent say while they run: one line for each event on standard error, which is the journal for
//! a service. Start at [`begin`].
//!
//! Under systemd a line begins with its priority (sd-daemon(3), `SD_WARNING` and the like) and has no
//! time, which the journal keeps itself. Keys, values and keys of certificates are never said.

use std::fmt;
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The parts of the program whose own words are wanted; of the libraries below only what is wrong.
const OURS: [&str; 5] = ["duetd", "agent", "store", "mvcc", "witness"];

/// How much is said: etcd's words for it (etcd v3.5 `--log-level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Loudness {
    /// Everything.
    Debug,
    /// What happens once in a while.
    #[default]
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
    /// As `error`.
    #[value(alias = "dpanic", alias = "fatal", hide = true)]
    Panic,
}

impl Loudness {
    fn filter(self) -> LevelFilter {
        match self {
            Loudness::Debug => LevelFilter::DEBUG,
            Loudness::Info => LevelFilter::INFO,
            Loudness::Warn => LevelFilter::WARN,
            Loudness::Error | Loudness::Panic => LevelFilter::ERROR,
        }
    }
}

/// From here on, what is traced is written to standard error.
pub(crate) fn begin(loudness: Loudness) {
    // systemd names the journal's socket in JOURNAL_STREAM (systemd.exec(5)).
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let wanted = Targets::new().with_default(loudness.filter().min(LevelFilter::WARN));
    let wanted = wanted.with_targets(OURS.map(|target| (target, loudness.filter())));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line { timed })
        .with_ansi(false)
        .with_writer(io::stderr);
    // A second call, which only a test could make, changes nothing.
    let _ = tracing_subscriber::registry().with(lines).with(wanted).try_init();
}

/// The form of a line.
struct Line {
    timed: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.timed {
            SystemTime.format_time(&mut line)?;
            write!(line, " {level:>5} ")?;
        } else {
            write!(line, "<{}>", priority(level))?;
        }
        context.field_format().format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

/// syslog's number for a level (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_the_journal_begins_with_its_priority() {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Line { timed: false })
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(index = 7, "the disk is slow");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said, "<4>the disk is slow index=7\n");
    }
}
