//! Hands out something bounded (bytes of memory, requests at once) to destinations in turn.
//!
//! Who holds least goes first, however many deliveries ask for it. The last share is kept for who holds nothing, so
//! a newcomer never waits for requests that hang. Those that don't answer have half of everything together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How often newcomers may go past a large request that has its turn and waits for room: often enough that they
/// don't wait for what hangs, and no more, so that it is served.
const OVERTAKES: u32 = 16;

/// Who asks: one destination. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Party(Arc<Who>);

#[derive(Debug)]
struct Who {
    number: u64,
    silent: AtomicBool,
}

/// Whether a destination gives signs of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Answers,
    Silent,
}

impl Party {
    /// Another than all before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Who {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            silent: AtomicBool::new(false),
        }))
    }

    /// Notes how it stands; what it means is looked at whenever something is given back.
    pub(super) fn is(&self, standing: Standing) {
        let silent = standing == Standing::Silent;
        self.0.silent.store(silent, Ordering::SeqCst);
    }

    fn is_silent(&self) -> bool {
        self.0.silent.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Entry {
    party: Party,
    held: usize,
    /// When it was last given something, in turns.
    served: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    units: usize,
    wake: oneshot::Sender<()>,
}

#[derive(Debug)]
struct State {
    total: usize,
    kept: usize,
    free: usize,
    tickets: u64,
    turns: u64,
    overtaken: u32,
    entries: BTreeMap<u64, Entry>,
}

/// Why a request can't be granted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Not {
    /// There is no room, and who comes later in turn may not take what becomes free.
    Room,
    /// It isn't this one's to take; others may.
    Allowed,
}

impl State {
    /// Gives to whose turn it is, until nothing more can be given.
    fn serve(&mut self) {
        while let Some((number, overtakes)) = self.next() {
            let Some(entry) = self.entries.get_mut(&number) else {
                return;
            };
            let Some(waiter) = entry.waiting.pop_front() else {
                return;
            };
            self.free -= waiter.units;
            entry.held += waiter.units;
            entry.served = self.turns;
            self.turns += 1;
            self.overtaken = if overtakes { self.overtaken + 1 } else { 0 };
            // Who stopped waiting takes itself out of the queue, under the same lock.
            let _ = waiter.wake.send(());
        }
    }

    /// Who is served next, and whether it goes past one that has its turn.
    fn next(&self) -> Option<(u64, bool)> {
        let waits = self
            .entries
            .iter()
            .filter_map(|(number, entry)| Some((*number, entry, entry.waiting.front()?.units)));
        let mut order: Vec<_> = waits.collect();
        order.sort_by_key(|(_, entry, _)| (entry.held, entry.served));
        let mut blocked = false;
        for (number, entry, units) in order {
            if blocked && !(self.is_newcomer(entry, units) && self.overtaken < OVERTAKES) {
                continue;
            }
            match self.may(entry, units) {
                Ok(()) => return Some((number, blocked)),
                Err(Not::Room) => blocked = true,
                Err(Not::Allowed) => {}
            }
        }
        None
    }

    fn is_newcomer(&self, entry: &Entry, units: usize) -> bool {
        entry.held == 0 && units <= self.kept
    }

    fn may(&self, entry: &Entry, units: usize) -> Result<(), Not> {
        if entry.party.is_silent() {
            let silent = self.entries.values().filter(|it| it.party.is_silent());
            let held: usize = silent.map(|entry| entry.held).sum();
            if held > 0 && held + units > self.total / 2 {
                return Err(Not::Allowed);
            }
        }
        let kept = if entry.held == 0 { 0 } else { self.kept };
        if self.free < units + kept {
            return Err(Not::Room);
        }
        Ok(())
    }

    fn forget_idle(&mut self, number: u64) {
        let idle = |entry: &Entry| entry.held == 0 && entry.waiting.is_empty();
        if self.entries.get(&number).is_some_and(idle) {
            self.entries.remove(&number);
        }
    }
}

/// Something bounded, counted in units. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Mutex<State>>);

impl Gate {
    /// `total` units, of which the last `kept` are given only to who holds none.
    pub(super) fn new(total: usize, kept: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            total,
            kept: kept.min(total.saturating_sub(1)),
            free: total,
            tickets: 0,
            turns: 0,
            overtaken: 0,
            entries: BTreeMap::new(),
        })))
    }

    /// Waits for `units`; a party's requests are served in the order in which it asked. More than there are in all are
    /// never given.
    pub(super) async fn acquire(&self, party: &Party, units: usize) -> Grant {
        let (wake, woken) = oneshot::channel();
        let mut wait = {
            let mut state = self.state();
            state.tickets += 1;
            let ticket = state.tickets;
            let entry = state.entries.entry(party.0.number);
            let entry = entry.or_insert_with(|| Entry {
                party: party.clone(),
                held: 0,
                served: 0,
                waiting: VecDeque::new(),
            });
            entry.waiting.push_back(Waiter {
                ticket,
                units,
                wake,
            });
            state.serve();
            Wait {
                grant: Some(Grant {
                    gate: self.clone(),
                    number: party.0.number,
                    units,
                }),
                ticket,
            }
        };
        // The sender is dropped only by sending, or by the very `wait` that is waited on here.
        let _ = woken.await;
        wait.take()
    }

    /// Whether another than `party` waits.
    pub(super) fn others_wait(&self, party: &Party) -> bool {
        let state = self.state();
        let mut entries = state.entries.iter();
        entries.any(|(number, entry)| *number != party.0.number && !entry.waiting.is_empty())
    }

    /// Looks who may be served, after a party's standing changed.
    pub(super) fn look_again(&self) {
        self.state().serve();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits, or was granted and not yet taken. Dropped, it leaves no trace.
struct Wait {
    grant: Option<Grant>,
    ticket: u64,
}

impl Wait {
    #[allow(
        clippy::expect_used,
        reason = "it is consumed, so nobody took the grant before"
    )]
    fn take(&mut self) -> Grant {
        self.grant.take().expect("a grant that wasn't taken")
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(mut grant) = self.grant.take() else {
            return;
        };
        let gate = grant.gate.clone();
        let mut state = gate.state();
        let entry = state.entries.get_mut(&grant.number);
        let place = entry.and_then(|entry| {
            let found = |waiter: &Waiter| waiter.ticket == self.ticket;
            let place = entry.waiting.iter().position(found)?;
            entry.waiting.remove(place)
        });
        if place.is_some() {
            // It was given nothing, but others may have waited behind it: giving nothing back serves them.
            grant.units = 0;
        }
        drop(state);
    }
}

/// Units on loan, given back on drop.
#[derive(Debug)]
pub(super) struct Grant {
    gate: Gate,
    number: u64,
    units: usize,
}

impl Drop for Grant {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.free += self.units;
        if let Some(entry) = state.entries.get_mut(&self.number) {
            entry.held -= self.units;
        }
        state.forget_idle(self.number);
        state.serve();
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
