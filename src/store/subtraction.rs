//! Which of our headers is refused: the rehearsal again, without one header after the other.

use super::action::Action;
use super::bucket::Bucket;
use super::error::StoreError;
use super::explain::Case;
use super::refusal::Refusal;
use super::rehearsal::{Failure, Step, rehearse};
use super::rights::Evidence;
use super::settings::{Encryption, ObjectTags};
use super::target::{Acl, Target};

/// Rehearsals that a diagnosis may take.
const MOST_PROBES: usize = 3;

/// A header that a right or a setting of the bucket may forbid, in the order in which they are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Tags,
    Acl,
    Encryption,
}

impl Header {
    const ALL: [Self; MOST_PROBES] = [Self::Tags, Self::Acl, Self::Encryption];

    /// Whether it is sent to this target.
    fn is_sent(self, target: &Target) -> bool {
        match self {
            Self::Tags => !target.settings.tags.is_empty(),
            Self::Acl => target.acl != Acl::None,
            Self::Encryption => target.settings.encryption != Encryption::BucketDefault,
        }
    }

    fn take_from(self, target: &mut Target) {
        match self {
            Self::Tags => target.settings.tags = ObjectTags::default(),
            Self::Acl => target.acl = Acl::None,
            Self::Encryption => target.settings.encryption = Encryption::BucketDefault,
        }
    }

    /// The right that it asks for beside s3:PutObject, where there is one.
    pub(super) fn action(self, target: &Target) -> Option<Action> {
        match self {
            Self::Tags => Some(Action::PutObjectTagging),
            Self::Acl => Some(Action::PutObjectAcl),
            Self::Encryption if target.settings.encryption.is_kms() => {
                Some(Action::KmsGenerateDataKey)
            }
            Self::Encryption => None,
        }
    }

    /// What it means that the rehearsal works without it.
    pub(super) fn refusal(self, target: &Target) -> Refusal {
        match self {
            Self::Acl => Refusal::AclNotAllowed,
            Self::Encryption if target.settings.encryption.is_kms() => Refusal::KmsAccessDenied,
            Self::Tags | Self::Encryption => Refusal::AccessDenied,
        }
    }
}

/// What the probes told.
pub(super) enum Told {
    /// That header is refused.
    Header(Header),
    /// It is none of the headers.
    Nothing,
    /// An upload could not be aborted, so nothing more was tried.
    Orphan(StoreError),
}

/// What one probe told.
enum Probe {
    /// The upload could be created; with all that a rehearsal does, or not.
    Created(Option<Box<Failure>>),
    Refused,
}

async fn probe(bucket: &Bucket) -> Result<Probe, StoreError> {
    match rehearse(bucket).await {
        Ok(()) => Ok(Probe::Created(None)),
        Err(Failure {
            orphan: Some(orphan),
            ..
        }) => Err(orphan),
        Err(failure) if failure.step() == Step::Create => Ok(Probe::Refused),
        Err(failure) => Ok(Probe::Created(Some(Box::new(failure)))),
    }
}

/// Takes the headers away one after the other, each time one more, until the upload can be created: then
/// the last is refused for certain. Where another was taken before it and a probe is left, that one is tried
/// again by itself. Each upload is aborted, and the first that can't be is the last.
///
/// The caller makes sure that Abort is known to work.
pub(super) async fn subtract(bucket: &Bucket, case: &Case<'_>, evidence: &mut Evidence) -> Told {
    let mut taken: Vec<Header> = Vec::new();
    let sent = Header::ALL.into_iter().filter(|it| it.is_sent(case.target));
    for header in sent {
        taken.push(header);
        let fewer = without(bucket, &taken);
        match probe(&fewer).await {
            Err(orphan) => return Told::Orphan(orphan),
            Ok(Probe::Refused) => {}
            Ok(Probe::Created(failed)) => {
                note(evidence, case, fewer.target(), failed.as_deref(), header);
                if let Err(orphan) = again(bucket, &taken, case, evidence).await {
                    return Told::Orphan(orphan);
                }
                return Told::Header(header);
            }
        }
    }
    Told::Nothing
}

fn without(bucket: &Bucket, headers: &[Header]) -> Bucket {
    bucket.with_target(|target| headers.iter().for_each(|header| header.take_from(target)))
}

/// The upload was created without `header`, as `target` asks for it: so it holds what that takes.
fn note(
    evidence: &mut Evidence,
    case: &Case<'_>,
    target: &Target,
    failed: Option<&Failure>,
    header: Header,
) {
    *evidence = match failed {
        Some(failure) => Evidence::of_failure(target, failure),
        None => Evidence::of_success(target),
    };
    if let Some(action) = header.action(case.target) {
        evidence.refuse(action, case.target, case.error);
    }
}

/// Whether the header before the refused one is taken by itself.
async fn again(
    bucket: &Bucket,
    taken: &[Header],
    case: &Case<'_>,
    evidence: &mut Evidence,
) -> Result<(), StoreError> {
    let [before, refused] = taken else {
        return Ok(());
    };
    let Some(action) = before.action(case.target) else {
        return Ok(());
    };
    match probe(&without(bucket, &[*refused])).await? {
        Probe::Created(_) => evidence.hold(action),
        Probe::Refused => evidence.refuse(action, case.target, case.error),
    }
    Ok(())
}
