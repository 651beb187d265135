//! Owns the tasks that outlive a reconcile: proofs, running deliveries, clean-ups.
//!
//! A reconcile starts, stops and reads; the end of a task, and progress on the way, come back as triggers.
//! No task is without an owner: dropping or forgetting an entry ends its task.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How long a task may take to stop before it is ended where it stands.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// What a reconcile sees of a task.
#[derive(Clone, Debug)]
pub(crate) enum Standing<S, O> {
    /// There is none.
    Absent,
    /// It runs; this is what it last reported.
    Running(S),
    /// It was asked to stop and hasn't ended yet.
    Stopping,
    /// It ended.
    Ended(O),
}

/// What a task is handed.
pub(crate) struct Handle<S> {
    /// Where it reports how far it is.
    pub(crate) report: watch::Sender<S>,
    /// Cancelled when it must stop.
    pub(crate) stop: CancellationToken,
}

struct Task<R, S, O> {
    object: R,
    state: watch::Receiver<S>,
    stop: CancellationToken,
    outcome: std::sync::Arc<Mutex<Option<O>>>,
    join: JoinHandle<()>,
}

impl<R, S, O> Task<R, S, O> {
    /// Whether it ended without an outcome: it panicked, or was ended where it stood.
    fn is_lost(&self) -> bool {
        self.join.is_finished()
            && self
                .outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none()
    }
}

impl<R, S, O> Drop for Task<R, S, O> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.join.abort();
    }
}

/// Tasks by the uids of the objects that they work for.
struct Tasks<R, S, O> {
    by_uid: HashMap<String, Task<R, S, O>>,
    /// Nothing starts any more: the process ends.
    closed: bool,
}

/// The running tasks of one kind, by the uid of the object that each works for.
pub(crate) struct Supervisor<R, S, O> {
    tasks: Mutex<Tasks<R, S, O>>,
    trigger: UnboundedSender<R>,
}

