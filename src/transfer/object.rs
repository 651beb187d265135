//! One object, from a plan's line to verified bytes in the bucket: a state machine whose states are
//! the ledger's, so that a process that died anywhere is gone on from what was recorded last.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Outgoing, Refused};
use super::error::TransferError;
use super::ledger::ObjectState;
use super::pieces::{Pieces, layout};
use super::progress::{Notice, ObjectMeter};
use super::reader::Reader;
use super::retry::Failure;
use super::share::Share;
use super::tally::RetryReason;
use crate::plan::{ObjectDigest, PartLayout};
use crate::store::{
    Dialect, ErrorClass, Meaning, PartChecksum, StoreError, UploadId, UploadedPart,
};

/// How an object came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// This run, or an earlier one of the same ledger, sent it.
    Sent,
    /// It was there already, with our token: nothing of this run is in the bucket.
    Adopted,
}

/// An object that is there, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Landed {
    pub(super) digest: ObjectDigest,
    pub(super) version_id: Option<String>,
    pub(super) landing: Landing,
}

/// An upload that is open, as far as we know.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) upload: UploadId,
    pub(super) started_at: Timestamp,
}

/// An upload whose parts are all there.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub(super) open: Open,
    pub(super) digest: ObjectDigest,
    pub(super) parts: Vec<UploadedPart>,
}

/// A part that the store has.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) etag: String,
    pub(super) bytes: u64,
    /// What it is verified by; `None` where nobody knows it any more. Never its ETag.
    pub(super) checksum: Option<PartChecksum>,
}

/// The parts that the store has, by number.
pub(super) type HeldParts = BTreeMap<i32, Held>;

/// The parts as Complete names them.
pub(super) fn uploaded(held: HeldParts) -> Vec<UploadedPart> {
    let parts = held.into_iter().map(|(number, part)| UploadedPart {
        number,
        etag: part.etag,
        checksum: part.checksum,
    });
    parts.collect()
}

/// What is known of earlier tries to complete an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// There were none, or the store answered each of them.
    Answered,
    /// One may have been applied: its answer was lost, or a process died over it.
    MayHaveBeenApplied,
}

impl Earlier {
    /// How an object of ours that is there came to be there.
    pub(super) fn landing(self) -> Landing {
        match self {
            Self::Answered => Landing::Adopted,
            Self::MayHaveBeenApplied => Landing::Sent,
        }
    }
}

/// What comes next.
pub(super) enum Step {
    Look,
    Begin,
    Create,
    Resume(Open),
    Fill(Open, HeldParts),
    ResumeComplete(Open, ObjectDigest),
    Complete(Filled, Earlier),
    Landed(Landed),
}

/// One object at work.
pub(super) struct Task<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) outgoing: &'a Arc<Outgoing>,
    pub(super) meter: Arc<ObjectMeter>,
    pub(super) restarts: u32,
    /// An upload that was given up although its Complete may have been applied: nobody could be asked.
    pub(super) unsettled: Option<Open>,
}

/// Delivers one object from where the ledger says it is.
pub(super) async fn deliver(
    context: &Arc<Context>,
    outgoing: &Arc<Outgoing>,
    meter: Arc<ObjectMeter>,
    state: ObjectState,
) -> Result<Landed, TransferError> {
    let mut task = Task {
        context,
        outgoing,
        meter,
        restarts: 0,
        unsettled: None,
    };
    let mut step = match state {
        ObjectState::Planned => Step::Look,
        ObjectState::Open { upload, started_at } => Step::Resume(Open { upload, started_at }),
        ObjectState::Completing {
            upload,
            started_at,
            digest,
        } => Step::ResumeComplete(Open { upload, started_at }, digest),
        ObjectState::Delivered { digest, version_id } => {
            task.meter.was_there(outgoing.len, task.parts());
            return Ok(Landed {
                digest,
                version_id,
                landing: Landing::Sent,
            });
        }
    };
    loop {
        step = match step {
            Step::Look => task.look_first().await?,
            Step::Begin if task.fits_one_put() => {
                let landed = task.put().await?;
                // Not known of, it would be found by its token.
                let state = landed.state();
                context.ledger.note(outgoing.slot, state).await?;
                return Ok(task.landed(landed));
            }
            Step::Begin | Step::Create => task.create().await?,
            Step::Resume(open) => task.resume(open).await?,
            Step::Fill(open, held) => task.fill(open, held).await?,
            Step::ResumeComplete(open, digest) => task.resume_complete(open, digest).await?,
            Step::Complete(filled, earlier) => task.complete(filled, earlier).await?,
            Step::Landed(landed) => {
                task.record(landed.state()).await?;
                return Ok(task.landed(landed));
            }
        }
    }
}

impl Landed {
    fn state(&self) -> ObjectState {
        ObjectState::Delivered {
            digest: self.digest.clone(),
            version_id: self.version_id.clone(),
        }
    }
}

