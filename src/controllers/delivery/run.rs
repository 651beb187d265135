//! One run of a delivery: prepare, allow uploads to be open, transfer, and say how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::sync::watch;

use super::finalizer::{self, NotAdded};
use super::gate::Gate;
use super::judge::{Delivered, Parts, Report, Stage};
use super::known::Known;
use super::notices::Told;
use super::outcome::{End, Outcome};
use super::place::Place;
use super::planning::NoPlan;
use super::prepare;
use super::request::{self, Request};
use super::work_time::{self, WorkTime};
use super::{abandon, bucket};
use crate::api::{
    DeliveredObject, DeliveryProgress, DeliveryReason, DeliveryReceipt, OutboundDelivery,
};
use crate::controllers::context::Context;
use crate::controllers::request_of;
use crate::controllers::supervisor::Handle;
use crate::store::{Bucket, Capabilities};
use crate::transfer::{
    self, Job, Progress, ReceiptFacts, Resources, RetryPolicy, TransferError, TransferPhase,
};

/// The pause after something on our side failed: the apiserver, a thread, a volume that comes back.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a failed delivery may take to abort what it has open.
const ABORT_TIME: Duration = Duration::from_secs(60);

/// What a run is made from: the delivery and its destination as they were when it began.
pub(super) struct Work {
    pub(super) context: Arc<Context>,
    pub(super) delivery: OutboundDelivery,
    pub(super) gate: Gate,
    /// The destination's share of what the process has: a limit that is changed later reaches it, too.
    pub(super) resources: Resources,
    /// Whether the delivery had failed and was asked for again.
    pub(super) retry: bool,
}

/// Runs the delivery to an end, or until it is stopped.
pub(super) async fn run(work: Work, handle: Handle<Report>) -> Outcome {
    let begun = Report {
        stage: Stage::of_new_run(work.delivery.status.as_ref()),
        access: Some(work.gate.access()),
        destination: Some(work.gate.planned().clone()),
        work: Some(WorkTime::start(
            work_time::before(&work.delivery),
            Instant::now(),
        )),
        ..Report::default()
    };
    handle.report.send_replace(begun);
    let end = work_through(&work, &handle).await;
    let end = count_attempts(&work, &handle, end);
    let mut report = handle.report.borrow().clone();
    report.work = report.work.map(|time| time.stop(Instant::now()));
    Outcome {
        report,
        request: request_of(&work.delivery.metadata),
        end,
    }
}

async fn work_through(work: &Work, handle: &Handle<Report>) -> End {
    let begun = || begin(work, handle);
    match work.context.run_queue.run(&handle.stop, begun).await {
        Some(Ok(prepared)) => transfer_all(work, handle, prepared).await,
        Some(Err(end)) => end,
        None => End::Stopped,
    }
}

/// Everything up to the first byte.
async fn begin(work: &Work, handle: &Handle<Report>) -> Result<Prepared, End> {
    let prepared = tokio::select! {
        biased;
        () = handle.stop.cancelled() => return Err(End::Stopped),
        prepared = prepare_all(work, &handle.report) => prepared?,
    };
    match finalizer::add(&work.context, &work.delivery).await {
        Ok(()) => {
            prepared.known.ledger.protect();
            Ok(prepared)
        }
        Err(NotAdded::Deleted) => Err(End::Stopped),
        Err(NotAdded::Kubernetes(error)) => Err(interrupted(error)),
    }
}

/// What is known before the first byte is sent.
struct Prepared {
    request: Request,
    place: Place,
    bucket: watch::Receiver<Bucket>,
    known: Known,
}

async fn prepare_all(work: &Work, report: &watch::Sender<Report>) -> Result<Prepared, End> {
    let bucket = bucket::of(work).await?;
    let resolved = work.gate.resolved();
    let request = request::read(
        &work.delivery,
        resolved.target.prefix.clone(),
        resolved.split_size,
    )
    .map_err(End::from)?;
    let namespace = work.delivery.namespace().unwrap_or_default();
    let place = Place::of(&work.context, &namespace, &request.wanted).map_err(End::from)?;
    let now = bucket.borrow().clone();
    let known = prepare::prepare(work, &request, &place, &now, report)
        .await
        .map_err(|error| match error {
            NoPlan::Failed(reason, message) => End::Failed(reason, message),
            NoPlan::Waiting(reason, message, pause) => {
                End::Waiting(reason, message, Instant::now() + pause)
            }
            NoPlan::Transient(message) => interrupted(message),
        })?;
    Ok(Prepared {
        request,
        place,
        bucket,
        known,
    })
}

