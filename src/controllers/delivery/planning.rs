//! From a request to a plan: the source is scanned and cut on a thread of its own, because a volume may hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::judge::{Report, Stage};
use super::place::Place;
use super::request::{OnEmpty, Request};
use super::wanted::WantedFiles;
use crate::api::{DeliveryProgress, DeliveryReason};
use crate::controllers::context::Context;
use crate::plan::{Plan, PlanError, PlanErrorKind, SourceFile, plan};
use crate::source::{
    Files, ListedObjects, NoFiles, RecordBoundaries, ScannedFiles, Selection, SourceBucket,
    SourceError, SourceErrorKind, VolumeRoot, require_min_age,
};

/// The longest pause before a source that isn't complete is looked at again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The shortest pause before a marker is looked for again.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked how much of the source was read.
const LOOK: Duration = Duration::from_secs(1);

/// Bytes whose reading is worth a word: less takes no time that anybody notices.
const WORTH_TELLING: u64 = 256 << 20;

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum NoPlan {
    /// The delivery ends.
    Failed(DeliveryReason, String),
    /// The source isn't complete yet; look again after this pause.
    Waiting(DeliveryReason, String, Duration),
    /// The same look may succeed later.
    Transient(String),
}

/// Scans and cuts the source at `place`. Reports that it is there, and how much was read of it where that is
/// much; the thread reads no further once the future is dropped.
///
/// # Errors
/// See [`NoPlan`].
pub(super) async fn make(
    place: Place,
    request: Request,
    report: &watch::Sender<Report>,
) -> Result<Plan, NoPlan> {
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let (wanted, until) = (request.clone(), stop.clone());
    let found = on_own_thread("scanning", move || {
        scan(place, &wanted, &until).map_err(|error| from_source(&error, wanted.created))
    });
    let found = found.await.inspect_err(|error| {
        if matches!(error, NoPlan::Waiting(..)) {
            report.send_modify(|report| report.stage = Stage::Looking);
        }
    })?;
    report.send_if_modified(Report::plans);
    let scanned = Arc::new(AtomicU64::new(0));
    let meter = Arc::clone(&scanned);
    let planned = on_own_thread("planning", move || found.cut(&request, stop, meter));
    tokio::select! {
        planned = planned => planned,
        never = tell(&scanned, report) => never,
    }
}

/// Makes sure that `plan`, in parts of `part_size` bytes, can be sent with the memory that there is.
///
/// # Errors
/// [`NoPlan::Failed`] when an object can't be compressed: trying again changes nothing.
pub(super) fn require_memory(context: &Context, plan: &Plan, part_size: u64) -> Result<(), NoPlan> {
    let room = context.resources.require_room(plan, part_size);
    room.map_err(|error| NoPlan::Failed(DeliveryReason::TooLargeToCompress, error.to_string()))
}

/// Reports how much was read for where to cut.
async fn tell<T>(scanned: &AtomicU64, report: &watch::Sender<Report>) -> T {
    loop {
        tokio::time::sleep(LOOK).await;
        let bytes = scanned.load(Ordering::Relaxed);
        if bytes >= WORTH_TELLING {
            report.send_modify(|report| {
                report.progress = Some(DeliveryProgress {
                    bytes_scanned: i64::try_from(bytes).ok(),
                    ..DeliveryProgress::default()
                });
            });
        }
    }
}

/// Runs blocking work on a thread of its own. One that hangs holds up nobody else, not even the process's end.
pub(super) async fn on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, NoPlan> + Send + 'static,
) -> Result<T, NoPlan> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody waits for the answer of a delivery that was stopped meanwhile.
            drop(answer.send(work()));
        });
    if let Err(error) = spawned {
        return Err(NoPlan::Transient(format!(
            "no thread could be started: {error}"
        )));
    }
    answered.await.unwrap_or_else(|_| {
        Err(NoPlan::Transient(
            "the thread that read the source ended early".to_owned(),
        ))
    })
}

/// A source that is complete: its files, in the order of their paths, and where they are.
enum Found {
    /// There is no folder that could hold a file, and the delivery says that this is no failure.
    Nothing,
    Files(VolumeRoot, Vec<SourceFile>),
    Objects(SourceBucket, Vec<SourceFile>),
}

fn scan(place: Place, request: &Request, stop: &CancellationToken) -> Result<Found, SourceError> {
    match place {
        Place::Volume { root, namespace } => scan_volume(&root, &namespace, request, stop),
        Place::Bucket { bucket, selection } => {
            let files = scan_bucket(&bucket, &selection, request, stop)?;
            Ok(Found::Objects(bucket, files))
        }
    }
}

impl Found {
    fn cut(
        &self,
        request: &Request,
        stop: CancellationToken,
        scanned: Arc<AtomicU64>,
    ) -> Result<Plan, NoPlan> {
        match self {
            Self::Nothing => cut(NoFiles, &[], request, stop, scanned),
            Self::Files(folder, files) => {
                let open = ScannedFiles::new(folder, files);
                cut(open, files, request, stop, scanned)
            }
            Self::Objects(bucket, files) => {
                let open = ListedObjects::new(bucket, files);
                cut(open, files, request, stop, scanned)
            }
        }
    }
}

fn cut(
    open: impl Files,
    files: &[SourceFile],
    request: &Request,
    stop: CancellationToken,
    scanned: Arc<AtomicU64>,
) -> Result<Plan, NoPlan> {
    let records = request.plan.split.records;
    let mut boundaries = RecordBoundaries::new(open, records, stop).counting(scanned);
    plan(&request.plan, files.to_vec(), &mut boundaries)
        .map_err(|error| from_plan(error, request.created))
}

