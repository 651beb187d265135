//! From a request to a plan: the source is scanned and cut on a thread of its own, because a volume may hang.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::request::Request;
use crate::api::DeliveryReason;
use crate::plan::{Plan, PlanError, PlanErrorKind, plan};
use crate::source::{SourceError, SourceErrorKind, VolumeBoundaries, VolumeRoot, require_min_age};

/// The longest pause before a source that isn't complete is looked at again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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

/// Scans and cuts the source of `namespace` under the volume root `root`.
///
/// # Errors
/// See [`NoPlan`].
pub(super) async fn make(
    root: std::path::PathBuf,
    namespace: String,
    request: Request,
) -> Result<Plan, NoPlan> {
    on_own_thread("planning", move || {
        scan_and_cut(&root, &namespace, &request)
    })
    .await
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

fn scan_and_cut(
    root: &std::path::Path,
    namespace: &str,
    request: &Request,
) -> Result<Plan, NoPlan> {
    let folder = VolumeRoot::open(root, namespace).map_err(|error| from_source(&error))?;
    let files = folder
        .scan(&request.files)
        .map_err(|error| from_source(&error))?;
    if let Some(min_age) = request.min_age {
        require_min_age(&files, min_age, Timestamp::now()).map_err(|error| from_source(&error))?;
    }
    let mut boundaries = VolumeBoundaries::new(&folder, &files, request.plan.split.delimiter);
    plan(&request.plan, files.clone(), &mut boundaries).map_err(from_plan)
}

/// What a source's error means for the delivery.
pub(super) fn from_source(error: &SourceError) -> NoPlan {
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
                _ => LONGEST_PAUSE,
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
    };
    NoPlan::Failed(reason, message)
}

fn from_plan(error: PlanError) -> NoPlan {
    let reason = match error.kind() {
        PlanErrorKind::RecordTooLong => DeliveryReason::RecordTooLong,
        PlanErrorKind::KeyCollision => DeliveryReason::KeyCollision,
        PlanErrorKind::KeyInvalid => DeliveryReason::KeyInvalid,
        PlanErrorKind::TooManyObjects => DeliveryReason::TooManyObjects,
        PlanErrorKind::Inconsistent => return NoPlan::Transient(error.to_string()),
        PlanErrorKind::Unreadable => {
            let message = error.to_string();
            let PlanError::Unreadable { cause, .. } = error else {
                return NoPlan::Transient(message);
            };
            return match SourceError::from_io(cause) {
                Ok(source) => from_source(&source),
                Err(_) => NoPlan::Failed(DeliveryReason::SourceUnreadable, message),
            };
        }
    };
    NoPlan::Failed(reason, error.to_string())
}
