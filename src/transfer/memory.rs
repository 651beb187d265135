//! One budget for the bytes of all deliveries: a buffer exists only while the pool has room for it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::gate::{Gate, Grant, Party};

/// What the budget is counted in: a tiny file costs one unit.
pub(super) const UNIT: usize = 1024;

/// Of the budget, what is kept for a destination that holds nothing: a part of 8 MiB in the default 64 MiB, so that
/// it begins while another's parts hang.
const KEPT: usize = 8;

/// Smaller buffers aren't kept for the next one: the allocator serves them as fast.
const WORTH_KEEPING: usize = 1 << 20;

/// A hard bound in bytes for all buffers taken from it, idle ones included. Destinations are served in turn, and the
/// requests of one in the order in which it asked, so a large one isn't starved by small ones. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    shared: Arc<Shared>,
    party: Party,
}

/// A buffer that the pool can never hold, whatever is returned to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a buffer of {wanted} bytes is over the memory budget of {budget} bytes")]
pub struct OverBudget {
    /// The buffer asked for, in bytes.
    pub wanted: usize,
    /// The pool's budget, in bytes.
    pub budget: usize,
}

#[derive(Debug)]
struct Shared {
    budget: usize,
    gate: Gate,
    idle: Mutex<Idle>,
    /// The share of a larger pool that this one consists of.
    _share: Option<Charge>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Bytes in all buffers and shares, lent out or idle.
    allocated: usize,
    free: Vec<Aligned>,
}

/// Memory that begins where the kernel copies into it fastest: as far behind a cache line as what is copied. From page to
/// page it takes half as long again to a multiple of 16 bytes, and three times as long to another place (measured with
/// `pread` on AMD EPYC).
#[derive(Debug, Default)]
struct Aligned {
    /// Two [`ALIGNMENT`]s more, which no budget counts, as little as an allocator's own.
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

/// A cache line.
const ALIGNMENT: usize = 64;

impl Aligned {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len + 2 * ALIGNMENT].into_boxed_slice();
        let mut aligned = Self {
            bytes,
            start: 0,
            len,
        };
        aligned.begin_as(0);
        aligned
    }

    fn begin_as(&mut self, position: u64) {
        let line = self.bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        self.start = line + (position % ALIGNMENT as u64) as usize;
    }
}

/// Bytes taken out of a pool; given back on drop.
#[derive(Debug)]
struct Charge {
    pool: Arc<Shared>,
    bytes: usize,
    _grant: Grant,
}

impl MemoryPool {
    /// A pool of at most `bytes` bytes, rounded down to whole KiB (one at least).
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).max(1);
        Self::made(units, Gate::new(units, units / KEPT), None, Party::new())
    }

    fn made(units: usize, gate: Gate, share: Option<Charge>, party: Party) -> Self {
        let shared = Arc::new(Shared {
            budget: units * UNIT,
            gate,
            idle: Mutex::new(Idle::default()),
            _share: share,
        });
        Self { shared, party }
    }

    /// The same pool, as that party asks for its memory.
    pub(super) fn of(&self, party: &Party) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            party: party.clone(),
        }
    }

    /// Whether another party waits for memory.
    pub(super) fn others_wait(&self) -> bool {
        self.shared.gate.others_wait(&self.party)
    }

    /// Looks who may be served, after a party's standing changed.
    pub(super) fn look_again(&self) {
        self.shared.gate.look_again();
    }

    /// The budget in bytes.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.shared.budget
    }

    /// Bytes that buffers hold now, idle ones included: never over the budget.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.shared.idle().allocated
    }

    /// Waits until there is room for `len` bytes and returns them. Their content is undefined: it
    /// may be that of an earlier buffer.
    ///
    /// # Errors
    /// When `len` is over the budget, so that waiting would never end.
    pub(super) async fn acquire(&self, len: usize) -> Result<PooledBuffer, OverBudget> {
        let charge = self.charge(len).await?;
        let memory = self.shared.allocate(len);
        Ok(PooledBuffer { memory, charge })
    }

    /// Sets `bytes` bytes apart as a pool of their own, which ends when its last buffer does.
    ///
    /// # Errors
    /// When `bytes` is over the budget.
    pub(super) async fn carve(&self, bytes: usize) -> Result<Self, OverBudget> {
        let mut share = self.charge(bytes).await?;
        let mut idle = self.shared.idle();
        idle.make_room(bytes, self.shared.budget);
        share.bytes = bytes;
        drop(idle);
        // One object's alone: nothing of it is kept for others, nor withheld from a destination that is silent.
        let units = (bytes / UNIT).max(1);
        let gate = Gate::new(units, 0);
        Ok(Self::made(units, gate, Some(share), Party::new()))
    }

    async fn charge(&self, len: usize) -> Result<Charge, OverBudget> {
        let over = OverBudget {
            wanted: len,
            budget: self.shared.budget,
        };
        if len > self.shared.budget {
            return Err(over);
        }
        let gate = &self.shared.gate;
        let grant = gate.acquire(&self.party, len.div_ceil(UNIT)).await;
        Ok(Charge {
            pool: Arc::clone(&self.shared),
            bytes: 0,
            _grant: grant,
        })
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it is held, and the counts would still be right if something did.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller holds a grant for `len` bytes, so lent bytes stay within the budget, and giving
    /// up idle ones is always enough.
    fn allocate(&self, len: usize) -> Aligned {
        let mut idle = self.idle();
        if let Some(found) = idle.free.iter().position(|buffer| buffer.len == len) {
            return idle.free.swap_remove(found);
        }
        idle.make_room(len, self.budget);
        drop(idle);
        Aligned::new(len)
    }
}

