//! Fills an upload: each part is read and hashed once, in order, and sent beside the others.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::body::{Piece, ReadFault};
use super::body_slot::BodySlot;
use super::context::{Context, Outgoing};
use super::error::TransferError;
use super::ledger::ObjectState;
use super::object::{Earlier, Filled, Held, HeldParts, Open, Step, Task, uploaded};
use super::pieces::{Pieces, share};
use super::progress::ObjectMeter;
use super::reader::Reader;
use super::retry::is_retryable;
use super::source::SourceFault;
use crate::plan::{ObjectDigest, PartNumber};
use crate::store::{Meaning, PartBody, Refusal, StoreError, UploadId};

/// Why an upload couldn't be filled.
enum Broken {
    /// The upload is gone: a lifecycle rule, or another hand.
    UploadGone(String),
    /// The store doesn't take the parts' checksum: the upload may be of another dialect.
    ChecksumRefused(StoreError),
    Source(SourceFault),
    Ended(TransferError),
}

impl From<ReadFault> for Broken {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Source(fault) => Self::Source(fault),
            ReadFault::Ended(error) => Self::Ended(error),
        }
    }
}

impl From<TransferError> for Broken {
    fn from(error: TransferError) -> Self {
        Self::Ended(error)
    }
}

type Sent = Result<(PartNumber, Held), Broken>;

/// The parts that are on their way.
struct Sending {
    tasks: JoinSet<Sent>,
    /// Cancelled at the first part that can't be sent: the others stop waiting for another try.
    halt: CancellationToken,
}

impl Task<'_> {
    /// Sends what isn't in `held`, and makes it durable that all is there.
    pub(super) async fn fill(
        &mut self,
        open: Open,
        mut held: HeldParts,
    ) -> Result<Step, TransferError> {
        let seen = self.context.attempts.begin();
        self.meter.restart();
        match self.send_missing(&open, &mut held).await {
            Ok(digest) => {
                let filled = Filled {
                    open,
                    digest,
                    parts: uploaded(held),
                };
                self.record(filled.state()).await?;
                Ok(Step::Complete(filled, Earlier::Answered))
            }
            Err(Broken::UploadGone(error)) => self.restart(&open, &error).await,
            Err(Broken::ChecksumRefused(error)) if self.restarts == 0 => {
                self.restart(&open, &error.to_string()).await
            }
            Err(Broken::ChecksumRefused(error)) => {
                Err(TransferError::access_lost(&self.outgoing.key, error))
            }
            Err(Broken::Source(fault)) => {
                let key = &self.outgoing.key;
                self.context
                    .read_failed(seen, key, fault, self.stop())
                    .await?;
                Ok(Step::Fill(open, held))
            }
            Err(Broken::Ended(error)) => Err(error),
        }
    }

    async fn send_missing(
        &self,
        open: &Open,
        held: &mut HeldParts,
    ) -> Result<ObjectDigest, Broken> {
        let (dialect, stop) = (self.dialect(), self.stop());
        let reader = self.context.open(self.outgoing, dialect, stop).await?;
        let share = share(self.context, self.outgoing, stop).await?;
        let mut pieces = self.pieces(&reader, share.as_ref(), dialect);
        let mut sending = Sending {
            tasks: JoinSet::new(),
            halt: self.stop().child_token(),
        };
        let read = self
            .read_all(&mut pieces, &reader, open, held, &mut sending)
            .await;
        if read.is_err() {
            sending.halt.cancel();
        }
        // Parts in flight land, whatever happened to the others.
        let sent = sending.drain(held).await;
        // A part that failed is the reason why reading was halted, and not the other way round.
        match (read, sent) {
            (Err(Broken::Ended(TransferError::Stopped)), Err(broken)) => return Err(broken),
            (Err(broken), _) | (Ok(()), Err(broken)) => return Err(broken),
            (Ok(()), Ok(())) => {}
        }
        Ok(pieces.digest(self.stop()).await?)
    }

    /// Reads and hashes every part, and starts those on their way that the store doesn't have.
    async fn read_all(
        &self,
        pieces: &mut Pieces<'_>,
        reader: &Reader,
        open: &Open,
        held: &mut HeldParts,
        sending: &mut Sending,
    ) -> Result<(), Broken> {
        let halt = sending.halt.clone();
        loop {
            sending.reap(held)?;
            let turn = self.context.read_turn(&halt).await?;
            let room = self.context.room(pieces.largest(), &halt).await?;
            let Some((number, piece)) = pieces.next(turn, &halt).await? else {
                break;
            };
            let there = held.get(&number.get());
            if there.is_some_and(|there| there.is(&piece)) {
                self.meter.held(piece.source());
                continue;
            }
            held.remove(&number.get());
            let slot = self.context.slot(room, &halt).await?;
            let sender = Sender {
                context: Arc::clone(self.context),
                outgoing: Arc::clone(self.outgoing),
                meter: Arc::clone(&self.meter),
                reader: reader.clone(),
                upload: open.upload.clone(),
                halt: halt.clone(),
            };
            let sent = async move { sender.send(number, piece, slot).await };
            // Its lines in the log are the delivery's, too.
            sending.tasks.spawn(sent.in_current_span());
        }
        // What an earlier try left behind the object's end.
        let count = pieces.count();
        held.retain(|number, _| u64::try_from(*number).is_ok_and(|n| n <= count));
        Ok(())
    }
}

