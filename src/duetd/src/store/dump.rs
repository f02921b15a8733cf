//! `duetd store dump`: what a data folder holds, line by line.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::store::checkpoint;
use ::store::disk::{Disk, RealDisk};
use ::store::record::Record;
use ::store::recover;
use clap::Args;
use data_encoding::BASE64;
use mvcc::{Change, Effect, EventKind, Item};
use serde_json::{Value, json};

use super::{DATA_DIR, words};
use crate::console;

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,

    /// Only what is about keys that begin so
    #[arg(long, value_name = "KEY", default_value = "")]
    prefix: String,

    /// Only so many lines
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Print values too; they may be secrets
    #[arg(long)]
    values: bool,

    /// Print a JSON object on each line, keys and values in base64
    #[arg(long)]
    json: bool,
}

impl Dump {
    /// Prints the newest checkpoint, then the log.
    pub(crate) fn run(self) -> Result<ExitCode, miette::Report> {
        let disk = RealDisk::read_only(&self.data_dir)?;
        let mut lines = console::Lines::new();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut print = |line: Option<String>| -> Result<bool, miette::Report> {
            let Some(line) = line else { return Ok(true) };
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            lines.line(&line)
        };
        let printed = self.print_all(&disk, &mut print);
        lines.finish()?;
        printed.map(|()| ExitCode::SUCCESS)
    }

    fn print_all(
        &self,
        disk: &RealDisk,
        print: &mut dyn FnMut(Option<String>) -> Result<bool, miette::Report>,
    ) -> Result<(), miette::Report> {
        if let Some(path) = newest_checkpoint(disk, &self.data_dir)? {
            let mut file = File::open(&path).map_err(|error| {
                miette::miette!(code = "output::dump", "cannot open {}: {error}", path.display())
            })?;
            let (state, _) = checkpoint::read(&mut file)?;
            for item in state.items() {
                if !print(self.item(&item))? {
                    return Ok(());
                }
            }
        }
        let mut damage = None;
        for record in recover::records(disk) {
            match record {
                Ok(record) if !print(self.record(&record))? => return Ok(()),
                Ok(_) => {}
                // What can be read behind the damage is what a person in trouble looks for.
                Err(error) => {
                    console::note(&format!("damaged: {error}"));
                    damage.get_or_insert(error);
                }
            }
        }
        damage.map_or(Ok(()), |error| Err(error.into()))
    }

    fn wants(&self, key: &[u8]) -> bool {
        key.starts_with(self.prefix.as_bytes())
    }

    /// A line of the checkpoint; none if it is not wanted.
    fn item(&self, item: &Item) -> Option<String> {
        let all = self.prefix.is_empty();
        let (text, json) = match item {
            Item::Head { revision, compacted, leases, versions } => (
                format!(
                    "checkpoint: revision {revision}, compacted at {}, {}, {}",
                    compacted.max(&0),
                    words::count(*leases, "lease"),
                    words::count(*versions, "version")
                ),
                json!({
                    "from": "checkpoint", "kind": "head", "revision": revision,
                    "compacted": compacted.max(&0), "leases": leases, "versions": versions,
                }),
            ),
            Item::Lease { id, ttl } => (
                format!("checkpoint: lease {id:x}, {ttl} s"),
                json!({ "from": "checkpoint", "kind": "lease", "lease": id, "ttl": ttl }),
            ),
            Item::Version { sub, kind, kv } => {
                if !self.wants(&kv.key) {
                    return None;
                }
                let mut json = json!({
                    "from": "checkpoint", "kind": word(*kind), "revision": kv.mod_revision,
                    "sub": sub, "create_revision": kv.create_revision, "version": kv.version,
                    "lease": kv.lease,
                });
                self.pair(&mut json, &kv.key, (*kind == EventKind::Put).then_some(&kv.value[..]));
                let pair = self.pair_text(*kind, &kv.key, &kv.value, kv.lease);
                (format!("checkpoint: {}.{sub} {pair}", kv.mod_revision), json)
            }
        };
        let wanted = all || matches!(item, Item::Version { .. });
        wanted.then(|| if self.json { json.to_string() } else { text })
    }

