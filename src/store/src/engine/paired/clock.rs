//! The clock of leases: `CLOCK_BOOTTIME`, which goes on while a machine sleeps and never jumps.

use std::time::Duration;

use pair::Time;
use rustix::time::{ClockId, clock_gettime};

/// Since this machine started.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    // Both are never negative for this clock.
    Time(Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
}
