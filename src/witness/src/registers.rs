//! What is held for each site, and what becomes of a group of questions. Start at [`Registers::decide`]. Pure:
//! the time and what the disk holds come in, answers and what is to be written go out.

use std::collections::BTreeMap;

use pair::witness::{Reply, Request, Witness};
use site::Label;

use crate::definition::Generation;
use crate::disk::Stamp;
use crate::record::Record;
use crate::wire::{Answer, Question, Refused, Status};

/// How many sites one witness takes: more than any has, and a few dozen MiB.
pub(crate) const MAX_SITES: usize = 100_000;

/// What is known of a site.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Which content of its definition this was read from.
    pub(crate) stamp: Stamp,
    /// What is held, or why nobody can tell.
    pub(crate) state: Result<Held, String>,
    /// The bytes of its record.
    pub(crate) record_bytes: u64,
    /// When it was last noted that the site asked; milliseconds since 1970.
    pub(crate) noted_ms: u64,
}

/// What is held for a site that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) witness: Witness,
    pub(crate) changed_ms: Option<u64>,
}

impl Held {
    /// What a definition and a record say together. A record of another generation was written before the
    /// site was renewed: what it holds is the newest decision that the witness knew then.
    pub(crate) fn of(generation: Generation, record: Record) -> Held {
        let witness = Witness { generation: generation.get(), held: record.witness.held };
        Held { witness, changed_ms: record.changed_ms }
    }
}

/// Every site.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    pub(crate) sites: BTreeMap<Label, Site>,
}

/// A question of a room that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) site: Label,
    pub(crate) question: Question,
    /// When; milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// What becomes of a group of questions.
#[derive(Debug)]
pub(crate) struct Decision {
    /// One for each question, in their order. None is sent before `records` are on the disk.
    pub(crate) answers: Vec<Answer>,
    /// What is new: the last state of each site that changed.
    pub(crate) records: BTreeMap<Label, Record>,
}

impl Registers {
    /// Decides on questions in their order, each on what the one before it left.
    pub(crate) fn decide(&self, asked: &[Asked]) -> Decision {
        let mut records = BTreeMap::new();
        let answers = asked.iter().map(|asked| self.answer(asked, &mut records)).collect();
        Decision { answers, records }
    }

    fn answer(&self, asked: &Asked, records: &mut BTreeMap<Label, Record>) -> Answer {
        let Some(site) = self.sites.get(&asked.site) else {
            return Answer::Refused(Refused::UnknownSite);
        };
        let held = match &site.state {
            Ok(held) => held,
            Err(reason) => return Answer::Refused(Refused::Damaged(reason.clone())),
        };
        let newest = records.get(&asked.site);
        match &asked.question {
            Question::Status => {
                let (witness, changed_ms) = match newest {
                    Some(record) => (&record.witness, record.changed_ms),
                    None => (&held.witness, held.changed_ms),
                };
                let Witness { generation, held } = *witness;
                let disk_bytes = site.stamp.len + site.record_bytes;
                let release = env!("CARGO_PKG_VERSION").to_owned();
                Answer::Status(Status { generation, held, changed_ms, disk_bytes, release })
            }
            Question::Ask(request) => {
                let before = newest.map_or(&held.witness, |record| &record.witness);
                let (reply, after) = step(before, request);
                if after != *before {
                    let record = Record {
                        site: asked.site.clone(),
                        witness: after,
                        changed_ms: Some(asked.at_ms),
                    };
                    records.insert(asked.site.clone(), record);
                }
                Answer::Reply(reply)
            }
        }
    }

    /// Takes over what is now on the disk, where it has so many bytes; how many more those are than before.
    pub(crate) fn commit(&mut self, record: Record, bytes: u64) -> i64 {
        let Record { site, witness, changed_ms } = record;
        let Some(site) = self.sites.get_mut(&site) else { return 0 };
        site.state = Ok(Held { witness, changed_ms });
        let more = bytes as i64 - site.record_bytes as i64;
        site.record_bytes = bytes;
        more
    }

    /// How many sites there are, how many of them are damaged, and the bytes of their files.
    pub(crate) fn count(&self) -> (usize, usize, u64) {
        let damaged = self.sites.values().filter(|site| site.state.is_err()).count();
        let bytes = self.sites.values().map(|site| site.stamp.len + site.record_bytes).sum();
        (self.sites.len(), damaged, bytes)
    }
}