impl Sending {
    /// Takes in the parts that landed meanwhile.
    fn reap(&mut self, held: &mut HeldParts) -> Result<(), Broken> {
        while let Some(done) = self.tasks.try_join_next() {
            self.take_in(done, held)?;
        }
        Ok(())
    }

    /// Waits for all parts; the first that broke, else the last that was halted, is the reason.
    async fn drain(&mut self, held: &mut HeldParts) -> Result<(), Broken> {
        let mut result = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            let halted = matches!(result, Err(Broken::Ended(TransferError::Stopped)));
            if let Err(broken) = self.take_in(done, held)
                && (result.is_ok() || halted)
            {
                result = Err(broken);
            }
        }
        result
    }

    fn take_in(&self, done: Result<Sent, JoinError>, held: &mut HeldParts) -> Result<(), Broken> {
        let sent = done.unwrap_or_else(|error| {
            // A part's task is aborted only with the whole delivery; a panic is ours.
            let text = format!("a part's task ended: {error}");
            Err(Broken::Source(SourceFault::Transient(text)))
        });
        let (number, part) = sent.inspect_err(|_| self.halt.cancel())?;
        held.insert(number.get(), part);
        Ok(())
    }
}

/// What sending one part takes.
struct Sender {
    context: Arc<Context>,
    outgoing: Arc<Outgoing>,
    meter: Arc<ObjectMeter>,
    reader: Reader,
    upload: UploadId,
    halt: CancellationToken,
}

impl Sender {
    async fn send(self, number: PartNumber, mut piece: Piece, slot: BodySlot) -> Sent {
        let Self {
            context,
            outgoing,
            upload,
            halt,
            ..
        } = &self;
        let (key, checksum) = (&outgoing.key, piece.checksum().clone());
        let mut slot = Some(slot);
        loop {
            let (body, mut leave) = self.ready(&mut piece, slot.take()).await?;
            let seen = context.attempts.begin();
            let bucket = context.bucket_for(&leave);
            let sent = bucket.upload_part(key, upload, number, body, checksum.clone());
            let sent = tokio::select! {
                biased;
                sent = sent => sent,
                () = leave.given_up(&context.resources) => {
                    tracing::debug!(%key, part = number.get(), "stands still while others wait: it is sent again later");
                    continue;
                }
            };
            if sent.as_ref().is_err_and(is_refused) {
                // Before its place is free: who is refused once needs no second answer.
                context.stop.cancel();
            }
            // Whoever waits for another try holds neither memory nor a slot.
            drop(leave);
            let error = match sent {
                Ok(part) => {
                    context.attempts.confirmed();
                    self.meter.sent(piece.source(), piece.len());
                    let held = Held {
                        etag: part.etag,
                        bytes: piece.len(),
                        checksum: Some(checksum),
                    };
                    return Ok((number, held));
                }
                Err(error) => error,
            };
            if let Some(fault) = piece.take_fault() {
                return Err(Broken::Source(fault));
            }
            let error = self.retryable(error)?;
            context.again(seen, key, &error, halt).await?;
        }
    }

    /// The part's body, and leave to send it. A try after the first waits for room before it takes memory.
    async fn ready(
        &self,
        piece: &mut Piece,
        slot: Option<BodySlot>,
    ) -> Result<(PartBody, BodySlot), Broken> {
        let (context, halt) = (&self.context, &self.halt);
        if let Some(slot) = slot {
            return Ok((piece.body(context, &self.reader, halt).await?, slot));
        }
        let room = context.room_again(piece, halt).await?;
        let body = piece.body(context, &self.reader, halt).await?;
        Ok((body, context.slot(room, halt).await?))
    }

    /// The error, where another try may succeed.
    fn retryable(&self, error: StoreError) -> Result<StoreError, Broken> {
        if error.means(Meaning::UploadGone) {
            return Err(Broken::UploadGone(error.to_string()));
        }
        if is_retryable(&error) {
            return Ok(error);
        }
        if error.refusal() == Some(Refusal::ChecksumUnsupported) {
            return Err(Broken::ChecksumRefused(error));
        }
        Err(TransferError::access_lost(&self.outgoing.key, error).into())
    }
}

/// Whether the store refused us, and not these bytes or this upload.
fn is_refused(error: &StoreError) -> bool {
    let of_checksum = error.refusal() == Some(Refusal::ChecksumUnsupported);
    !is_retryable(error) && !error.means(Meaning::UploadGone) && !of_checksum
}

impl Held {
    /// Whether it is `piece`, by the checksum of its dialect.
    fn is(&self, piece: &Piece) -> bool {
        self.bytes == piece.len() && self.checksum.as_ref() == Some(piece.checksum())
    }
}

impl Filled {
    /// The state that must be durable before Complete is sent.
    pub(super) fn state(&self) -> ObjectState {
        ObjectState::Completing {
            upload: self.open.upload.clone(),
            started_at: self.open.started_at,
            digest: self.digest.clone(),
        }
    }
}
