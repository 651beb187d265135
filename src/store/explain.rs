//! What a failed proof says: what was tried, what came back, who must do what. Pure; the same cause
//! gives the same text, so that a condition doesn't change from proof to proof.

use super::action::Action;
use super::caller::Caller;
use super::cure;
use super::denial::Side;
use super::error::StoreError;
use super::grant::GrantRequest;
use super::refusal::Refusal;
use super::rehearsal::REHEARSAL_NAME;
use super::subtraction::Header;
use super::target::{ReadBack, Target};
use super::trust;

/// What a message is made from.
pub(super) struct Case<'a> {
    pub(super) target: &'a Target,
    pub(super) caller: &'a Caller,
    pub(super) error: &'a StoreError,
}

/// What looks like a missing right and can't be told from one by any request of ours.
const UNSEEN: &str = "If that is granted already, look at what no probe can see: service control \
    policies, VPC endpoint policies, conditions on aws:SecureTransport or the source address, \
    explicit denies, a bucket policy that demands another encryption or ACL, Requester Pays.";

impl Case<'_> {
    fn tried(&self) -> String {
        tried(self.target, self.error)
    }

    fn resource(&self) -> String {
        let resource = GrantRequest::new(self.target, ReadBack::WriteOnly).resource();
        resource.escape_debug().to_string()
    }

    /// "allow ACTIONS on RESOURCE", by whoever can.
    fn grant(&self, actions: &str) -> String {
        let resource = self.resource();
        match self.caller {
            Caller::AccessKey => format!(
                "The customer must allow {actions} on {resource} for the IAM user of this access key \
                 (status.grant.identityPolicy is the policy)."
            ),
            Caller::Own { principal_arn } => format!(
                "The customer must allow {actions} on {resource} for {principal_arn} in the bucket's \
                 policy (status.grant.bucketPolicy), and our own role must have the same rights \
                 (status.grant.identityPolicy)."
            ),
            Caller::Role { request, .. } => format!(
                "The customer must allow {actions} on {resource} for {}: in the bucket's policy \
                 (status.grant.bucketPolicy), or by the same statement without its Principal in the role's own \
                 permissions; where role and bucket are of different accounts, in both.",
                request.role
            ),
        }
    }

    fn owner(&self) -> &str {
        self.target
            .bucket_owner
            .as_ref()
            .map_or("the expected account", |owner| owner.as_str())
    }

    fn who_signs(&self) -> &'static str {
        match self.caller {
            Caller::AccessKey => "the customer's access key",
            Caller::Own { .. } => "our own identity",
            Caller::Role { .. } => "the session of the customer's role",
        }
    }
}

/// "CALL under s3://bucket/prefix was answered 403 AccessDenied (words)."
pub(super) fn tried(target: &Target, error: &StoreError) -> String {
    let StoreError {
        action,
        code,
        status,
        ..
    } = error;
    let words = match error.message.as_str() {
        "" => String::new(),
        message => format!(" ({})", without_random(message)),
    };
    let at = target
        .endpoint
        .as_ref()
        .map(|endpoint| format!(" at {endpoint}"));
    let place = format!("{target}{}", at.unwrap_or_default());
    match status {
        Some(status) => format!("{action} under {place} was answered {status} {code}{words}."),
        None => format!("{action} under {place} got no answer: {code}{words}."),
    }
}

