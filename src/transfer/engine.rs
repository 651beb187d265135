//! One delivery: its objects side by side, a last look at the sources, and the receipt strictly last.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::adopt::IfExists;
use super::answering::Answering;
use super::checksum::{Md5Wanted, crc64};
use super::content::Content;
use super::context::{Context, Outgoing, unless_stopped};
use super::error::TransferError;
use super::learned::Learned;
use super::ledger::{Ledger, ObjectState, Slot};
use super::md5::LANES;
use super::object::{Landed, Landing, deliver};
use super::probe::probe;
use super::progress::{Meter, ObjectMeter, Progress, TransferPhase};
use super::reader::on_a_thread;
use super::receipt::{ReceiptFacts, render};
use super::resources::Resources;
use super::retry::{Attempts, RetryPolicy};
use super::source::{Readable, Source};
use crate::plan::{Compression, ObjectDigest, PartLayout, Plan, PlannedObject, RecordFormat};
use crate::source::cores;
use crate::store::{Bucket, Capabilities, ReadBack};

/// Reads of one delivery that hold memory at once, where the machine has as many cores: enough to hash
/// side by side, and a source that hangs keeps no more of the budget.
pub(super) const READS_AT_ONCE: usize = 4;

/// A delivery to make.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it writes.
    pub plan: Arc<Plan>,
    /// How far it is, from its ledger. A slot that isn't named is [`ObjectState::Planned`].
    pub states: BTreeMap<Slot, ObjectState>,
    /// What the receipt says beside the objects; its token and uid mark each object.
    pub facts: ReceiptFacts,
    /// Bytes in a part, where the object's size doesn't ask for more. It must be the same for as long
    /// as the ledger is.
    pub part_size: u64,
    /// Whether the receipt names MD5s.
    pub md5: Md5Wanted,
    /// What a record is.
    pub records: RecordFormat,
    /// Whether we may look at what we delivered.
    pub read_back: ReadBack,
    /// What to do with an object that is there already.
    pub if_exists: IfExists,
    /// Failures in a row, without a newly confirmed part between them, that don't end the delivery.
    pub backoff_limit: u32,
    /// How long is waited between them.
    pub retry: RetryPolicy,
}

/// One object of a finished delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredObject {
    /// What it is.
    pub digest: ObjectDigest,
    /// Its version, where the store said.
    pub version_id: Option<String>,
    /// Whether it was there before.
    pub landing: Landing,
}

/// A finished delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The objects, in the plan's order.
    pub objects: Vec<DeliveredObject>,
    /// The receipt.
    pub receipt: DeliveredObject,
    /// What is known of the store now; some of it only a delivery can find out.
    pub capabilities: Capabilities,
}

impl Delivered {
    /// Whether this run found everything there already, receipt included.
    #[must_use]
    pub fn was_there_already(&self) -> bool {
        let adopted = |object: &DeliveredObject| object.landing == Landing::Adopted;
        adopted(&self.receipt) && self.objects.iter().all(adopted)
    }
}

/// Delivers `job`: returns when the receipt is there.
///
/// `bucket` is asked anew for each request, so renewed credentials hold from the next request on. When
/// `stop` is cancelled no new part begins, those in flight land, and uploads stay open for the next run.
/// Dropping the future instead gives parts in flight up; the ledger is right in both cases.
///
/// # Errors
/// See [`TransferError`]. Uploads may be open afterwards: the ledger knows them, and either another run
/// goes on with them or [`abort_open`](super::abort_open) gives them up.
pub async fn run(
    job: Job,
    bucket: watch::Receiver<Bucket>,
    ledger: Arc<dyn Ledger>,
    source: Arc<dyn Source>,
    resources: Resources,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
) -> Result<Delivered, TransferError> {
    let meter = Meter::new(progress);
    let reads = || Semaphore::new(cores().min(READS_AT_ONCE));
    meter.update(|progress| *progress = start_of(&job.plan, job.part_size));
    let context = Arc::new(Context {
        buckets: bucket,
        ledger,
        attempts: Attempts::new(
            job.retry,
            job.backoff_limit,
            meter.clone(),
            resources.clone(),
        ),
        meter: meter.clone(),
        reads: reads(),
        rereads: reads(),
        resources,
        answering: Answering::new(),
        part_size: job.part_size,
        read_back: job.read_back,
        if_exists: job.if_exists,
        learned: Learned::default(),
        token: job.facts.token.clone(),
        uid: job.facts.uid.clone(),
        records: job.records,
        stop: stop.child_token(),
    });
    let run = Run {
        job,
        context,
        source,
        meter,
    };
    let objects = run.objects().await;
    // Also of those that landed before one failed.
    let settled = run.context.ledger.settle().await;
    let objects = objects?;
    settled?;
    run.meter
        .update(|progress| progress.phase = TransferPhase::Finalizing);
    let receipt = run.receipt(&objects).await?;
    run.context.ledger.settle().await?;
    run.meter
        .update(|progress| progress.phase = TransferPhase::Complete);
    Ok(Delivered {
        objects: objects.into_iter().map(DeliveredObject::from).collect(),
        receipt: receipt.into(),
        capabilities: run.context.bucket().capabilities(),
    })
}

fn start_of(plan: &Plan, part_size: u64) -> Progress {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let parts = plan.objects().iter();
    let parts = parts.map(|object| PartLayout::new(object.len(), part_size).count());
    Progress {
        bytes_total: plan.bytes_total(),
        parts_total: parts.sum(),
        objects_total: count(plan.objects().len()),
        files_total: count(plan.sources().len()),
        ..Progress::default()
    }
}

impl From<Landed> for DeliveredObject {
    fn from(
        Landed {
            digest,
            version_id,
            landing,
        }: Landed,
    ) -> Self {
        Self {
            digest,
            version_id,
            landing,
        }
    }
}