fn interrupted(error: impl std::fmt::Display) -> End {
    End::Interrupted(error.to_string(), Instant::now() + PAUSE)
}

async fn transfer_all(work: &Work, handle: &Handle<Report>, prepared: Prepared) -> End {
    let Prepared {
        request,
        place,
        bucket,
        known,
    } = prepared;
    let uid = work.delivery.uid().unwrap_or_default();
    work.context.ledgers.keep(&uid, known.clone());
    let job = match job(work, &request, &known) {
        Ok(job) => job,
        Err(error) => return interrupted(error),
    };
    let source = place.files(&known.plan);
    let mut told = Told::default();
    let (progress, news) = watch::channel(Progress::default());
    // Boxed, because the whole engine in the type of a run is more than the compiler lays out.
    let transfer: BoxFuture<_> = Box::pin(transfer::run(
        job,
        bucket.clone(),
        known.ledger.clone(),
        source,
        work.resources.clone(),
        progress,
        handle.stop.clone(),
    ));
    let ended = tokio::select! {
        ended = transfer => ended,
        never = pass_on(work, news.clone(), &handle.report, &mut told) => never,
    };
    let last = news.borrow().clone();
    report_progress(&last, &handle.report);
    told.tell(work, &last).await;
    match ended {
        Ok(delivered) => {
            // A copy: whoever looks at the bucket keeps the others from renewing it.
            let before = bucket.borrow().capabilities();
            learn(work, before, delivered.capabilities);
            End::Delivered(Box::new(summary(&known.plan, &delivered)))
        }
        Err(error) => {
            let end = from_error(&error);
            if matches!(end, End::Failed(..)) {
                let now = bucket.borrow().clone();
                let left = abandon::abandon(&work.context, &known, &now, ABORT_TIME).await;
                abandon::report(&work.context, &work.delivery, &left).await;
            }
            end
        }
    }
}

fn job(
    work: &Work,
    request: &Request,
    known: &Known,
) -> Result<Job, Box<dyn std::error::Error + Send + Sync>> {
    let target = &work.gate.resolved().target;
    let (plan, header) = (&known.plan, &known.header);
    Ok(Job {
        plan: plan.clone(),
        states: known.ledger.states()?,
        facts: ReceiptFacts {
            namespace: work.delivery.namespace().unwrap_or_default(),
            name: work.delivery.name_any(),
            uid: work.delivery.uid().unwrap_or_default(),
            token: prepare::token(work, plan),
            destination: work.delivery.spec.destination_ref.name.clone(),
            bucket: target.bucket.as_str().to_owned(),
            prefix: target.prefix.clone(),
            created: request::created(&work.delivery),
            logical_time: request.plan.logical_time,
            planned_at: header.planned_at.parse()?,
        },
        // The ledger's, not the configuration's: parts that the store has must stay parts.
        part_size: u64::try_from(header.part_size)?,
        md5: request.md5,
        records: request.plan.split.records,
        read_back: work.gate.resolved().read_back,
        if_exists: request.if_exists,
        backoff_limit: request.backoff_limit,
        retry: RetryPolicy::default(),
    })
}

/// Passes the engine's progress on for as long as it is polled.
async fn pass_on<T>(
    work: &Work,
    mut news: watch::Receiver<Progress>,
    report: &watch::Sender<Report>,
    told: &mut Told,
) -> T {
    while news.changed().await.is_ok() {
        let progress = news.borrow_and_update().clone();
        report_progress(&progress, report);
        told.tell(work, &progress).await;
    }
    std::future::pending().await
}