/// A store's words with `*` for the random end of the key, which AWS repeats in a denial.
fn without_random(message: &str) -> String {
    let mut pieces = message.split(REHEARSAL_NAME);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(REHEARSAL_NAME);
        text.push('*');
        text.push_str(piece.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    text
}

/// No answer, or one that may pass.
pub(super) fn no_answer(case: &Case<'_>) -> String {
    let what = match case.error.refusal() {
        Some(Refusal::TlsFailure) => {
            "The store must show a certificate that is valid for its name and issued by a trusted root."
        }
        Some(Refusal::Throttled) => "The store asks for fewer requests; this is tried again later.",
        _ => {
            "This is tried again; if it stays, look at the store, its name and the network between."
        }
    };
    format!("{} {what}", case.tried())
}

/// An upload was begun and can't be aborted.
pub(super) fn orphan(case: &Case<'_>, abort: &StoreError) -> String {
    let first = if case.error.action == abort.action {
        String::new()
    } else {
        format!("{} ", case.tried())
    };
    format!(
        "{first}{} One upload of the access check stays open under \
         {}{REHEARSAL_NAME}*; a lifecycle rule for incomplete uploads removes it. {}",
        tried(case.target, abort),
        case.target,
        case.grant("s3:AbortMultipartUpload"),
    )
}

/// A denial of `actions`, of which the first is sure and the others follow from it.
pub(super) fn denied(case: &Case<'_>, actions: &[Action]) -> String {
    let names: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
    let owner = match &case.target.bucket_owner {
        Some(owner) if actions.contains(&Action::AbortMultipartUpload) => {
            format!(" The bucket must belong to account {owner}.")
        }
        _ => String::new(),
    };
    let grant = case.grant(&names.join(" and "));
    format!("{} {grant}{owner} {UNSEEN}", case.tried())
}

/// The first call was refused, and is taken without that header.
pub(super) fn without(case: &Case<'_>, header: Header) -> String {
    let what = match header {
        Header::Acl => return refusal(case, Refusal::AclNotAllowed),
        Header::Tags => format!(
            "The same without the tags is taken: either the destination's objectTags must go, or this \
             right is missing. {}",
            case.grant("s3:PutObjectTagging")
        ),
        Header::Encryption if header.action(case.target).is_some() => format!(
            "The same without the encryption is taken: the key refuses, or there is no such key. {}",
            cure::key_grant(
                case.caller,
                case.target,
                "kms:GenerateDataKey and kms:Decrypt",
                Side::Unsaid
            )
        ),
        Header::Encryption => {
            "The same without the encryption SSE-S3 is taken: the bucket's policy forbids \
             that header, so the destination's encryption must go or be another."
                .to_owned()
        }
    };
    format!("{} {what}", case.tried())
}

/// Creating an upload was allowed and a part of it wasn't, without a word why.
pub(super) fn part_alone(case: &Case<'_>) -> String {
    format!(
        "{} Creating the upload was allowed, and both take s3:PutObject: what a part takes beside it is \
         kms:Decrypt on the KMS key of the bucket or of the destination's encryption. {} {UNSEEN}",
        case.tried(),
        cure::key_grant(case.caller, case.target, "kms:Decrypt", Side::Unsaid),
    )
}

/// What the store doesn't take, where its code says it or no reason of ours fits.
fn not_taken(case: &Case<'_>) -> Option<String> {
    let settings = &case.target.settings;
    if case.error.is("InvalidStorageClass") {
        return Some("The destination's storageClass must be one that this store has.".to_owned());
    }
    if case.error.is("InvalidTag") || case.error.is("BadRequest") && !settings.tags.is_empty() {
        return Some("The destination's objectTags must be ones that this store takes.".to_owned());
    }
    if case.error.refusal().is_some() {
        return None;
    }
    let sent: Vec<&str> = [
        (
            "encryption",
            settings.encryption != super::settings::Encryption::BucketDefault,
        ),
        ("storageClass", settings.storage_class.is_some()),
        ("objectTags", !settings.tags.is_empty()),
        ("acl", case.target.acl != super::target::Acl::None),
    ]
    .into_iter()
    .filter_map(|(field, sent)| sent.then_some(field))
    .collect();
    (!sent.is_empty()).then(|| {
        format!(
            "The store does not take the request as it is: of the destination's {} whatever this store does \
             not know must go.",
            sent.join(", ")
        )
    })
}

/// A refusal that says what is wrong.
pub(super) fn refusal(case: &Case<'_>, refusal: Refusal) -> String {
    let Target { bucket, region, .. } = case.target;
    let remedy = match refusal {
        Refusal::InvalidAccessKeyId => format!(
            "The store does not know {}, or it has expired: a valid one is needed.",
            case.who_signs()
        ),
        Refusal::SignatureDoesNotMatch => format!(
            "The secret of {} does not belong to its access key id: both must be copied again.",
            case.who_signs()
        ),
        Refusal::AccessDenied => {
            not_taken(case).unwrap_or_else(|| format!("{} {UNSEEN}", case.grant("s3:PutObject")))
        }
        Refusal::BucketNotFound => format!(
            "The customer must create the bucket {bucket}, or the destination must name the right one."
        ),
        Refusal::BucketOwnerMismatch => format!(
            "The bucket {bucket} does not belong to account {}: the destination's bucket or its \
             bucketOwner is wrong. Nothing was sent to it.",
            case.owner()
        ),
        Refusal::RegionMismatch => match &case.error.region {
            Some(right) => {
                format!("The bucket is in {right}: the destination's region must say so.")
            }
            None => format!("The bucket is not in {region}: the destination must name its region."),
        },
        Refusal::KmsAccessDenied => cure::kms(case),
        Refusal::RoleNotAssumable => return not_assumable(case),
        Refusal::AclNotAllowed if case.error.is("AccessDenied") => format!(
            "The same without the ACL bucket-owner-full-control is taken: either the destination's \
             acl must be None, or this right is missing. {}",
            case.grant("s3:PutObjectAcl")
        ),
        Refusal::AclNotAllowed => {
            "The bucket takes no ACLs: the destination's acl must be None.".to_owned()
        }
        Refusal::ClockSkew => {
            "The operator's clock and the store's differ by more than 15 minutes: \
             one of them must be set."
                .to_owned()
        }
        Refusal::ChecksumUnsupported => {
            "The store takes none of the checksums that a delivery can \
             be verified by: CRC64NVME, CRC32C, Content-MD5."
                .to_owned()
        }
        Refusal::EndpointUnreachable | Refusal::TlsFailure | Refusal::Throttled => {
            "No S3 answers there: the destination's endpoint or bucket must be corrected."
                .to_owned()
        }
    };
    format!("{} {remedy}", case.tried())
}

/// The role let us in a moment ago, and doesn't any more.
fn not_assumable(case: &Case<'_>) -> String {
    match case.caller {
        Caller::Role {
            request,
            principal_arn,
        } => trust::refused(case.error, request, principal_arn),
        Caller::AccessKey | Caller::Own { .. } => case.tried(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_random_end_of_the_key_is_left_out() {
        for (said, kept) in [
            (
                "on a/.outbound-access-check-0123abcd\", x",
                "on a/.outbound-access-check-*\", x",
            ),
            (
                "cut .outbound-access-check-01...",
                "cut .outbound-access-check-*...",
            ),
            ("nothing of ours", "nothing of ours"),
        ] {
            assert_eq!(without_random(said), kept);
        }
    }
}
