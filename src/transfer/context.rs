//! What every object of one delivery shares, and how it calls the store.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::adopt::IfExists;
use super::answering::Answering;
use super::body::{Piece, ReadFault};
use super::body_slot::BodySlot;
use super::checksum::{InOrder, Md5Wanted};
use super::error::TransferError;
use super::learned::Learned;
use super::ledger::{Ledger, ObjectState, Slot};
use super::limits::Room;
use super::progress::Meter;
use super::reader::{Opener, Reader};
use super::resources::Resources;
use super::retry::{Attempts, Failure, Seen, is_retryable, reason_of};
use super::source::SourceFault;
use super::tally::RetryReason;
use super::token::DeliveryToken;
use crate::plan::{Compression, ObjectKey, RecordFormat};
use crate::store::{Bucket, Dialect, ErrorClass, ObjectMetadata, ReadBack, StoreError};

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
    /// The same for parts that are read again. Apart, as they have their room already: who waits for room with a
    /// turn to read must not wait for them.
    pub(super) rereads: Semaphore,
    /// Whether the source answers.
    pub(super) answering: Answering,
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
    /// The bucket for a request with a body, whose bytes go at the destination's pace.
    pub(super) fn bucket_for(&self, slot: &BodySlot) -> Bucket {
        self.bucket().paced_by(slot.pace())
    }

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
        if error.status.is_none() {
            self.attempts.unanswered(seen);
        }
        let failure = Failure {
            class: error.class,
            reason: reason_of(error),
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

    /// Waits before a part of `bytes` bytes takes memory, while the destination can't take it soon.
    pub(super) async fn room(
        &self,
        bytes: u64,
        stop: &CancellationToken,
    ) -> Result<Room, TransferError> {
        unless_stopped(stop, self.resources.destination().room(bytes)).await
    }

    /// A turn to read the next part of an object. To be had before room for it, so that of a delivery whose source
    /// hangs no more parts hold room than are read.
    pub(super) async fn read_turn(
        &self,
        stop: &CancellationToken,
    ) -> Result<SemaphorePermit<'_>, TransferError> {
        let turn = unless_stopped(stop, self.reads.acquire()).await?;
        turn.map_err(|_| TransferError::Stopped)
    }

    /// [`Context::room`] for another try of `piece`.
    pub(super) async fn room_again(
        &self,
        piece: &Piece,
        stop: &CancellationToken,
    ) -> Result<Room, TransferError> {
        if piece.holds_memory() {
            return Ok(self.resources.destination().room_at_hand(piece.len()));
        }
        self.room(piece.len(), stop).await
    }

    /// Leave to have one request with a body under way, which `room` was made for.
    pub(super) async fn slot(
        &self,
        room: Room,
        stop: &CancellationToken,
    ) -> Result<BodySlot, TransferError> {
        unless_stopped(stop, self.resources.slot(room)).await
    }

    /// What reads `outgoing`, with the checksums of `dialect`, its file open: to be had before anything that others wait
    /// for, as a source hangs first where a file is opened.
    pub(super) async fn open(
        &self,
        outgoing: &Outgoing,
        dialect: Dialect,
        stop: &CancellationToken,
    ) -> Result<Reader, ReadFault> {
        let reader = self.reader(outgoing, dialect);
        unless_stopped(stop, reader.open()).await??;
        self.answering.answered();
        Ok(reader)
    }

    /// The same, whose first read opens the file.
    pub(super) fn reader(&self, outgoing: &Outgoing, dialect: Dialect) -> Reader {
        let in_order = InOrder::new(outgoing.md5, self.records, dialect);
        let open = Arc::clone(&outgoing.open);
        Reader::new(open, in_order, outgoing.compression, outgoing.len)
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
