//! Replaying effects. Nothing is decided here: an effect either follows the state or shows that
//! something is damaged.

use bytes::Bytes;

use crate::{ApplyError, Change, Effect, State};

/// A key as a person reads it in an error.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

impl State {
    pub(crate) fn replay(&mut self, effect: &Effect) -> Result<(), ApplyError> {
        match *effect {
            Effect::Write { revision, ref changes } => self.replay_write(revision, changes),
            Effect::Grant { id, ttl } => {
                self.grant(id, ttl).map_err(|_| ApplyError::Grant(id)).map(drop)
            }
            Effect::Revoke { id, revision } => {
                let lease = self.lease(id).ok_or(ApplyError::NoLease(id))?;
                let ends_at = self.revision + i64::from(!lease.keys.is_empty());
                if revision != ends_at {
                    return Err(ApplyError::Revision { found: revision, current: self.revision });
                }
                self.revoke_lease(id);
                Ok(())
            }
            Effect::Compact { revision } => {
                let (current, compacted) = (self.revision, self.compacted);
                let error = ApplyError::Compact { found: revision, current, compacted };
                self.compact(revision).map_err(|_| error).map(drop)
            }
            Effect::Leap { revision } => {
                let error = ApplyError::Revision { found: revision, current: self.revision };
                self.leap(revision).map_err(|_| error).map(drop)
            }
        }
    }

    fn replay_write(&mut self, revision: i64, changes: &[Change]) -> Result<(), ApplyError> {
        if revision != self.revision + 1 {
            return Err(ApplyError::Revision { found: revision, current: self.revision });
        }
        if changes.is_empty() {
            return Err(ApplyError::NoChange(revision));
        }
        // One change fails before it writes.
        let saved = (changes.len() > 1).then(|| self.clone());
        for (sub, change) in (0..).zip(changes) {
            if let Err(error) = self.replay_change(revision, sub, change) {
                if let Some(saved) = saved {
                    *self = saved;
                }
                return Err(error);
            }
        }
        self.close(revision);
        Ok(())
    }

    fn replay_change(
        &mut self,
        revision: i64,
        sub: u32,
        change: &Change,
    ) -> Result<(), ApplyError> {
        let not_empty = |key: &Bytes| {
            if key.is_empty() { Err(ApplyError::EmptyKey(revision)) } else { Ok(()) }
        };
        match change {
            Change::Put { key, value, lease } => {
                not_empty(key)?;
                if *lease != 0 && !self.leases.contains(*lease) {
                    return Err(ApplyError::NoLease(*lease));
                }
                self.put_version((revision, sub), key, value, *lease);
                Ok(())
            }
            Change::Delete { key } => {
                not_empty(key)?;
                if self.delete_version(revision, sub, key) {
                    return Ok(());
                }
                Err(ApplyError::NotThere { revision, key: printable(key) })
            }
        }
    }
}
