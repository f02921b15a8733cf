//! Random changes of a state, such as clients and the keeper make. Start at [`effect`].

use bytes::Bytes;
use mvcc::{DeleteRangeRequest, Effect, KeyRange, PutRequest, RequestOp, State, TxnRequest};

use crate::disk::sim::Dice;
use crate::record::Record;

/// One change that the state allows; it is made.
fn effect(state: &mut State, dice: &mut Dice) -> Effect {
    loop {
        let made = match dice.below(16) {
            0..=7 => state.put(&put(state, dice)).ok().and_then(|(_, effect)| effect),
            8 | 9 => {
                let keys = KeyRange { key: key(dice), end: key(dice) };
                let request = DeleteRangeRequest { keys, prev_kv: false };
                state.delete_range(&request).ok().and_then(|(_, effect)| effect)
            }
            10..=12 => {
                let puts = (0..1 + dice.below(4)).map(|_| RequestOp::Put(put(state, dice)));
                let request = TxnRequest { success: puts.collect(), ..TxnRequest::default() };
                let sound = request.check(mvcc::DEFAULT_MAX_TXN_OPS).is_ok();
                let made = sound.then(|| state.txn(&request).ok()).flatten();
                made.and_then(|(_, effect)| effect)
            }
            13 => state.grant(1 + dice.below(5) as i64, 60).ok(),
            14 => state.revoke(1 + dice.below(5) as i64).ok(),
            _ => {
                let back = dice.below(20) as i64;
                state.compact(state.revision() - back).ok()
            }
        };
        if let Some(effect) = made {
            return effect;
        }
    }
}

fn key(dice: &mut Dice) -> Bytes {
    Bytes::from(format!("k{:02}", dice.below(24)))
}

/// Some values are long, some are nothing but zeros: both are hard to tell from a lost sector.
fn put(state: &State, dice: &mut Dice) -> PutRequest {
    let length = [0, 3, 40, 200, 700, 1500, 3000][dice.below(7)];
    let fill = if dice.one_in(4) { 0 } else { dice.roll() as u8 };
    let leases: Vec<i64> = state.leases().map(|(id, _)| id).collect();
    let lease =
        if dice.one_in(3) && !leases.is_empty() { leases[dice.below(leases.len())] } else { 0 };
    PutRequest { key: key(dice), value: vec![fill; length].into(), lease, ..PutRequest::default() }
}

/// A group of records behind the index, and the state after them.
pub(super) fn group(state: &State, index: u64, term: u64, dice: &mut Dice) -> (Vec<Record>, State) {
    let mut state = state.clone();
    let most = [1, 2, 6][dice.below(3)];
    let count = 1 + dice.below(most) as u64;
    let records = (index + 1..=index + count)
        .map(|index| Record { index, term, effect: effect(&mut state, dice) })
        .collect();
    if dice.one_in(3) {
        state.sweep(dice.below(30));
    }
    (records, state)
}
