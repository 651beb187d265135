//! What all deliveries of the process share, and how it is dealt out among destinations.

use super::body::held;
use super::body_slot::BodySlot;
use super::engine::READS_AT_ONCE;
use super::gate::Gate;
use super::limits::{DestinationLimit, DestinationLimits, Limits, Room};
use super::md5::{AHEAD, Crew, LANES};
use super::memory::MemoryPool;
use super::share::Turns;
use crate::plan::{Compression, PartLayout, Plan};

/// What all deliveries of the process share: the memory and the requests that carry bytes.
#[derive(Clone, Debug)]
pub struct Resources {
    memory: MemoryPool,
    slots: Gate,
    concurrent: u32,
    turns: Turns,
    crew: Crew,
    limits: DestinationLimits,
    destination: DestinationLimit,
}

impl Resources {
    /// Buffers of `memory` bytes at most, and at most `max_concurrent_parts` parts under way (one at
    /// least). Where that is more than one, the last is kept for a destination that has none under way.
    #[must_use]
    pub fn new(memory: u64, max_concurrent_parts: u16) -> Self {
        let memory = MemoryPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let turns = Turns::new(memory.budget());
        let concurrent = u32::from(max_concurrent_parts.max(1));
        let destination = DestinationLimit::new(of_one(concurrent));
        Self {
            memory: memory.of(destination.party()),
            slots: Gate::new(concurrent as usize, 1),
            concurrent,
            turns,
            crew: Crew::new(),
            limits: DestinationLimits::default(),
            destination,
        }
    }

    /// The same, for deliveries to the destination `name`: they share its `limits` and how many parts it bears, which
    /// is fewer once it asks for fewer, and other destinations don't feel it.
    #[must_use]
    pub fn for_destination(&self, name: &str, limits: Limits) -> Self {
        let destination = self.limits.of(name, of_one(self.concurrent));
        destination.limit(limits);
        Self {
            memory: self.memory.of(destination.party()),
            destination,
            ..self.clone()
        }
    }

    /// The limits of the destination `name` are these now, for deliveries that run too.
    pub fn limit(&self, name: &str, limits: Limits) {
        if let Some(destination) = self.limits.used(name) {
            destination.limit(limits);
        }
    }

    /// Who computes MD5s.
    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(super) fn destination(&self) -> &DestinationLimit {
        &self.destination
    }

    /// Leave to have one request with a body under way: the destination's, then the process's, so that who waits
    /// for a throttled destination takes nobody's place.
    pub(super) async fn slot(&self, room: Room) -> BodySlot {
        let leave = self.destination.leave(room).await;
        let grant = self.slots.acquire(self.destination.party(), 1).await;
        BodySlot::new(self.destination.clone(), leave, grant)
    }

    /// Whether another destination waits for what this one's parts hold.
    pub(super) fn others_wait(&self) -> bool {
        self.slots.others_wait(self.destination.party()) || self.memory.others_wait()
    }

    /// Something that the destination sent was confirmed.
    pub(super) fn confirmed(&self) {
        self.destination.confirmed();
        // It may have been silent before, and wait for what only those get that answer.
        self.slots.look_again();
        self.memory.look_again();
    }

    /// The memory that they share.
    #[must_use]
    pub fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// Bytes that a delivery of `plan` in parts of `part_size` bytes holds at most, never over the budget: its largest
    /// part for each request under way, each read ahead and each that is hashed behind, or what its objects are
    /// compressed with.
    #[must_use]
    pub fn memory_for(&self, plan: &Plan, part_size: u64) -> u64 {
        let wanted = match plan.compression() {
            Compression::None => self.buffers_for(plan, part_size),
            Compression::Gzip | Compression::Zstd => self.turns.memory_for(plan, part_size),
        };
        wanted.min(self.memory.budget() as u64)
    }

    fn buffers_for(&self, plan: &Plan, part_size: u64) -> u64 {
        let objects = plan.objects().iter();
        let objects = objects.map(|object| PartLayout::new(object.len(), part_size));
        let (parts, largest) = objects.fold((0, 0), |(parts, largest), layout| {
            (parts + layout.count(), layout.largest().max(largest))
        });
        let at_once = u64::from(self.concurrent) + (READS_AT_ONCE + LANES * AHEAD) as u64;
        held(self.memory.budget(), largest).saturating_mul(parts.min(at_once))
    }

    /// Parts under way at most.
    #[must_use]
    pub fn max_concurrent_parts(&self) -> u32 {
        self.concurrent
    }
}

/// Parts that one destination may have under way: all but the one that is kept for a newcomer.
const fn of_one(concurrent: u32) -> u32 {
    if concurrent > 1 { concurrent - 1 } else { 1 }
}
