//! Progress, drawn: moving bars on a terminal, one line for each finished stage elsewhere.

use std::time::{Duration, Instant};

use image::progress::{Progress, Task, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Console, Loudness};

/// A stage that was shorter leaves no line behind: nobody waited for it.
const WORTH_A_LINE: Duration = Duration::from_millis(300);
/// How often the spinner turns: quick enough to look alive.
const TICK: Duration = Duration::from_millis(120);

const BYTES: &str = "{spinner} {msg:<28} {bar:24} {bytes:>10}/{total_bytes} {elapsed:>4}";
const ITEMS: &str = "{spinner} {msg:<28} {bar:24} {pos:>10}/{len} {elapsed:>4}";
const UNKNOWN: &str = "{spinner} {msg:<28} {elapsed:>4}";

impl Progress for Console {
    fn begin(&self, what: &str, total: u64, unit: Unit) -> Box<dyn Task> {
        let bar = match total {
            0 => ProgressBar::new_spinner(),
            total => ProgressBar::new(total),
        };
        let template = match (total, unit) {
            (0, _) => UNKNOWN,
            (_, Unit::Bytes) => BYTES,
            (_, Unit::Items) => ITEMS,
        };
        let style = ProgressStyle::with_template(template);
        let bar = self.bars.add(bar.with_style(style.expect("the templates above parse")));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        Box::new(Stage {
            bars: self.bars.clone(),
            bar,
            what: what.to_owned(),
            since: Instant::now(),
            worth: match self.loudness {
                Loudness::Quiet => Duration::MAX,
                Loudness::Normal => WORTH_A_LINE,
                Loudness::Verbose => Duration::ZERO,
            },
        })
    }
}

/// A stage under way.
struct Stage {
    bars: MultiProgress,
    bar: ProgressBar,
    what: String,
    since: Instant,
    worth: Duration,
}

impl Task for Stage {
    fn advance(&self, amount: u64) {
        self.bar.inc(amount);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
        let took = self.since.elapsed();
        if took >= self.worth {
            let line = format!("{:<30} {:>6.1} s", self.what, took.as_secs_f64());
            self.bars.suspend(|| super::line(&line));
        }
    }
}
