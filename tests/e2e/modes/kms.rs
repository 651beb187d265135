//! The customer's KMS key: its two rights, the trap between them, and what is kept of each object.

use serde_json::{Value, json};

use super::{Companies, Mode, REGION, deliver};
use crate::support::aws::KmsKey;

/// The policy that KMS gives to a key, and the statements of another one: as the console adds them.
pub(super) fn with_default(account: &str, policy: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.push(json!({
        "Sid": "Enable IAM User Permissions", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": {"AWS": format!("arn:aws:iam::{account}:root")},
    }));
    policy.to_string()
}

/// A policy without that action.
pub(super) fn without(policy: &str, action: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let actions = statement["Action"].as_array_mut().unwrap();
        actions.retain(|one| one != action);
    }
    policy.to_string()
}

/// The lines of a destination that names the key.
fn naming(key: &KmsKey) -> String {
    format!("encryption: {{type: SSE-KMS, kmsKeyId: \"{}\"}}", key.arn)
}

#[tokio::test]
async fn a_key_that_lets_an_upload_begin_and_refuses_its_parts_is_no_access() {
    let mut companies = Companies::start("trap").await;
    companies.sources();
    let key = companies.customer.kms_key(REGION, None);
    companies.destination(Mode::CrossAccount, "acme", &naming(&key));
    let printed = companies.grant("acme", "keyPolicy").await;
    let whole = with_default(&companies.customer.id, &printed);
    key.set_policy(&with_default(
        &companies.customer.id,
        &without(&printed, "kms:Decrypt"),
    ));
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    let message = companies.refused("acme", "KmsAccessDenied").await;
    for words in ["kms:Decrypt", "status.grant.keyPolicy", &*key.arn] {
        assert!(message.contains(words), "no {words}: {message}");
    }
    companies.holds_only(&[]).await;
    // A delivery waits for it, and the customer's repair is all that it takes.
    companies.world.apply(&deliver("files", "acme"));
    key.set_policy(&whole);
    companies.verified("acme").await;
    let complete = companies
        .world
        .condition("obdel", "files", "Complete", "True");
    complete.await;
    companies
        .holds_only(&["files.info", "large.csv", "small.csv"])
        .await;
    for (name, object) in companies.bucket.objects() {
        let kept = &object["encryption"];
        assert_eq!(kept["algorithm"], "aws:kms", "{name}");
        assert_eq!(kept["key"], key.arn, "{name}");
    }
}

#[tokio::test]
async fn a_key_that_is_the_buckets_default_alone_is_found_by_the_proof_too() {
    let mut companies = Companies::start("default-key").await;
    let key = companies.customer.kms_key(REGION, None);
    companies.bucket.encrypt_with(&key);
    companies.destination(Mode::CrossAccount, "acme", "");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    let message = companies.refused("acme", "KmsAccessDenied").await;
    assert!(message.contains("kms:GenerateDataKey"), "{message}");
    // Named, the grant has what it takes.
    companies.destination(Mode::CrossAccount, "acme", &naming(&key));
    let printed = companies.grant("acme", "keyPolicy").await;
    key.set_policy(&with_default(&companies.customer.id, &printed));
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.verified("acme").await;
    companies.holds_only(&[]).await;
}

#[tokio::test]
async fn a_key_that_was_disabled_is_told_by_name() {
    let mut companies = Companies::start("disabled").await;
    let key = companies.customer.kms_key(REGION, None);
    companies.destination(Mode::AccessKey, "acme", &naming(&key));
    companies.paste_grants(Mode::AccessKey, "acme").await;
    companies.verified("acme").await;
    key.set_state("Disabled");
    companies.prove("acme").await;
    let message = companies.refused("acme", "KmsAccessDenied").await;
    assert!(message.contains("KMS.DisabledException"), "{message}");
    key.set_state("Enabled");
    companies.prove("acme").await;
    companies.verified("acme").await;
    companies.holds_only(&[]).await;
}

#[tokio::test]
async fn storage_class_tags_and_bucket_key_are_on_every_object() {
    let mut companies = Companies::start("settings").await;
    companies.sources();
    let key = companies.customer.kms_key(REGION, None);
    let settings = format!(
        "encryption: {{type: SSE-KMS, kmsKeyId: \"{}\", bucketKey: true}}\nstorageClass: STANDARD_IA\n\
         objectTags: [{{key: feed, value: \"a b+c/d\"}}, {{key: team, value: \"\"}}]",
        key.arn
    );
    companies.destination(Mode::AccessKey, "acme", &settings);
    companies.paste_grants(Mode::AccessKey, "acme").await;
    companies.deliver("files", "acme").await;
    let objects = companies.bucket.objects();
    assert_eq!(objects.len(), 3);
    for (name, object) in objects {
        let encryption = json!({"algorithm": "aws:kms", "key": key.arn, "bucketKey": true});
        assert_eq!(object["encryption"], encryption, "{name}");
        assert_eq!(object["storageClass"], "STANDARD_IA", "{name}");
        assert_eq!(
            object["tags"],
            json!({"feed": "a b+c/d", "team": ""}),
            "{name}"
        );
    }
}
