//! From what a proof brought to what the status says: pure.

use std::time::Duration;

use jiff::Timestamp;

use super::capabilities::{published, warning};
use super::memory::{Ending, Question};
use super::permissions;
use super::trust::{self, Trust};
use crate::api::{
    Capabilities as Published, Condition, ConditionType, Conditions, DestinationReason,
    DestinationStatus, Effective, Grant, Identity, Permission, Situation, Status, time_text,
};
use crate::store::{Capabilities, ReadBack, Signer};

/// Unanswered proofs in a row that a verified destination takes before Ready flips.
const PATIENCE: u32 = 3;

/// `lastVerifiedTime` is written again once it is this old, so that a steady destination costs few writes.
pub(super) const VERIFIED_TIME_AGE: Duration = Duration::from_secs(3600);

/// What the conditions of a proved destination begin with.
const PROVED: &str = "our access is proved";

/// What a proof brought.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) question: Question,
    pub(crate) secret_version: Option<String>,
    /// The bucket's region, where the proof found it.
    pub(crate) region: Option<String>,
    /// What the store can do, where the proof succeeded.
    pub(crate) capabilities: Option<Capabilities>,
    /// Each right, where the proof came so far as to ask for one.
    pub(crate) permissions: Option<Vec<Permission>>,
    /// What the role does without our external ID, where it was asked.
    pub(crate) trust: Option<Trust>,
    pub(crate) finding: Finding,
}

impl Outcome {
    /// Before anybody was asked.
    pub(super) const fn not_asked(question: Question) -> Self {
        Self {
            question,
            secret_version: None,
            region: None,
            capabilities: None,
            permissions: None,
            trust: None,
            finding: Finding::Unanswered(DestinationReason::EndpointUnreachable, String::new()),
        }
    }
}

/// What is known of our access.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// Proved.
    Verified,
    /// Refused; somebody must act.
    Refused(DestinationReason, String),
    /// Refused, and an upload of the proof stays open, as we may not abort it.
    Orphaned(String),
    /// Nothing that says anything about access came back.
    Unanswered(DestinationReason, String),
}

impl Finding {
    /// What the proof came to, in the conditions' word.
    pub(super) const fn reason(&self) -> DestinationReason {
        match self {
            Self::Verified => DestinationReason::Verified,
            Self::Refused(reason, _) | Self::Unanswered(reason, _) => *reason,
            Self::Orphaned(_) => DestinationReason::AccessDenied,
        }
    }

    pub(super) const fn ending(&self) -> Ending {
        match self {
            Self::Verified => Ending::Verified,
            Self::Refused(..) | Self::Orphaned(_) => Ending::Refused,
            Self::Unanswered(..) => Ending::Unanswered,
        }
    }
}

/// What the status says beside the conditions: functions of the spec and the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) effective: Option<Effective>,
    pub(super) identity: Option<Identity>,
    pub(super) grant: Option<Grant>,
    /// What the customer's role must ask of us: there in AssumeRole alone.
    pub(super) external_id: Option<String>,
    /// Whether we may look at what is there.
    pub(super) read_back: Option<ReadBack>,
    /// Whose identity signs.
    pub(super) signer: Option<Signer>,
}

/// The status of a destination that is held.
pub(super) fn suspended(
    old: &DestinationStatus,
    facts: Facts,
    question: &Question,
    now: Timestamp,
) -> DestinationStatus {
    let generation = question.generation;
    let message = "spec.suspend is set: no proofs are made and deliveries to this destination wait";
    let conditions = Conditions::from(&old.conditions, generation, now)
        .situation(
            Situation::Suspended,
            DestinationReason::Suspended.as_str(),
            message,
        )
        .keep(ConditionType::AccessVerified)
        .keep(ConditionType::TrustVerified);
    DestinationStatus {
        // Seen; the proof comes when it is no longer held.
        last_handled_request: question.request.clone(),
        ..with(old, facts, generation, conditions.finish())
    }
}

