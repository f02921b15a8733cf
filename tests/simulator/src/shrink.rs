//! Makes a plan that fails smaller while it still fails. Start at [`shrink`]. Works on the plan as data:
//! what is left is what it takes.

use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::report::{Report, run};

/// The smallest plan that was found and still fails, and what came of it. `told` hears of each that is
/// smaller. None if the plan does not fail.
#[must_use]
pub fn shrink(
    plan: &Plan,
    mutant: Option<Mutant>,
    told: &mut dyn FnMut(&Plan),
) -> Option<(Plan, Report)> {
    let mut report = run(plan, mutant);
    report.broken.as_ref()?;
    let mut plan = plan.clone();
    // Whole parts first, then one by one, until nothing can be left out.
    let mut part = plan.faults.len().div_ceil(2).max(1);
    loop {
        let mut smaller = false;
        let mut at = 0;
        while at < plan.faults.len() {
            let mut less = plan.clone();
            less.faults.drain(at..(at + part).min(plan.faults.len()));
            let tried = run(&less, mutant);
            if tried.broken.is_some() {
                (plan, report) = (less, tried);
                told(&plan);
                smaller = true;
            } else {
                at += part;
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if !smaller {
            break;
        }
    }
    for change in [fewer_clients, true_clocks, shorter] {
        let less = change(&plan);
        let tried = run(&less, mutant);
        if tried.broken.is_some() {
            (plan, report) = (less, tried);
            told(&plan);
        }
    }
    Some((plan, report))
}

fn fewer_clients(plan: &Plan) -> Plan {
    Plan { clients: 3.min(plan.clients), ..plan.clone() }
}

fn true_clocks(plan: &Plan) -> Plan {
    Plan { clocks_ppm: [0, 0], ..plan.clone() }
}

/// Ends soon after what was the last fault.
fn shorter(plan: &Plan) -> Plan {
    let last = plan.faults.iter().map(|planned| planned.at_ms + planned.fault.lasts_ms()).max();
    let seconds = plan.seconds.min(last.unwrap_or(0) / 1000 + 10);
    Plan { seconds, ..plan.clone() }
}
