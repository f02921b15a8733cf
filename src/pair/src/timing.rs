//! How long each room waits for what. Start at [`Timing::checked`]; no other part checks again.

use std::time::Duration;

/// The times of a site; both rooms have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How often the leader speaks.
    pub heartbeat: Duration,
    /// A peer that has not answered for so long is silent: writes wait and a grant is sought.
    pub silent: Duration,
    /// How long a follower promises not to seek a grant after it heard the leader.
    pub lease: Duration,
    /// By how much two clocks may differ in speed, in percent; taken off the leader's side.
    pub drift_percent: u32,
    /// How long after the leader the follower uses the power switch, so that a cut link has one winner.
    pub power_delay: Duration,
    /// How long an authority has to answer before it is asked again.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            heartbeat: Duration::from_millis(250),
            silent: Duration::from_millis(1500),
            lease: Duration::from_secs(2),
            drift_percent: 10,
            power_delay: Duration::from_secs(3),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// These times, when they do not contradict one another.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn checked(self) -> Result<Timing, TimingError> {
        let Timing { heartbeat, silent, lease, drift_percent, .. } = self;
        if heartbeat.is_zero() {
            return Err(TimingError::NoHeartbeat);
        }
        if drift_percent > 50 {
            return Err(TimingError::Drift(drift_percent));
        }
        if silent < heartbeat * 2 {
            return Err(TimingError::SilentTooShort { silent, heartbeat });
        }
        if self.leader_lease() <= silent {
            let usable = self.leader_lease();
            return Err(TimingError::LeaseTooShort { lease, usable, silent });
        }
        if self.retry < heartbeat {
            return Err(TimingError::RetryTooShort { retry: self.retry, heartbeat });
        }
        if lease > MAX_LEASE {
            return Err(TimingError::LeaseTooLong { lease });
        }
        Ok(self)
    }

    /// What of the lease the leader may use: less by the margin for clocks of different speed.
    #[must_use]
    pub fn leader_lease(&self) -> Duration {
        self.lease * 100u32.saturating_sub(self.drift_percent) / 100
    }
}

/// Kubernetes' controllers give up their leadership when the store is away for ten seconds.
const MAX_LEASE: Duration = Duration::from_secs(10);

/// Why times cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// No time between heartbeats.
    #[error("heartbeat is 0: the leader would speak without a pause")]
    NoHeartbeat,
    /// Clocks cannot be that bad.
    #[error("drift_percent is {0}: more than 50 leaves the leader no lease worth having")]
    Drift(u32),
    /// One lost heartbeat would count as a lost room.
    #[error(
        "silent ({silent:?}) is below two heartbeats ({heartbeat:?}): one late packet would be a lost room"
    )]
    SilentTooShort {
        /// As given.
        silent: Duration,
        /// As given.
        heartbeat: Duration,
    },
    /// The leader would stop reading before it noticed that the peer is silent.
    #[error("lease ({lease:?}, of which {usable:?} can be used) must outlast silent ({silent:?})")]
    LeaseTooShort {
        /// As given.
        lease: Duration,
        /// Without the margin.
        usable: Duration,
        /// As given.
        silent: Duration,
    },
    /// A lease that keeps the survivor waiting for too long.
    #[error("lease ({lease:?}) is above 10 s: controllers would lose their leadership meanwhile")]
    LeaseTooLong {
        /// As given.
        lease: Duration,
    },
    /// An authority that is asked faster than heartbeats go.
    #[error("retry ({retry:?}) is below one heartbeat ({heartbeat:?})")]
    RetryTooShort {
        /// As given.
        retry: Duration,
        /// As given.
        heartbeat: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Timing), text: &str) {
        let mut timing = Timing::default();
        change(&mut timing);
        let error = timing.checked().expect_err("contradictory").to_string();
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn the_defaults_hold() {
        assert_eq!(Timing::default().checked(), Ok(Timing::default()));
        assert_eq!(Timing::default().leader_lease(), Duration::from_millis(1800));
    }

    #[test]
    fn contradictions_are_refused() {
        refused(|t| t.heartbeat = Duration::ZERO, "heartbeat is 0");
        refused(|t| t.drift_percent = 51, "drift_percent is 51");
        refused(|t| t.silent = Duration::from_millis(499), "below two heartbeats");
        refused(|t| t.silent = Duration::from_millis(1800), "must outlast silent");
        refused(|t| t.drift_percent = 25, "must outlast silent");
        refused(|t| t.lease = Duration::from_secs(11), "above 10 s");
        refused(|t| t.retry = Duration::from_millis(1), "below one heartbeat");
    }
}
