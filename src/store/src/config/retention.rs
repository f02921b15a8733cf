//! When history is forgotten, as etcd's two flags say it (etcd v3.5 `server/embed/etcd.go`,
//! `parseCompactionRetention`): a plain number is hours or revisions, by the mode.

use super::error::Problem;
use super::raw::Text;
use super::{Duration, Retention, duration};

const MODE: &str = "auto-compaction-mode";
const RETENTION: &str = "auto-compaction-retention";

/// Reads both flags.
pub(super) fn parse(mode: Option<&Text>, retention: Option<&Text>) -> Result<Retention, Problem> {
    let kept = retention.map_or("0", |text| text.0.as_str());
    match mode.map_or("periodic", |text| text.0.as_str()) {
        "periodic" => {
            let span = match kept.parse::<u32>() {
                Ok(hours) => Duration::from_secs(u64::from(hours) * 3600),
                Err(_) => {
                    duration::parse(kept).map_err(|reason| Problem::new(RETENTION, reason))?
                }
            };
            match span {
                Duration::ZERO => Ok(Retention::Forever),
                // The engine looks once a second at most.
                span if span < Duration::from_secs(1) => {
                    Err(Problem::new(RETENTION, format!("{kept} is shorter than 1s")))
                }
                span => Ok(Retention::Time(span)),
            }
        }
        "revision" => match kept.parse::<i64>() {
            Ok(0) => Ok(Retention::Forever),
            Ok(count) if count > 0 => Ok(Retention::Revisions(count)),
            _ => {
                let reason =
                    format!("`{kept}` is no number of revisions, as the mode `revision` needs");
                Err(Problem::new(RETENTION, reason))
            }
        },
        other => Err(Problem::new(MODE, format!("`{other}` is neither `periodic` nor `revision`"))),
    }
}

/// Both flags for a retention.
pub(super) fn text(retention: Retention) -> (Text, Text) {
    let (mode, kept) = match retention {
        Retention::Forever => ("periodic", Text("0".to_owned())),
        Retention::Time(span) => ("periodic", duration::text(span)),
        Retention::Revisions(count) => ("revision", Text(count.to_string())),
    };
    (Text(mode.to_owned()), kept)
}
