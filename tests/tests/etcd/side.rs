//! One of the two sides that are compared: a server, or two rooms that are one store. Start at
//! [`Side::start`].
//!
//! With two rooms, requests go to one room and the other in turn, and the watch streams are spread over
//! both.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use pair::Room;
use tests::local_rooms::{LocalRooms, Setup};
use tests::server::{Make, Plan, Server};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;

use crate::client::{Answer, Client, Identity};
use crate::faults::{Fault, Role};
use crate::program::{Op, STREAMS};
use crate::stream::Stream;

/// The room that goes on whatever becomes of the other one.
const PREFERRED: Room = Room::A;

/// What is on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    One(Make),
    /// `duetd store` in both rooms of a site.
    TwoRooms,
}

enum Store {
    One(Box<Server>),
    Two(Box<LocalRooms>),
}

/// What answers, and the connections to it.
pub(crate) struct Side {
    store: Store,
    identity: Arc<Identity>,
    /// One for each server, or none while that is away.
    clients: Vec<Option<Client>>,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl Side {
    /// Starts it in a folder of its own. [`Side::connect`] comes next.
    pub(crate) fn start(who: Who, folder: PathBuf) -> Side {
        let (store, members) = match who {
            Who::One(make) => {
                (Store::One(Box::new(Server::start(Plan::new(make, folder).hasty()))), 1)
            }
            Who::TwoRooms => (Store::Two(Box::new(LocalRooms::start(Setup::new(folder)))), 2),
        };
        let clients = (0..members).map(|_| None).collect();
        Side {
            store,
            identity: Arc::new(Identity::of(members)),
            clients,
            turn: AtomicUsize::new(0),
        }
    }

    /// Connects to all that run.
    pub(crate) fn connect(&mut self, runtime: &Runtime) -> Result<(), String> {
        for at in 0..self.clients.len() {
            self.connect_to(at, runtime)?;
        }
        Ok(())
    }

    fn connect_to(&mut self, at: usize, runtime: &Runtime) -> Result<(), String> {
        let endpoint = match &self.store {
            Store::One(server) => server.endpoint(),
            Store::Two(two) => two.room([Room::A, Room::B][at]).endpoint(),
        };
        let connecting = Client::connect(&endpoint, Arc::clone(&self.identity));
        self.clients[at] = Some(runtime.block_on(connecting)?);
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().flatten()
    }

    /// The client of the room whose turn it is.
    pub(crate) fn client(&self) -> &Client {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.all().count();
        self.all().nth(turn % count).expect("the sides are connected between steps")
    }

    /// Which server has a stream.
    fn place(&self, stream: usize) -> usize {
        let home = stream % self.clients.len();
        if self.clients[home].is_some() { home } else { self.clients.len() - 1 - home }
    }

    fn host(&self, stream: usize) -> &Client {
        self.clients[self.place(stream)].as_ref().expect("one room is there at any time")
    }

    pub(crate) fn stream(&self, stream: usize) -> &Stream {
        &self.host(stream).streams[stream]
    }

    pub(crate) fn streams(&self) -> Vec<&Stream> {
        (0..STREAMS).map(|stream| self.stream(stream)).collect()
    }

    /// Has a stream begin anew, without its watches.
    pub(crate) fn reopen(&mut self, stream: usize, runtime: &Runtime) -> Result<(), String> {
        let place = self.place(stream);
        let client = self.clients[place].as_mut().expect("one room is there at any time");
        runtime.block_on(client.reopen(stream))
    }

    /// Carries out a step.
    pub(crate) async fn run(&self, op: &Op) -> Answer {
        match op {
            Op::Watch(stream, _) => self.host(*stream).run(op).await,
            _ => self.client().run(op).await,
        }
    }

    /// Every room has come as far as the leader, so that what one answers from its own is what the other
    /// would say.
    pub(crate) async fn level(&self) {
        if self.clients.len() > 1 {
            let key = Bytes::from_static(b"\0");
            let read = Op::Range(pb::RangeRequest { key, count_only: true, ..Default::default() });
            for client in self.all() {
                let _ = client.run(&read).await;
            }
        }
    }

    /// Ends all of it, and starts it again.
    ///
    /// etcd is never killed: when it reads its log again, 3.5.16 carries out a transaction that it had
    /// refused for the revision of a range in it, so that even two etcds then differ.
    pub(crate) fn restart(&mut self, killed: bool) {
        self.clients.iter_mut().for_each(|client| *client = None);
        match &mut self.store {
            Store::One(server) => {
                if killed && server.make() != Make::Etcd {
                    server.kill();
                } else {
                    server.stop();
                }
                let _ = server.start_again();
            }
            Store::Two(two) => {
                for room in [Room::A, Room::B] {
                    if killed {
                        two.kill(room);
                    } else {
                        two.stop(room);
                    }
                }
                two.return_both();
            }
        }
    }

    /// A fault, if this side has two rooms. Says which streams are with another connection after it.
    pub(crate) fn suffer(&mut self, fault: Fault, runtime: &Runtime) -> Result<Vec<usize>, String> {
        let Store::Two(two) = &mut self.store else { return Ok(Vec::new()) };
        let away = [Room::A, Room::B].into_iter().find(|room| !two.runs(*room));
        if let Some(room) = away {
            two.return_room(room);
        }
        let gone = strike(two, fault);
        let runs = [Room::A, Room::B].map(|room| two.runs(room));
        let changed = |room: &Room| away == Some(*room) || gone == Some(*room);
        for room in [Room::A, Room::B].into_iter().filter(changed) {
            self.clients[room as usize] = None;
            if runs[room as usize] {
                self.connect_to(room as usize, runtime)?;
            }
        }
        let home = |stream: &usize| changed(&[Room::A, Room::B][stream % 2]);
        Ok((0..STREAMS).filter(home).collect())
    }
}

/// Has a fault happen to two rooms that are both there. Says which one's process ended.
fn strike(two: &mut LocalRooms, fault: Fault) -> Option<Room> {
    let room = |role: Role, leader: Room| match role {
        Role::Leader => leader,
        Role::Follower => leader.other(),
    };
    match fault {
        Fault::Return => None,
        Fault::HandOver => {
            let _ = two.hand_over();
            None
        }
        Fault::Kill(role) => {
            let room = room(role, two.until_in_sync());
            two.kill(room);
            // Without it nobody may go on.
            if room == PREFERRED {
                two.return_room(room);
            }
            Some(room)
        }
        Fault::Stop(role) => {
            let room = room(role, two.until_in_sync());
            two.stop(room);
            Some(room)
        }
    }
}
