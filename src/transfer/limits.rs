//! How many parts of one destination may be under way: as many as the process and its own limits allow, fewer where
//! the store asks for fewer or doesn't answer. All deliveries to a destination share it; other destinations never
//! feel it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::bandwidth::{Bandwidth, Pacer};
use super::gate::{Party, Standing};

/// What a destination asks for itself. The default is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Parts under way at most.
    pub parts: Option<NonZeroU32>,
    /// Bytes a second at most.
    pub bandwidth: Option<Bandwidth>,
}

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

    /// Another bound. Where the store bore all that the old one allowed, it is taken to bear the new one.
    fn bound(&mut self, ceiling: u32) {
        let ceiling = ceiling.max(1);
        let at_ceiling = self.limit == self.ceiling;
        self.ceiling = ceiling;
        self.limit = if at_ceiling {
            ceiling
        } else {
            self.limit.min(ceiling)
        };
    }

    /// The store asked for fewer requests, in answer to one that was sent after `sent` cuts, or didn't answer it.
    fn throttled(&mut self, sent: Cuts) {
        if sent == self.cuts {
            self.cut_to(self.limit / 2);
        }
    }

    fn cut_to(&mut self, limit: u32) {
        self.limit = limit.max(1);
        self.confirmed = 0;
        self.cuts = Cuts(self.cuts.0 + 1);
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

/// Parts, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    parts: u32,
    bytes: u64,
}

impl Load {
    fn add(&mut self, bytes: u64) {
        self.parts += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.parts -= 1;
        self.bytes -= bytes;
    }
}

#[derive(Debug)]
struct State {
    aimd: Aimd,
    bandwidth: Option<Bandwidth>,
    /// Parts under way.
    under_way: Load,
    /// Parts that hold memory, or are about to, and wait for leave.
    ahead: Load,
}

impl State {
    /// Whether `bytes` more than `load` are worth having under way: what the bandwidth sends in time.
    fn in_time(&self, load: u64, bytes: u64) -> bool {
        let worth = |bandwidth: Bandwidth| load + bytes <= bandwidth.under_way();
        load == 0 || self.bandwidth.is_none_or(worth)
    }

    fn has_room(&self, bytes: u64) -> bool {
        let load = self.under_way.bytes + self.ahead.bytes;
        let ahead = self.ahead.parts;
        // One is always ahead, so that nothing stands still between two parts.
        self.under_way.parts + ahead <= self.aimd.limit && (ahead == 0 || self.in_time(load, bytes))
    }

    fn has_leave(&self, bytes: u64) -> bool {
        self.under_way.parts < self.aimd.limit && self.in_time(self.under_way.bytes, bytes)
    }
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
    /// What the process allows one destination.
    most: u32,
    pacer: Pacer,
    party: Party,
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

/// Room for one part that isn't under way yet: it may take memory.
#[derive(Debug)]
pub(super) struct Room {
    inner: Arc<Inner>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inner.change(|state| state.ahead.remove(self.bytes));
    }
}

/// Leave to have one part under way.
#[derive(Debug)]
pub(super) struct Leave {
    inner: Arc<Inner>,
    /// Until it is given up.
    bytes: Option<u64>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes {
            self.inner.change(|state| state.under_way.remove(bytes));
        }
    }
}

impl Leave {
    /// Gives it up, unless the destination has no other part under way: then it says so. A destination that others
    /// wait for has one part until that is confirmed.
    pub(super) fn give_up(&mut self) -> Result<(), LastOne> {
        let Some(bytes) = self.bytes else {
            return Ok(());
        };
        self.inner.change(|state| {
            if state.under_way.parts <= 1 {
                return Err(LastOne);
            }
            state.under_way.remove(bytes);
            state.aimd.cut_to(1);
            Ok(())
        })?;
        self.bytes = None;
        self.inner.party.is(Standing::Silent);
        Ok(())
    }
}

/// It is the destination's only part under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastOne;

impl DestinationLimit {
    /// Of a destination that may have `most` parts under way.
    pub(super) fn new(most: u32) -> Self {
        let state = State {
            aimd: Aimd::new(most),
            bandwidth: None,
            under_way: Load::default(),
            ahead: Load::default(),
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            changed: Notify::new(),
            most,
            pacer: Pacer::new(),
            party: Party::new(),
        }))
    }

    /// From now on, for parts under way too.
    pub(super) fn limit(&self, limits: Limits) {
        let most = self.0.most;
        let parts = limits.parts.map_or(most, |parts| parts.get().min(most));
        self.0.pacer.limit(limits.bandwidth);
        let changed = self.0.change(|state| {
            let before = (state.aimd.ceiling, state.bandwidth);
            state.aimd.bound(parts);
            state.bandwidth = limits.bandwidth;
            before != (parts, limits.bandwidth)
        });
        if changed {
            let bandwidth = limits.bandwidth.map(Bandwidth::bytes);
            tracing::info!(parts, bandwidth, "the destination's limits are now");
        }
    }

    /// Who it is to the gates.
    pub(super) fn party(&self) -> &Party {
        &self.0.party
    }

    /// Who paces its bytes.
    pub(super) fn pacer(&self) -> &Pacer {
        &self.0.pacer
    }

    /// Waits until another part of `bytes` bytes would find leave soon. To be called before a part takes memory: a
    /// destination that is throttled must not fill the budget that all share with parts that wait.
    pub(super) async fn room(&self, bytes: u64) -> Room {
        self.0
            .until(|state| state.has_room(bytes).then(|| state.ahead.add(bytes)))
            .await;
        Room {
            inner: Arc::clone(&self.0),
            bytes,
        }
    }

    /// The same without waiting, for a part that holds memory already: others may wait for that very memory, and it
    /// must not wait for their room.
    pub(super) fn room_at_hand(&self, bytes: u64) -> Room {
        self.0.change(|state| state.ahead.add(bytes));
        Room {
            inner: Arc::clone(&self.0),
            bytes,
        }
    }

    /// Waits for leave to have the part that `room` is for under way.
    pub(super) async fn leave(&self, room: Room) -> Leave {
        let bytes = room.bytes;
        self.0
            .until(|state| {
                let free = state.has_leave(bytes);
                free.then(|| state.under_way.add(bytes))
            })
            .await;
        Leave {
            inner: Arc::clone(&self.0),
            bytes: Some(bytes),
        }
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

    /// A request that was sent after `sent` cuts had no answer. One that is down to a single part and still has none
    /// stands back behind those that answer.
    pub(super) fn unanswered(&self, sent: Cuts) {
        let limit = self.0.change(|state| {
            state.aimd.throttled(sent);
            state.aimd.limit
        });
        if limit == 1 {
            self.0.party.is(Standing::Silent);
        }
        tracing::debug!(limit, "the store does not answer");
    }

    pub(super) fn confirmed(&self) {
        self.0.party.is(Standing::Answers);
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

    /// The limit of the destination `name`, where somebody uses it.
    pub(super) fn used(&self, name: &str) -> Option<DestinationLimit> {
        let limit = self.limits().get(name).and_then(Weak::upgrade);
        limit.map(DestinationLimit)
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, Weak<Inner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