struct Run {
    job: Job,
    context: Arc<Context>,
    source: Arc<dyn Source>,
    meter: Meter,
}

/// Runs `work` on a task of its own, which ends with its caller: all that is computed for many small objects, for their
/// requests above all, takes more than one core.
async fn on_a_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, TransferError>> + Send + 'static,
) -> Result<T, TransferError> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Nobody aborts it but who drops this; else the runtime comes to its end.
        Some(Err(_)) | None => Err(TransferError::Stopped),
    }
}

impl Run {
    fn state(&self, slot: Slot) -> ObjectState {
        self.job.states.get(&slot).cloned().unwrap_or_default()
    }

    /// Delivers the objects: begun in order, several at once. A large one counts for half of those
    /// places, so that small ones come along; where MD5s are wanted, as many large ones as are hashed at once.
    async fn objects(&self) -> Result<Vec<Landed>, TransferError> {
        let places = self.places() as usize;
        let turns = Semaphore::new(places);
        // By place and not by reference, or the future couldn't be proved Send.
        let works = (0..self.job.plan.objects().len()).map(|place| self.in_turn(place, &turns));
        let mut landed = Vec::new();
        let mut failed = None;
        let mut results = futures::stream::iter(works).buffer_unordered(places);
        while let Some(result) = results.next().await {
            match result {
                Ok(object) => landed.push(object),
                Err(error) => match &failed {
                    None | Some(TransferError::Stopped) => failed = Some(error),
                    Some(_) => {}
                },
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        landed.sort_unstable_by_key(|(sequence, _)| *sequence);
        Ok(landed.into_iter().map(|(_, landed)| landed).collect())
    }

    /// Delivers the object at `place` of the plan once it has its share of `turns`.
    async fn in_turn(
        &self,
        place: usize,
        turns: &Semaphore,
    ) -> Result<(u32, Landed), TransferError> {
        let object = &self.job.plan.objects()[place];
        let most = match self.job.md5 {
            Md5Wanted::No => self.places() / 2,
            Md5Wanted::Yes => (self.places() / LANES as u32).max(1),
        };
        let parts = PartLayout::new(object.len(), self.job.part_size).count();
        let weight = u32::try_from(parts).unwrap_or(most).min(most);
        let _turn = unless_stopped(&self.context.stop, turns.acquire_many(weight)).await?;
        // The others stop at their next part: one object short, there is no receipt.
        let landed = self.object(object).await;
        let landed = landed.inspect_err(|_| self.context.stop.cancel())?;
        Ok((object.sequence, landed))
    }

    /// Places for objects at work: one for each part that may be under way.
    fn places(&self) -> u32 {
        self.context.resources.max_concurrent_parts().max(2)
    }

    async fn object(&self, object: &PlannedObject) -> Result<Landed, TransferError> {
        let slot = Slot::Object(object.sequence);
        let compression = self.job.plan.compression();
        let (source, index) = (Arc::clone(&self.source), object.source);
        let content = Content::of(object);
        let outgoing = Arc::new(Outgoing {
            slot,
            key: object.key.clone(),
            len: object.len(),
            compression,
            open: Arc::new(move || Ok(content.read_from(source.open(index)?))),
            md5: self.job.md5,
            content_type: compression.content_type(),
        });
        let meter = Arc::new(ObjectMeter::new(Some(self.meter.clone())));
        let (context, state) = (Arc::clone(&self.context), self.state(slot));
        let delivery = async move { deliver(&context, &outgoing, meter, state).await };
        // In a box, as it is too large to be moved about.
        on_a_task(Box::pin(delivery).in_current_span()).await
    }

    /// Writes the receipt, after a last look at all sources. A receipt that may be there already was
    /// begun after such a look, and the files may have been taken away since.
    async fn receipt(&self, objects: &[Landed]) -> Result<Landed, TransferError> {
        let state = self.state(Slot::Receipt);
        if !matches!(
            state,
            ObjectState::Completing { .. } | ObjectState::Delivered { .. }
        ) {
            self.recheck().await?;
        }
        let done: Vec<_> = objects
            .iter()
            .map(|o| (o.digest.clone(), o.version_id.clone()))
            .collect();
        let key = self.job.plan.receipt();
        let receipt = render(&self.job.facts, &self.job.plan, &done).map_err(|error| {
            let key = key.clone();
            TransferError::ReceiptNotRendered { key, error }
        })?;
        let bytes = receipt.clone();
        let outgoing = Arc::new(Outgoing {
            slot: Slot::Receipt,
            key: key.clone(),
            len: receipt.len() as u64,
            compression: Compression::None,
            open: Arc::new(move || {
                let bytes: Bytes = receipt.clone();
                Ok(Box::new(bytes) as Box<dyn Readable>)
            }),
            md5: Md5Wanted::No,
            content_type: "application/json",
        });
        let meter = Arc::new(ObjectMeter::new(None));
        let landed = deliver(&self.context, &outgoing, meter, state).await?;
        // The receipt that is there may be one of an earlier uid: that one isn't to be written again.
        let is_this = landed.digest.crc64 == crc64(&bytes);
        if landed.landing == Landing::Sent && is_this {
            probe(&self.context, &outgoing, &bytes).await;
        }
        Ok(landed)
    }

    async fn recheck(&self) -> Result<(), TransferError> {
        loop {
            let context = &self.context;
            let seen = context.attempts.begin();
            let source = Arc::clone(&self.source);
            let checked = on_a_thread(move || source.recheck());
            match unless_stopped(&context.stop, checked).await? {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    let key = self.job.plan.receipt();
                    context.read_failed(seen, key, fault, &context.stop).await?;
                }
            }
        }
    }
}
