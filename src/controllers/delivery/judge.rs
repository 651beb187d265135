//! From where a delivery stands to what its status says: pure.

use std::time::Duration;

use jiff::Timestamp;

use super::gate::Access;
use super::work_time::{WRITE_INTERVAL, WorkTime};
use crate::api::{
    Condition, ConditionType, Conditions, DeliveredObject, DeliveryProgress, DeliveryReason,
    DeliveryReceipt, DeliveryStatus, Phase, PlannedDestination, Situation, Status, time_text,
};

/// Objects that a status lists; the receipt has all.
const MAX_LISTED: usize = 100;

/// Bytes of keys and checksums that a status lists, so that it stays far under 64 KiB.
const MAX_LISTED_BYTES: usize = 24 << 10;

/// What a running delivery reports, and what stays known after it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) stage: Stage,
    /// As whom the run writes.
    pub(crate) access: Option<Access>,
    pub(crate) destination: Option<PlannedDestination>,
    pub(crate) progress: Option<DeliveryProgress>,
    pub(crate) parts: Parts,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    /// Why the store doesn't list parts, once it refused to.
    pub(crate) parts_not_listed: Option<String>,
    /// The time spent working, once it is known.
    pub(crate) work: Option<WorkTime>,
}

/// Parts that the store confirmed, and all of them: for who watches a run from near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is looked once more whether a source that was waited for is complete: nothing is new until it is.
    Looking,
    /// The source is scanned and the cuts are found.
    #[default]
    Planning,
    /// Objects are sent.
    Uploading,
    /// All objects are there; the receipt is on its way.
    Finalizing,
    /// Its time is over: what is open is aborted.
    GivingUp,
}

impl Stage {
    /// Where a run begins: one that goes on from what an earlier process did doesn't plan again.
    pub(crate) fn of_new_run(status: Option<&DeliveryStatus>) -> Self {
        let waits = |status: &DeliveryStatus| waiting_for_source(&status.conditions).is_some();
        match status.and_then(|status| status.phase) {
            Some(Phase::Uploading | Phase::Finalizing) => Self::Uploading,
            _ if status.is_some_and(waits) => Self::Looking,
            _ => Self::Planning,
        }
    }
}

impl Report {
    /// The source is there, and is planned; whether that is new.
    pub(crate) fn plans(&mut self) -> bool {
        std::mem::replace(&mut self.stage, Stage::Planning) != Stage::Planning
    }
}

/// What the delivery waits for its source with.
fn waiting_for_source(conditions: &[Condition]) -> Option<&str> {
    let mut all = conditions.iter();
    let ready = all.find(|condition| condition.type_ == ConditionType::Ready)?;
    let waits = ready.reason == DeliveryReason::WaitingForSource.as_str();
    waits.then_some(&ready.message)
}

/// Everything was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) reason: DeliveryReason,
    pub(crate) objects: Vec<DeliveredObject>,
    pub(crate) receipt: DeliveryReceipt,
    pub(crate) at: Timestamp,
}

/// Where a delivery stands.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// Work is under way.
    Working,
    /// It goes on by itself once something else is the case.
    Waiting(DeliveryReason, String),
    /// Somebody must act; then it goes on.
    Stalled(DeliveryReason, String),
    /// It is held on purpose.
    Suspended(String),
    /// It ended without delivering.
    Failed(DeliveryReason, String),
    /// It ended, and all is there.
    Delivered(Box<Delivered>),
}

/// What a status is made from.
pub(crate) struct Facts<'a> {
    pub(crate) old: &'a DeliveryStatus,
    pub(crate) generation: i64,
    /// The value of `outbound.dev/requestedAt` that this status answers.
    pub(crate) request: Option<String>,
    pub(crate) report: Option<&'a Report>,
    /// The time spent working, where the report has it.
    pub(crate) spent: Option<Duration>,
    pub(crate) now: Timestamp,
}

