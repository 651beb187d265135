//! The memory that one compressed object has: for the encoder, and for parts that are held until the store
//! confirmed them. They can't be read again as those of a file can: they would have to be made again from the
//! object's beginning.
//!
//! What is held while a store doesn't answer is missed by others. So all objects that are compressed have a part
//! of the budget alone, those of one part apart from the larger ones, which may take hours.

use tokio_util::sync::CancellationToken;

use super::context::{Context, Outgoing, unless_stopped};
use super::encode::{memory, threads};
use super::error::TransferError;
use super::gate::{Gate, Grant, Party};
use super::memory::{MemoryPool, PooledBuffer};
use crate::plan::PartLayout;

/// Parts that one object holds at once: one comes out while the other is on its way.
const PARTS: usize = 2;

/// Bytes in a unit of the gates, as in the pool.
const UNIT: usize = 1024;

/// Turns to hold memory while an object is compressed. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// Of the objects of one part: a quarter of the budget.
    small: Turn,
    /// Of the others: half of it.
    large: Turn,
    /// What one object may take at most: three quarters, so that nothing else ever stands still.
    most: usize,
}

#[derive(Clone, Debug)]
struct Turn {
    gate: Gate,
    units: usize,
}

impl Turn {
    fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).max(1);
        Self {
            gate: Gate::new(units, 0),
            units,
        }
    }

    /// Waits for `bytes`, or for all that there are.
    async fn take(&self, party: &Party, bytes: usize) -> Grant {
        let units = bytes.div_ceil(UNIT).min(self.units);
        self.gate.acquire(party, units).await
    }
}

impl Turns {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            small: Turn::new(budget / 4),
            large: Turn::new(budget / 2),
            most: budget / 4 * 3,
        }
    }
}

/// One object's memory, for as long as any of its parts lives.
pub(super) struct Share {
    parts: MemoryPool,
    part: usize,
    /// What the encoder takes, which the pool can't see.
    _encoder: MemoryPool,
    _turn: Grant,
}

impl Share {
    /// Waits for the memory of `outgoing`, whose parts are `layout` at most.
    pub(super) async fn wait(
        context: &Context,
        outgoing: &Outgoing,
        layout: PartLayout,
        stop: &CancellationToken,
    ) -> Result<Self, TransferError> {
        let at_most = outgoing.compression.at_most(outgoing.len);
        let encoder = memory(outgoing.compression, outgoing.len, threads()).next_multiple_of(UNIT);
        let resources = &context.resources;
        let turns = resources.turns();
        let part = usize::try_from(layout.part_size().min(at_most)).unwrap_or(usize::MAX);
        // In the pool's units, or its last one would be missing.
        let of_part = part.checked_next_multiple_of(UNIT).unwrap_or(usize::MAX);
        let needed = |parts: usize| of_part.saturating_mul(parts).saturating_add(encoder);
        let parts = match layout.count() {
            1 => 1,
            _ if needed(PARTS) <= turns.most => PARTS,
            _ => 1,
        };
        let bytes = needed(parts);
        if bytes > turns.most {
            return Err(TransferError::TooLargeToCompress {
                key: outgoing.key.clone(),
                bytes: outgoing.len,
                needed: bytes,
                most: turns.most,
            });
        }
        let turn = if layout.count() == 1 {
            &turns.small
        } else {
            &turns.large
        };
        let turn = unless_stopped(stop, turn.take(resources.destination().party(), bytes)).await?;
        let whole = unless_stopped(stop, resources.memory().carve(bytes)).await??;
        let encoder = whole.carve(encoder).await?;
        Ok(Self {
            parts: whole,
            part,
            _encoder: encoder,
            _turn: turn,
        })
    }

    /// Waits until there is room for another part, of the size that each part but the last has.
    pub(super) async fn buffer(
        &self,
        stop: &CancellationToken,
    ) -> Result<PooledBuffer, TransferError> {
        Ok(unless_stopped(stop, self.parts.acquire(self.part)).await??)
    }
}
