//! A wire between two programs that can be cut, in one direction or both, and slowed down, without
//! privileges. Start at [`Wire::new`].
//!
//! ```text
//!  who dials ──► listen │ wire │ ──► target
//! ```
//!
//! A cut is one: the sockets get a filter that takes no segment (`SO_ATTACH_FILTER`, socket(7)), so
//! nothing is acknowledged, and the programs notice it as they would with a cable that was pulled. What
//! was on its way may still arrive. After the wire is mended, connections that were not given up go on.
//!
//! One thing is not as with a cable: the wire acknowledges what it takes. While one direction is cut, the
//! other one delivers for longer than TCP would without acknowledgements.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// `ret #0` of the classic packet filter: of each segment, nothing is kept.
const NOTHING: SockFilter = SockFilter::new(6, 0, 0, 0);

/// What is read at once, and how much of that is on the wire in each direction: 4 MiB.
const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS: usize = 64;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From who dials to the target.
    Forth,
    /// From the target to who dials.
    Back,
}

/// A wire, whole at first; its connections are gone when it is dropped.
#[derive(Debug)]
pub struct Wire {
    runtime: Option<Runtime>,
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Debug)]
struct State {
    ill: watch::Sender<Ill>,
    ends: Mutex<Ends>,
}

/// What is wrong with the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ill {
    forth: bool,
    back: bool,
    delay: Duration,
}

/// The sockets that filters are put on: of each connection, the dialer's side and the target's.
#[derive(Debug, Default)]
struct Ends {
    listener: Weak<TcpListener>,
    connections: Vec<[Weak<TcpStream>; 2]>,
}

impl Wire {
    /// Listens on an address, with port 0 to have one chosen, and leads to another.
    ///
    /// # Panics
    /// If the address cannot be had.
    #[must_use]
    pub fn new(listen: SocketAddr, target: SocketAddr) -> Wire {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be started");
        // Not tokio's own, which would have to be waited for: the test may be within a runtime.
        let listener = std::net::TcpListener::bind(listen).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it is a socket");
        let entered = runtime.enter();
        let listener = Arc::new(TcpListener::from_std(listener).expect("a runtime is there"));
        drop(entered);
        let ends = Ends { listener: Arc::downgrade(&listener), connections: Vec::new() };
        let state = Arc::new(State { ill: watch::Sender::default(), ends: Mutex::new(ends) });
        runtime.spawn(accept(listener, target, state.clone()));
        Wire { runtime: Some(runtime), state, address }
    }

    /// Where it is dialed.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes any more, and no new connection is made.
    pub fn cut(&self) {
        self.state.set(|ill| (ill.forth, ill.back) = (true, true));
    }

    /// Nothing passes this way any more, and no new connection is made, since that takes both.
    pub fn cut_one_way(&self, way: Way) {
        self.state.set(|ill| (ill.forth, ill.back) = (way == Way::Forth, way == Way::Back));
    }

    /// What goes in from now on comes out this much later, either way.
    pub fn delay(&self, delay: Duration) {
        self.state.set(|ill| ill.delay = delay);
    }

    /// All is well again.
    pub fn mend(&self) {
        self.state.set(|ill| *ill = Ill::default());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime, where one must not wait.
            runtime.shutdown_background();
        }
    }
}

impl State {
    fn set(&self, change: impl FnOnce(&mut Ill)) {
        let mut ends = self.ends.lock().expect("nothing panics here");
        self.ill.send_modify(change);
        let ill = *self.ill.borrow();
        if let Some(listener) = ends.listener.upgrade() {
            filter(&SockRef::from(&*listener), ill.forth || ill.back);
        }
        ends.connections.retain(|sides| sides.iter().any(|side| side.strong_count() > 0));
        for [dialer, target] in &ends.connections {
            for (side, cut) in [(dialer, ill.forth), (target, ill.back)] {
                if let Some(side) = side.upgrade() {
                    filter(&SockRef::from(&*side), cut);
                }
            }
        }
    }

    /// Adds a connection, which is as ill as the wire.
    fn add(&self, dialer: &Arc<TcpStream>, target: &Arc<TcpStream>) {
        let mut ends = self.ends.lock().expect("nothing panics here");
        let ill = *self.ill.borrow();
        filter(&SockRef::from(&**dialer), ill.forth);
        filter(&SockRef::from(&**target), ill.back);
        ends.connections.push([Arc::downgrade(dialer), Arc::downgrade(target)]);
    }
}

fn filter(socket: &SockRef<'_>, cut: bool) {
    if cut {
        socket.attach_filter(&[NOTHING]).expect("the kernel filters sockets");
    } else {
        // It may have none.
        let _ = socket.detach_filter();
    }
}

