//! How many parts of one destination may be under way: as many as the process allows, fewer where the store asks for
//! fewer. All deliveries to a destination share it; other destinations never feel it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// Additive increase, multiplicative decrease. Pure.
///
/// The limit is halved at most once a round trip: a request that was sent before the last cut says nothing about the
/// limit since. It grows by one once as many parts as it allows were confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aimd {
    limit: u32,
    ceiling: u32,
    confirmed: u32,
    cuts: Cuts,
}

/// How often the limit was cut when a request was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cuts(u64);

impl Aimd {
    fn new(ceiling: u32) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            limit: ceiling,
            ceiling,
            confirmed: 0,
            cuts: Cuts::default(),
        }
    }

    /// The store asked for fewer requests, in answer to one that was sent after `sent` cuts.
    fn throttled(&mut self, sent: Cuts) {
        if sent == self.cuts {
            self.limit = (self.limit / 2).max(1);
            self.confirmed = 0;
            self.cuts = Cuts(self.cuts.0 + 1);
        }
    }

    /// A part was confirmed.
    fn confirmed(&mut self) {
        if self.limit < self.ceiling {
            self.confirmed += 1;
            if self.confirmed >= self.limit {
                self.limit += 1;
                self.confirmed = 0;
            }
        }
    }
}

#[derive(Debug)]
struct State {
    aimd: Aimd,
    /// Parts under way.
    under_way: u32,
    /// Parts that wait for leave, and hold their memory meanwhile.
    waiting: u32,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
        result
    }

    /// Waits until `attempt` succeeds; it is repeated whenever something changed.
    async fn until<T>(&self, mut attempt: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look, or a change right after it would be missed.
            changed.as_mut().enable();
            let found = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                attempt(&mut state)
            };
            match found {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }
}

/// One destination's limit. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct DestinationLimit(Arc<Inner>);

/// Leave to have one part under way.
#[derive(Debug)]
pub(super) struct Leave(Arc<Inner>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.change(|state| state.under_way -= 1);
    }
}

/// Counts a part that waits, for as long as it does.
struct Waiting<'a>(&'a Inner);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.waiting -= 1);
    }
}