impl Task<'_> {
    fn landed(&self, landed: Landed) -> Landed {
        self.context.attempts.confirmed();
        self.meter.landed(self.outgoing.len, self.parts());
        landed
    }

    /// The object's parts: exactly, or at most where it is compressed.
    /// As many as the delivery's total counts for it.
    fn parts(&self) -> u64 {
        PartLayout::new(self.outgoing.len, self.context.part_size).count()
    }

    pub(super) fn layout(&self) -> PartLayout {
        layout(self.context, self.outgoing)
    }

    /// The object's parts, to be read from its first on.
    pub(super) fn pieces<'p>(
        &'p self,
        reader: &'p Reader,
        share: Option<&'p Share>,
        dialect: Dialect,
    ) -> Pieces<'p> {
        Pieces::new(self.context, self.outgoing, reader, share, dialect)
    }

    /// The checksums that the store verifies, as far as is known.
    pub(super) fn dialect(&self) -> Dialect {
        self.context.bucket().capabilities().dialect
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.context.stop
    }

    pub(super) async fn record(&self, state: ObjectState) -> Result<(), TransferError> {
        self.context.record(self.outgoing.slot, state).await
    }

    /// Opens an upload and makes it known before anything is sent into it.
    async fn create(&self) -> Result<Step, TransferError> {
        let key = &self.outgoing.key;
        let metadata = self.context.metadata(self.outgoing.content_type);
        // Before the request: an upload is never taken for younger than it is.
        let started_at = Timestamp::now();
        let create = |bucket: crate::store::Bucket| {
            let metadata = &metadata;
            async move { bucket.create_upload(key, metadata).await }
        };
        let created = self.context.call(key, self.stop(), create).await;
        let upload = created.map_err(|refused| refused.for_key(key))?;
        let open = Open { upload, started_at };
        if let Err(error) = self.record(open.state()).await {
            // Nobody else will ever know of it.
            if let Err(left) = self.context.bucket().abort_upload(key, &open.upload).await {
                tracing::warn!(%key, upload = %open.upload, %left, "an upload had to stay open");
                let why = format!("upload {}: {left}", open.upload);
                let key = key.clone();
                self.context.meter.notice(Notice::UploadLeft { key, why });
            }
            return Err(error);
        }
        Ok(Step::Fill(open, HeldParts::new()))
    }

    /// Goes on with an upload of an earlier process: what the store has isn't sent again.
    async fn resume(&mut self, open: Open) -> Result<Step, TransferError> {
        match self.list_parts(&open.upload).await {
            Ok(held) => Ok(Step::Fill(open, held)),
            Err(Refused::Store(error)) if error.means(Meaning::UploadGone) => {
                self.record(ObjectState::Planned).await?;
                let (key, why) = (self.outgoing.key.clone(), error.to_string());
                self.context.meter.notice(Notice::Restarted { key, why });
                Ok(Step::Create)
            }
            Err(Refused::Store(error)) => self.start_over(&open, &error).await,
            Err(Refused::Ended(error)) => Err(error),
        }
    }

    /// ListParts is refused: only this object starts again. No attempt failed, so none is counted.
    async fn start_over(&self, open: &Open, error: &StoreError) -> Result<Step, TransferError> {
        let (key, why) = (self.outgoing.key.clone(), error.to_string());
        tracing::warn!(%key, upload = %open.upload, why, "the parts aren't listed; the object starts again");
        self.context
            .meter
            .notice(Notice::PartsNotListed { key, why });
        self.give_up(open).await?;
        Ok(Step::Create)
    }

    /// The parts that the store has of `upload`, with the checksums that it vouches for.
    pub(super) async fn list_parts(&self, upload: &UploadId) -> Result<HeldParts, Refused> {
        let key = &self.outgoing.key;
        let list = |bucket: crate::store::Bucket| async move {
            let answer = bucket.list_parts(key, upload).await;
            self.context.learned.list_parts(&answer);
            answer
        };
        let parts = self.context.call(key, self.stop(), list).await?;
        let held = parts.into_iter().map(|part| {
            let held = Held {
                etag: part.etag,
                bytes: part.bytes,
                checksum: part.checksum,
            };
            (part.number.get(), held)
        });
        Ok(held.collect())
    }

    /// Gives an upload up and begins the object anew. The ledger must not say Completing of `open`
    /// any more when it is aborted: gone would then be taken for delivered.
    pub(super) async fn restart(&mut self, open: &Open, why: &str) -> Result<Step, TransferError> {
        let key = &self.outgoing.key;
        let text = format!("{key}: {why}");
        tracing::warn!(%key, upload = %open.upload, why, "the object starts again");
        let (of, said) = (key.clone(), why.to_owned());
        self.context
            .meter
            .notice(Notice::Restarted { key: of, why: said });
        let limit = self.context.attempts.limit();
        self.restarts += 1;
        if self.restarts > limit {
            let failures = self.restarts;
            return Err(TransferError::BackoffLimitExceeded {
                failures,
                limit,
                last: text,
            });
        }
        let seen = self.context.attempts.begin();
        self.give_up(open).await?;
        self.meter.restart();
        let failure = Failure {
            class: ErrorClass::Transient,
            reason: RetryReason::Restarted,
            text,
        };
        self.context
            .attempts
            .failed(seen, failure, self.stop())
            .await?;
        Ok(Step::Create)
    }

    /// Aborts `open`, so that the ledger tells the truth at each moment.
    pub(super) async fn give_up(&self, open: &Open) -> Result<(), TransferError> {
        self.record(open.state()).await?;
        self.abort(open).await?;
        self.record(ObjectState::Planned).await
    }

    /// Aborts `open`, of which the ledger says nothing that is wrong then. One that is gone is no less so.
    pub(super) async fn abort(&self, open: &Open) -> Result<(), TransferError> {
        let (key, upload) = (&self.outgoing.key, &open.upload);
        let abort =
            |bucket: crate::store::Bucket| async move { bucket.abort_upload(key, upload).await };
        match self.context.call(key, self.stop(), abort).await {
            Err(Refused::Store(error)) if error.means(Meaning::UploadGone) => Ok(()),
            aborted => aborted.map_err(|refused| refused.for_key(key)),
        }
    }
}

impl Open {
    pub(super) fn state(&self) -> ObjectState {
        ObjectState::Open {
            upload: self.upload.clone(),
            started_at: self.started_at,
        }
    }
}