async fn accept(listener: Arc<TcpListener>, target: SocketAddr, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let dialer = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((dialer, _)) = dialer else { continue };
        let state = state.clone();
        connections.spawn(async move {
            let dialer = Arc::new(dialer);
            let Ok(target) = TcpStream::connect(target).await.map(Arc::new) else {
                return reset(&dialer);
            };
            for side in [&dialer, &target] {
                let _ = side.set_nodelay(true);
            }
            state.add(&dialer, &target);
            let forth = pump(dialer.clone(), target.clone(), &state, |ill| ill.forth);
            let back = pump(target.clone(), dialer.clone(), &state, |ill| ill.back);
            if tokio::try_join!(forth, back).is_err() {
                reset(&dialer);
                reset(&target);
            }
        });
    }
}

/// Has the other end told that the connection is broken, and not that it ended.
fn reset(side: &TcpStream) {
    let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
}

/// Carries bytes one way until they end.
async fn pump(
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    state: &State,
    is_cut: fn(&Ill) -> bool,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let read = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            from.readable().await?;
            match from.try_read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => chunk.truncate(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let due = Instant::now() + state.ill.borrow().delay;
            if sender.send((due, chunk)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        let mut ill = state.ill.subscribe();
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let whole = ill.wait_for(|ill| !is_cut(ill)).await;
                whole.map_err(io::Error::other)?;
                to.writable().await?;
                match to.try_write(rest) {
                    Ok(length) => rest = &rest[length..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
        SockRef::from(&*to).shutdown(std::net::Shutdown::Write)
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(30);

    /// A wire, the two ends of a connection over it, and where further ones arrive.
    fn connection() -> (Wire, TcpStream, TcpStream, TcpListener) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(any).expect("a port is free");
        let wire = Wire::new(any, listener.local_addr().expect("it is bound"));
        let dialer = TcpStream::connect(wire.address()).expect("the wire is whole");
        let (target, _) = listener.accept().expect("it dials on");
        for end in [&dialer, &target] {
            end.set_read_timeout(Some(LONG)).expect("it is not zero");
        }
        (wire, dialer, target, listener)
    }

    fn passes(mut from: &TcpStream, mut to: &TcpStream, word: &[u8]) {
        from.write_all(word).expect("the kernel takes it");
        let mut heard = vec![0; word.len()];
        to.read_exact(&mut heard).expect("it arrives");
        assert_eq!(heard, word);
    }

    fn does_not_pass(mut from: &TcpStream, mut to: &TcpStream, word: &[u8]) {
        from.write_all(word).expect("the kernel takes it");
        to.set_read_timeout(Some(SHORT)).expect("it is not zero");
        let error = to.read(&mut [0; 8]).expect_err("nothing arrives");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        to.set_read_timeout(Some(LONG)).expect("it is not zero");
    }

    #[test]
    fn a_cut_holds_everything_back_until_it_is_mended() {
        let (wire, dialer, target, _listener) = connection();
        passes(&dialer, &target, b"one");
        passes(&target, &dialer, b"two");
        wire.cut();
        does_not_pass(&dialer, &target, b"three");
        does_not_pass(&target, &dialer, b"four");
        let late = TcpStream::connect_timeout(&wire.address(), SHORT).expect_err("nobody hears it");
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        wire.mend();
        // TCP sends it again by itself.
        for (mut to, word) in [(&target, &b"three"[..]), (&dialer, b"four")] {
            let mut heard = vec![0; word.len()];
            to.read_exact(&mut heard).expect("it arrives after all");
            assert_eq!(heard, word);
        }
        TcpStream::connect_timeout(&wire.address(), LONG).expect("the wire is whole");
    }

    #[test]
    fn a_cut_one_way_leaves_the_other() {
        for way in [Way::Forth, Way::Back] {
            let (wire, dialer, target, _listener) = connection();
            wire.cut_one_way(way);
            let (from, to) =
                if way == Way::Forth { (&dialer, &target) } else { (&target, &dialer) };
            does_not_pass(from, to, b"cut");
            passes(to, from, b"whole");
        }
    }

    #[test]
    fn a_delay_delays_and_ends_pass_through() {
        let (wire, dialer, target, _listener) = connection();
        wire.delay(SHORT);
        let begin = std::time::Instant::now();
        passes(&dialer, &target, b"slow");
        assert!(begin.elapsed() >= SHORT);
        drop(dialer);
        assert_eq!((&target).read(&mut [0; 8]).expect("it ends"), 0);
    }
}