impl Idle {
    fn make_room(&mut self, len: usize, budget: usize) {
        while self.allocated + len > budget {
            let Some(buffer) = self.free.pop() else { break };
            self.allocated -= buffer.len;
        }
        self.allocated += len;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.pool.idle().allocated -= self.bytes;
    }
}

/// Bytes on loan from a [`MemoryPool`], which gets them back on drop.
#[derive(Debug)]
pub(super) struct PooledBuffer {
    memory: Aligned,
    charge: Charge,
}

impl PooledBuffer {
    /// To be filled with what lies at `position` of a file: the buffer begins as far behind a cache line. What was in it is
    /// elsewhere then.
    pub(super) fn begin_as(&mut self, position: u64) {
        self.memory.begin_as(position);
    }

    /// The same memory, shared and read-only; it goes back to the pool with its last clone.
    #[must_use]
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Aligned { bytes, start, len } = &self.memory;
        &bytes[*start..*start + *len]
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Aligned { bytes, start, len } = &mut self.memory;
        &mut bytes[*start..*start + *len]
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut idle = self.charge.pool.idle();
        if memory.len >= WORTH_KEEPING {
            idle.free.push(memory);
        } else {
            idle.allocated -= memory.len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_holds_more_than_its_budget() {
        const BUDGET: usize = 8 << 20;
        let pool = MemoryPool::new(BUDGET);
        let tasks: Vec<_> = (0..200_usize)
            .map(|n| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for round in 0..20 {
                        let len = [3 << 20, 1 << 20, 5000, 0, 8 << 20][(n + round) % 5];
                        if (n + round) % 7 == 0 {
                            let share = pool.carve(2 << 20).await.unwrap();
                            drop(share.acquire(1 << 20).await.unwrap().freeze());
                        }
                        let mut buffer = pool.acquire(len).await.unwrap();
                        assert_eq!(buffer.len(), len);
                        for (position, to_line) in [(4096, 0), (4103, ALIGNMENT - 7)] {
                            buffer.begin_as(position);
                            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), to_line);
                            assert_eq!(buffer.len(), len);
                        }
                        buffer.fill(7);
                        assert!(pool.allocated() <= BUDGET, "{} over", pool.allocated());
                        tokio::task::yield_now().await;
                        drop(buffer.freeze());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(pool.allocated() <= BUDGET);
        let whole = pool.acquire(BUDGET).await.unwrap();
        assert_eq!((whole.len(), pool.allocated()), (BUDGET, BUDGET));
    }

    #[tokio::test]
    async fn serves_a_large_request_before_later_small_ones() {
        let pool = MemoryPool::new(4096);
        let first = pool.acquire(2048).await.unwrap();
        let mut large = Box::pin(pool.acquire(4096));
        assert!(futures::poll!(&mut large).is_pending());
        let mut small = Box::pin(pool.acquire(1024));
        assert!(
            futures::poll!(&mut small).is_pending(),
            "it may not overtake"
        );
        drop(first);
        let large = large.await.unwrap();
        assert!(futures::poll!(&mut small).is_pending());
        drop(large);
        assert_eq!(small.await.unwrap().len(), 1024);
    }

    #[tokio::test]
    async fn refuses_what_never_fits_and_reuses_full_buffers() {
        let pool = MemoryPool::new(2 << 20);
        let refused = pool.acquire((2 << 20) + 1).await.map(|buffer| buffer.len());
        assert_eq!(
            refused,
            Err(OverBudget {
                wanted: (2 << 20) + 1,
                budget: 2 << 20
            })
        );
        let buffer = pool.acquire(1 << 20).await.unwrap();
        let address = buffer.as_ptr();
        drop(buffer.freeze());
        assert_eq!(pool.acquire(1 << 20).await.unwrap().as_ptr(), address);
    }
}
