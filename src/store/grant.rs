//! The policies that a customer pastes, and what our own role needs. Pure.
//!
//! | mode | the customer's bucket | the customer's key (SSE-KMS) | who signs |
//! |---|---|---|---|
//! | CrossAccount | [`bucket_policy`], which names our principal | [`key_policy`], the same | our role needs [`identity_policy`] |
//! | AssumeRole | [`bucket_policy`], which names the customer's role; and [`trust_policy`] on that role | [`key_policy`], which names the role | our role needs [`assume_policy`] |
//! | AccessKey | nothing: the key's user is the customer's own | nothing, where it lets the account's policies count | their user needs [`identity_policy`] |
//!
//! Across accounts AWS wants both: the bucket's owner allows us, and our account allows our role.

use serde::Serialize;

use super::action::Action;
use super::role::{ExternalId, RoleArn};
use super::target::{ReadBack, Target};

/// What a grant is made from.
#[derive(Clone, Debug)]
pub struct GrantRequest<'a> {
    /// Where is delivered to, and with which headers: each may ask for a right of its own.
    pub target: &'a Target,
    /// With read-back the grant adds `s3:GetObject`.
    pub read_back: ReadBack,
}

impl<'a> GrantRequest<'a> {
    /// What delivering to `target` needs.
    #[must_use]
    pub const fn new(target: &'a Target, read_back: ReadBack) -> Self {
        Self { target, read_back }
    }

    /// The rights on objects, least first. Never s3:ListBucket, s3:DeleteObject or s3:GetBucketLocation.
    fn actions(&self) -> Vec<&'static str> {
        self.used()
            .filter(|it| !it.is_of_kms())
            .map(Action::as_str)
            .collect()
    }

    /// The rights on the key.
    fn key_actions(&self) -> Vec<&'static str> {
        self.used()
            .filter(|it| it.is_of_kms())
            .map(Action::as_str)
            .collect()
    }

    fn used(&self) -> impl Iterator<Item = Action> {
        let (target, read_back) = (self.target, self.read_back);
        Action::ALL
            .into_iter()
            .filter(move |it| it.is_used(target, read_back))
    }

    /// The key's ARN, where the destination says enough for one.
    fn key(&self) -> Option<String> {
        let Target {
            region,
            bucket_owner,
            endpoint,
            settings,
            ..
        } = self.target;
        let key = settings.encryption.key()?;
        if key.is_arn() {
            return Some(key.as_str().to_owned());
        }
        // An id alone is one of the signer's account; what another store calls a key has no ARN.
        let account = bucket_owner.as_ref().map_or("*", |owner| owner.as_str());
        endpoint.is_none().then(|| {
            format!(
                "arn:{}:kms:{region}:{account}:key/{}",
                region.partition(),
                key.as_str()
            )
        })
    }

    /// The objects under the prefix, as an ARN pattern.
    #[must_use]
    pub fn resource(&self) -> String {
        let prefix = literal(self.target.prefix.as_str());
        let partition = self.target.region.partition();
        format!("arn:{partition}:s3:::{}/{prefix}*", self.target.bucket)
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
    statement: Vec<Statement<'a>>,
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
    policy(vec![Statement {
        sid: "OutboundDelivery",
        effect: "Allow",
        principal: Some(Principal { aws: principal }),
        action: request.actions(),
        resource: Some(request.resource()),
        condition: None,
    }])
}

/// The key policy that lets `principal` have S3 use the customer's KMS key: JSON whose one statement is
/// added to what is there. `None` where the destination asks for no key.
#[must_use]
pub fn key_policy(request: &GrantRequest<'_>, principal: &str) -> Option<String> {
    let action = request.key_actions();
    (!action.is_empty()).then(|| {
        policy(vec![Statement {
            sid: "OutboundDeliveryKey",
            effect: "Allow",
            principal: Some(Principal { aws: principal }),
            action,
            // In a key's own policy: this key.
            resource: Some("*".to_owned()),
            condition: None,
        }])
    })
}

/// The identity policy of whoever signs: our own role in CrossAccount mode, the customer's IAM user
/// behind the key in AccessKey mode.
#[must_use]
pub fn identity_policy(request: &GrantRequest<'_>) -> String {
    let objects = Statement {
        sid: "OutboundDeliveryIdentity",
        effect: "Allow",
        principal: None,
        action: request.actions(),
        resource: Some(request.resource()),
        condition: None,
    };
    let key = request.key().map(|resource| Statement {
        sid: "OutboundDeliveryIdentityKey",
        effect: "Allow",
        principal: None,
        action: request.key_actions(),
        resource: Some(resource),
        condition: None,
    });
    policy(std::iter::once(objects).chain(key).collect())
}

