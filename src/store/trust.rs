//! The proof of a customer's role, both ways: with our external ID it lets us in, without it it must not.

use std::fmt::Write as _;

use super::bucket::Bucket;
use super::error::{ErrorClass, StoreError, code};
use super::refusal::Refusal;
use super::role::RoleRequest;
use super::session::{RoleSession, WithoutExternalId};

/// What the proof of a role found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleProof {
    /// The role lets us in.
    Assumed(Trust),
    /// It doesn't; somebody must act.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What was tried, what came back, who must do what. The same for the same cause.
        message: String,
    },
    /// STS didn't decide: unreachable, throttled, a server's failure.
    Transient {
        /// What kept the answer away.
        refusal: Refusal,
        /// What was tried and what came back.
        message: String,
    },
}

/// What the role does with somebody who lacks our external ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It refuses.
    Closed,
    /// It lets in.
    Open {
        /// What was tried and who must do what.
        message: String,
    },
    /// STS didn't decide.
    Unknown {
        /// What kept the answer away.
        refusal: Refusal,
        /// What was tried and what came back.
        message: String,
    },
}

/// Proves that the bucket's role lets `principal_arn` (us) in with our external ID, and refuses without it. `None` for
/// a bucket that isn't reached by a role. A success renews the bucket's session.
pub async fn prove_role(bucket: &Bucket, principal_arn: &str) -> Option<RoleProof> {
    let session = bucket.session.as_deref()?;
    Some(match session.renew().await {
        Ok(()) => RoleProof::Assumed(trust(session, principal_arn).await),
        Err(error) if error.class == ErrorClass::Terminal => RoleProof::Refused {
            refusal: error.refusal().unwrap_or(Refusal::RoleNotAssumable),
            message: refused(&error, session.request(), principal_arn),
        },
        Err(error) => RoleProof::Transient {
            refusal: error.refusal().unwrap_or(Refusal::EndpointUnreachable),
            message: no_answer(&error, session.request()),
        },
    })
}

async fn trust(session: &RoleSession, principal_arn: &str) -> Trust {
    match session.without_external_id().await {
        Ok(WithoutExternalId::Refused) => Trust::Closed,
        Ok(WithoutExternalId::LetIn) => Trust::Open {
            message: too_open(session.request(), principal_arn),
        },
        Err(error) => Trust::Unknown {
            refusal: error.refusal().unwrap_or(Refusal::EndpointUnreachable),
            message: no_answer(&error, session.request()),
        },
    }
}

fn tried(error: &StoreError, request: &RoleRequest) -> String {
    let mut text = format!("AssumeRole of {} ", request.role);
    // Writing into a String can't fail.
    let _ = match error.status {
        Some(status) => write!(text, "was answered {status} {}", error.code),
        None => write!(text, "got no answer: {}", error.code),
    };
    if !error.message.is_empty() {
        let _ = write!(text, " ({})", without_session(&error.message));
    }
    text.push('.');
    text
}

/// STS's words with `*` for our own session's name, which is another after each renewal.
fn without_session(message: &str) -> String {
    const BEFORE: &str = ":assumed-role/";
    let Some((before, rest)) = message.split_once(BEFORE) else {
        return message.to_owned();
    };
    let Some((role, rest)) = rest.split_once('/') else {
        return message.to_owned();
    };
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    format!("{before}{BEFORE}{role}/*{}", &rest[end..])
}

/// STS refused us.
pub(super) fn refused(error: &StoreError, request: &RoleRequest, principal_arn: &str) -> String {
    let external_id = &request.external_id;
    let ours = format!(
        "the operator's administrator: our own identity must be {principal_arn} and be allowed sts:AssumeRole on \
         exactly this role (status.grant.identityPolicy), and no service control policy may forbid it"
    );
    let tried = tried(error, request);
    match error.code.as_str() {
        "AccessDenied" if error.message.contains("identity-based policy") => {
            format!("{tried} STS names our side. Who must act is {ours}.")
        }
        "AccessDenied" => format!(
            "{tried} STS does not tell a missing role from one that refuses us, so both sides must look. The \
             customer: the role must exist under exactly this ARN, and its trust policy must allow sts:AssumeRole to \
             {principal_arn} where sts:ExternalId is {external_id} (status.grant.trustPolicy). And {ours}."
        ),
        "RegionDisabledException" => format!(
            "{tried} STS is switched off in the operator's region: the operator's administrator must activate it or \
             name another identity.region."
        ),
        _ if error.refusal() == Some(Refusal::ClockSkew) => format!(
            "{tried} The operator's clock and AWS's differ by more than 15 minutes: the operator's must be set."
        ),
        _ => format!("{tried} Who must act is {ours}."),
    }
}

fn no_answer(error: &StoreError, request: &RoleRequest) -> String {
    let what = if error.class == ErrorClass::Throttled {
        "STS asks for fewer requests; this is tried again later."
    } else if error.is(code::NO_CREDENTIALS) {
        "The operator has no credentials of its own (IRSA, Pod Identity or environment); its administrator must \
         provide them."
    } else {
        "This is tried again; if it stays, the operator's administrator must look at STS's endpoint and the network \
         between."
    };
    format!("{} {what}", tried(error, request))
}

fn too_open(request: &RoleRequest, principal_arn: &str) -> String {
    let RoleRequest {
        role, external_id, ..
    } = request;
    format!(
        "{role} lets {principal_arn} in without an external ID, so that nothing but our configuration keeps others \
         whom we deliver for from naming this role. The customer must add the condition StringEquals sts:ExternalId \
         {external_id} to the role's trust policy (status.grant.trustPolicy)."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_session_is_left_out() {
        for (said, kept) in [
            (
                "User: arn:aws:sts::9:assumed-role/outbound/web-identity-token-17 is not authorized",
                "User: arn:aws:sts::9:assumed-role/outbound/* is not authorized",
            ),
            (
                "arn:aws:sts::9:assumed-role/outbound",
                "arn:aws:sts::9:assumed-role/outbound",
            ),
            (
                "arn:aws:sts::9:assumed-role/outbound/x",
                "arn:aws:sts::9:assumed-role/outbound/*",
            ),
            ("Access denied", "Access denied"),
        ] {
            assert_eq!(without_session(said), kept);
        }
    }
}
