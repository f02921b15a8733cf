//! The way to the deciding thread. Start at [`Inbox::receive`]. Holds what waits; decides nothing.
//!
//! While a group is on its way to the disk, nothing that is decided can be answered before it is there. So
//! the thread is then woken for many commands at once and not for each: waking costs more than deciding.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::command::Command;
use super::lock;
use crate::refusal::Refusal;

/// What waits, and for how much of it the deciding thread sleeps. Bounded by what may wait in all
/// ([`super::shared::Slot`]).
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    enough: Condvar,
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<Command>,
    /// One of them must not wait for others.
    urgent: bool,
    /// The thread sleeps until there are so many; none while it is awake.
    sleeps_for: Option<usize>,
    closed: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} commands", self.commands.len())
    }
}

impl Waiting {
    fn wakes(&self) -> bool {
        let enough = |wanted| self.urgent || self.commands.len() >= wanted;
        self.sleeps_for.is_some_and(enough)
    }
}

impl Inbox {
    /// Hands a command over.
    ///
    /// # Errors
    /// [`Refusal::Stopped`] if the deciding thread has ended.
    pub(crate) fn send(&self, command: Command) -> Result<(), Refusal> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(Refusal::Stopped);
        }
        waiting.urgent |= command.is_urgent();
        waiting.commands.push_back(command);
        if waiting.wakes() {
            waiting.sleeps_for = None;
            drop(waiting);
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Takes at most `most` commands, in their order, as soon as there are `enough` or an urgent one, or
    /// after `patience` whatever there is then.
    pub(crate) fn receive(&self, enough: usize, most: usize, patience: Duration) -> Vec<Command> {
        let mut waiting = lock(&self.waiting);
        waiting.sleeps_for = Some(enough);
        if !waiting.wakes() && !patience.is_zero() {
            let asleep = |waiting: &mut Waiting| waiting.sleeps_for.is_some();
            let woken = self.enough.wait_timeout_while(waiting, patience, asleep);
            waiting = woken.expect("a thread that panics ends the process").0;
        }
        waiting.sleeps_for = None;
        let count = waiting.commands.len().min(most);
        // What is left over is still to be found at once.
        waiting.urgent &= count < waiting.commands.len();
        waiting.commands.drain(..count).collect()
    }
}

/// The deciding thread's end. When it is dropped, whoever waits is told that the store has stopped.
pub(crate) struct Receiving(pub Arc<Inbox>);

impl Drop for Receiving {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.closed = true;
        let unheard = std::mem::take(&mut waiting.commands);
        drop(waiting);
        drop(unheard);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::thread;

    use mvcc::State;
    use tokio::sync::oneshot;

    use super::*;
    use crate::checkpoint::Stamp;
    use crate::engine::command::{Done, Reply};
    use crate::engine::shared::{Shared, Slot};
    use crate::engine::{Answer, Options};
    use crate::recover::Ids;

    const LONG: Duration = Duration::from_secs(60);

    /// A command that may wait for others, and its answer.
    fn compact() -> (Command, oneshot::Receiver<Result<Answer<()>, Refusal>>) {
        let stamp = Stamp { index: 0, term: 1, cluster_id: 1, member_id: 1 };
        let options = Options::new(Ids { cluster_id: 1, member_id: 1 });
        let shared = Arc::new(Shared::new(&stamp, State::new(), &options));
        let (to, answer) = oneshot::channel();
        let reply = Reply { to, slot: Slot::take(&shared, 0).ok() };
        (Command::Compact(1, reply), answer)
    }

    fn woken_by(commands: Vec<Command>) -> usize {
        let inbox = Arc::new(Inbox::default());
        let sleeping = inbox.clone();
        let thread = thread::spawn(move || sleeping.receive(3, 10, LONG).len());
        while lock(&inbox.waiting).sleeps_for.is_none() {
            thread::yield_now();
        }
        for command in commands {
            assert!(!thread.is_finished());
            inbox.send(command).unwrap();
        }
        thread.join().unwrap()
    }

    #[test]
    fn what_may_wait_wakes_in_company_and_what_may_not_alone() {
        assert_eq!(woken_by(vec![compact().0, compact().0, compact().0]), 3);
        assert_eq!(woken_by(vec![compact().0, Command::Done(Done::Durable)]), 2);
        assert_eq!(woken_by(vec![Command::Stop]), 1);
    }

    #[test]
    fn what_is_left_over_is_found_at_once() {
        let inbox = Inbox::default();
        for command in [compact().0, Command::Stop, compact().0, Command::Stop] {
            inbox.send(command).unwrap();
        }
        assert_eq!(inbox.receive(9, 3, LONG).len(), 3);
        assert_eq!(inbox.receive(9, 3, LONG).len(), 1, "the urgent one");
        assert_eq!(inbox.receive(1, 3, Duration::from_millis(1)).len(), 0, "patience ends");
        inbox.send(compact().0).unwrap();
        assert_eq!(inbox.receive(2, 3, Duration::ZERO).len(), 1);
    }

    #[test]
    fn who_waits_when_it_ends_is_told() {
        let inbox = Arc::new(Inbox::default());
        let (command, mut answer) = compact();
        inbox.send(command).unwrap();
        drop(Receiving(inbox.clone()));
        assert!(answer.try_recv().is_err());
        assert_eq!(inbox.send(Command::Stop), Err(Refusal::Stopped));
    }
}
