//! Threads for what may block or hang. One that is done waits a while for more to do: to start one takes longer than
//! to read a small file.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Work = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const STAY: Duration = Duration::from_secs(10);

struct Threads {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

struct Waiting {
    work: VecDeque<Work>,
    /// Threads that have none.
    idle: usize,
}

static THREADS: Threads = Threads {
    waiting: Mutex::new(Waiting {
        work: VecDeque::new(),
        idle: 0,
    }),
    more: Condvar::new(),
};

/// Runs `work` on a thread that does nothing else until it is done. There is no bound on them: what hangs keeps its
/// thread, and nobody waits behind it.
///
/// # Errors
/// When the system has no thread.
pub(super) fn run(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut waiting = THREADS.lock();
    if waiting.work.len() < waiting.idle {
        waiting.work.push_back(Box::new(work));
        THREADS.more.notify_one();
        return Ok(());
    }
    drop(waiting);
    let thread = std::thread::Builder::new().name("outbound-read".to_owned());
    let thread = thread.spawn(move || {
        work();
        THREADS.serve();
    });
    thread.map(drop)
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what comes, until nothing does for a while.
    fn serve(&self) {
        while let Some(work) = self.next() {
            work();
        }
    }

    fn next(&self) -> Option<Work> {
        let mut waiting = self.lock();
        waiting.idle += 1;
        let waited = self
            .more
            .wait_timeout_while(waiting, STAY, |waiting| waiting.work.is_empty());
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.idle -= 1;
        waiting.work.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn nothing_waits_behind_what_hangs() {
        let (release, hang) = mpsc::channel::<()>();
        run(move || assert!(hang.recv().is_err())).unwrap();
        let (done, ends) = mpsc::channel();
        for number in 0..20 {
            let done = done.clone();
            run(move || done.send(number).unwrap()).unwrap();
        }
        let mut numbers: Vec<i32> = ends.iter().take(20).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        drop(release);
    }

    #[test]
    fn work_that_panics_takes_no_other_with_it() {
        let (done, ends) = mpsc::channel();
        for number in 0..10 {
            let done = done.clone();
            run(move || {
                assert!(number % 2 == 0, "a test's panic");
                done.send(number).unwrap();
            })
            .unwrap();
        }
        drop(done);
        assert_eq!(ends.iter().count(), 5);
    }
}
