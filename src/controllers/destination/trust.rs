//! What the status says of a customer's role: whether it refuses whoever lacks our external ID. Pure.

use jiff::Timestamp;
use kube::runtime::events::EventType;

use super::judge::{Finding, Outcome};
use super::proof::reason;
use crate::api::{
    Condition, ConditionType, Conditions, DestinationReason, DestinationStatus, EventReason, Status,
};
use crate::controllers::events::Word;
use crate::store;

/// What the condition says while the role is being asked.
pub(super) const ASKING: &str =
    "the role is asked for a session with our external ID, and for one without it";

/// What the condition says of a role as it should be.
const CLOSED: &str = "the role lets us in with our external ID and refuses us without it";

/// What the message of Ready adds for a role that is too open.
const WARNING: &str =
    "the customer's role lets us in without our external ID (see the condition TrustVerified)";

/// What a proof found of the role's trust.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    status: Status,
    reason: DestinationReason,
    message: String,
}

/// The store's words in the API's.
pub(super) fn found(trust: store::Trust) -> Trust {
    let (status, reason, message) = match trust {
        store::Trust::Closed => (Status::True, DestinationReason::Verified, CLOSED.to_owned()),
        store::Trust::Open { message } => (Status::False, DestinationReason::TrustTooOpen, message),
        store::Trust::Unknown { refusal, message } => (Status::Unknown, reason(refusal), message),
    };
    Trust {
        status,
        reason,
        message,
    }
}

/// `conditions` with TrustVerified. What couldn't be found out takes nothing back that was known of this generation.
pub(super) fn stated(
    conditions: Vec<Condition>,
    old: &DestinationStatus,
    outcome: &Outcome,
    now: Timestamp,
) -> Vec<Condition> {
    let generation = outcome.question.generation;
    let known = old
        .condition(ConditionType::TrustVerified)
        .filter(|trust| trust.observed_generation == generation && trust.status != Status::Unknown);
    let told = match (&outcome.trust, &outcome.finding) {
        (Some(trust), _) if trust.status != Status::Unknown || known.is_none() => {
            Some((trust.status, trust.reason, trust.message.as_str()))
        }
        // Somebody else than the role refused, so it wasn't asked; or the role did, and nothing is known of the rest.
        (None, Finding::Refused(reason, message)) => {
            Some((Status::Unknown, *reason, message.as_str()))
        }
        (None, Finding::Unanswered(reason, message)) if known.is_none() => {
            Some((Status::Unknown, *reason, message.as_str()))
        }
        _ => None,
    };
    let trust = Conditions::from(&old.conditions, generation, now);
    let trust = match told {
        Some((status, reason, message)) => trust.set(
            ConditionType::TrustVerified,
            status,
            reason.as_str(),
            message,
        ),
        None => trust.keep(ConditionType::TrustVerified),
    };
    conditions
        .into_iter()
        .filter(|condition| condition.type_ != ConditionType::TrustVerified)
        .chain(trust.finish())
        .collect()
}

/// What a customer must know of a role that is too open, for the message of Ready.
pub(super) fn warning(outcome: &Outcome) -> Option<&'static str> {
    let open = |trust: &&Trust| trust.status == Status::False;
    outcome.trust.as_ref().filter(open).map(|_| WARNING)
}

/// The same, as the status has it.
pub(super) fn warned_before(old: &DestinationStatus) -> Option<&'static str> {
    let trust = old.condition(ConditionType::TrustVerified)?;
    (trust.status == Status::False).then_some(WARNING)
}

