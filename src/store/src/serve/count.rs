//! What is counted of calls and connections, for the metrics. Counting never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Code;

use super::method::{Call, METHODS};

/// gRPC's status codes, OK included.
pub(crate) const CODES: usize = 17;

/// Counters of one method.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) started: Count,
    pub(crate) received: Count,
    pub(crate) sent: Count,
    pub(crate) handled: [Count; CODES],
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of a server.
#[derive(Debug)]
pub(crate) struct Counters {
    calls: Vec<Calls>,
    pub(crate) received_bytes: Count,
    pub(crate) sent_bytes: Count,
    pub(crate) healthy: Count,
    pub(crate) unhealthy: Count,
}

impl Counters {
    pub(crate) fn new() -> Counters {
        let calls = || Calls {
            started: Count::default(),
            received: Count::default(),
            sent: Count::default(),
            handled: std::array::from_fn(|_| Count::default()),
        };
        Counters {
            calls: METHODS.iter().map(|_| calls()).collect(),
            received_bytes: Count::default(),
            sent_bytes: Count::default(),
            healthy: Count::default(),
            unhealthy: Count::default(),
        }
    }

    pub(crate) fn of(&self, call: Call) -> &Calls {
        &self.calls[call as usize]
    }

    pub(crate) fn received(&self, call: Call, bytes: usize) {
        self.of(call).received.add(1);
        self.received_bytes.add(bytes as u64);
    }

    pub(crate) fn sent(&self, call: Call, bytes: usize) {
        self.of(call).sent.add(1);
        self.sent_bytes.add(bytes as u64);
    }

    pub(crate) fn handled(&self, call: Call, code: Code) {
        self.of(call).handled[code as usize].add(1);
    }
}

/// A call that has begun; it is counted when it ends, also if its client goes away.
#[derive(Debug)]
pub(crate) struct Running {
    counters: Arc<Counters>,
    call: Call,
    ended: bool,
}

impl Running {
    pub(crate) fn start(counters: &Arc<Counters>, call: Call) -> Running {
        counters.of(call).started.add(1);
        Running { counters: counters.clone(), call, ended: false }
    }

    pub(crate) fn end(&mut self, code: Code) {
        if !self.ended {
            self.ended = true;
            self.counters.handled(self.call, code);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
