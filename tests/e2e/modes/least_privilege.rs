//! With what the status prints, and nothing else, deliveries complete; and the operator never asks for
//! more than that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Companies, Mode, PROOF};
use crate::support::world::PREFIX;

/// The actions of a policy's statements.
fn actions(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| {
        let actions = statement["Action"].as_array().cloned();
        actions.unwrap_or_else(|| vec![statement["Action"].clone()])
    });
    actions
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

/// A proof, then a small object, one of three parts and the receipt; what was asked is what was granted.
async fn completes_with_what_is_printed(mode: Mode, change: &str) {
    let mut companies = Companies::start("least").await;
    companies.sources();
    companies.destination(mode, "acme", change);
    companies.paste_grants(mode, "acme").await;
    companies.verified("acme").await;
    companies.holds_only(&[]).await;
    companies.deliver("files", "acme").await;
    companies
        .holds_only(&["files.info", "large.csv", "small.csv"])
        .await;

    let policy = match mode {
        Mode::AccessKey => "identityPolicy",
        Mode::CrossAccount | Mode::AssumeRole => "bucketPolicy",
    };
    let printed = actions(&companies.grant("acme", policy).await);
    let mut used = BTreeSet::new();
    for request in companies.asked() {
        let shown = format!("{mode:?}: {request:#?}");
        assert!(request.key.starts_with(PREFIX), "{shown}");
        for action in &request.actions {
            assert!(printed.contains(action), "{shown}");
        }
        if request.status < 300 {
            used.extend(request.actions.clone());
        }
    }
    // Each was needed, but for those that settle what became of a lost answer.
    let spare = ["s3:ListMultipartUploadParts", "s3:GetObject"];
    let unused: Vec<_> = printed.difference(&used).collect();
    assert!(
        unused.iter().all(|action| spare.contains(&action.as_str())),
        "{unused:?}"
    );

    for (key, object) in companies.bucket.objects() {
        assert_eq!(object["owner"], companies.customer.id, "{key}: {object:#}");
        assert!(!key.contains(PROOF), "{key}");
    }
}

#[tokio::test]
async fn across_accounts() {
    completes_with_what_is_printed(Mode::CrossAccount, "").await;
}

#[tokio::test]
async fn across_accounts_without_an_acl_and_with_read_back() {
    completes_with_what_is_printed(Mode::CrossAccount, "acl: None\nreadBack: Granted").await;
}

#[tokio::test]
async fn with_an_access_key() {
    completes_with_what_is_printed(Mode::AccessKey, "").await;
}

#[tokio::test]
async fn with_an_access_key_that_may_read_back() {
    completes_with_what_is_printed(Mode::AccessKey, "readBack: Granted").await;
}

#[tokio::test]
async fn with_the_customers_role() {
    completes_with_what_is_printed(Mode::AssumeRole, "").await;
}
