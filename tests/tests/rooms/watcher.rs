//! A watch as a careful client holds it: when its store goes away, it goes on at the other one from where it
//! was. Start at [`Watcher::start`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::client::Client;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;

use super::book::Book;
use super::check::Seen;
use super::history::{told, watch};

/// Something is written all the time: a store that tells nothing for so long is as good as gone.
const SILENT: Duration = Duration::from_secs(2);

/// Before the other one is tried.
const PAUSE: Duration = Duration::from_millis(50);

/// A watcher that runs; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches all keys from the beginning, first at the first of the endpoints.
    pub(crate) fn start(book: Arc<Book>, endpoints: [String; 2]) -> Watcher {
        let seen = Arc::default();
        let task = tokio::spawn(follow(book, endpoints, Arc::clone(&seen)));
        Watcher { seen, task }
    }

    /// Up to which revision it has seen all.
    pub(crate) fn revision(&self) -> i64 {
        self.seen.lock().unwrap().0.last().map_or(0, |(_, event)| event.revision)
    }

    /// All that it saw.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(book: Arc<Book>, endpoints: [String; 2], seen: Arc<Mutex<Seen>>) {
    for endpoint in endpoints.iter().cycle() {
        let next = seen.lock().unwrap().0.last().map_or(1, |(_, event)| event.revision + 1);
        let open = async {
            let client = Client::connect(endpoint, None).await.ok()?;
            watch(client, next).await.ok()
        };
        if let Ok(Some(mut stream)) = timeout(SILENT, open).await {
            while let Ok(Some(Ok(news))) = timeout(SILENT, stream.next()).await {
                let now = book.now();
                seen.lock().unwrap().0.extend(told(news).into_iter().map(|event| (now, event)));
            }
        }
        sleep(PAUSE).await;
    }
}