impl<R, S, O> Supervisor<R, S, O>
where
    R: Clone + Send + Sync + 'static,
    S: Clone + Default + Send + Sync + 'static,
    O: Clone + Send + 'static,
{
    /// A supervisor and the stream of objects whose tasks have news.
    pub(crate) fn new() -> (Self, UnboundedReceiver<R>) {
        let (trigger, triggers) = unbounded();
        (
            Self {
                tasks: Mutex::new(Tasks {
                    by_uid: HashMap::new(),
                    closed: false,
                }),
                trigger,
            },
            triggers,
        )
    }

    /// Starts a task for `uid`, unless there is one that runs or whose outcome wasn't forgotten, or all are being
    /// shut down.
    pub(crate) fn start<F>(&self, uid: &str, object: R, task: impl FnOnce(Handle<S>) -> F)
    where
        F: Future<Output = O> + Send + 'static,
    {
        let mut tasks = self.tasks();
        let taken = tasks.by_uid.get(uid).is_some_and(|task| !task.is_lost());
        if taken || tasks.closed {
            return;
        }
        let (report, state) = watch::channel(S::default());
        let stop = CancellationToken::new();
        let outcome = std::sync::Arc::new(Mutex::new(None));
        let work = task(Handle {
            report,
            stop: stop.clone(),
        });
        let followed = Self::follow(
            work,
            state.clone(),
            outcome.clone(),
            self.trigger.clone(),
            object.clone(),
        );
        // The task's lines in the log are about the object that it works for.
        let join = tokio::spawn(followed.in_current_span());
        tasks.by_uid.insert(
            uid.to_owned(),
            Task {
                object,
                state,
                stop,
                outcome,
                join,
            },
        );
    }

    /// Runs the work to its end; each piece of news, at most one a second, becomes a trigger.
    async fn follow<F>(
        work: F,
        mut state: watch::Receiver<S>,
        outcome: std::sync::Arc<Mutex<Option<O>>>,
        trigger: UnboundedSender<R>,
        object: R,
    ) where
        F: Future<Output = O> + Send + 'static,
    {
        let news = async {
            while state.changed().await.is_ok() {
                // A closed channel means that the controller is shutting down; the work goes on to its own end.
                drop(trigger.unbounded_send(object.clone()));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = work => ended,
            never = news => never,
        };
        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        drop(trigger.unbounded_send(object.clone()));
    }

    /// What is the case with the task for `uid`.
    pub(crate) fn standing(&self, uid: &str) -> Standing<S, O> {
        let tasks = self.tasks();
        let Some(task) = tasks.by_uid.get(uid) else {
            return Standing::Absent;
        };
        let outcome = task
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match outcome {
            Some(outcome) => Standing::Ended(outcome),
            None if task.is_lost() => Standing::Absent,
            None if task.stop.is_cancelled() => Standing::Stopping,
            None => Standing::Running(task.state.borrow().clone()),
        }
    }

    /// Whether there is no task, under way or ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks().by_uid.is_empty()
    }

    /// How many tasks are under way.
    pub(crate) fn running(&self) -> usize {
        let tasks = self.tasks();
        let all = tasks.by_uid.values();
        all.filter(|task| !task.join.is_finished()).count()
    }

    /// Asks the task for `uid` to stop; its end comes as a trigger. What doesn't stop in time is ended, and that comes
    /// as a trigger too.
    pub(crate) fn stop(&self, uid: &str) {
        let tasks = self.tasks();
        let Some(task) = tasks.by_uid.get(uid) else {
            return;
        };
        if task.stop.is_cancelled() {
            return;
        }
        task.stop.cancel();
        let abort = task.join.abort_handle();
        let (trigger, object) = (self.trigger.clone(), task.object.clone());
        tokio::spawn(async move {
            tokio::time::sleep(STOP_GRACE).await;
            if abort.is_finished() {
                return;
            }
            abort.abort();
            while !abort.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(trigger.unbounded_send(object));
        });
    }

    /// Triggers a reconcile of `object`, as if a task of its had news.
    pub(crate) fn nudge(&self, object: R) {
        // A closed channel means that the controller is shutting down.
        drop(self.trigger.unbounded_send(object));
    }

    /// Forgets the task for `uid`: one that still runs is ended where it stands.
    pub(crate) fn forget(&self, uid: &str) {
        self.tasks().by_uid.remove(uid);
    }

    /// Ends the tasks of objects that `is_known` doesn't know any more.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.tasks().by_uid.retain(|uid, _| is_known(uid));
    }

    /// Stops all tasks, at once; what it returns waits for their ends, at most `grace`. None starts after.
    pub(crate) fn shut_down(&self, grace: Duration) -> impl Future<Output = ()> + use<R, S, O> {
        let tasks: Vec<_> = {
            let mut tasks = self.tasks();
            tasks.closed = true;
            tasks.by_uid.drain().map(|(_, task)| task).collect()
        };
        tasks.iter().for_each(|task| task.stop.cancel());
        let ends = async move {
            for mut task in tasks {
                // A task that panicked has ended too; the panic itself was printed where it happened.
                drop((&mut task.join).await);
            }
        };
        async move {
            if tokio::time::timeout(grace, ends).await.is_err() {
                tracing::warn!(
                    ?grace,
                    "some work did not stop in time and is ended where it stands"
                );
            }
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks<R, S, O>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn an_end_is_a_trigger_and_stays_readable() {
        let (supervisor, mut triggers) = Supervisor::<&str, (), u8>::new();
        supervisor.start("uid", "object", |_| async { 7 });
        assert_eq!(triggers.next().await, Some("object"));
        assert!(matches!(supervisor.standing("uid"), Standing::Ended(7)));
        supervisor.forget("uid");
        assert!(matches!(supervisor.standing("uid"), Standing::Absent));
    }

    #[tokio::test]
    async fn a_second_start_changes_nothing_and_a_stop_is_heard() {
        let (supervisor, mut triggers) = Supervisor::<&str, (), u8>::new();
        supervisor.start("uid", "object", |handle| async move {
            handle.stop.cancelled().await;
            1
        });
        supervisor.start("uid", "object", |_| async { 2 });
        assert!(matches!(supervisor.standing("uid"), Standing::Running(())));
        supervisor.stop("uid");
        assert_eq!(triggers.next().await, Some("object"));
        assert!(matches!(supervisor.standing("uid"), Standing::Ended(1)));
    }

    #[tokio::test]
    async fn a_task_that_panicked_is_absent() {
        let (supervisor, _triggers) = Supervisor::<&str, (), u8>::new();
        supervisor.start("uid", "object", |_| async { panic!("on purpose") });
        while !matches!(supervisor.standing("uid"), Standing::Absent) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn shutting_down_ends_what_does_not_stop() {
        let (supervisor, _triggers) = Supervisor::<&str, (), u8>::new();
        supervisor.start("uid", "object", |_| std::future::pending());
        supervisor.shut_down(Duration::from_millis(10)).await;
        assert!(matches!(supervisor.standing("uid"), Standing::Absent));
        supervisor.start("uid", "object", |_| async { 1 });
        assert!(matches!(supervisor.standing("uid"), Standing::Absent));
    }
}