/// The files to deliver, once they are complete.
fn scan_volume(
    root: &std::path::Path,
    namespace: &str,
    request: &Request,
    stop: &CancellationToken,
) -> Result<Found, SourceError> {
    let marker = &request.wanted.marker;
    let folder = match (VolumeRoot::open(root, namespace), marker) {
        // Who waits for a marker waits for its folder, too.
        (Err(SourceError::NotFound { .. }), Some(marker)) => return Err(marker.missing()),
        (Err(SourceError::NotFound { .. }), None) if request.on_empty == OnEmpty::Complete => {
            return Ok(Found::Nothing);
        }
        (folder, _) => folder?,
    };
    if let Some(marker) = marker {
        marker.require(&folder)?;
    }
    let WantedFiles::Volume { pattern, min_age } = &request.wanted.files else {
        return Ok(Found::Files(folder, Vec::new()));
    };
    let files = without_marker(request, pattern.as_str(), folder.scan(pattern, stop))?;
    if let Some(min_age) = min_age {
        require_min_age(&files, *min_age, Timestamp::now())?;
    }
    Ok(Found::Files(folder, files))
}

/// The objects to deliver, once they are complete.
fn scan_bucket(
    bucket: &SourceBucket,
    selection: &Selection,
    request: &Request,
    stop: &CancellationToken,
) -> Result<Vec<SourceFile>, SourceError> {
    if let Some(marker) = &request.wanted.marker {
        marker.require_object(bucket)?;
    }
    let found = bucket.scan(selection, stop);
    without_marker(request, selection.prefix().as_str(), found)
}

/// What was found, but for the marker; nothing, where that is no failure.
fn without_marker(
    request: &Request,
    pattern: &str,
    found: Result<Vec<SourceFile>, SourceError>,
) -> Result<Vec<SourceFile>, SourceError> {
    let mut files = match found {
        Err(SourceError::Empty { .. } | SourceError::NotFound { .. })
            if request.on_empty == OnEmpty::Complete =>
        {
            Vec::new()
        }
        found => found?,
    };
    let matches = files.len();
    let marker = request.wanted.marker.as_ref();
    files.retain(|file| !marker.is_some_and(|marker| marker.is(file)));
    if files.is_empty() && matches > 0 && request.on_empty == OnEmpty::Fail {
        return Err(SourceError::Empty {
            pattern: pattern.to_owned(),
            entries: matches,
        });
    }
    Ok(files)
}

/// How long to wait for a marker: a tenth of the delivery's age, so that a fresh one goes on soon and one that waits
/// for days costs nothing.
fn marker_pause(created: Timestamp) -> Duration {
    let age = Duration::try_from(Timestamp::now().duration_since(created)).unwrap_or_default();
    (age / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// What a source's error means for a delivery that was created at that time.
pub(super) fn from_source(error: &SourceError, created: Timestamp) -> NoPlan {
    let message = error.to_string();
    if error.is_transient() {
        return NoPlan::Transient(message);
    }
    let reason = match error.kind() {
        SourceErrorKind::WaitingForSource => {
            let pause = match error {
                SourceError::WaitingForSource { ready_at, .. } => {
                    Duration::try_from(ready_at.duration_since(Timestamp::now()))
                        .unwrap_or_default()
                }
                _ => marker_pause(created),
            };
            // A file of the far future is looked at now and then: somebody may correct its times.
            return NoPlan::Waiting(
                DeliveryReason::WaitingForSource,
                message,
                pause.min(LONGEST_PAUSE),
            );
        }
        SourceErrorKind::PathNotAllowed => DeliveryReason::PathNotAllowed,
        SourceErrorKind::NotFound => DeliveryReason::SourceNotFound,
        SourceErrorKind::Empty => DeliveryReason::SourceEmpty,
        SourceErrorKind::Changed => DeliveryReason::SourceChanged,
        SourceErrorKind::Unreadable => DeliveryReason::SourceUnreadable,
        SourceErrorKind::TooManyEntries => DeliveryReason::TooManyObjects,
        SourceErrorKind::KeyInvalid => DeliveryReason::KeyInvalid,
    };
    NoPlan::Failed(reason, message)
}

fn from_plan(error: PlanError, created: Timestamp) -> NoPlan {
    let reason = match error.kind() {
        PlanErrorKind::RecordTooLong => DeliveryReason::RecordTooLong,
        PlanErrorKind::KeyCollision => DeliveryReason::KeyCollision,
        PlanErrorKind::KeyInvalid => DeliveryReason::KeyInvalid,
        PlanErrorKind::TooManyObjects => DeliveryReason::TooManyObjects,
        PlanErrorKind::NotCsv => DeliveryReason::SourceUnreadable,
        PlanErrorKind::Inconsistent => return NoPlan::Transient(error.to_string()),
        PlanErrorKind::Unreadable => {
            let message = error.to_string();
            let PlanError::Unreadable { cause, .. } = error else {
                return NoPlan::Transient(message);
            };
            return match SourceError::from_io(cause) {
                Ok(source) => from_source(&source, created),
                Err(_) => NoPlan::Failed(DeliveryReason::SourceUnreadable, message),
            };
        }
    };
    NoPlan::Failed(reason, error.to_string())
}
