//! A customer's role, and what we show it: pure.

use std::fmt;
use std::str::FromStr;

use super::names::{AccountId, Partition};
use crate::hash;

/// Bytes in an ARN: IAM's limit (API reference, `AssumeRole`, `RoleArn`).
const MAX_ARN: usize = 2048;

/// Characters in a role's name: IAM's limit (IAM and STS quotas).
const MAX_ROLE_NAME: usize = 64;

/// Characters in a session's name (API reference, `AssumeRole`, `RoleSessionName`: 2 to 64 of `[\w+=,.@-]`).
const MAX_SESSION_NAME: usize = 64;

/// Hexadecimal digits of the hash at the end of a session's name that had to be cut.
const SESSION_HASH: usize = 12;

/// The ARN of a role that a customer made for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    partition: Partition,
    account: AccountId,
}

/// A text that isn't the ARN of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a role's ARN is written like arn:aws:iam::111122223333:role/path/name, in partition aws, aws-cn or aws-us-gov, \
     with letters, digits and +=,.@_- between the slashes"
)]
pub struct RoleArnInvalid;

impl RoleArn {
    /// The ARN, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that the role is in.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// The account that the role is in.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }
}

impl FromStr for RoleArn {
    type Err = RoleArnInvalid;

    fn from_str(arn: &str) -> Result<Self, Self::Err> {
        let partition = Partition::of_arn(arn).ok_or(RoleArnInvalid)?;
        let rest = arn.strip_prefix("arn:").ok_or(RoleArnInvalid)?;
        let rest = rest
            .strip_prefix(partition.as_str())
            .and_then(|rest| rest.strip_prefix(":iam::"))
            .ok_or(RoleArnInvalid)?;
        let (account, path) = rest.split_once(":role/").ok_or(RoleArnInvalid)?;
        let account = account.parse().map_err(|_| RoleArnInvalid)?;
        // No "*" and no "?": IAM allows them in a path, and they are wildcards where our own policy names the role.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        let segments_valid = path
            .split('/')
            .all(|segment| !segment.is_empty() && segment.bytes().all(plain));
        let name = path.rsplit('/').next().unwrap_or_default();
        if !segments_valid || name.len() > MAX_ROLE_NAME || arn.len() > MAX_ARN {
            return Err(RoleArnInvalid);
        }
        Ok(Self {
            text: arn.to_owned(),
            partition,
            account,
        })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a customer's role must ask of us before it lets us in, so that no namespace of ours reaches a role that
/// another namespace was given. It is issued by us, never by the tenant: one per cluster, namespace and name, the
/// same after a re-creation. It is no secret (AWS calls it none); that nobody can choose it is what protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalId(String);

impl ExternalId {
    /// The external ID of the destination `namespace`/`name` in the cluster `cluster_id`: 73 characters of those
    /// that STS takes (2 to 1224 of `[\w+=,.@:/-]`). The one home of the rule; it never changes, because customers
    /// have pasted what it gave.
    #[must_use]
    pub fn issue(cluster_id: &str, namespace: &str, name: &str) -> Self {
        let digest = hash::of_texts(["outbound.dev/external-id/v1", cluster_id, namespace, name]);
        Self(format!("outbound-{digest}"))
    }

    /// The text, as the customer pastes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a session is named in the customer's trail: by us and the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName(String);

impl SessionName {
    /// `outbound.NAMESPACE.NAME`; where that is over 64 characters its end is a hash of the whole.
    #[must_use]
    pub fn of(namespace: &str, name: &str) -> Self {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) {
                c
            } else {
                '-'
            }
        };
        let whole: String = format!("outbound.{namespace}.{name}")
            .chars()
            .map(plain)
            .collect();
        if whole.len() <= MAX_SESSION_NAME {
            return Self(whole);
        }
        let digest = hash::of_texts([namespace, name]);
        let kept = MAX_SESSION_NAME - SESSION_HASH - 1;
        Self(format!("{}.{}", &whole[..kept], &digest[..SESSION_HASH]))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a session is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRequest {
    /// The customer's role.
    pub role: RoleArn,
    /// What the role must ask of us.
    pub external_id: ExternalId,
    /// How the session is named in the customer's trail.
    pub session_name: SessionName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_an_account_and_a_partition() {
        let long_name = format!("arn:aws:iam::111122223333:role/{}", "a".repeat(64));
        for (arn, partition) in [
            ("arn:aws:iam::111122223333:role/drop", "aws"),
            (
                "arn:aws-cn:iam::111122223333:role/feeds/eu/drop+=,.@_-",
                "aws-cn",
            ),
            ("arn:aws-us-gov:iam::111122223333:role/drop", "aws-us-gov"),
            (&long_name, "aws"),
        ] {
            let role: RoleArn = arn.parse().unwrap();
            assert_eq!(role.as_str(), arn);
            assert_eq!(role.partition().as_str(), partition);
            assert_eq!(role.account().as_str(), "111122223333");
        }
        let too_long = format!("arn:aws:iam::111122223333:role/{}", "a".repeat(65));
        let too_deep = format!("arn:aws:iam::111122223333:role/{}drop", "a/".repeat(1100));
        for bad in [
            "",
            "drop",
            "arn:aws:iam::111122223333:user/drop",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role//drop",
            "arn:aws:iam::111122223333:role/drop/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/dr?p",
            "arn:aws:iam::111122223333:role/${aws:username}",
            "arn:aws:iam::111122223333:role/drop\n",
            "arn:aws:iam::111122223333:role/a:role/b",
            "arn:aws:iam::11112222333:role/drop",
            "arn:aws:iam:eu-west-1:111122223333:role/drop",
            "arn:aws:sts::111122223333:assumed-role/drop/x",
            "arn:aws-iso:iam::111122223333:role/drop",
            "arn:awsx:iam::111122223333:role/drop",
            &too_long,
            &too_deep,
        ] {
            assert_eq!(bad.parse::<RoleArn>(), Err(RoleArnInvalid), "{bad}");
        }
    }

    #[test]
    fn an_external_id_is_the_same_for_ever_and_nobody_elses() {
        let id = ExternalId::issue("prod-eu", "marketing", "acme");
        // Customers have pasted it: a change here locks us out of every role.
        assert_eq!(
            id.as_str(),
            "outbound-9be5c2b7219ee4030a33ee3d481d6cb8056d081adf1e3f843df289bec86b115c"
        );
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        assert!((2..=1224).contains(&id.as_str().len()) && id.as_str().chars().all(allowed));
        for (cluster, namespace, name) in [
            ("prod-us", "marketing", "acme"),
            ("prod-eu", "finance", "acme"),
            ("prod-eu", "marketing", "globex"),
            ("prod-eu", "marketinga", "cme"),
            ("prod-eum", "arketing", "acme"),
        ] {
            assert_ne!(ExternalId::issue(cluster, namespace, name), id);
        }
    }

    #[test]
    fn a_session_is_named_by_us_and_the_destination() {
        assert_eq!(
            SessionName::of("marketing", "acme").as_str(),
            "outbound.marketing.acme"
        );
        let (long, other) = ("n".repeat(63), format!("{}m", "n".repeat(62)));
        let names = [
            SessionName::of(&long, &long),
            SessionName::of(&long, &other),
            SessionName::of("a b/ü", "x\n"),
        ];
        for name in &names {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
            assert!((2..=64).contains(&name.as_str().len()), "{name:?}");
            assert!(name.as_str().chars().all(allowed), "{name:?}");
        }
        assert_ne!(names[0], names[1]);
    }
}