/// The Event to publish: a role that is found too open, and one that is closed after that.
pub(super) fn news(
    old: &DestinationStatus,
    new: &DestinationStatus,
) -> Option<(EventType, Word, String)> {
    let status = |of: &DestinationStatus| {
        let trust = of.condition(ConditionType::TrustVerified);
        trust.map(|trust| trust.status)
    };
    let trust = new.condition(ConditionType::TrustVerified)?;
    let (type_, reason) = match (status(old), trust.status) {
        // Not the condition's own reason: an Event of that name says that access is proved, and would swallow this.
        (Some(Status::False), Status::True) => {
            (EventType::Normal, EventReason::TrustVerified.into())
        }
        (Some(Status::False), _) => return None,
        (_, Status::False) => (EventType::Warning, DestinationReason::TrustTooOpen.into()),
        _ => return None,
    };
    Some((type_, reason, trust.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Facts, judged, verifying};
    use super::super::memory::Question;
    use super::*;
    use crate::store::Refusal;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn facts() -> Facts {
        Facts {
            external_id: Some("outbound-1".to_owned()),
            ..Facts::default()
        }
    }

    fn after(
        old: &DestinationStatus,
        trust: Option<store::Trust>,
        finding: Finding,
        now: i64,
    ) -> DestinationStatus {
        let outcome = Outcome {
            question: Question {
                generation: 1,
                request: None,
            },
            secret_version: None,
            region: None,
            capabilities: None,
            permissions: None,
            trust: trust.map(found),
            finding,
        };
        judged(old, facts(), &outcome, 1, at(now))
    }

    fn open() -> store::Trust {
        let message = "the role lets anybody in".to_owned();
        store::Trust::Open { message }
    }

    fn undecided() -> store::Trust {
        store::Trust::Unknown {
            refusal: Refusal::Throttled,
            message: "slow down".to_owned(),
        }
    }

    fn trust(status: &DestinationStatus) -> (Status, &str) {
        let trust = status.condition(ConditionType::TrustVerified).unwrap();
        (trust.status, trust.reason.as_str())
    }

    fn is_ready(status: &DestinationStatus) -> bool {
        let ready = status.condition(ConditionType::Ready).unwrap();
        ready.status == Status::True
    }

    #[test]
    fn an_open_role_is_warned_of_and_stays_ready() {
        let fresh = verifying(&DestinationStatus::default(), facts(), 1, at(0));
        assert_eq!(trust(&fresh), (Status::Unknown, "Verifying"));
        assert_eq!(fresh.external_id.as_deref(), Some("outbound-1"));
        let first = after(&fresh, Some(open()), Finding::Verified, 1);
        assert_eq!(trust(&first), (Status::False, "TrustTooOpen"));
        assert!(is_ready(&first));
        let ready = first.condition(ConditionType::Ready).unwrap();
        assert!(ready.message.contains("TrustVerified"), "{}", ready.message);
        let (type_, reason, _) = news(&fresh, &first).unwrap();
        assert!(matches!(type_, EventType::Warning));
        assert_eq!(reason, DestinationReason::TrustTooOpen.into());
        let again = after(&first, Some(open()), Finding::Verified, 2);
        assert_eq!(again, first);
        assert!(news(&first, &again).is_none());
        let closed = after(&first, Some(store::Trust::Closed), Finding::Verified, 3);
        assert_eq!(trust(&closed), (Status::True, "Verified"));
        let (type_, reason, _) = news(&first, &closed).unwrap();
        assert!(matches!(type_, EventType::Normal));
        assert_eq!(reason, EventReason::TrustVerified.into());
        assert!(news(&fresh, &closed).is_none());
    }

    #[test]
    fn what_sts_does_not_decide_takes_nothing_back() {
        let fresh = verifying(&DestinationStatus::default(), facts(), 1, at(0));
        let unknown = after(&fresh, Some(undecided()), Finding::Verified, 1);
        assert_eq!(trust(&unknown), (Status::Unknown, "Throttled"));
        let closed = after(&fresh, Some(store::Trust::Closed), Finding::Verified, 1);
        let still = after(&closed, Some(undecided()), Finding::Verified, 2);
        assert_eq!(still, closed);
        let lost = Finding::Unanswered(DestinationReason::EndpointUnreachable, String::new());
        assert_eq!(after(&closed, None, lost, 3), closed);
    }

    #[test]
    fn a_role_that_refuses_us_says_nothing_of_others() {
        let fresh = verifying(&DestinationStatus::default(), facts(), 1, at(0));
        let closed = after(&fresh, Some(store::Trust::Closed), Finding::Verified, 1);
        let refused = Finding::Refused(DestinationReason::RoleNotAssumable, "no".to_owned());
        let refused = after(&closed, None, refused, 2);
        assert_eq!(trust(&refused), (Status::Unknown, "RoleNotAssumable"));
        assert!(!is_ready(&refused));
    }
}