    /// A line of the log; none if it is not wanted.
    fn record(&self, record: &Record) -> Option<String> {
        let Record { index, term, effect } = record;
        let (text, what) = match effect {
            Effect::Write { revision, changes } => {
                let wanted = changes.iter().filter(|change| self.wants(key_of(change)));
                let (mut texts, mut list) = (Vec::new(), Vec::new());
                for change in wanted {
                    let (text, json) = self.change(change);
                    texts.push(text);
                    list.push(json);
                }
                if list.is_empty() {
                    return None;
                }
                (
                    format!("revision {revision}: {}", texts.join("; ")),
                    json!({ "kind": "write", "revision": revision, "changes": list }),
                )
            }
            // The others are about all keys or about none.
            _ if !self.prefix.is_empty() => return None,
            Effect::Grant { id, ttl } => (
                format!("grant lease {id:x} for {ttl} s"),
                json!({ "kind": "grant", "lease": id, "ttl": ttl }),
            ),
            Effect::Revoke { id, revision } => (
                format!("revoke lease {id:x}, then revision {revision}"),
                json!({ "kind": "revoke", "lease": id, "revision": revision }),
            ),
            Effect::Compact { revision } => (
                format!("compact at revision {revision}"),
                json!({ "kind": "compact", "revision": revision }),
            ),
            Effect::Leap { revision } => (
                format!("leap to revision {revision}"),
                json!({ "kind": "leap", "revision": revision }),
            ),
        };
        if !self.json {
            return Some(format!("log: {index} {text}"));
        }
        let mut json = json!({ "from": "log", "index": index, "term": term });
        if let (Value::Object(json), Value::Object(what)) = (&mut json, what) {
            json.extend(what);
        }
        Some(json.to_string())
    }

    fn change(&self, change: &Change) -> (String, Value) {
        match change {
            Change::Put { key, value, lease } => {
                let mut json = json!({ "kind": "put", "lease": lease });
                self.pair(&mut json, key, Some(value));
                (self.pair_text(EventKind::Put, key, value, *lease), json)
            }
            Change::Delete { key } => {
                let mut json = json!({ "kind": "delete" });
                self.pair(&mut json, key, None);
                (self.pair_text(EventKind::Delete, key, b"", 0), json)
            }
        }
    }

    fn pair(&self, json: &mut Value, key: &[u8], value: Option<&[u8]>) {
        json["key"] = BASE64.encode(key).into();
        if let Some(value) = value {
            json["value_bytes"] = value.len().into();
            if self.values {
                json["value"] = BASE64.encode(value).into();
            }
        }
    }

    fn pair_text(&self, kind: EventKind, key: &[u8], value: &[u8], lease: i64) -> String {
        let mut text = format!("{} {}", word(kind), words::text(key));
        if kind == EventKind::Put {
            text += &format!(" ({}", words::count(value.len() as u64, "byte"));
            if lease != 0 {
                text += &format!(", lease {lease:x}");
            }
            text += ")";
            if self.values {
                text += &format!(" = {}", words::text(value));
            }
        }
        text
    }
}

fn key_of(change: &Change) -> &[u8] {
    match change {
        Change::Put { key, .. } | Change::Delete { key } => key,
    }
}

fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Put => "put",
        EventKind::Delete => "delete",
    }
}