/// The status that says where the delivery stands.
pub(crate) fn status(facts: &Facts<'_>, verdict: &Verdict) -> DeliveryStatus {
    let old = facts.old;
    let stage = match facts.report.map(|report| report.stage).unwrap_or_default() {
        Stage::Looking if waiting_for_source(&old.conditions).is_none() => Stage::Planning,
        stage => stage,
    };
    let begun = facts.report.is_some() || old.start_time.is_some();
    let mut status = DeliveryStatus {
        observed_generation: facts.generation,
        phase: Some(phase(verdict, stage)),
        conditions: conditions(facts, verdict, stage),
        start_time: old
            .start_time
            .clone()
            .or_else(|| begun.then(|| time_text(facts.now))),
        last_handled_request: facts.request.clone(),
        active_seconds: facts
            .spent
            .and_then(|spent| i64::try_from(spent.as_secs()).ok())
            .or(old.active_seconds),
        ..old.clone()
    };
    if let Some(report) = facts.report {
        add_report(&mut status, report);
    }
    if let Verdict::Delivered(delivered) = verdict {
        add_delivered(&mut status, delivered);
    }
    status
}

fn add_report(status: &mut DeliveryStatus, report: &Report) {
    status.destination = report
        .destination
        .clone()
        .or_else(|| status.destination.take());
    status.progress = report.progress.clone().or_else(|| status.progress.take());
    status.attempts = i32::try_from(report.attempts)
        .ok()
        .filter(|attempts| *attempts > 0);
    status.last_error = report
        .last_error
        .as_ref()
        .map(|error| error.chars().take(1000).collect());
}

fn add_delivered(status: &mut DeliveryStatus, delivered: &Delivered) {
    let listed = listed(&delivered.objects);
    let omitted = delivered.objects.len() - listed;
    status.objects = delivered.objects[..listed].to_vec();
    status.objects_omitted = i64::try_from(omitted).ok().filter(|omitted| *omitted > 0);
    status.receipt = Some(delivered.receipt.clone());
    status.completion_time = Some(time_text(delivered.at));
    status.attempts = None;
    status.last_error = None;
    if let Some(progress) = &mut status.progress {
        progress.bytes_done = progress.bytes_total;
        progress.objects_done = progress.objects_total;
        progress.percent = 100;
    }
}

/// How many objects fit the list's bounds.
fn listed(objects: &[DeliveredObject]) -> usize {
    let mut bytes = 0;
    let fitting = objects.iter().take(MAX_LISTED).take_while(|object| {
        // Field names, two numbers and punctuation take about 64 bytes.
        bytes += object.key.len() + object.checksum.len() + 64;
        bytes <= MAX_LISTED_BYTES
    });
    fitting.count()
}

const fn phase(verdict: &Verdict, stage: Stage) -> Phase {
    match verdict {
        Verdict::Working => match stage {
            Stage::Looking => Phase::Pending,
            Stage::Planning => Phase::Planning,
            Stage::Uploading => Phase::Uploading,
            Stage::Finalizing => Phase::Finalizing,
            Stage::GivingUp => Phase::Uploading,
        },
        Verdict::Waiting(..) | Verdict::Stalled(..) => Phase::Pending,
        Verdict::Suspended(_) => Phase::Suspended,
        Verdict::Failed(..) => Phase::Failed,
        Verdict::Delivered(_) => Phase::Complete,
    }
}

fn conditions(facts: &Facts<'_>, verdict: &Verdict, stage: Stage) -> Vec<Condition> {
    let conditions = Conditions::from(&facts.old.conditions, facts.generation, facts.now);
    match verdict {
        Verdict::Working => {
            let (reason, message) = at_work(facts, stage);
            let message = with_remark(message, facts.report);
            conditions.situation(Situation::Working, reason.as_str(), &message)
        }
        Verdict::Waiting(reason, message) => {
            conditions.situation(Situation::Working, reason.as_str(), message)
        }
        Verdict::Stalled(reason, message) => {
            conditions.situation(Situation::NeedsSomebody, reason.as_str(), message)
        }
        Verdict::Suspended(message) => conditions.situation(
            Situation::Suspended,
            DeliveryReason::Suspended.as_str(),
            message,
        ),
        Verdict::Failed(reason, message) => conditions
            .situation(Situation::NeedsSomebody, reason.as_str(), message)
            .set(
                ConditionType::Failed,
                Status::True,
                reason.as_str(),
                message,
            ),
        Verdict::Delivered(delivered) => {
            let reason = delivered.reason.as_str();
            let message = match delivered.reason {
                DeliveryReason::AlreadyDelivered => {
                    "every object was there already, with our token"
                }
                _ => "every object is there and verified, and the receipt is written",
            };
            conditions.situation(Situation::Done, reason, message).set(
                ConditionType::Complete,
                Status::True,
                reason,
                message,
            )
        }
    }
    .finish()
}

