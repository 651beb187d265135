//! How much of one kind of work is under way at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Proofs at once, of all destinations, and as many beginnings of deliveries. A proof is a read of a Secret and three calls
/// to a store: at 100 ms for all of them, 640 proofs a second.
const AT_ONCE: usize = 64;

/// Who takes longer goes on without its turn: what hangs, or has a terabyte to read, holds up nobody else.
const TURN: Duration = Duration::from_secs(10);

/// Those who wait for their turn, in order. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    free: Arc<Semaphore>,
    turn: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(AT_ONCE)),
            turn: TURN,
        }
    }
}

impl Queue {
    /// Begins `work` once there is a turn for it, and runs it to its end; `None` when `stop` came first.
    pub(crate) async fn run<T, F: Future<Output = T>>(
        &self,
        stop: &CancellationToken,
        work: impl FnOnce() -> F,
    ) -> Option<T> {
        let turn = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            turn = self.free.acquire() => turn,
        };
        // Boxed, so that there is no room taken for it while it waits.
        let mut work = Box::pin(work());
        if let Ok(ended) = tokio::time::timeout(self.turn, &mut work).await {
            return Some(ended);
        }
        drop(turn);
        Some(work.await)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::future::join_all;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn no_more_than_that_many_work_at_once_and_each_comes_to_its_turn() {
        let (queue, stop) = (Queue::default(), CancellationToken::new());
        let (at_work, _) = watch::channel((0, 0));
        let work = || async {
            at_work.send_modify(|(now, most)| {
                *now += 1;
                *most = (*most).max(*now);
            });
            tokio::task::yield_now().await;
            at_work.send_modify(|(now, _)| *now -= 1);
        };
        let all = join_all((0..AT_ONCE * 3).map(|_| queue.run(&stop, work))).await;
        assert!(all.iter().all(Option::is_some));
        assert_eq!(*at_work.borrow(), (0, AT_ONCE));
    }

    #[tokio::test]
    async fn who_waits_when_the_end_comes_never_begins() {
        let (queue, stop) = (Queue::default(), CancellationToken::new());
        let all = queue.free.acquire_many(64).await.unwrap();
        let waits = queue.run(&stop, || async { panic!("it began") });
        let ended = async { stop.cancel() };
        assert_eq!(tokio::join!(waits, ended).0, None::<()>);
        drop(all);
    }

    #[tokio::test]
    async fn what_hangs_holds_up_nobody() {
        let (stop, turn) = (CancellationToken::new(), Duration::from_millis(1));
        let queue = Queue {
            turn,
            ..Queue::default()
        };
        let hung = join_all((0..AT_ONCE).map(|_| queue.run(&stop, pending::<()>)));
        let next = async {
            // Behind those that hang.
            tokio::task::yield_now().await;
            queue.run(&stop, || async { 7 }).await
        };
        tokio::select! {
            biased;
            _ = hung => panic!("they never end"),
            next = next => assert_eq!(next, Some(7)),
        }
    }
}