/// The names of checkpoints sort as their ages do.
fn newest_checkpoint(disk: &RealDisk, folder: &Path) -> Result<Option<PathBuf>, miette::Report> {
    let entries = disk.list().map_err(|error| {
        miette::miette!(code = "output::dump", "cannot list {}: {error}", folder.display())
    })?;
    let numbered = |name: &str| {
        let number = name.strip_prefix("checkpoint-");
        number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let newest = entries.into_iter().map(|entry| entry.name).filter(|name| numbered(name)).max();
    Ok(newest.map(|name| folder.join(name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use expect_test::{Expect, expect};
    use mvcc::KeyValue;

    use super::*;

    fn check(dump: &Dump, expected: Expect) {
        let kv = |key: &'static [u8], value: &'static [u8], lease| {
            Arc::new(KeyValue {
                key: key.into(),
                value: value.into(),
                create_revision: 3,
                mod_revision: 4,
                version: 2,
                lease,
            })
        };
        let items = [
            Item::Head { revision: 9, compacted: -1, leases: 1, versions: 2 },
            Item::Lease { id: 0x7b, ttl: 60 },
            Item::Version { sub: 0, kind: EventKind::Put, kv: kv(b"/a", b"secret", 0x7b) },
            Item::Version { sub: 1, kind: EventKind::Delete, kv: kv(b"/b\n", b"", 0) },
        ];
        let changes = vec![
            Change::Put { key: "/a".into(), value: "x\0".into(), lease: 0 },
            Change::Delete { key: "/b".into() },
        ];
        let effects = [
            Effect::Write { revision: 10, changes },
            Effect::Grant { id: 255, ttl: 5 },
            Effect::Revoke { id: 255, revision: 10 },
            Effect::Compact { revision: 8 },
        ];
        let records = effects.into_iter().zip(20..);
        let records = records.map(|(effect, index)| Record { index, term: 2, effect });
        let lines = items.iter().filter_map(|item| dump.item(item));
        let lines = lines.chain(records.filter_map(|record| dump.record(&record)));
        expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    }

    fn dump() -> Dump {
        Dump {
            data_dir: PathBuf::new(),
            prefix: String::new(),
            limit: None,
            values: false,
            json: false,
        }
    }

    #[test]
    fn a_person_reads_one_thing_a_line() {
        check(
            &dump(),
            expect![[r#"
            checkpoint: revision 9, compacted at 0, 1 lease, 2 versions
            checkpoint: lease 7b, 60 s
            checkpoint: 4.0 put /a (6 bytes, lease 7b)
            checkpoint: 4.1 delete /b\x0a
            log: 20 revision 10: put /a (2 bytes); delete /b
            log: 21 grant lease ff for 5 s
            log: 22 revoke lease ff, then revision 10
            log: 23 compact at revision 8"#]],
        );
        check(
            &Dump { values: true, prefix: "/a".into(), ..dump() },
            expect![[r#"
            checkpoint: 4.0 put /a (6 bytes, lease 7b) = secret
            log: 20 revision 10: put /a (2 bytes) = x\x00"#]],
        );
    }

    #[test]
    fn a_script_reads_an_object_a_line() {
        check(
            &Dump { json: true, ..dump() },
            expect![[r#"
                {"from":"checkpoint","kind":"head","revision":9,"compacted":0,"leases":1,"versions":2}
                {"from":"checkpoint","kind":"lease","lease":123,"ttl":60}
                {"from":"checkpoint","kind":"put","revision":4,"sub":0,"create_revision":3,"version":2,"lease":123,"key":"L2E=","value_bytes":6}
                {"from":"checkpoint","kind":"delete","revision":4,"sub":1,"create_revision":3,"version":2,"lease":0,"key":"L2IK"}
                {"from":"log","index":20,"term":2,"kind":"write","revision":10,"changes":[{"kind":"put","lease":0,"key":"L2E=","value_bytes":2},{"kind":"delete","key":"L2I="}]}
                {"from":"log","index":21,"term":2,"kind":"grant","lease":255,"ttl":5}
                {"from":"log","index":22,"term":2,"kind":"revoke","lease":255,"revision":10}
                {"from":"log","index":23,"term":2,"kind":"compact","revision":8}"#]],
        );
        check(
            &Dump { json: true, values: true, prefix: "/a".into(), ..dump() },
            expect![[r#"
                {"from":"checkpoint","kind":"put","revision":4,"sub":0,"create_revision":3,"version":2,"lease":123,"key":"L2E=","value_bytes":6,"value":"c2VjcmV0"}
                {"from":"log","index":20,"term":2,"kind":"write","revision":10,"changes":[{"kind":"put","lease":0,"key":"L2E=","value_bytes":2,"value":"eAA="}]}"#]],
        );
    }
}
