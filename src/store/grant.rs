//! The policies that a customer pastes, and what our own role needs. Pure.
//!
//! | mode | the customer's bucket | who signs |
//! |---|---|---|
//! | CrossAccount | [`bucket_policy`], which names our principal | our role needs [`identity_policy`] |
//! | AssumeRole | [`bucket_policy`], which names the customer's role; and [`trust_policy`] on that role | our role needs [`assume_policy`] |
//! | AccessKey | nothing: the key's user is the customer's own | their user needs [`identity_policy`] |
//!
//! Across accounts AWS wants both: the bucket's owner allows us, and our account allows our role.

use serde::Serialize;

use super::names::{BucketName, Partition};
use super::role::{ExternalId, RoleArn};
use super::target::{Acl, ReadBack, Target};
use crate::plan::KeyPrefix;

/// What a grant is made from.
#[derive(Clone, Debug)]
pub struct GrantRequest<'a> {
    /// The partition of the bucket.
    pub partition: Partition,
    /// The bucket.
    pub bucket: &'a BucketName,
    /// Everything under it is granted, and nothing else.
    pub prefix: &'a KeyPrefix,
    /// With an ACL on what is sent the grant adds `s3:PutObjectAcl`.
    pub acl: Acl,
    /// With read-back the grant adds `s3:GetObject`.
    pub read_back: ReadBack,
}

impl<'a> GrantRequest<'a> {
    /// What delivering to `target` needs.
    #[must_use]
    pub fn new(target: &'a Target, read_back: ReadBack) -> Self {
        Self {
            partition: target.region.partition(),
            bucket: &target.bucket,
            prefix: &target.prefix,
            acl: target.acl,
            read_back,
        }
    }

    /// The rights, least first. Never s3:ListBucket, s3:DeleteObject or s3:GetBucketLocation.
    fn actions(&self) -> Vec<&'static str> {
        let acl = (self.acl != Acl::None).then_some("s3:PutObjectAcl");
        let read = (self.read_back == ReadBack::Granted).then_some("s3:GetObject");
        [
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ]
        .into_iter()
        .chain(acl)
        .chain(read)
        .collect()
    }

    /// The objects under the prefix, as an ARN pattern.
    #[must_use]
    pub fn resource(&self) -> String {
        let prefix = literal(self.prefix.as_str());
        format!("arn:{}:s3:::{}/{prefix}*", self.partition, self.bucket)
    }
}

/// A prefix in which nothing is a wildcard or a policy variable (IAM user guide, "policy variables":
/// `${*}`, `${?}` and `${$}` stand for the characters themselves).
fn literal(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        match c {
            '*' | '?' | '$' => text.extend(['$', '{', c, '}']),
            c => text.push(c),
        }
    }
    text
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    version: &'static str,
    statement: [Statement<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement<'a> {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Principal<'a>>,
    action: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Condition<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Condition<'a> {
    string_equals: ExternalIdEquals<'a>,
}

#[derive(Serialize)]
struct ExternalIdEquals<'a> {
    #[serde(rename = "sts:ExternalId")]
    external_id: &'a str,
}

#[derive(Serialize)]
struct Principal<'a> {
    #[serde(rename = "AWS")]
    aws: &'a str,
}

/// The bucket policy that lets `principal` (our principalArn, word for word, or the customer's role) deliver: JSON to
/// paste into the bucket's policy, or to add to what is there by its one statement.
#[must_use]
pub fn bucket_policy(request: &GrantRequest<'_>, principal: &str) -> String {
    policy(
        request,
        "OutboundDelivery",
        Some(Principal { aws: principal }),
    )
}

/// The identity policy of whoever signs: our own role in CrossAccount mode, the customer's IAM user
/// behind the key in AccessKey mode.
#[must_use]
pub fn identity_policy(request: &GrantRequest<'_>) -> String {
    policy(request, "OutboundDeliveryIdentity", None)
}

/// The trust policy of the customer's role: `principal` (our principalArn, word for word) may assume it, and only
/// with the external ID.
#[must_use]
pub fn trust_policy(principal: &str, external_id: &ExternalId) -> String {
    json(Statement {
        sid: "OutboundTrust",
        effect: "Allow",
        principal: Some(Principal { aws: principal }),
        action: vec![ASSUME_ROLE],
        resource: None,
        condition: Some(Condition {
            string_equals: ExternalIdEquals {
                external_id: external_id.as_str(),
            },
        }),
    })
}

