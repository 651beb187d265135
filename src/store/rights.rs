//! The permission report: from what a proof's calls and a delivery's met to a line for each action that
//! delivering uses. Pure; the same cause gives the same text.

use std::collections::BTreeMap;

use super::action::Action;
use super::caller::{Caller, Signer};
use super::capabilities::{Met, Use};
use super::cure;
use super::denial::Side;
use super::error::StoreError;
use super::explain;
use super::refusal::Refusal;
use super::rehearsal::{Failure, Step};
use super::target::{ReadBack, Target};

/// What the calls of a proof showed, action by action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence(BTreeMap<Action, Shown>);

/// What one call showed of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    Held,
    Refused { side: Side, answer: String },
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The action.
    pub action: Action,
    /// Whether it is allowed.
    pub verdict: Verdict,
    /// Allowed: who granted it. Else who must act.
    pub by: Actor,
    /// How that is known, or what would tell; where it is refused, what cures it.
    pub message: String,
}

/// Whether an action is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was used.
    Allowed,
    /// It was refused.
    Denied,
    /// Nothing that was done tells.
    Unknown,
}

/// Whose policies an action hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The operator's own side.
    Us,
    /// The customer.
    Customer,
    /// The store doesn't say.
    Unknown,
}

impl Evidence {
    pub(super) fn hold(&mut self, action: Action) {
        self.0.insert(action, Shown::Held);
    }

    pub(super) fn refuse(&mut self, action: Action, target: &Target, error: &StoreError) {
        let shown = Shown::Refused {
            side: error.denial.side,
            answer: explain::tried(target, error),
        };
        self.0.insert(action, shown);
    }

    pub(super) fn forget(&mut self, action: Action) {
        self.0.remove(&action);
    }

    /// What a rehearsal shows that went through up to and without `failed`.
    fn of_steps(target: &Target, failed: Option<Step>) -> Self {
        let passed = |step| failed.is_none_or(|failed| step < failed);
        let step_of = |action| match action {
            Action::PutObject | Action::PutObjectAcl | Action::PutObjectTagging => {
                Some(Step::Create)
            }
            Action::KmsGenerateDataKey => Some(Step::Create),
            Action::KmsDecrypt => Some(Step::Part),
            Action::AbortMultipartUpload => Some(Step::Abort),
            Action::ListMultipartUploadParts | Action::GetObject => None,
        };
        let held = Action::ALL.into_iter().filter(|action| {
            action.is_used(target, ReadBack::WriteOnly) && step_of(*action).is_some_and(passed)
        });
        Self(held.map(|action| (action, Shown::Held)).collect())
    }

    /// What a rehearsal shows that went through.
    pub(super) fn of_success(target: &Target) -> Self {
        Self::of_steps(target, None)
    }

    /// What a rehearsal shows that failed.
    pub(super) fn of_failure(target: &Target, failure: &Failure) -> Self {
        let step = failure.step();
        let mut evidence = Self::of_steps(target, Some(step));
        match &failure.orphan {
            Some(abort) if abort.status == Some(403) => {
                evidence.refuse(Action::AbortMultipartUpload, target, abort);
            }
            None if step == Step::Part => evidence.hold(Action::AbortMultipartUpload),
            Some(_) | None => {}
        }
        let error = &failure.error;
        // What isn't a 403 is a setting, a key's state or a mistake: no right is told by it.
        if error.status == Some(403)
            && step != Step::Abort
            && let Some(action) = refused_action(error, step)
        {
            evidence.refuse(action, target, error);
        }
        evidence
    }
}

/// The action that a 403 to a rehearsal's call refuses.
fn refused_action(error: &StoreError, step: Step) -> Option<Action> {
    if let Some(named) = error.denial.action {
        return Some(named);
    }
    match (error.refusal()?, step) {
        (Refusal::AccessDenied, Step::Create) => Some(Action::PutObject),
        (Refusal::KmsAccessDenied, Step::Create) => Some(Action::KmsGenerateDataKey),
        // Creating was allowed, and both ask for s3:PutObject: what a part asks for beside it is the key.
        (Refusal::AccessDenied | Refusal::KmsAccessDenied, _) => Some(Action::KmsDecrypt),
        (Refusal::AclNotAllowed, _) => Some(Action::PutObjectAcl),
        _ => None,
    }
}

/// The report: a line for each action that delivering to `target` uses, and for those of the key where the
/// bucket's own default asks for them.
#[must_use]
pub fn report(
    target: &Target,
    read_back: ReadBack,
    caller: &Caller,
    evidence: &Evidence,
    met: Met,
) -> Vec<Right> {
    let signer = caller.signer();
    let used = |action: &Action| {
        action.is_used(target, read_back) || evidence.0.contains_key(action) && action.is_of_kms()
    };
    let actions = Action::ALL.into_iter().filter(used);
    actions
        .map(|action| {
            if let Some(line) = met_line(signer, action, met) {
                return line;
            }
            match evidence.0.get(&action) {
                Some(Shown::Held) => Right {
                    action,
                    verdict: Verdict::Allowed,
                    by: Actor::Customer,
                    message: "the access check used it".to_owned(),
                },
                Some(Shown::Refused { side, answer }) => Right {
                    action,
                    verdict: Verdict::Denied,
                    by: actor(signer, *side),
                    message: if action.is_of_kms() {
                        let grant = cure::key_grant(caller, target, action.as_str(), *side);
                        format!("{answer} {grant}")
                    } else {
                        format!("{answer} {}", cure::cure(signer, action, *side))
                    },
                },
                None => Right {
                    action,
                    verdict: Verdict::Unknown,
                    by: actor(signer, Side::Unsaid),
                    message: cure::untold(signer, action),
                },
            }
        })
        .collect()
}

/// The lines of those actions alone that deliveries met.
#[must_use]
pub fn report_of_met(signer: Signer, met: Met) -> Vec<Right> {
    let actions = Action::ALL.into_iter();
    actions
        .filter_map(|action| met_line(signer, action, met))
        .collect()
}

fn met_line(signer: Signer, action: Action, met: Met) -> Option<Right> {
    let used = match action {
        Action::ListMultipartUploadParts => met.list_parts,
        Action::GetObject => met.head,
        _ => Use::NotMade,
    };
    let (verdict, by, message) = match used {
        Use::NotMade => return None,
        Use::Allowed => (
            Verdict::Allowed,
            Actor::Customer,
            "a delivery used it".to_owned(),
        ),
        Use::Refused => (
            Verdict::Denied,
            actor(signer, Side::Unsaid),
            format!(
                "A delivery was refused it. {}",
                cure::cure(signer, action, Side::Unsaid)
            ),
        ),
    };
    Some(Right {
        action,
        verdict,
        by,
        message,
    })
}

/// Who must act where a policy on that side refuses.
const fn actor(signer: Signer, side: Side) -> Actor {
    match (signer, side) {
        // Whatever the mode, our requests leave through our own network.
        (_, Side::Network) => Actor::Us,
        (Signer::CustomersUser | Signer::CustomersRole, _) | (_, Side::Resource) => Actor::Customer,
        (Signer::OurRole, Side::Signer) => Actor::Us,
        (Signer::OurRole, Side::Unsaid) => Actor::Unknown,
    }
}
