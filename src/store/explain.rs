//! What a failed proof says: what was tried, what came back, who must do what. Pure; the same cause
//! gives the same text, so that a condition doesn't change from proof to proof.

use super::access::Caller;
use super::action::Action;
use super::denial::Side;
use super::error::StoreError;
use super::grant::GrantRequest;
use super::refusal::Refusal;
use super::rehearsal::REHEARSAL_NAME;
use super::subtraction::Header;
use super::target::{ReadBack, Target};

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
            key_grant(
                case.caller,
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
        key_grant(case.caller, "kms:Decrypt", Side::Unsaid),
    )
}

/// Who must allow `actions` on the KMS key, where a policy on that side refuses.
fn key_grant(caller: &Caller, actions: &str, side: Side) -> String {
    match (caller, side) {
        (_, Side::Network) => network(actions),
        (Caller::AccessKey, _) => format!(
            "The customer must allow {actions} on the key to the IAM user of this access key: in the user's \
             policy (status.grant.identityPolicy), and the key's policy must let the account's own policies \
             count."
        ),
        (Caller::Own { .. }, Side::Signer) => format!(
            "Our own role must have {actions} on the key (status.grant.identityPolicy), and no boundary, \
             session or service control policy may forbid it."
        ),
        (Caller::Own { principal_arn }, Side::Resource) => format!(
            "The customer must allow {actions} to {principal_arn} in the key's policy \
             (status.grant.keyPolicy)."
        ),
        (Caller::Own { principal_arn }, Side::Unsaid) => format!(
            "The customer must allow {actions} to {principal_arn} in the key's policy \
             (status.grant.keyPolicy), and our own role must have the same rights on the key \
             (status.grant.identityPolicy)."
        ),
    }
}

fn network(actions: &str) -> String {
    format!(
        "The policy of our own VPC endpoint must allow {actions}: whoever runs the operator's network."
    )
}

/// What cures a denial of `action` by a policy on that side.
pub(super) fn cure(caller: &Caller, action: Action, side: Side) -> String {
    if action.is_of_kms() {
        return key_grant(caller, action.as_str(), side);
    }
    match (caller, side) {
        (_, Side::Network) => network(action.as_str()),
        (Caller::AccessKey, _) => format!(
            "The customer must allow {action} for the IAM user of this access key \
             (status.grant.identityPolicy)."
        ),
        (Caller::Own { .. }, Side::Signer) => format!(
            "Our own role must have {action} (status.grant.identityPolicy), and no boundary, session or \
             service control policy may forbid it."
        ),
        (Caller::Own { .. }, Side::Resource) => {
            format!(
                "The customer must allow {action} in the bucket's policy (status.grant.bucketPolicy)."
            )
        }
        (Caller::Own { .. }, Side::Unsaid) => format!(
            "The customer must allow {action} in the bucket's policy (status.grant.bucketPolicy), and our own \
             role must have it (status.grant.identityPolicy)."
        ),
    }
}

/// What would tell whether `action` is allowed, where nothing did yet.
pub(super) fn untold(caller: &Caller, action: Action) -> String {
    let what = match action {
        Action::ListMultipartUploadParts => {
            "the access check does not use it: a delivery that resumes, or settles a lost answer, tells"
        }
        Action::GetObject => {
            "the access check does not use it: a delivery that looks whether an object is there tells"
        }
        _ => "the last access check ended before it could tell",
    };
    let policies = match (caller, action.is_of_kms()) {
        (Caller::AccessKey, _) => "status.grant.identityPolicy",
        (Caller::Own { .. }, true) => "status.grant.keyPolicy and status.grant.identityPolicy",
        (Caller::Own { .. }, false) => "status.grant.bucketPolicy and status.grant.identityPolicy",
    };
    format!("{what}; granted by {policies}")
}

/// What the customer must do where KMS itself refuses, by its code.
fn kms(case: &Case<'_>) -> String {
    let code = case.error.code.to_ascii_lowercase();
    let key = match case.target.settings.encryption.key() {
        Some(key) => format!(
            "the KMS key {} (the destination's encryption.kmsKeyId)",
            key.as_str()
        ),
        None => "the bucket's KMS key".to_owned(),
    };
    if code.contains("notfound") {
        return format!(
            "There is no such key: {key} must be one that exists in the bucket's region, or another must be named."
        );
    }
    if code.contains("disabled") {
        return format!("The customer must enable {key}: it is disabled.");
    }
    if code.contains("invalidstate") {
        return format!(
            "The customer must make {key} usable: it is disabled, waits for its deletion, or for its key material."
        );
    }
    if code.contains("unavailable") || code.contains("internal") {
        return format!("KMS cannot use {key} at the moment; this is tried again.");
    }
    if code.contains("notconfigured") {
        return "The store has no KMS: whoever runs it must configure one, or the destination's encryption must go."
            .to_owned();
    }
    let denial = case.error.denial;
    let actions = match denial.action {
        Some(action) if action.is_of_kms() => action.as_str(),
        _ => "kms:GenerateDataKey and kms:Decrypt",
    };
    key_grant(case.caller, actions, denial.side)
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
        Refusal::KmsAccessDenied => kms(case),
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