/// The status while the first proof of a generation is under way.
pub(super) fn verifying(
    old: &DestinationStatus,
    facts: Facts,
    generation: i64,
    now: Timestamp,
) -> DestinationStatus {
    let reason = DestinationReason::Verifying.as_str();
    let message =
        "our access is being proved: an upload is created, one part sent, and the upload aborted";
    let conditions = Conditions::from(&old.conditions, generation, now)
        .situation(Situation::Working, reason, message)
        .set(
            ConditionType::AccessVerified,
            Status::Unknown,
            reason,
            message,
        );
    let conditions = match facts.external_id {
        Some(_) => conditions.set(
            ConditionType::TrustVerified,
            Status::Unknown,
            reason,
            trust::ASKING,
        ),
        None => conditions,
    };
    with(old, facts, generation, conditions.finish())
}

/// The status after a proof. `unanswered` counts the unanswered proofs in a row, this one included.
pub(super) fn judged(
    old: &DestinationStatus,
    facts: Facts,
    outcome: &Outcome,
    unanswered: u32,
    now: Timestamp,
) -> DestinationStatus {
    let generation = outcome.question.generation;
    let conditions = Conditions::from(&old.conditions, generation, now);
    let conditions = match &outcome.finding {
        Finding::Verified => {
            let told = outcome.capabilities.map(published);
            let warnings = [warn(told, facts.read_back), trust::warning(outcome)];
            proved(conditions, warnings)
        }
        Finding::Refused(reason, message) => stalled(conditions, *reason, message, Status::False),
        Finding::Orphaned(message) => stalled(
            conditions,
            DestinationReason::AccessDenied,
            message,
            Status::False,
        ),
        Finding::Unanswered(reason, message) if unanswered >= PATIENCE => {
            stalled(conditions, *reason, message, Status::Unknown)
        }
        Finding::Unanswered(..) if settled(old, generation) => old.conditions.clone(),
        Finding::Unanswered(reason, message) => conditions
            .situation(Situation::Working, reason.as_str(), message)
            .set(
                ConditionType::AccessVerified,
                Status::Unknown,
                reason.as_str(),
                message,
            )
            .finish(),
    };
    let conditions = match facts.external_id {
        Some(_) => trust::stated(conditions, old, outcome, now),
        None => conditions,
    };
    let verified = matches!(outcome.finding, Finding::Verified);
    let with = with(old, facts, generation, conditions);
    DestinationStatus {
        capabilities: outcome.capabilities.map(published).or(with.capabilities),
        permissions: match &outcome.permissions {
            Some(permissions) => permissions.clone(),
            None => with.permissions.clone(),
        },
        last_verified_time: if verified {
            verified_time(old, generation, now)
        } else {
            old.last_verified_time.clone()
        },
        secret_version: outcome.secret_version.clone(),
        last_handled_request: outcome.question.request.clone(),
        ..with
    }
}

/// The status of a destination whose access deliveries saw `ago`, where it tells of a time over an hour ago.
pub(super) fn confirmed(
    old: &DestinationStatus,
    ago: Duration,
    now: Timestamp,
) -> Option<DestinationStatus> {
    let ready = old.condition(ConditionType::Ready)?;
    let told = told_time(old)?;
    let seen = now.checked_sub(ago).ok()?;
    let tell = ready.status == Status::True && !is_fresh(told, now) && seen > told;
    tell.then(|| DestinationStatus {
        last_verified_time: Some(time_text(seen)),
        ..old.clone()
    })
}

/// The status of a verified destination of whose store a delivery found out more.
pub(super) fn learned(
    old: &DestinationStatus,
    facts: Facts,
    capabilities: Capabilities,
    now: Timestamp,
) -> DestinationStatus {
    let generation = old.observed_generation;
    let told = published(capabilities);
    let permissions = permissions::with_met(&old.permissions, facts.signer, capabilities.met);
    let is_ready = old
        .condition(ConditionType::Ready)
        .is_some_and(|ready| ready.status == Status::True);
    let conditions = if is_ready {
        let conditions = Conditions::from(&old.conditions, generation, now);
        let warnings = [warn(Some(told), facts.read_back), trust::warned_before(old)];
        proved(conditions, warnings)
            .into_iter()
            .chain(old.condition(ConditionType::TrustVerified).cloned())
            .collect()
    } else {
        old.conditions.clone()
    };
    DestinationStatus {
        capabilities: Some(told),
        permissions,
        ..with(old, facts, generation, conditions)
    }
}

