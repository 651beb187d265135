//! Each right taken away in turn, from what the customer pasted: the report and the condition name it.

use serde_json::Value;

use super::kms::{with_default, without};
use super::{Companies, Mode, REGION};
use crate::support::aws::KmsKey;

/// Each right that a proof uses, and the reason that its lack gives.
const RIGHTS: [(&str, &str); 6] = [
    ("s3:PutObject", "AccessDenied"),
    ("s3:PutObjectAcl", "AclNotAllowed"),
    ("s3:PutObjectTagging", "AccessDenied"),
    ("kms:GenerateDataKey", "KmsAccessDenied"),
    ("kms:Decrypt", "KmsAccessDenied"),
    // Last, as its lack leaves an upload.
    ("s3:AbortMultipartUpload", "AccessDenied"),
];

/// What the customer pasted, by whom it is read.
struct Pasted {
    mode: Mode,
    /// The bucket's policy, or the user's.
    rights: String,
    key: KmsKey,
    key_policy: Option<String>,
}

impl Pasted {
    /// A destination with all that asks for a right of its own, granted as the status prints it.
    async fn everything(companies: &mut Companies, mode: Mode) -> Pasted {
        let key = companies.customer.kms_key(REGION, None);
        let settings = format!(
            "acl: BucketOwnerFullControl\nencryption: {{type: SSE-KMS, kmsKeyId: \"{}\"}}\n\
             objectTags: [{{key: feed, value: audience}}]",
            key.arn
        );
        companies.destination(mode, "acme", &settings);
        let mut pasted = Pasted {
            mode,
            rights: String::new(),
            key,
            key_policy: None,
        };
        let policy = if mode == Mode::AccessKey {
            "identityPolicy"
        } else {
            pasted.key_policy = Some(companies.grant("acme", "keyPolicy").await);
            "bucketPolicy"
        };
        pasted.rights = companies.grant("acme", policy).await;
        pasted.without(companies, "");
        companies.paste_grants(mode, "acme").await;
        companies.verified("acme").await;
        pasted
    }

    /// All of it but that action.
    fn without(&self, companies: &Companies, action: &str) {
        let rights = without(&self.rights, action);
        match self.mode {
            Mode::AccessKey => companies
                .aws
                .set_policies(&companies.their_user, &[&rights]),
            Mode::CrossAccount | Mode::AssumeRole => companies.bucket.paste_policy(&rights),
        }
        if let Some(policy) = &self.key_policy {
            let policy = without(policy, action);
            self.key
                .set_policy(&with_default(&companies.customer.id, &policy));
        }
    }
}

/// The actions with that result in the report.
fn with_result(object: &Value, result: &str) -> Vec<String> {
    let lines = object["status"]["permissions"].as_array();
    let lines = lines.unwrap_or_else(|| panic!("no report: {:#}", object["status"]));
    lines
        .iter()
        .filter(|line| line["result"] == result)
        .map(|line| line["action"].as_str().unwrap().to_owned())
        .collect()
}

async fn each_lack_is_named(mode: Mode, organization: Option<&str>) {
    let mut companies = Companies::start("lacks").await;
    for account in [&companies.ours, &companies.customer] {
        account.join(organization.unwrap_or_default());
    }
    let pasted = Pasted::everything(&mut companies, mode).await;
    let all = with_result(&companies.world.get("obdest", "acme"), "Allowed");
    assert_eq!(all.len(), RIGHTS.len(), "{all:?}");
    for (action, reason) in RIGHTS {
        pasted.without(&companies, action);
        companies.prove("acme").await;
        let message = companies.refused("acme", reason).await;
        assert!(message.contains(action), "{mode:?} {action}: {message}");
        let object = companies.world.get("obdest", "acme");
        let report = &object["status"]["permissions"];
        assert_eq!(with_result(&object, "Denied"), [action], "{report:#}");
        let line = report.as_array().unwrap().iter();
        let line = line.clone().find(|line| line["action"] == action).unwrap();
        if organization.is_some() {
            assert_eq!(line["by"], "Customer", "{mode:?}: {line:#}");
        }
        if action != "s3:AbortMultipartUpload" {
            companies.holds_only(&[]).await;
        }
        pasted.without(&companies, "");
        companies.prove("acme").await;
        companies.verified("acme").await;
    }
}

#[tokio::test]
async fn across_accounts_by_strangers() {
    each_lack_is_named(Mode::CrossAccount, None).await;
}

#[tokio::test]
async fn across_accounts_within_one_organization() {
    each_lack_is_named(Mode::CrossAccount, Some("o-1")).await;
}

#[tokio::test]
async fn with_an_access_key() {
    each_lack_is_named(Mode::AccessKey, None).await;
}

#[tokio::test]
async fn with_the_customers_role() {
    each_lack_is_named(Mode::AssumeRole, None).await;
}