fn report_progress(progress: &Progress, report: &watch::Sender<Report>) {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // 100 is said at the end alone, when the receipt is there too.
    let percent = (progress.bytes_done.saturating_mul(100))
        .checked_div(progress.bytes_total)
        .unwrap_or(0)
        .min(99);
    report.send_modify(|report| {
        report.stage = match progress.phase {
            TransferPhase::Uploading => Stage::Uploading,
            TransferPhase::Finalizing | TransferPhase::Complete => Stage::Finalizing,
        };
        report.parts = Parts {
            done: progress.parts_done,
            total: progress.parts_total,
        };
        report.attempts = progress.attempts;
        report.last_error.clone_from(&progress.last_error);
        report
            .parts_not_listed
            .clone_from(&progress.parts_not_listed);
        report.progress = Some(DeliveryProgress {
            bytes_total: count(progress.bytes_total),
            bytes_done: count(progress.bytes_done),
            percent: i32::try_from(percent).unwrap_or(99),
            files_total: i64::from(progress.files_total),
            objects_total: i64::from(progress.objects_total),
            objects_done: i64::from(progress.objects_done),
            bytes_scanned: None,
        });
    });
}

/// Keeps what the delivery found out of the store, and has it told in the destination's status.
fn learn(work: &Work, known: Capabilities, found: Capabilities) {
    if known == found {
        return;
    }
    let (context, gate) = (&work.context, &work.gate);
    let generation = gate.destination().metadata.generation.unwrap_or_default();
    context
        .memory
        .learn(gate.destination_uid(), generation, found);
    context.buckets.learned(gate.destination_uid(), found);
    context.proofs.nudge(gate.destination_ref());
}

fn summary(plan: &crate::plan::Plan, delivered: &transfer::Delivered) -> Delivered {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let objects = plan
        .objects()
        .iter()
        .zip(&delivered.objects)
        .map(|(planned, object)| DeliveredObject {
            key: planned.key.as_str().to_owned(),
            bytes: count(object.digest.bytes),
            lines: count(object.digest.lines),
            checksum: object.digest.crc64.to_string(),
        });
    Delivered {
        reason: if delivered.was_there_already() {
            DeliveryReason::AlreadyDelivered
        } else {
            DeliveryReason::Delivered
        },
        objects: objects.collect(),
        receipt: DeliveryReceipt {
            key: plan.receipt().as_str().to_owned(),
            checksum: delivered.receipt.digest.crc64.to_string(),
        },
        at: Timestamp::now(),
    }
}

fn from_error(error: &TransferError) -> End {
    let reason = match error {
        TransferError::SourceChanged { .. } => DeliveryReason::SourceChanged,
        TransferError::SourceUnreadable { .. } => DeliveryReason::SourceUnreadable,
        TransferError::ObjectExists { .. } => DeliveryReason::ObjectExists,
        TransferError::ChecksumMismatch { .. } => DeliveryReason::ChecksumMismatch,
        TransferError::CompletionUnconfirmed { .. } => DeliveryReason::CompletionUnconfirmed,
        TransferError::BackoffLimitExceeded { .. } => DeliveryReason::BackoffLimitExceeded,
        // Only where the operator's memory was cut down since it was planned.
        TransferError::TooLargeToCompress { .. } => DeliveryReason::TooLargeToCompress,
        TransferError::AccessLost { .. } => {
            return End::AccessLost(error.to_string(), Instant::now());
        }
        // None is for good by itself: they are attempts, and over the limit the last says BackoffLimitExceeded.
        TransferError::Ledger(_)
        | TransferError::Memory(_)
        | TransferError::ReceiptNotRendered { .. } => return interrupted(error),
        TransferError::Stopped => return End::Stopped,
    };
    End::Failed(reason, error.to_string())
}

/// A run that ended for a reason that may pass is an attempt; over the limit it is the last. One that confirmed
/// something on its way starts the count anew.
fn count_attempts(work: &Work, handle: &Handle<Report>, end: End) -> End {
    let (End::AccessLost(message, _) | End::Interrupted(message, _)) = &end else {
        return end;
    };
    let before = super::gate::attempts(&work.delivery);
    let moved = handle
        .report
        .borrow()
        .progress
        .as_ref()
        .map_or(0, |progress| progress.bytes_done)
        > work
            .delivery
            .status
            .as_ref()
            .and_then(|status| status.progress.as_ref())
            .map_or(0, |progress| progress.bytes_done);
    let attempts = if moved || work.retry { 1 } else { before + 1 };
    let message = message.clone();
    handle.report.send_modify(|report| {
        report.attempts = attempts;
        report.last_error = Some(message.clone());
    });
    if attempts <= request::backoff_limit(&work.delivery) {
        return end;
    }
    let text = format!("{attempts} attempts in a row confirmed nothing; the last: {message}");
    End::Failed(DeliveryReason::BackoffLimitExceeded, text)
}
