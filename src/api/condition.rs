//! Conditions by kstatus' rules, made in one place from what is the case.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition's message is cut to this many characters, so that a status keeps its bound.
const MAX_MESSAGE: usize = 2048;

/// `True`, `False` or `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// It is so.
    True,
    /// It isn't so.
    False,
    /// It isn't known, or not yet.
    Unknown,
}

/// What a condition says something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// Is the object as declared?
    Ready,
    /// Is the operator working towards it?
    Reconciling,
    /// Does somebody have to act?
    Stalled,
    /// Was our access proved (destinations)?
    AccessVerified,
    /// Does the customer's role refuse whoever lacks our external ID (destinations with AssumeRole)?
    TrustVerified,
    /// Is everything delivered (deliveries)?
    Complete,
    /// Did the delivery end without delivering (deliveries)?
    Failed,
}

/// One condition, as `metav1.Condition` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition says something of.
    #[serde(rename = "type")]
    pub type_: ConditionType,
    /// True, False or Unknown.
    pub status: Status,
    /// The generation that the condition was made for.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// When `status` last changed.
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub last_transition_time: String,
    /// Why, in one stable word.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z]+$"))]
    pub reason: String,
    /// What was tried, what came back, who must do what.
    #[schemars(length(max = 2048))]
    pub message: String,
}

/// Where an object stands; each maps to one set of Ready, Reconciling and Stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The operator goes on by itself: Ready Unknown, Reconciling True.
    Working,
    /// Somebody must act: Ready False, Stalled True.
    NeedsSomebody,
    /// As declared: Ready True.
    Done,
    /// Held on purpose: Ready Unknown and neither.
    Suspended,
}

/// An object's conditions in the making: the old ones decide which transition times stay.
#[derive(Debug)]
pub struct Conditions<'a> {
    old: &'a [Condition],
    new: Vec<Condition>,
    generation: i64,
    now: Timestamp,
}

impl<'a> Conditions<'a> {
    /// Begins from the conditions in the object's status.
    #[must_use]
    pub const fn from(old: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self {
            old,
            new: Vec::new(),
            generation,
            now,
        }
    }

    /// States the situation: Ready, and Reconciling or Stalled where they are true.
    #[must_use]
    pub fn situation(self, situation: Situation, reason: &str, message: &str) -> Self {
        let (ready, beside) = match situation {
            Situation::Working => (Status::Unknown, Some(ConditionType::Reconciling)),
            Situation::NeedsSomebody => (Status::False, Some(ConditionType::Stalled)),
            Situation::Done => (Status::True, None),
            Situation::Suspended => (Status::Unknown, None),
        };
        let with_ready = self.set(ConditionType::Ready, ready, reason, message);
        match beside {
            Some(type_) => with_ready.set(type_, Status::True, reason, message),
            None => with_ready,
        }
    }

    /// States one condition.
    #[must_use]
    pub fn set(
        mut self,
        type_: ConditionType,
        status: Status,
        reason: &str,
        message: &str,
    ) -> Self {
        let unflipped = self
            .old
            .iter()
            .find(|c| c.type_ == type_ && c.status == status);
        let last_transition_time = unflipped.map_or_else(
            || time_text(self.now),
            |old| old.last_transition_time.clone(),
        );
        self.new.push(Condition {
            type_,
            status,
            observed_generation: self.generation,
            last_transition_time,
            reason: reason.to_owned(),
            message: message.chars().take(MAX_MESSAGE).collect(),
        });
        self
    }

    /// Keeps an old condition as it was, where there is one.
    #[must_use]
    pub fn keep(mut self, type_: ConditionType) -> Self {
        self.new
            .extend(self.old.iter().filter(|c| c.type_ == type_).cloned());
        self
    }

    /// The conditions to write; those that weren't stated are gone.
    #[must_use]
    pub fn finish(self) -> Vec<Condition> {
        self.new
    }
}

/// A time as `metav1.Time` has it: UTC, whole seconds.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    seconds.to_string()
}

/// The condition of that type.
pub(super) fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_transition_time_moves_only_on_a_flip() {
        let first = Conditions::from(&[], 1, at(10))
            .situation(Situation::Working, "Verifying", "")
            .finish();
        let second = Conditions::from(&first, 2, at(20))
            .situation(Situation::Suspended, "Suspended", "")
            .finish();
        assert_eq!(second[0].last_transition_time, "1970-01-01T00:00:10Z");
        assert_eq!(second[0].observed_generation, 2);
        let third = Conditions::from(&second, 2, at(30))
            .situation(Situation::Done, "Verified", "")
            .finish();
        assert_eq!(third[0].last_transition_time, "1970-01-01T00:00:30Z");
    }

    #[test]
    fn ready_is_never_false_while_working() {
        for (situation, ready, beside) in [
            (
                Situation::Working,
                Status::Unknown,
                Some(ConditionType::Reconciling),
            ),
            (
                Situation::NeedsSomebody,
                Status::False,
                Some(ConditionType::Stalled),
            ),
            (Situation::Done, Status::True, None),
            (Situation::Suspended, Status::Unknown, None),
        ] {
            let made = Conditions::from(&[], 1, at(0))
                .situation(situation, "Reason", "")
                .finish();
            assert_eq!(made[0].status, ready);
            assert_eq!(made.get(1).map(|c| c.type_), beside);
        }
    }
}
