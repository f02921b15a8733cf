//! A clock that has lost the time is set to the last time that is known. Start at [`ensure`].
//!
//! A machine whose clock's battery is empty starts in 1970, or wherever its firmware begins to count. Where
//! that is years off, systemd goes to the time of the image (systemd(1), `/usr/lib/clock-epoch`). It may be
//! long over, and rooms whose clocks are more than a day apart do not speak with each other. So a clock that
//! says what cannot be is moved forward here, as far as is certain; a time server does the rest. A clock
//! that may be right is never touched.

use std::fs;

use site::Timestamp;

use super::Machine;
use crate::node::Problem;
use crate::root::{KEPT_TIMES, Root};

/// By how much a good clock may differ from what systemd made of it, in seconds: less than by the time zone
/// of whoever set it.
const SKEW_S: u64 = 24 * 60 * 60;

/// Sees to it that the clock is not before `issued`, the time of the seed.
pub(super) fn ensure(
    root: &Root,
    machine: &dyn Machine,
    issued: Timestamp,
    notices: &mut Vec<Problem>,
) {
    let now = machine.now();
    // Without one there is nothing but the time that the kernel has.
    let said = machine.hardware_clock().unwrap_or(now);
    // systemd has left a clock behind whose time cannot be.
    if said >= issued && said.unix().abs_diff(now.unix()) <= SKEW_S {
        return;
    }
    // What was written last was written before now. Only a clock that is wrong for certain is judged by it:
    // files from the future must not hold a right one there.
    let kept = KEPT_TIMES.iter().filter_map(|path| {
        let changed = fs::metadata(root.path(path)).and_then(|data| data.modified()).ok()?;
        Some(Timestamp::from(changed))
    });
    let known = kept.fold(issued, Timestamp::max);
    let set = if now < known { machine.set_clock(known) } else { Ok(()) };
    let done = match set {
        Ok(()) => format!("and was set to {}, the last that is known", now.max(known)),
        Err(error) => format!("and could not be set to {known}: {error}"),
    };
    notices.push(Problem::new(
        "clock.lost",
        format!(
            "The clock of this machine had lost the time: it said {said}, {done}."
        ),
        "Replace the clock's battery. It is right once a time server answers (`chronyc -n sources`), or you \
         set it: `date --utc --set '2026-11-29 12:00'`.",
    ));
}
