//! Who must do what about a right that is missing, and by which policy of the grant. Pure.

use super::action::Action;
use super::caller::{Caller, Signer};
use super::denial::Side;
use super::explain::Case;
use super::target::Target;

/// Who must allow `actions` on the KMS key, where a policy on that side refuses.
pub(super) fn key_grant(caller: &Caller, target: &Target, actions: &str, side: Side) -> String {
    let who = match (caller, side) {
        (_, Side::Network) => return network(actions),
        (Caller::AccessKey, _) => format!(
            "The customer must allow {actions} on the key to the IAM user of this access key, in the user's \
             policy (status.grant.identityPolicy), and the key's policy must let the account's own policies \
             count."
        ),
        (Caller::Own { .. }, Side::Signer) => format!(
            "Our own role must have {actions} on the key (status.grant.identityPolicy), and no boundary, \
             session or service control policy may forbid it."
        ),
        (Caller::Role { request, .. }, Side::Signer) => format!(
            "The customer must allow {actions} on the key to the role {} in the role's own policy, and no \
             boundary, session or service control policy may forbid it.",
            request.role
        ),
        (Caller::Role { request, .. }, Side::Resource | Side::Unsaid) => format!(
            "The customer must allow {actions} to the role {} in the key's policy (status.grant.keyPolicy).",
            request.role
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
    };
    match target.settings.encryption.key() {
        Some(_) => who,
        // The bucket's default, which the destination doesn't know of.
        None => format!("{who} The grant has these once encryption.kmsKeyId names the key."),
    }
}

fn network(actions: &str) -> String {
    format!(
        "The policy of our own VPC endpoint must allow {actions}: whoever runs the operator's network."
    )
}

/// What cures a denial of `action` by a policy on that side.
/// On the objects alone: of the key, [`key_grant`] tells.
pub(super) fn cure(signer: Signer, action: Action, side: Side) -> String {
    match (signer, side) {
        (_, Side::Network) => network(action.as_str()),
        (Signer::CustomersUser, _) => format!(
            "The customer must allow {action} for the IAM user of this access key \
             (status.grant.identityPolicy)."
        ),
        (Signer::CustomersRole, Side::Signer) => format!(
            "The customer must allow {action} to their role: by the statement of status.grant.bucketPolicy \
             without Principal in the role's own policy; no boundary, session or service control policy may \
             forbid it."
        ),
        (Signer::CustomersRole, Side::Resource | Side::Unsaid) => format!(
            "The customer must allow {action} to their role in the bucket's policy \
             (status.grant.bucketPolicy), or by the same statement without Principal in the role's own policy."
        ),
        (Signer::OurRole, Side::Signer) => format!(
            "Our own role must have {action} (status.grant.identityPolicy), and no boundary, session or \
             service control policy may forbid it."
        ),
        (Signer::OurRole, Side::Resource) => {
            format!(
                "The customer must allow {action} in the bucket's policy (status.grant.bucketPolicy)."
            )
        }
        (Signer::OurRole, Side::Unsaid) => format!(
            "The customer must allow {action} in the bucket's policy (status.grant.bucketPolicy), and our own \
             role must have it (status.grant.identityPolicy)."
        ),
    }
}

/// What would tell whether `action` is allowed, where nothing did yet.
pub(super) fn untold(signer: Signer, action: Action) -> String {
    let what = match action {
        Action::ListMultipartUploadParts => {
            "the access check does not use it: a delivery that resumes, or settles a lost answer, tells"
        }
        Action::GetObject => {
            "the access check does not use it: a delivery that looks whether an object is there tells"
        }
        _ => "the last access check ended before it could tell",
    };
    let policies = match (signer, action.is_of_kms()) {
        (Signer::CustomersUser, _) => "status.grant.identityPolicy",
        (Signer::CustomersRole, true) => "status.grant.keyPolicy",
        (Signer::CustomersRole, false) => "status.grant.bucketPolicy",
        (Signer::OurRole, true) => "status.grant.keyPolicy and status.grant.identityPolicy",
        (Signer::OurRole, false) => "status.grant.bucketPolicy and status.grant.identityPolicy",
    };
    format!("{what}; granted by {policies}")
}

/// What the customer must do where KMS itself refuses, by its code.
pub(super) fn kms(case: &Case<'_>) -> String {
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
    key_grant(case.caller, case.target, actions, denial.side)
}
