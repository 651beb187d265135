//! A small object in one request, where a lost answer can be settled by looking: read-back only.

use super::adopt::{Seen, landed};
use super::body::{Piece, ReadFault};
use super::error::TransferError;
use super::learned::Ground;
use super::limits::Room;
use super::object::{Earlier, Landed, Task};
use super::pieces::share;
use super::reader::Reader;
use super::retry::is_retryable;
use super::source::SourceFault;
use crate::plan::{Compression, ObjectDigest};
use crate::store::{ConditionalWrite, Dialect, ErrorClass, Meaning, ReadBack, Refusal, StoreError};

enum Sent {
    Landed(Landed),
    Refused(StoreError),
    Source(SourceFault),
    /// It stood still while others waited.
    GivenUp,
}

impl Task<'_> {
    /// Whether one PutObject does: it fits a part, and we may look at what became of it.
    pub(super) fn fits_one_put(&self) -> bool {
        self.context.read_back == ReadBack::Granted && self.layout().count() == 1
    }

    /// Reads, hashes and puts the object.
    pub(super) async fn put(&self) -> Result<Landed, TransferError> {
        loop {
            let (seen, dialect) = (self.context.attempts.begin(), self.dialect());
            match self.try_put().await {
                Ok(landed) => return Ok(landed),
                Err(ReadFault::Ended(TransferError::AccessLost { error, .. }))
                    if error.refusal() == Some(Refusal::ChecksumUnsupported)
                        && self.context.learned.does_not_work(dialect).is_some() =>
                {
                    let key = &self.outgoing.key;
                    tracing::warn!(%key, %error, "the object is sent again with a lesser checksum");
                }
                Err(ReadFault::Ended(error)) => return Err(error),
                Err(ReadFault::Source(fault)) => {
                    let key = &self.outgoing.key;
                    self.context
                        .read_failed(seen, key, fault, self.stop())
                        .await?;
                }
            }
        }
    }

    async fn try_put(&self) -> Result<Landed, ReadFault> {
        let dialect = self.dialect();
        let reader = self.reader(dialect).await?;
        let share = share(self.context, self.outgoing, self.stop()).await?;
        let mut pieces = self.pieces(&reader, share.as_ref(), dialect);
        let turn = self.context.read_turn(self.stop()).await?;
        let mut room = Some(self.context.room(pieces.largest(), self.stop()).await?);
        // It fits one part, so it is the first alone.
        let Some((_, mut piece)) = pieces.next(turn, self.stop()).await? else {
            return Err(SourceFault::Transient("the object has no part".to_owned()).into());
        };
        self.context.answering.answered();
        let digest = pieces.digest(self.stop()).await?;
        self.put_read(&reader, &mut piece, &mut room, digest).await
    }

    /// What reads the object. Of many small files each is opened by its read, as long as the source answers; a file that
    /// is compressed takes a share of the memory before it is read.
    async fn reader(&self, dialect: Dialect) -> Result<Reader, ReadFault> {
        let (context, outgoing) = (self.context, self.outgoing);
        if outgoing.compression == Compression::None && context.answering.is_fresh() {
            return Ok(context.reader(outgoing, dialect));
        }
        context.open(outgoing, dialect, self.stop()).await
    }

    /// Puts `piece`, which is the whole object, until it is there or can't be.
    async fn put_read(
        &self,
        reader: &Reader,
        piece: &mut Piece,
        room: &mut Option<Room>,
        digest: ObjectDigest,
    ) -> Result<Landed, ReadFault> {
        let mut earlier = Earlier::Answered;
        let mut tries = 0;
        loop {
            // The first look was a moment ago: it is repeated only where nothing else protects what is there.
            let ignored = self.conditional_write() == ConditionalWrite::Ignored;
            if self.must_look() && (tries > 0 || ignored) {
                match self.look(&digest).await? {
                    Seen::Ours(held) => return Ok(landed(digest, held, earlier.landing())),
                    Seen::Another => return Err(self.exists().into()),
                    Seen::Nothing | Seen::Hidden => {}
                }
            }
            tries += 1;
            let seen = self.context.attempts.begin();
            let error = match self.send(reader, piece, room.take(), &digest).await? {
                Sent::Landed(landed) => return Ok(landed),
                Sent::Source(fault) => return Err(ReadFault::Source(fault)),
                Sent::Refused(error) => error,
                Sent::GivenUp => {
                    earlier = Earlier::MayHaveBeenApplied;
                    continue;
                }
            };
            let key = &self.outgoing.key;
            if error.means(Meaning::ConditionFailed) {
                self.context.learned.found(Ground::Trodden);
                match self.look(&digest).await? {
                    Seen::Ours(held) => return Ok(landed(digest, held, earlier.landing())),
                    Seen::Another => return Err(self.exists().into()),
                    // It was deleted between the two requests.
                    Seen::Nothing => {}
                    Seen::Hidden if earlier == Earlier::Answered => {
                        return Err(self.exists().into());
                    }
                    Seen::Hidden => {
                        let key = key.clone();
                        return Err(
                            TransferError::CompletionUnconfirmed { key, upload: None }.into()
                        );
                    }
                }
            } else if !error.means(Meaning::Conflict) && !is_retryable(&error) {
                return Err(TransferError::access_lost(key, error).into());
            } else if matches!(error.class, ErrorClass::Ambiguous | ErrorClass::Transient) {
                earlier = Earlier::MayHaveBeenApplied;
            }
            self.context.again(seen, key, &error, self.stop()).await?;
        }
    }

    async fn send(
        &self,
        reader: &Reader,
        piece: &mut Piece,
        room: Option<Room>,
        digest: &ObjectDigest,
    ) -> Result<Sent, ReadFault> {
        let (context, outgoing) = (self.context, self.outgoing);
        let room = match room {
            Some(room) => room,
            None => context.room_again(piece, self.stop()).await?,
        };
        let body = piece.body(context, reader, self.stop()).await?;
        let mut leave = context.slot(room, self.stop()).await?;
        let metadata = context.metadata(outgoing.content_type);
        let bucket = context.bucket_for(&leave);
        let sent = bucket.put_object(&outgoing.key, &metadata, body, piece.checksum());
        let sent = tokio::select! {
            biased;
            sent = sent => sent,
            () = leave.given_up(&context.resources) => return Ok(Sent::GivenUp),
        };
        drop(leave);
        Ok(match (sent, piece.take_fault()) {
            (Ok(done), _) => {
                let landed = self.verified(digest.clone(), done)?;
                self.meter.sent(piece.source(), piece.len());
                Sent::Landed(landed)
            }
            (Err(_), Some(fault)) => Sent::Source(fault),
            (Err(error), None) => Sent::Refused(error),
        })
    }
}
