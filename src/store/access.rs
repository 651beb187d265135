//! The proof of access: what delivering does, at the real prefix with the real headers, but for the
//! last step. It leaves no object and asks for no right that delivering doesn't need.

use super::action::Action;
use super::bucket::Bucket;
use super::caller::Caller;
use super::capabilities::{Capabilities, Dialect};
use super::error::{ErrorClass, StoreError};
use super::explain::{self, Case};
use super::names::Region;
use super::refusal::Refusal;
use super::rehearsal::{AbortRight, Failure, Step, abort_right, rehearse};
use super::rights::Evidence;
use super::subtraction::{Told, subtract};

/// Where the target's region comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionSource {
    /// The user named it: another one is a mistake to be told.
    Named,
    /// Nobody named it: an answer that names another is followed, once.
    Guessed,
}

/// What the proof found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// We may deliver.
    Verified {
        /// The bucket's region: the target's, or what was learned.
        region: Region,
        /// The checksums that the store verifies.
        dialect: Dialect,
    },
    /// Somebody must act; trying again changes nothing.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What was tried, what came back, who must do what. The same for the same cause.
        message: String,
    },
    /// Abort is refused, so that an upload of this proof stays open: another proof would leave another.
    /// Ask [`may_abort`] first.
    Orphaned {
        /// The bucket's region: the target's, or what was learned.
        region: Region,
        /// As in [`Proof::Refused`].
        message: String,
    },
    /// Nothing is known yet: unreachable, throttled, a server's failure.
    Transient {
        /// What kept the answer away.
        refusal: Refusal,
        /// What was tried and what came back.
        message: String,
    },
}

/// A proof, and what its calls showed of each right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// What was found.
    pub proof: Proof,
    /// What the calls showed.
    pub evidence: Evidence,
}

/// Proves that `caller` may deliver to `bucket`.
///
/// Let it run to its end: dropped between its first and last call it may leave an upload open.
pub async fn prove(bucket: &Bucket, region: RegionSource, caller: &Caller) -> Proved {
    let (found, failure) = match down_the_dialects(bucket).await {
        Ok(dialect) => return verified(bucket, dialect),
        Err(failed) => failed,
    };
    let elsewhere = failure.names_another_region(bucket.target());
    match (region, elsewhere) {
        (RegionSource::Guessed, Some(elsewhere)) => {
            match down_the_dialects(&bucket.in_region(elsewhere.clone())).await {
                Ok(dialect) => verified(&bucket.in_region(elsewhere), dialect),
                Err((found, failure)) => diagnose(&found, failure, caller).await,
            }
        }
        _ => diagnose(&found, failure, caller).await,
    }
}

fn verified(bucket: &Bucket, dialect: Dialect) -> Proved {
    let proof = Proof::Verified {
        region: bucket.target().region.clone(),
        dialect,
    };
    Proved {
        proof,
        evidence: Evidence::of_success(bucket.target()),
    }
}

/// Rehearses in one dialect after the other, as long as it may be the checksum that the store refuses and
/// no upload had to stay. A failure comes with the bucket in the dialect that it was met in; where no
/// dialect works that is the first, which asks for the most.
async fn down_the_dialects(bucket: &Bucket) -> Result<Dialect, (Bucket, Failure)> {
    let mut first = None;
    for dialect in Dialect::ALL {
        let bucket = bucket.with_capabilities(Capabilities {
            dialect,
            ..bucket.capabilities()
        });
        match rehearse(&bucket).await {
            Ok(()) => return Ok(dialect),
            Err(failure) if failure.may_be_the_checksum() => {
                first.get_or_insert((bucket, failure));
            }
            Err(failure) => return Err((bucket, failure)),
        }
    }
    // There is at least one dialect, and each of them failed.
    Err(first.unwrap_or_else(|| {
        let error = StoreError::checksum_ignored("UploadPart");
        (bucket.clone(), Failure::clean(error))
    }))
}