/// What our own role needs in AssumeRole mode: to assume exactly that role, and nothing else.
#[must_use]
pub fn assume_policy(role: &RoleArn) -> String {
    json(Statement {
        sid: "OutboundAssumeRole",
        effect: "Allow",
        principal: None,
        action: vec![ASSUME_ROLE],
        resource: Some(role.as_str().to_owned()),
        condition: None,
    })
}

const ASSUME_ROLE: &str = "sts:AssumeRole";

fn policy(
    request: &GrantRequest<'_>,
    sid: &'static str,
    principal: Option<Principal<'_>>,
) -> String {
    json(Statement {
        sid,
        effect: "Allow",
        principal,
        action: request.actions(),
        resource: Some(request.resource()),
        condition: None,
    })
}

#[allow(
    clippy::expect_used,
    reason = "strings and lists of strings always serialise"
)]
fn json(statement: Statement<'_>) -> String {
    let policy = Policy {
        version: "2012-10-17",
        statement: [statement],
    };
    serde_json::to_string_pretty(&policy).expect("strings serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "arn:aws:iam::999988887777:role/outbound";

    fn with<T>(
        prefix: &str,
        acl: Acl,
        read_back: ReadBack,
        f: impl FnOnce(&GrantRequest<'_>) -> T,
    ) -> T {
        let (bucket, prefix) = (
            "acme-inbound".parse().unwrap(),
            KeyPrefix::new(prefix).unwrap(),
        );
        let partition = Partition::Aws;
        f(&GrantRequest {
            partition,
            bucket: &bucket,
            prefix: &prefix,
            acl,
            read_back,
        })
    }

    #[test]
    fn the_policy_to_paste_word_for_word() {
        let policy = with(
            "audience/",
            Acl::BucketOwnerFullControl,
            ReadBack::Granted,
            |request| bucket_policy(request, OURS),
        );
        assert_eq!(
            policy,
            r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "OutboundDelivery",
      "Effect": "Allow",
      "Principal": {
        "AWS": "arn:aws:iam::999988887777:role/outbound"
      },
      "Action": [
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:PutObjectAcl",
        "s3:GetObject"
      ],
      "Resource": "arn:aws:s3:::acme-inbound/audience/*"
    }
  ]
}"#
        );
    }

    #[test]
    fn the_trust_policy_to_paste_word_for_word() {
        let external_id = ExternalId::issue("prod-eu", "marketing", "acme");
        let expected = format!(
            r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Sid": "OutboundTrust",
      "Effect": "Allow",
      "Principal": {{
        "AWS": "arn:aws:iam::999988887777:role/outbound"
      }},
      "Action": [
        "sts:AssumeRole"
      ],
      "Condition": {{
        "StringEquals": {{
          "sts:ExternalId": "{external_id}"
        }}
      }}
    }}
  ]
}}"#
        );
        assert_eq!(trust_policy(OURS, &external_id), expected);
    }

    #[test]
    fn our_own_role_may_assume_the_one_role_and_nothing_else() {
        let role = "arn:aws-cn:iam::111122223333:role/feeds/drop";
        assert_eq!(
            assume_policy(&role.parse().unwrap()),
            r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "OutboundAssumeRole",
      "Effect": "Allow",
      "Action": [
        "sts:AssumeRole"
      ],
      "Resource": "arn:aws-cn:iam::111122223333:role/feeds/drop"
    }
  ]
}"#
        );
    }

    #[test]
    fn an_identity_policy_has_the_least_actions_and_no_principal() {
        let policy = with("", Acl::None, ReadBack::WriteOnly, identity_policy);
        let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
        let statement = &policy["Statement"][0];
        let least = [
            "s3:PutObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ];
        assert_eq!(statement["Action"], serde_json::json!(least));
        assert_eq!(statement["Resource"], "arn:aws:s3:::acme-inbound/*");
        assert_eq!(statement.get("Principal"), None);
    }

    #[test]
    fn a_prefix_grants_only_itself() {
        let resource = |prefix: &str| {
            with(prefix, Acl::None, ReadBack::WriteOnly, |request| {
                request.resource()
            })
        };
        assert_eq!(resource("a*/"), "arn:aws:s3:::acme-inbound/a${*}/*");
        assert_eq!(
            resource("${aws:username}?/"),
            "arn:aws:s3:::acme-inbound/${$}{aws:username}${?}/*"
        );
        let quoted = with("a\"],\"x/", Acl::None, ReadBack::WriteOnly, identity_policy);
        let parsed: serde_json::Value = serde_json::from_str(&quoted).unwrap();
        assert_eq!(
            parsed["Statement"][0]["Resource"],
            "arn:aws:s3:::acme-inbound/a\"],\"x/*"
        );
    }
}
