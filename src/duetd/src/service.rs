//! What every long-running command has in common: signals that end it, and the way to systemd. Start at
//! [`told_to_end`] and [`Systemd::new`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::notify::Notifier;

/// The system gives no thread or no signal.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot {action}")]
#[diagnostic(code(output::system), help("see the limits of this process: `ulimit -a`"))]
pub(crate) struct SystemError {
    /// What was tried.
    pub(crate) action: &'static str,
    /// The cause.
    #[source]
    pub(crate) source: std::io::Error,
}

/// Resolves at SIGTERM or SIGINT.
pub(crate) fn told_to_end() -> Result<impl Future<Output = ()>, SystemError> {
    let catch =
        |kind| signal(kind).map_err(|source| SystemError { action: "listen for signals", source });
    let (mut terminate, mut interrupt) =
        (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The way to systemd, which is also told now and then that the process lives.
#[derive(Clone)]
pub(crate) struct Systemd(Arc<Notifier>);

impl Systemd {
    /// The one that this process' environment names, if any. To be called within a runtime.
    pub(crate) fn new() -> Result<Systemd, miette::Report> {
        let notifier = Notifier::new(std::env::var("NOTIFY_SOCKET").ok().as_deref())
            .map_err(|error| miette::miette!("cannot reach systemd's notify socket: {error}"))?;
        let systemd = Systemd(Arc::new(notifier));
        if let Some(period) = watchdog(std::env::var("WATCHDOG_USEC").ok().as_deref()) {
            let systemd = systemd.clone();
            tokio::spawn(async move {
                loop {
                    systemd.say("WATCHDOG=1");
                    tokio::time::sleep(period).await;
                }
            });
        }
        Ok(systemd)
    }

    /// Sends one or more assignments, such as `READY=1`.
    pub(crate) fn say(&self, state: &str) {
        if let Err(error) = self.0.say(state) {
            tracing::warn!("systemd does not listen: {error}");
        }
    }
}

/// How often systemd wants to hear: half of what it waits (sd_watchdog_enabled(3)).
fn watchdog(usec: Option<&str>) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_stroked_twice_in_its_time() {
        assert_eq!(watchdog(Some("120000000")), Some(Duration::from_secs(60)));
        assert_eq!(watchdog(Some("0")), None);
        assert_eq!(watchdog(Some("soon")), None);
        assert_eq!(watchdog(None), None);
    }
}
