//! What every object of one delivery shares, and how it calls the store.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::adopt::IfExists;
use super::body::held;
use super::checksum::{InOrder, Md5Wanted};
use super::engine::READS_AT_ONCE;
use super::error::TransferError;
use super::learned::Learned;
use super::ledger::{Ledger, ObjectState, Slot};
use super::limits::{DestinationLimit, DestinationLimits, Leave};
use super::memory::MemoryPool;
use super::progress::Meter;
use super::reader::{Opener, Reader};
use super::retry::{Attempts, Failure, Seen, is_retryable};
use super::share::Turns;
use super::source::SourceFault;
use super::tally::RetryReason;
use super::token::DeliveryToken;
use crate::plan::{Compression, ObjectKey, PartLayout, Plan, RecordFormat};
use crate::store::{Bucket, Dialect, ErrorClass, ObjectMetadata, ReadBack, StoreError};

/// What all deliveries of the process share: the memory and the requests that carry bytes.
#[derive(Clone, Debug)]
pub struct Resources {
    memory: MemoryPool,
    slots: Arc<Semaphore>,
    concurrent: u32,
    turns: Turns,
    limits: DestinationLimits,
    destination: DestinationLimit,
}

impl Resources {
    /// Buffers of `memory` bytes at most, and at most `max_concurrent_parts` parts under way (one at
    /// least).
    #[must_use]
    pub fn new(memory: u64, max_concurrent_parts: u16) -> Self {
        let memory = MemoryPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let turns = Turns::new(memory.budget());
        let concurrent = u32::from(max_concurrent_parts.max(1));
        let slots = Arc::new(Semaphore::new(concurrent as usize));
        Self {
            memory,
            slots,
            concurrent,
            turns,
            limits: DestinationLimits::default(),
            destination: DestinationLimit::new(concurrent),
        }
    }

    /// The same, for deliveries to the destination `name`: they share how many parts it bears, which is fewer once
    /// it asks for fewer, and other destinations don't feel it.
    #[must_use]
    pub fn for_destination(&self, name: &str) -> Self {
        Self {
            destination: self.limits.of(name, self.concurrent),
            ..self.clone()
        }
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(super) fn destination(&self) -> &DestinationLimit {
        &self.destination
    }

    /// The memory that they share.
    #[must_use]
    pub fn memory(&self) -> &MemoryPool {
        &self.memory
    }

    /// Bytes that a delivery of `plan` in parts of `part_size` bytes holds at most, never over the budget: its largest
    /// part for each request under way and each read ahead, or what its objects are compressed with.
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
        let at_once = parts.min(u64::from(self.concurrent) + READS_AT_ONCE as u64);
        held(self.memory.budget(), largest).saturating_mul(at_once)
    }

    /// Parts under way at most.
    #[must_use]
    pub fn max_concurrent_parts(&self) -> u32 {
        self.concurrent
    }
}

/// One delivery at work.
pub(super) struct Context {
    pub(super) buckets: watch::Receiver<Bucket>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) resources: Resources,
    pub(super) attempts: Attempts,
    pub(super) meter: Meter,
    /// Reads of this delivery that hold memory at once. A source that hangs keeps that much of the
    /// budget and no more, so other deliveries go on.
    pub(super) reads: Semaphore,
    pub(super) part_size: u64,
    pub(super) read_back: ReadBack,
    pub(super) if_exists: IfExists,
    pub(super) learned: Learned,
    pub(super) token: DeliveryToken,
    pub(super) uid: String,
    pub(super) records: RecordFormat,
    /// Cancelled when the delivery is to pause, or when one of its objects can't be delivered.
    pub(super) stop: CancellationToken,
}

/// One object on its way, or the receipt.
pub(super) struct Outgoing {
    pub(super) slot: Slot,
    pub(super) key: ObjectKey,
    /// Its length in bytes, before compression.
    pub(super) len: u64,
    pub(super) compression: Compression,
    /// Opens exactly its bytes, from 0 to `len`.
    pub(super) open: Opener,
    pub(super) md5: Md5Wanted,
    pub(super) content_type: &'static str,
}

/// Leave to have one request with a body under way, for as long as it lives.
pub(super) struct BodySlot {
    _process: OwnedSemaphorePermit,
    _destination: Leave,
}

/// Why a call gave no result.
pub(super) enum Refused {
    /// The store answered, and asking again would change nothing.
    Store(StoreError),
    /// The delivery ends.
    Ended(TransferError),
}

impl From<TransferError> for Refused {
    fn from(error: TransferError) -> Self {
        Self::Ended(error)
    }
}

