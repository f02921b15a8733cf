//! The witness as a whole: on a disk that crashes, behind real sockets and certificates, and with ten
//! thousand sites.
#![allow(clippy::unwrap_used)]

mod certificates;
mod crash;
mod many;
mod refused;
mod served;
mod sites;

use std::time::SystemTime;

use pair::Room;
use site::Label;

use crate::definition::Generation;
use crate::keeper::Keeper;
use crate::wire::{Answer, Question, Status};

pub(crate) fn name(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn generation(number: u64) -> Generation {
    Generation::new(number).unwrap()
}

pub(crate) fn room(letter: &str) -> Room {
    if letter == "a" { Room::A } else { Room::B }
}

/// The status of a site, asked without a socket.
pub(crate) async fn status(keeper: &Keeper, site: &str) -> Status {
    match keeper.ask(&name(site), Question::Status, SystemTime::now()).await {
        Answer::Status(status) => status,
        other => panic!("{other:?}"),
    }
}