/// What it is at.
fn at_work<'a>(facts: &Facts<'a>, stage: Stage) -> (DeliveryReason, &'a str) {
    match stage {
        Stage::Looking => (
            DeliveryReason::WaitingForSource,
            waiting_for_source(&facts.old.conditions).unwrap_or_default(),
        ),
        Stage::Planning => (
            DeliveryReason::Planning,
            "the source is being read for where to cut",
        ),
        Stage::Uploading => (DeliveryReason::Uploading, "objects are being sent"),
        Stage::Finalizing => (
            DeliveryReason::Uploading,
            "all objects are there; the receipt is being sent",
        ),
        Stage::GivingUp => (
            DeliveryReason::DeadlineExceeded,
            "it worked for longer than it may; its uploads are being aborted",
        ),
    }
}

/// Says beside the message what the customer could grant.
fn with_remark(message: &str, report: Option<&Report>) -> String {
    match report.and_then(|report| report.parts_not_listed.as_ref()) {
        None => message.to_owned(),
        Some(why) => {
            let why: String = why.chars().take(500).collect();
            format!(
                "{message}; the store refuses ListParts, so an object in flight at a restart is sent again from its \
                 beginning ({why}): the customer can grant s3:ListMultipartUploadParts"
            )
        }
    }
}

/// How two statuses differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// In nothing that is worth a write.
    None,
    /// In progress alone, which may wait for its turn to be written.
    Progress,
    /// In what users wait for.
    More,
}