fn warn(capabilities: Option<Published>, read_back: Option<ReadBack>) -> Option<&'static str> {
    capabilities.and_then(|told| warning(told, read_back))
}

/// Access is proved, and what somebody should know all the same.
fn proved(conditions: Conditions<'_>, warnings: [Option<&'static str>; 2]) -> Vec<Condition> {
    let reason = DestinationReason::Verified.as_str();
    let parts = std::iter::once(PROVED).chain(warnings.into_iter().flatten());
    let message = parts.collect::<Vec<_>>().join("; ");
    conditions
        .situation(Situation::Done, reason, &message)
        .set(
            ConditionType::AccessVerified,
            Status::True,
            reason,
            &message,
        )
        .finish()
}

fn stalled(
    conditions: Conditions<'_>,
    reason: DestinationReason,
    message: &str,
    access: Status,
) -> Vec<Condition> {
    conditions
        .situation(Situation::NeedsSomebody, reason.as_str(), message)
        .set(
            ConditionType::AccessVerified,
            access,
            reason.as_str(),
            message,
        )
        .finish()
}

/// Whether the old status is a result of this generation, which one lost answer doesn't take back.
fn settled(old: &DestinationStatus, generation: i64) -> bool {
    old.condition(ConditionType::Ready).is_some_and(|ready| {
        ready.observed_generation == generation && ready.status != Status::Unknown
    })
}

/// The `lastVerifiedTime` that the status tells.
fn told_time(old: &DestinationStatus) -> Option<Timestamp> {
    old.last_verified_time.as_ref()?.parse().ok()
}

/// Whether that time needn't be written again yet.
fn is_fresh(told: Timestamp, now: Timestamp) -> bool {
    now.duration_since(told).unsigned_abs() < VERIFIED_TIME_AGE
}

fn verified_time(old: &DestinationStatus, generation: i64, now: Timestamp) -> Option<String> {
    let was_ready = settled(old, generation)
        && old
            .condition(ConditionType::Ready)
            .is_some_and(|ready| ready.status == Status::True);
    if was_ready && told_time(old).is_some_and(|told| is_fresh(told, now)) {
        return old.last_verified_time.clone();
    }
    Some(time_text(now))
}

