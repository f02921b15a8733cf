//! The questions of reads to the leader, put together. Start at [`Points::answered`].
//!
//! One question is under way at a time, and its answer holds for every read that came before it was asked:
//! so a hundred reads at once cost one question, and one read alone does not wait.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// The reads that have come, and those that are answered. Bounded by the requests that may be under way.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// How many have come.
    came: AtomicU64,
    /// How many of them, the first ones, are answered. Whoever holds it asks.
    answered: Mutex<u64>,
}

impl Points {
    /// Whether the leader was asked after this was called, by anybody, and `ask` came true. False at the end.
    pub(super) async fn answered<F>(&self, end: Instant, ask: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = bool>,
    {
        let mine = self.came.fetch_add(1, Ordering::SeqCst) + 1;
        let Ok(mut answered) = timeout_at(end, self.answered.lock()).await else { return false };
        if *answered >= mine {
            return true;
        }
        let came = self.came.load(Ordering::SeqCst);
        let done = ask().await;
        if done {
            *answered = came;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// A leader that is asked, and answers when the test wants it to.
    struct Leader {
        points: Points,
        asked: mpsc::UnboundedSender<oneshot::Sender<bool>>,
    }

    impl Leader {
        fn new() -> (Leader, mpsc::UnboundedReceiver<oneshot::Sender<bool>>) {
            let (asked, questions) = mpsc::unbounded_channel();
            (Leader { points: Points::default(), asked }, questions)
        }

        async fn read(&self) -> bool {
            let end = Instant::now() + Duration::from_secs(60);
            let ask = || async {
                let (to, answer) = oneshot::channel();
                self.asked.send(to).unwrap();
                answer.await.unwrap()
            };
            self.points.answered(end, ask).await
        }
    }

    #[tokio::test]
    async fn reads_that_came_before_it_share_a_question() {
        let (leader, mut questions) = Leader::new();
        let reads = join_all((0..5).map(|_| leader.read()));
        let answering = async {
            // All five are polled before this is, and the question was asked by the first of them.
            questions.recv().await.unwrap().send(true).unwrap();
            let second = questions.recv().await.unwrap();
            second.send(true).unwrap();
            questions.try_recv().is_err()
        };
        let (read, no_third) = tokio::join!(reads, answering);
        assert_eq!(read, [true; 5]);
        assert!(no_third, "four came while the first was under way, and share the next");
    }

    #[tokio::test]
    async fn an_answer_does_not_hold_for_who_came_after_the_question() {
        let (leader, mut questions) = Leader::new();
        let (early, late) = (leader.read(), leader.read());
        let judging = async {
            let first = questions.recv().await.unwrap();
            first.send(true).unwrap();
            let second = questions.recv().await.unwrap();
            second.send(false).unwrap();
        };
        let (early, late, ()) = tokio::join!(early, late, judging);
        assert_eq!((early, late), (true, false));
    }

    #[tokio::test]
    async fn a_failure_holds_for_nobody_else_and_who_goes_away_holds_up_nobody() {
        let (leader, mut questions) = Leader::new();
        let mut gone = Box::pin(leader.read());
        tokio::select! {
            biased;
            _ = &mut gone => panic!("nobody has answered"),
            question = questions.recv() => drop(question),
        }
        drop(gone);
        let (one, other) = (leader.read(), leader.read());
        let answering = async {
            questions.recv().await.unwrap().send(false).unwrap();
            questions.recv().await.unwrap().send(true).unwrap();
        };
        let (one, other, ()) = tokio::join!(one, other, answering);
        assert_eq!((one, other), (false, true));
    }
}