fn step(before: &Witness, request: &Request) -> (Reply, Witness) {
    let mut after = before.clone();
    let reply = after.step(request);
    (reply, after)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::UNIX_EPOCH;

    use pair::{GrantedBy, InSync, Incarnations, Register, Room};

    use super::*;

    pub(crate) const STAMP: Stamp = Stamp { inode: 1, len: 700, modified: UNIX_EPOCH };

    /// What both rooms decided; `generation` is that of the witness.
    pub(crate) fn both(epoch: u64, generation: u64) -> Register {
        Register {
            cluster: 7,
            epoch,
            leader: Room::A,
            in_sync: InSync::Both,
            granted_by: GrantedBy::Consent,
            witness: generation,
            boot_id: 0,
            incarnations: Incarnations { a: 1, b: 1 },
        }
    }

    pub(crate) fn report(epoch: u64, generation: u64) -> Question {
        Question::Ask(Request::Report(both(epoch, generation)))
    }

    pub(crate) fn grant(room: Room, epoch: u64, generation: u64) -> Question {
        let base = both(epoch, generation);
        Question::Ask(Request::Grant { room, incarnation: 1, base })
    }

    fn asked(site: &str, question: Question) -> Asked {
        Asked { site: site.parse().unwrap(), question, at_ms: 5 }
    }

    fn registers(names: &[&str]) -> Registers {
        let held = Held { witness: Witness::new(3), changed_ms: None };
        let site = Site { stamp: STAMP, state: Ok(held), record_bytes: 40, noted_ms: 0 };
        let sites = names.iter().map(|name| (name.parse().unwrap(), site.clone())).collect();
        Registers { sites }
    }

    #[test]
    fn a_group_is_decided_in_its_order_and_written_once() {
        let mut registers = registers(&["x", "y"]);
        let group = [
            asked("x", report(4, 3)),
            asked("x", grant(Room::B, 4, 3)),
            asked("y", report(9, 3)),
            asked("x", grant(Room::A, 4, 3)),
            asked("x", Question::Status),
            asked("z", Question::Status),
        ];
        let decision = registers.decide(&group);
        let granted = both(4, 3).granted(Room::B, GrantedBy::Witness);
        assert_eq!(decision.answers[0], Answer::Reply(Reply::Holds(both(4, 3))));
        assert_eq!(decision.answers[1], Answer::Reply(Reply::Granted(granted)));
        assert!(matches!(&decision.answers[3], Answer::Reply(Reply::Refused { held, .. })
            if *held == Some(granted)));
        let Answer::Status(status) = &decision.answers[4] else { panic!("no status") };
        assert_eq!((status.held, status.changed_ms), (Some(granted), Some(5)));
        assert_eq!(decision.answers[5], Answer::Refused(Refused::UnknownSite));
        assert_eq!(decision.records.len(), 2, "one for each site");
        assert_eq!(decision.records[&"x".parse().unwrap()].witness.held, Some(granted));

        // What was not written did not happen.
        let again = registers.decide(&[asked("x", Question::Status)]);
        assert!(matches!(&again.answers[0], Answer::Status(status) if status.held.is_none()));
        for record in decision.records.into_values() {
            registers.commit(record, 90);
        }
        let again = registers.decide(&[asked("x", grant(Room::B, 4, 3))]);
        assert_eq!(again.answers[0], Answer::Reply(Reply::Granted(granted)));
        assert!(again.records.is_empty(), "the same answer needs no disk");
        assert_eq!(registers.count(), (2, 0, 2 * 790));
    }

    #[test]
    fn a_damaged_site_is_refused_with_its_reason() {
        let mut registers = registers(&["x"]);
        let site = registers.sites.values_mut().next().unwrap();
        site.state = Err("its checksum does not hold".into());
        let decision = registers.decide(&[asked("x", grant(Room::A, 4, 3))]);
        let damaged = Refused::Damaged("its checksum does not hold".into());
        assert_eq!(decision.answers, [Answer::Refused(damaged)]);
        assert_eq!(registers.count().1, 1);
    }

    #[test]
    fn a_renewed_site_knows_what_it_held_and_grants_nothing_by_it() {
        let old = Witness { generation: 3, held: Some(both(4, 3)) };
        let record = Record { site: "x".parse().unwrap(), witness: old, changed_ms: Some(1) };
        let held = Held::of(Generation::new(8).unwrap(), record);
        assert_eq!(held.witness, Witness { generation: 8, held: Some(both(4, 3)) });
        let mut registers = registers(&["x"]);
        registers.sites.values_mut().next().unwrap().state = Ok(held);
        let decision = registers.decide(&[
            asked("x", grant(Room::A, 4, 3)),
            asked("x", report(5, 8)),
            asked("x", grant(Room::A, 5, 8)),
        ]);
        let texts: Vec<String> = decision.answers.iter().map(|one| format!("{one:?}")).collect();
        assert!(texts[0].contains("OtherGeneration(8)"), "{texts:?}");
        assert_eq!(decision.answers[1], Answer::Reply(Reply::Holds(both(5, 8))));
        assert!(texts[2].contains("Granted"), "{texts:?}");
    }
}