fn with(
    old: &DestinationStatus,
    facts: Facts,
    generation: i64,
    conditions: Vec<Condition>,
) -> DestinationStatus {
    let same = old.observed_generation == generation;
    DestinationStatus {
        observed_generation: generation,
        conditions,
        effective: facts.effective,
        identity: facts.identity,
        external_id: facts.external_id,
        grant: facts.grant,
        // Another spec may be another store, and ask for other rights.
        capabilities: old.capabilities.filter(|_| same),
        permissions: if same {
            old.permissions.clone()
        } else {
            Vec::new()
        },
        ..old.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn outcome(finding: Finding) -> Outcome {
        Outcome {
            question: Question {
                generation: 1,
                request: None,
            },
            secret_version: None,
            region: None,
            capabilities: None,
            permissions: None,
            trust: None,
            finding,
        }
    }

    #[test]
    fn deliveries_renew_a_time_that_is_over_an_hour_old() {
        let old = verified(&DestinationStatus::default(), 0);
        let seen = |ago: u64, now: i64| {
            let status = confirmed(&old, Duration::from_secs(ago), at(now))?;
            status.last_verified_time
        };
        assert_eq!(seen(60, 3599), None);
        assert_eq!(seen(60, 3600), Some(time_text(at(3540))));
        // The proof that stands there already.
        assert_eq!(seen(7200, 7200), None);
        let refused = Finding::Refused(DestinationReason::AccessDenied, "no".to_owned());
        let refused = judged(&old, Facts::default(), &outcome(refused), 0, at(10));
        assert_eq!(confirmed(&refused, Duration::ZERO, at(9000)), None);
    }

    fn verified(old: &DestinationStatus, now: i64) -> DestinationStatus {
        judged(
            old,
            Facts::default(),
            &outcome(Finding::Verified),
            0,
            at(now),
        )
    }

    fn unanswered(old: &DestinationStatus, count: u32, now: i64) -> DestinationStatus {
        let finding = Finding::Unanswered(
            DestinationReason::EndpointUnreachable,
            "no connection".into(),
        );
        judged(old, Facts::default(), &outcome(finding), count, at(now))
    }

    fn ready(status: &DestinationStatus) -> (Status, &str) {
        let ready = status.condition(ConditionType::Ready).unwrap();
        (ready.status, ready.reason.as_str())
    }

    #[test]
    fn a_verified_destination_takes_two_lost_answers_without_a_word() {
        let first = verified(&DestinationStatus::default(), 0);
        assert_eq!(ready(&first), (Status::True, "Verified"));
        assert_eq!(unanswered(&first, 1, 10), first);
        assert_eq!(unanswered(&first, 2, 20), first);
        assert_eq!(
            ready(&unanswered(&first, 3, 30)),
            (Status::False, "EndpointUnreachable")
        );
    }

    #[test]
    fn a_fresh_destination_says_what_it_waits_for() {
        let fresh = verifying(&DestinationStatus::default(), Facts::default(), 1, at(0));
        assert_eq!(ready(&fresh), (Status::Unknown, "Verifying"));
        assert_eq!(
            ready(&unanswered(&fresh, 1, 1)),
            (Status::Unknown, "EndpointUnreachable")
        );
        assert_eq!(
            ready(&unanswered(&fresh, 3, 1)),
            (Status::False, "EndpointUnreachable")
        );
    }

    #[test]
    fn a_steady_destination_is_written_once_an_hour() {
        let first = verified(&DestinationStatus::default(), 0);
        assert_eq!(verified(&first, 3599), first);
        let later = verified(&first, 3601);
        assert_eq!(
            later.last_verified_time.as_deref(),
            Some("1970-01-01T01:00:01Z")
        );
        assert_eq!(later.conditions, first.conditions);
    }

    #[test]
    fn a_refusal_stalls_and_a_repair_clears_it() {
        let finding = Finding::Refused(DestinationReason::AccessDenied, "s3:PutObject".into());
        let refused = judged(
            &DestinationStatus::default(),
            Facts::default(),
            &outcome(finding),
            0,
            at(0),
        );
        assert_eq!(ready(&refused), (Status::False, "AccessDenied"));
        assert!(refused.condition(ConditionType::Stalled).is_some());
        let repaired = verified(&refused, 60);
        assert!(repaired.condition(ConditionType::Stalled).is_none());
        assert_eq!(
            repaired.last_verified_time.as_deref(),
            Some("1970-01-01T00:01:00Z")
        );
    }

    #[test]
    fn what_the_store_can_do_is_told_and_another_spec_forgets_it() {
        let found = Outcome {
            capabilities: Some(Capabilities::default()),
            ..outcome(Finding::Verified)
        };
        let old = DestinationStatus::default();
        let first = judged(&old, Facts::default(), &found, 0, at(0));
        assert_eq!(first.capabilities, Some(published(Capabilities::default())));
        assert_eq!(verified(&first, 10).capabilities, first.capabilities);
        let next = verifying(&first, Facts::default(), 2, at(20));
        assert_eq!(next.capabilities, None);
    }

    #[test]
    fn a_store_that_overwrites_is_warned_of_and_nothing_flips() {
        let first = verified(&DestinationStatus::default(), 0);
        let capabilities = Capabilities {
            conditional_write: crate::store::ConditionalWrite::Ignored,
            ..Capabilities::default()
        };
        let after = learned(&first, Facts::default(), capabilities, at(60));
        assert_eq!(ready(&after), (Status::True, "Verified"));
        let (before, after) = (
            first.condition(ConditionType::Ready).unwrap(),
            after.condition(ConditionType::Ready).unwrap(),
        );
        assert!(
            after.message.contains("ignores If-None-Match"),
            "{}",
            after.message
        );
        assert_eq!(before.last_transition_time, after.last_transition_time);
    }
}
