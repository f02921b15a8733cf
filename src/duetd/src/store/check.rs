//! `duetd store check`: whether a data folder is in order.

use std::path::PathBuf;
use std::process::ExitCode;

use ::store::disk::RealDisk;
use ::store::recover::{self, Progress, Report};
use clap::Args;
use serde::Serialize;

use super::DATA_DIR;
use crate::{console, exit};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,

    /// Print JSON for a script
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Reads everything and reports.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let disk = RealDisk::read_only(&self.data_dir)?;
        let progress = console::Progress::new("reading the data folder");
        let report = recover::check(&disk, &|done| {
            let (Progress::Checkpoint { done, total } | Progress::Log { done, total }) = done;
            progress.set(done, total);
        });
        drop(progress);
        if self.json {
            console::json(&document(&report))?;
        } else {
            console::answer(&report.to_string())?;
        }
        let sound = report.is_sound();
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(exit::INTEGRITY) })
    }
}

/// The JSON of format 1. Later releases may add keys; what is here stays.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    sound: bool,
    revision: i64,
    keys: u64,
    last_index: u64,
    last_term: u64,
    replayed: u64,
    checkpoints: Vec<Checkpoint<'a>>,
    segments: Vec<Segment<'a>>,
    torn: Option<Torn<'a>>,
    warnings: Vec<Problem<'a>>,
    problems: Vec<Problem<'a>>,
}

#[derive(Debug, Serialize)]
struct Checkpoint<'a> {
    file: &'a str,
    index: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Segment<'a> {
    file: &'a str,
    first_index: u64,
    records: u64,
    groups: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Torn<'a> {
    file: &'a str,
    offset: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Problem<'a> {
    file: &'a str,
    what: &'a str,
}

fn document(report: &Report) -> Document<'_> {
    Document {
        format: 1,
        sound: report.is_sound(),
        revision: report.revision,
        keys: report.keys,
        last_index: report.last.0,
        last_term: report.last.1,
        replayed: report.replayed,
        checkpoints: report
            .checkpoints
            .iter()
            .map(|one| Checkpoint { file: &one.file, index: one.index, bytes: one.bytes })
            .collect(),
        segments: report
            .segments
            .iter()
            .map(|one| Segment {
                file: &one.file,
                first_index: one.first,
                records: one.records,
                groups: one.groups,
                bytes: one.bytes,
            })
            .collect(),
        torn: report.torn.as_ref().map(|one| Torn {
            file: &one.file,
            offset: one.offset,
            bytes: one.bytes,
        }),
        warnings: problems(&report.warnings),
        problems: problems(&report.problems),
    }
}

fn problems(list: &[recover::Problem]) -> Vec<Problem<'_>> {
    list.iter().map(|one| Problem { file: &one.file, what: &one.what }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_script_reads_what_a_person_reads() {
        let problem =
            recover::Problem { file: "log-1".into(), what: "damaged at offset 512".into() };
        let report =
            Report { last: (7, 2), revision: 5, problems: vec![problem], ..Report::default() };
        let text = serde_json::to_string(&document(&report)).unwrap();
        for part in [
            r#""format":1,"sound":false,"revision":5"#,
            r#""last_index":7,"last_term":2"#,
            r#""torn":null"#,
            r#""problems":[{"file":"log-1","what":"damaged at offset 512"}]"#,
        ] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