/// How `new` differs from what is written.
pub(crate) fn difference(old: &DeliveryStatus, new: &DeliveryStatus) -> Difference {
    let with_new_time = DeliveryStatus {
        active_seconds: new.active_seconds,
        ..old.clone()
    };
    if with_new_time == *new {
        let spent = |status: &DeliveryStatus| status.active_seconds.unwrap_or_default();
        let behind = spent(new).abs_diff(spent(old));
        return if behind >= WRITE_INTERVAL.as_secs() {
            Difference::Progress
        } else {
            Difference::None
        };
    }
    let with_progress = DeliveryStatus {
        progress: new.progress.clone(),
        ..with_new_time
    };
    if with_progress == *new && old.progress.is_some() {
        return Difference::Progress;
    }
    Difference::More
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(old: &DeliveryStatus, verdict: &Verdict, report: Option<&Report>) -> DeliveryStatus {
        let facts = Facts {
            old,
            generation: 1,
            request: None,
            report,
            spent: None,
            now: Timestamp::UNIX_EPOCH,
        };
        status(&facts, verdict)
    }

    fn ready(status: &DeliveryStatus) -> (Status, &str) {
        let ready = status.condition(ConditionType::Ready).unwrap();
        (ready.status, ready.reason.as_str())
    }

    fn object(index: usize, key_length: usize) -> DeliveredObject {
        let key = format!("{index:0key_length$}");
        DeliveredObject {
            key,
            bytes: 1,
            lines: 1,
            checksum: "AAAAAAAAAAA=".into(),
        }
    }

    fn delivered(objects: Vec<DeliveredObject>) -> Verdict {
        Verdict::Delivered(Box::new(Delivered {
            reason: DeliveryReason::Delivered,
            objects,
            receipt: DeliveryReceipt {
                key: "d.info".into(),
                checksum: "AAAAAAAAAAA=".into(),
            },
            at: Timestamp::UNIX_EPOCH,
        }))
    }

    #[test]
    fn each_verdict_has_its_phase_and_conditions() {
        let fresh = DeliveryStatus::default();
        let waiting = Verdict::Waiting(DeliveryReason::DestinationNotReady, "no".into());
        let stalled = Verdict::Stalled(DeliveryReason::DestinationChanged, "no".into());
        let failed = Verdict::Failed(DeliveryReason::SourceEmpty, "no".into());
        for (verdict, phase, status, reason) in [
            (
                Verdict::Working,
                Phase::Planning,
                Status::Unknown,
                "Planning",
            ),
            (
                waiting,
                Phase::Pending,
                Status::Unknown,
                "DestinationNotReady",
            ),
            (stalled, Phase::Pending, Status::False, "DestinationChanged"),
            (
                Verdict::Suspended(String::new()),
                Phase::Suspended,
                Status::Unknown,
                "Suspended",
            ),
            (failed, Phase::Failed, Status::False, "SourceEmpty"),
            (
                delivered(vec![]),
                Phase::Complete,
                Status::True,
                "Delivered",
            ),
        ] {
            let status_made = made(&fresh, &verdict, None);
            assert_eq!(status_made.phase, Some(phase));
            assert_eq!(ready(&status_made), (status, reason));
        }
    }

    /// A look each second would be two writes and two Events each second.
    #[test]
    fn a_source_that_is_waited_for_is_looked_at_without_a_word() {
        let waits = Verdict::Waiting(DeliveryReason::WaitingForSource, "no marker".into());
        let looking = Report {
            stage: Stage::Looking,
            ..Report::default()
        };
        let fresh = made(
            &DeliveryStatus::default(),
            &Verdict::Working,
            Some(&looking),
        );
        assert_eq!(ready(&fresh), (Status::Unknown, "Planning"));
        let old = made(&fresh, &waits, Some(&looking));
        assert_eq!(Stage::of_new_run(Some(&old)), Stage::Looking);
        let mut report = looking;
        let looks = made(&old, &Verdict::Working, Some(&report));
        assert_eq!(difference(&old, &looks), Difference::None);
        assert!(report.plans() && !report.plans());
        let plans = made(&looks, &Verdict::Working, Some(&report));
        assert_eq!(ready(&plans), (Status::Unknown, "Planning"));
        assert_eq!(Stage::of_new_run(Some(&plans)), Stage::Planning);
    }

    #[test]
    fn failed_and_complete_are_true_only_at_the_end() {
        let failed = made(
            &DeliveryStatus::default(),
            &Verdict::Failed(DeliveryReason::SourceEmpty, "no".into()),
            None,
        );
        assert!(failed.condition(ConditionType::Failed).is_some());
        let again = made(&failed, &Verdict::Working, None);
        assert!(
            again.condition(ConditionType::Failed).is_none()
                && again.condition(ConditionType::Stalled).is_none()
        );
    }

    #[test]
    fn the_list_of_objects_is_bounded() {
        let many = made(
            &DeliveryStatus::default(),
            &delivered((0..150).map(|i| object(i, 5)).collect()),
            None,
        );
        assert_eq!((many.objects.len(), many.objects_omitted), (100, Some(50)));
        let long = made(
            &DeliveryStatus::default(),
            &delivered((0..50).map(|i| object(i, 1000)).collect()),
            None,
        );
        assert_eq!((long.objects.len(), long.objects_omitted), (22, Some(28)));
        assert!(serde_json::to_string(&long).unwrap().len() < 30 << 10);
    }

    #[test]
    fn progress_alone_may_wait() {
        let report = |done| Report {
            stage: Stage::Uploading,
            progress: Some(DeliveryProgress {
                bytes_total: 10,
                bytes_done: done,
                ..DeliveryProgress::default()
            }),
            ..Report::default()
        };
        let first = made(
            &DeliveryStatus::default(),
            &Verdict::Working,
            Some(&report(1)),
        );
        let second = made(&first, &Verdict::Working, Some(&report(2)));
        assert_eq!(difference(&first, &second), Difference::Progress);
        assert_eq!(difference(&first, &first), Difference::None);
        let held = made(&first, &Verdict::Suspended(String::new()), Some(&report(2)));
        assert_eq!(difference(&first, &held), Difference::More);
    }

    #[test]
    fn time_alone_is_written_now_and_then() {
        let at = |seconds| DeliveryStatus {
            active_seconds: Some(seconds),
            ..DeliveryStatus::default()
        };
        assert_eq!(difference(&at(5), &at(14)), Difference::None);
        assert_eq!(difference(&at(5), &at(15)), Difference::Progress);
    }
}