impl Refused {
    /// A refusal that has no meaning of its own here: the access is lost.
    pub(super) fn for_key(self, key: &ObjectKey) -> TransferError {
        match self {
            Self::Store(error) => TransferError::access_lost(key, error),
            Self::Ended(error) => error,
        }
    }
}

impl Context {
    /// The bucket with the credentials that hold now: asked anew for each request.
    pub(super) fn bucket(&self) -> Bucket {
        self.learned.applied_to(&self.buckets.borrow())
    }

    pub(super) fn metadata(&self, content_type: &'static str) -> ObjectMetadata {
        let (token, delivery_uid) = (self.token.as_str().to_owned(), self.uid.clone());
        ObjectMetadata {
            token,
            delivery_uid,
            content_type,
        }
    }

    /// Calls the store until it answers, or the delivery's patience or `stop` ends it.
    pub(super) async fn call<T, F>(
        &self,
        key: &ObjectKey,
        stop: &CancellationToken,
        mut request: impl FnMut(Bucket) -> F,
    ) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            if stop.is_cancelled() {
                return Err(TransferError::Stopped.into());
            }
            let seen = self.attempts.begin();
            match request(self.bucket()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_retryable(&error) => self.again(seen, key, &error, stop).await?,
                Err(error) => return Err(Refused::Store(error)),
            }
        }
    }

    /// Counts a failed call and waits before the next.
    pub(super) async fn again(
        &self,
        seen: Seen,
        key: &ObjectKey,
        error: &StoreError,
        stop: &CancellationToken,
    ) -> Result<(), TransferError> {
        let failure = Failure {
            class: error.class,
            reason: reason_of(error.class),
            text: format!("{key}: {error}"),
        };
        self.attempts.failed(seen, failure, stop).await
    }

    /// What a fault of the source means: the end, or another try after a wait.
    pub(super) async fn read_failed(
        &self,
        seen: Seen,
        key: &ObjectKey,
        fault: SourceFault,
        stop: &CancellationToken,
    ) -> Result<(), TransferError> {
        let key = key.clone();
        match fault {
            SourceFault::Changed(_) => Err(TransferError::SourceChanged { key, fault }),
            SourceFault::Unreadable(_) => Err(TransferError::SourceUnreadable { key, fault }),
            SourceFault::Transient(text) => {
                let text = format!("{key}: reading its source: {text}");
                let failure = Failure {
                    class: ErrorClass::Transient,
                    reason: RetryReason::Source,
                    text,
                };
                self.attempts.failed(seen, failure, stop).await
            }
        }
    }

    pub(super) async fn record(&self, slot: Slot, state: ObjectState) -> Result<(), TransferError> {
        Ok(self.ledger.record(slot, state).await?)
    }

    /// Leave to have one request with a body under way: the destination's, then the process's, so that who waits
    /// for a throttled destination takes nobody's place.
    pub(super) async fn slot(&self, stop: &CancellationToken) -> Result<BodySlot, TransferError> {
        let leave = unless_stopped(stop, self.resources.destination.leave()).await?;
        let slot = Arc::clone(&self.resources.slots).acquire_owned();
        let slot = unless_stopped(stop, slot).await?;
        Ok(BodySlot {
            _process: slot.map_err(|_| TransferError::Stopped)?,
            _destination: leave,
        })
    }

    /// Waits before a part takes memory, while the destination can't take it soon.
    pub(super) async fn room(&self, stop: &CancellationToken) -> Result<(), TransferError> {
        unless_stopped(stop, self.resources.destination.room()).await
    }

    pub(super) async fn reader(
        &self,
        outgoing: &Outgoing,
        dialect: Dialect,
        stop: &CancellationToken,
    ) -> Result<Result<Reader, SourceFault>, TransferError> {
        let in_order = InOrder::new(outgoing.md5, self.records, dialect);
        let open = Arc::clone(&outgoing.open);
        let open = Reader::open(open, in_order, outgoing.compression, outgoing.len);
        unless_stopped(stop, open).await
    }
}

/// What a call is repeated for. A refusal that is repeated blames bytes that were damaged on their way.
const fn reason_of(class: ErrorClass) -> RetryReason {
    match class {
        ErrorClass::Terminal => RetryReason::Damaged,
        ErrorClass::Transient => RetryReason::Unavailable,
        ErrorClass::Throttled => RetryReason::Throttled,
        ErrorClass::Ambiguous => RetryReason::Unanswered,
    }
}

/// What `work` yields, unless `stop` comes first.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, TransferError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(TransferError::Stopped),
        result = work => Ok(result),
    }
}
