//! What /init leaves for duetd: `/run/duet/boot.json`. Start at [`Record::to_json`]. Writes no file.

use serde_json::{Map, Value, json};

/// How /var came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A file system was made: the first boot, or the one after an interrupted first boot.
    Formatted,
    /// The file system was there, and grew.
    Grown,
    /// The file system was there.
    Mounted,
    /// /var is in memory and forgets everything.
    Tmpfs,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Formatted => "formatted",
            Self::Grown => "grown",
            Self::Mounted => "mounted",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// How the machine started.
#[derive(Debug, Default)]
pub struct Record {
    /// Root hash, or none if the netbooted root came without one.
    pub root_hash: Option<String>,
    /// `a` or `b`; none when netbooted.
    pub slot: Option<&'static str>,
    /// The disk that holds the partitions: `/dev/vda`.
    pub disk: Option<String>,
    /// Where the root's data lies: a partition, or a loop device when netbooted.
    pub root_partition: Option<String>,
    /// Where its hash tree lies.
    pub verity_partition: Option<String>,
    /// What /var is on.
    pub state: Option<(Option<String>, Action)>,
    /// The ESP's device, and why it is not mounted if it is not.
    pub esp: (Option<String>, Option<String>),
    /// True if the root came over the network.
    pub netboot: bool,
    /// Stages and the seconds since the kernel started at which each was over.
    pub stages: Vec<(&'static str, f64)>,
    /// Sentences on what is not as it should be.
    pub notes: Vec<String>,
}

impl Record {
    /// The text of boot.json. Every key is always there; what does not apply is null.
    pub fn to_json(&self) -> String {
        let rounded = |seconds: f64| json!((seconds * 1000.0).round() / 1000.0);
        let seconds: Map<String, Value> =
            self.stages.iter().map(|&(stage, at)| (stage.to_owned(), rounded(at))).collect();
        let state = self.state.as_ref();
        let (esp, problem) = &self.esp;
        let value = json!({
            "root_hash": self.root_hash,
            "slot": self.slot,
            "disk": self.disk,
            "root_partition": self.root_partition,
            "verity_partition": self.verity_partition,
            "state": {
                "device": state.and_then(|(device, _)| device.as_ref()),
                "action": state.map(|(_, action)| action.name()),
            },
            "esp": { "device": esp, "mounted": esp.is_some() && problem.is_none(), "problem": problem },
            "netboot": self.netboot,
            "seconds": seconds,
            "notes": self.notes,
        });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_record_of_a_first_boot() {
        let device = |number| Some(format!("/dev/vda{number}"));
        let record = Record {
            root_hash: Some("00ff".to_owned()),
            slot: Some("a"),
            disk: Some("/dev/vda".to_owned()),
            root_partition: device(2),
            verity_partition: device(3),
            state: Some((device(6), Action::Formatted)),
            esp: (device(1), Some("vfat is not known".to_owned())),
            netboot: false,
            stages: vec![("init", 1.23456), ("drivers", 2.0)],
            notes: vec!["duet.rot is not known; it is ignored".to_owned()],
        };
        expect![[r#"
            {
              "root_hash": "00ff",
              "slot": "a",
              "disk": "/dev/vda",
              "root_partition": "/dev/vda2",
              "verity_partition": "/dev/vda3",
              "state": {
                "device": "/dev/vda6",
                "action": "formatted"
              },
              "esp": {
                "device": "/dev/vda1",
                "mounted": false,
                "problem": "vfat is not known"
              },
              "netboot": false,
              "seconds": {
                "init": 1.235,
                "drivers": 2.0
              },
              "notes": [
                "duet.rot is not known; it is ignored"
              ]
            }
        "#]]
        .assert_eq(&record.to_json());
    }

    #[test]
    fn what_does_not_apply_is_null_and_not_left_out() {
        let value: Value = serde_json::from_str(&Record::default().to_json()).unwrap_or_default();
        assert_eq!(value["slot"], Value::Null);
        assert_eq!(value["state"], json!({"device": null, "action": null}));
        assert_eq!(value["esp"]["mounted"], json!(false));
    }
}