impl DestinationLimit {
    pub(super) fn new(ceiling: u32) -> Self {
        let state = State {
            aimd: Aimd::new(ceiling),
            under_way: 0,
            waiting: 0,
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// Waits until another part would find leave soon. To be called before a part takes memory: a destination that
    /// is throttled must not fill the budget that all share with parts that wait.
    pub(super) async fn room(&self) {
        let has_room =
            |state: &mut State| (state.under_way + state.waiting <= state.aimd.limit).then_some(());
        self.0.until(has_room).await;
    }

    /// Waits for leave to have one more part under way.
    pub(super) async fn leave(&self) -> Leave {
        self.0.change(|state| state.waiting += 1);
        let waiting = Waiting(&self.0);
        self.0
            .until(|state| {
                let free = state.under_way < state.aimd.limit;
                free.then(|| state.under_way += 1)
            })
            .await;
        drop(waiting);
        Leave(Arc::clone(&self.0))
    }

    /// To be remembered when a request is sent.
    pub(super) fn cuts(&self) -> Cuts {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.aimd.cuts
    }

    pub(super) fn throttled(&self, sent: Cuts) {
        let limit = self.0.change(|state| {
            state.aimd.throttled(sent);
            state.aimd.limit
        });
        tracing::debug!(limit, "the store asks for fewer requests");
    }

    pub(super) fn confirmed(&self) {
        self.0.change(|state| state.aimd.confirmed());
    }
}

/// The limits of the destinations that are delivered to now.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationLimits(Arc<Mutex<HashMap<String, Weak<Inner>>>>);

impl DestinationLimits {
    /// The limit of the destination `name`; one that nobody uses any more begins anew at `ceiling`.
    pub(super) fn of(&self, name: &str, ceiling: u32) -> DestinationLimit {
        let mut limits = self.limits();
        limits.retain(|_, limit| limit.strong_count() > 0);
        if let Some(limit) = limits.get(name).and_then(Weak::upgrade) {
            return DestinationLimit(limit);
        }
        let limit = DestinationLimit::new(ceiling);
        limits.insert(name.to_owned(), Arc::downgrade(&limit.0));
        limit
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, Weak<Inner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_round_trip_halves_once_down_to_one() {
        let mut aimd = Aimd::new(8);
        let sent = aimd.cuts;
        for _ in 0..8 {
            aimd.throttled(sent);
        }
        assert_eq!(aimd.limit, 4);
        for expected in [2, 1, 1, 1] {
            aimd.throttled(aimd.cuts);
            assert_eq!(aimd.limit, expected);
        }
    }

    #[test]
    fn confirmed_parts_raise_it_one_by_one_to_the_ceiling() {
        let mut aimd = Aimd::new(4);
        aimd.throttled(aimd.cuts);
        aimd.throttled(aimd.cuts);
        assert_eq!(aimd.limit, 1);
        let mut limits = Vec::new();
        for _ in 0..8 {
            aimd.confirmed();
            limits.push(aimd.limit);
        }
        // 1, then two more, then three more.
        assert_eq!(limits, [2, 2, 3, 3, 3, 4, 4, 4]);
    }

    proptest::proptest! {
        #[test]
        fn it_stays_between_one_and_the_ceiling(ceiling in 0_u32..20, steps in proptest::collection::vec(0_u8..3, 0..200)) {
            let mut aimd = Aimd::new(ceiling);
            let mut old = aimd.cuts;
            for step in steps {
                let before = aimd.limit;
                match step {
                    0 => aimd.confirmed(),
                    1 => { old = aimd.cuts; aimd.throttled(old); }
                    _ => {
                        let late = old != aimd.cuts;
                        aimd.throttled(old);
                        proptest::prop_assert!(!late || aimd.limit == before);
                    }
                }
                proptest::prop_assert!((1..=ceiling.max(1)).contains(&aimd.limit));
                proptest::prop_assert!(aimd.limit <= before + 1 && aimd.limit >= before / 2);
            }
        }
    }

    #[tokio::test]
    async fn leave_is_given_up_to_the_limit_and_given_back() {
        let limit = DestinationLimit::new(2);
        let (first, second) = (limit.leave().await, limit.leave().await);
        assert!(limit.leave().now_or_never().is_none());
        limit.throttled(limit.cuts());
        drop(first);
        assert!(
            limit.leave().now_or_never().is_none(),
            "one is allowed, and under way"
        );
        let third = tokio::spawn({
            let limit = limit.clone();
            async move { limit.leave().await }
        });
        drop(second);
        drop(third.await.unwrap());
        assert!(limit.leave().now_or_never().is_some());
    }

    #[tokio::test]
    async fn there_is_no_room_for_a_part_that_would_wait_behind_another() {
        let limit = DestinationLimit::new(1);
        let leave = limit.leave().await;
        assert!(limit.room().now_or_never().is_some());
        let mut waits = Box::pin(limit.leave());
        assert!(futures::poll!(waits.as_mut()).is_pending());
        assert!(limit.room().now_or_never().is_none());
        drop(waits);
        assert!(
            limit.room().now_or_never().is_some(),
            "who stops waiting is not counted"
        );
        drop(leave);
    }

    #[tokio::test]
    async fn destinations_have_limits_of_their_own() {
        let limits = DestinationLimits::default();
        let (acme, other) = (limits.of("acme", 8), limits.of("other", 8));
        acme.throttled(acme.cuts());
        let again = limits.of("acme", 8);
        assert_eq!(again.cuts(), Cuts(1));
        assert_eq!(other.cuts(), Cuts(0));
        drop((acme, again));
        assert_eq!(
            limits.of("acme", 8).cuts(),
            Cuts(0),
            "nobody used it any more"
        );
    }
}