/// From how a rehearsal failed to what somebody must do. Each step is certain before the next is tried.
async fn diagnose(bucket: &Bucket, failure: Failure, caller: &Caller) -> Proved {
    let case = Case {
        target: bucket.target(),
        caller,
        error: &failure.error,
    };
    tracing::debug!(
        bucket = %bucket.target(),
        error = %failure.error,
        request_id = failure.error.request_id.as_deref().unwrap_or_default(),
        "access check failed"
    );
    let mut evidence = Evidence::of_failure(bucket.target(), &failure);
    let proof = match without_asking(&case, &failure) {
        Some(proof) => proof,
        None => by_asking(bucket, &case, &mut evidence).await,
    };
    Proved { proof, evidence }
}

/// What the failure itself tells; nothing where it is no more than a "no" to the first call.
fn without_asking(case: &Case<'_>, failure: &Failure) -> Option<Proof> {
    // 1. An upload that we can't abort: nothing else is tried, or there would be more of them.
    if let Some(orphan) = &failure.orphan {
        let message = explain::orphan(case, orphan);
        return Some(match orphan.class {
            ErrorClass::Terminal => orphaned(case, message),
            _ => transient(orphan, message),
        });
    }
    // 2. No answer, or one that may be another the next time.
    if failure.may_pass() {
        return Some(transient(&failure.error, explain::no_answer(case)));
    }
    let error = &failure.error;
    let refusal = error.refusal();
    // 3. An answer that says what is wrong. What S3 has no reason of ours for is still a refusal: its code
    //    is in the message.
    if refusal != Some(Refusal::AccessDenied) {
        let refusal = refusal.unwrap_or(Refusal::AccessDenied);
        return Some(refused(refusal, explain::refusal(case, refusal)));
    }
    match (error.denial.action, failure.step()) {
        // 4. Creating was allowed, and a part asks for the same right and for the key.
        (None, Step::Part) => Some(refused(Refusal::KmsAccessDenied, explain::part_alone(case))),
        // 5. A denial that names another right than the one that everything takes.
        (Some(action), _) if action != Action::PutObject => Some(refused(
            Refusal::AccessDenied,
            explain::denied(case, &[action]),
        )),
        _ => None,
    }
}

/// A bare 403: whose bucket is it, would an Abort work, and which of our headers is refused?
async fn by_asking(bucket: &Bucket, case: &Case<'_>, evidence: &mut Evidence) -> Proof {
    match abort_right(bucket).await {
        AbortRight::WithoutOwner => {
            evidence.forget(Action::PutObject);
            let refusal = Refusal::BucketOwnerMismatch;
            refused(refusal, explain::refusal(case, refusal))
        }
        AbortRight::Denied(error) => {
            if error.status == Some(403) {
                evidence.refuse(Action::AbortMultipartUpload, case.target, &error);
            }
            let actions = [Action::PutObject, Action::AbortMultipartUpload];
            refused(Refusal::AccessDenied, explain::denied(case, &actions))
        }
        AbortRight::Held => {
            evidence.hold(Action::AbortMultipartUpload);
            match subtract(bucket, case, evidence).await {
                Told::Header(header) => {
                    refused(header.refusal(case.target), explain::without(case, header))
                }
                Told::Nothing => refused(
                    Refusal::AccessDenied,
                    explain::denied(case, &[Action::PutObject]),
                ),
                Told::Orphan(orphan) => orphaned(case, explain::orphan(case, &orphan)),
            }
        }
    }
}

fn refused(refusal: Refusal, message: String) -> Proof {
    Proof::Refused { refusal, message }
}

fn orphaned(case: &Case<'_>, message: String) -> Proof {
    Proof::Orphaned {
        region: case.target.region.clone(),
        message,
    }
}

fn transient(error: &StoreError, message: String) -> Proof {
    Proof::Transient {
        refusal: error.refusal().unwrap_or(Refusal::EndpointUnreachable),
        message,
    }
}

/// Whether an Abort would work, asked without creating anything.
pub async fn may_abort(bucket: &Bucket) -> bool {
    matches!(abort_right(bucket).await, AbortRight::Held)
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
