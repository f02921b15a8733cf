//! A client in each room that writes all the time, and when each write was acknowledged. Start at
//! [`Writers::start`].

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::client::Client;
use tests::two_rooms::{Side, Site};
use tests::wire::etcdserverpb as pb;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// As a client of Kubernetes' leader election has it; no store lets a write wait so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure.
const PAUSE: Duration = Duration::from_millis(5);

/// The writers; they end with the value.
pub(crate) struct Writers {
    _runtime: Runtime,
    /// When writes were acknowledged, in the order of [`Side::BOTH`].
    times: [Arc<Mutex<Vec<Instant>>>; 2],
}

impl Writers {
    pub(crate) fn start(site: &Site) -> Writers {
        let runtime = Runtime::new().unwrap();
        let times = Side::BOTH.map(|side| {
            let times = Arc::default();
            let endpoint = site.room(side).endpoint();
            runtime.spawn(write(endpoint, side, Arc::clone(&times)));
            times
        });
        Writers { _runtime: runtime, times }
    }

    /// Waits until both rooms acknowledge writes, and forgets what was.
    pub(crate) fn write_well(&mut self, site: &Site) {
        self.times.iter().for_each(|times| times.lock().unwrap().clear());
        site.until("both rooms take writes", || {
            self.times.iter().all(|times| times.lock().unwrap().len() > 10)
        });
    }

    /// Whether the store of `side` has acknowledged a write since.
    pub(crate) fn wrote_since(&self, side: Side, since: Instant) -> bool {
        self.times[side as usize].lock().unwrap().last().is_some_and(|last| *last >= since)
    }

    /// The longest time between two acknowledgements of the store of `side`, from the last one before `since`
    /// on.
    pub(crate) fn pause(&self, side: Side, since: Instant) -> Duration {
        let times = self.times[side as usize].lock().unwrap();
        let first = times.partition_point(|time| *time < since).saturating_sub(1);
        let longest = times[first..].windows(2).map(|two| two[1] - two[0]).max();
        longest.unwrap_or_default()
    }
}

async fn write(endpoint: String, side: Side, times: Arc<Mutex<Vec<Instant>>>) {
    let mut client = loop {
        match Client::connect(&endpoint, None).await {
            Ok(client) => break client,
            Err(_) => sleep(PAUSE).await,
        }
    };
    let key = Bytes::from(format!("bench/{}", side.letter()));
    for number in 0_u64.. {
        let value = Bytes::from(number.to_string());
        let put = pb::PutRequest { key: key.clone(), value, ..Default::default() };
        match timeout(PATIENCE, client.kv.put(put)).await {
            Ok(Ok(_)) => times.lock().unwrap().push(Instant::now()),
            _ => sleep(PAUSE).await,
        }
    }
}