/// The trust policy of the customer's role: `principal` (our principalArn, word for word) may assume it, and only
/// with the external ID.
#[must_use]
pub fn trust_policy(principal: &str, external_id: &ExternalId) -> String {
    policy(vec![Statement {
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
    }])
}

/// What our own role needs in AssumeRole mode: to assume exactly that role, and nothing else.
#[must_use]
pub fn assume_policy(role: &RoleArn) -> String {
    policy(vec![Statement {
        sid: "OutboundAssumeRole",
        effect: "Allow",
        principal: None,
        action: vec![ASSUME_ROLE],
        resource: Some(role.as_str().to_owned()),
        condition: None,
    }])
}

const ASSUME_ROLE: &str = "sts:AssumeRole";

#[allow(
    clippy::expect_used,
    reason = "strings and lists of strings always serialise"
)]
fn policy(statement: Vec<Statement<'_>>) -> String {
    let policy = Policy {
        version: "2012-10-17",
        statement,
    };
    serde_json::to_string_pretty(&policy).expect("strings serialise")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::KeyPrefix;
    use crate::store::{Acl, Addressing, Encryption, ObjectSettings, ObjectTags};

    const OURS: &str = "arn:aws:iam::999988887777:role/outbound";

    fn target(prefix: &str, acl: Acl) -> Target {
        Target {
            bucket: "acme-inbound".parse().unwrap(),
            prefix: KeyPrefix::new(prefix).unwrap(),
            region: "eu-west-1".parse().unwrap(),
            bucket_owner: None,
            endpoint: None,
            addressing: Addressing::VirtualHosted,
            acl,
            settings: ObjectSettings::default(),
        }
    }

    fn with<T>(
        prefix: &str,
        acl: Acl,
        read_back: ReadBack,
        f: impl FnOnce(&GrantRequest<'_>) -> T,
    ) -> T {
        f(&GrantRequest::new(&target(prefix, acl), read_back))
    }

    /// With a key by that name, and a tag.
    fn with_key(region: &str, key: &str) -> Target {
        let tags = [("feed".to_owned(), "audience".to_owned())];
        Target {
            region: region.parse().unwrap(),
            bucket_owner: Some("111122223333".parse().unwrap()),
            settings: ObjectSettings {
                encryption: Encryption::SseKms {
                    key: Some(key.parse().unwrap()),
                    bucket_key: None,
                },
                tags: ObjectTags::new(tags).unwrap(),
                ..ObjectSettings::default()
            },
            ..target("audience/", Acl::None)
        }
    }

    fn statements(policy: &str) -> serde_json::Value {
        let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
        policy["Statement"].clone()
    }

    #[test]
    fn a_key_is_granted_in_its_own_policy_and_in_the_signers() {
        let arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234";
        for (region, key, resource) in [
            ("cn-north-1", arn, arn),
            (
                "us-gov-west-1",
                "1234",
                "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1234",
            ),
        ] {
            let target = with_key(region, key);
            let request = GrantRequest::new(&target, ReadBack::WriteOnly);
            let theirs = statements(&key_policy(&request, OURS).unwrap());
            let actions = json!(["kms:GenerateDataKey", "kms:Decrypt"]);
            assert_eq!(
                theirs,
                json!([{"Sid": "OutboundDeliveryKey", "Effect": "Allow", "Principal": {"AWS": OURS},
                    "Action": actions, "Resource": "*"}])
            );
            let ours = statements(&identity_policy(&request));
            assert_eq!(ours[0]["Action"][3], "s3:PutObjectTagging");
            assert_eq!(
                ours[1],
                json!({"Sid": "OutboundDeliveryIdentityKey", "Effect": "Allow", "Action": actions,
                    "Resource": resource})
            );
            assert_eq!(
                statements(&bucket_policy(&request, OURS))
                    .as_array()
                    .unwrap()
                    .len(),
                1
            );
        }
    }

    #[test]
    fn no_key_no_key_policy() {
        with("", Acl::None, ReadBack::WriteOnly, |request| {
            assert_eq!(key_policy(request, OURS), None);
            assert_eq!(
                statements(&identity_policy(request))
                    .as_array()
                    .unwrap()
                    .len(),
                1
            );
        });
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
