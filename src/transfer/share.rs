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
use super::memory::{MemoryPool, PooledBuffer, UNIT};
use super::resources::Resources;
use crate::plan::{Compression, ObjectKey, PartLayout, Plan, PlannedObject};

/// Parts that one object holds at once: one comes out while the other is on its way.
const PARTS: usize = 2;

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

/// Bytes of memory that one object takes while it is compressed.
#[derive(Clone, Copy)]
struct Need {
    /// Of each part but the last.
    part: usize,
    /// Of the encoder, which the pool can't see.
    encoder: usize,
    /// Of the encoder, and of the parts that are held at once.
    all: usize,
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

    /// Whose turn an object is of which these are the parts at most.
    fn of(&self, layout: PartLayout) -> &Turn {
        match layout.count() {
            1 => &self.small,
            _ => &self.large,
        }
    }

    /// What the object `key` of `len` bytes takes, of which `layout` are the parts at most.
    fn need(
        &self,
        key: &ObjectKey,
        len: u64,
        compression: Compression,
        layout: PartLayout,
    ) -> Result<Need, TransferError> {
        let encoder = memory(compression, len, threads()).next_multiple_of(UNIT);
        let part = layout.part_size().min(compression.at_most(len));
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        // In the pool's units, or its last one would be missing.
        let of_part = part.checked_next_multiple_of(UNIT).unwrap_or(usize::MAX);
        let with = |parts: usize| of_part.saturating_mul(parts).saturating_add(encoder);
        let all = match layout.count() {
            1 => with(1),
            _ if with(PARTS) <= self.most => with(PARTS),
            _ => with(1),
        };
        if all > self.most {
            return Err(TransferError::TooLargeToCompress {
                key: key.clone(),
                bytes: len,
                needed: all,
                most: self.most,
            });
        }
        Ok(Need { part, encoder, all })
    }

    /// What `object` takes, and in whose turn.
    fn need_of(
        &self,
        object: &PlannedObject,
        compression: Compression,
        part_size: u64,
    ) -> Result<(&Turn, Need), TransferError> {
        let layout = compression.parts(object.len(), part_size);
        let need = self.need(&object.key, object.len(), compression, layout)?;
        Ok((self.of(layout), need))
    }

    /// Bytes that the objects of `plan` take together at most.
    pub(super) fn memory_for(&self, plan: &Plan, part_size: u64) -> u64 {
        let together = |turn: &Turn| {
            let needs = plan.objects().iter().filter_map(|object| {
                let (of, need) = self.need_of(object, plan.compression(), part_size).ok()?;
                std::ptr::eq(of, turn).then_some(need.all as u64)
            });
            let (sum, largest) = needs.fold((0_u64, 0), |(sum, largest), need| {
                (sum.saturating_add(need), largest.max(need))
            });
            // One that is larger than a turn has all of it.
            sum.min(largest.max((turn.units * UNIT) as u64))
        };
        together(&self.small).saturating_add(together(&self.large))
    }
}

impl Resources {
    /// Makes sure that each object of `plan`, in parts of `part_size` bytes, can be compressed with the memory that
    /// there is.
    ///
    /// # Errors
    /// [`TransferError::TooLargeToCompress`] for the first that can't be.
    pub fn require_room(&self, plan: &Plan, part_size: u64) -> Result<(), TransferError> {
        if plan.compression() == Compression::None {
            return Ok(());
        }
        plan.objects().iter().try_for_each(|object| {
            self.turns()
                .need_of(object, plan.compression(), part_size)
                .map(drop)
        })
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
        let resources = &context.resources;
        let turns = resources.turns();
        let need = turns.need(&outgoing.key, outgoing.len, outgoing.compression, layout)?;
        let bytes = need.all;
        let turn = turns.of(layout);
        let turn = unless_stopped(stop, turn.take(resources.destination().party(), bytes)).await?;
        let whole = unless_stopped(stop, resources.memory().carve(bytes)).await??;
        let encoder = whole.carve(need.encoder).await?;
        Ok(Self {
            parts: whole,
            part: need.part,
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
