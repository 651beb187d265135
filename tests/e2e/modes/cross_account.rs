//! CrossAccount: the customer allow-lists our role, and nothing is shared.

use super::{Companies, Mode, PROOF};
use crate::support::process::unique;

#[tokio::test]
async fn each_side_that_is_missing_is_told_by_name() {
    let mut companies = Companies::start("sides").await;
    companies.destination(Mode::CrossAccount, "acme", "");
    let message = companies.refused("acme", "AccessDenied").await;
    for words in [
        "status.grant.bucketPolicy",
        "status.grant.identityPolicy",
        &companies.role,
    ] {
        assert!(message.contains(words), "no {words}: {message}");
    }
    // The customer's side alone isn't enough, nor is ours.
    let theirs = companies.grant("acme", "bucketPolicy").await;
    let ours = companies.grant("acme", "identityPolicy").await;
    companies.bucket.paste_policy(&theirs);
    companies.prove("acme").await;
    companies.refused("acme", "AccessDenied").await;
    companies.aws.set_policies(&companies.role, &[&ours]);
    companies.prove("acme").await;
    companies.verified("acme").await;
    companies.bucket.paste_policy("");
    companies.prove("acme").await;
    companies.refused("acme", "AccessDenied").await;
    companies.holds_only(&[]).await;
}

/// The policy's principal is kept as the role's internal id: the new role isn't meant by it.
#[tokio::test]
async fn our_role_made_again_voids_the_customers_policy_until_it_is_pasted_again() {
    let mut companies = Companies::start("again").await;
    companies.destination(Mode::CrossAccount, "acme", "");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.verified("acme").await;

    let aws = companies.aws.clone();
    aws.delete(&companies.role);
    let (_, name) = companies.role.rsplit_once('/').unwrap();
    let again = companies.ours.workload_role(name, &[]);
    assert_eq!(again, companies.role);
    let identity = companies.grant("acme", "identityPolicy").await;
    aws.set_policies(&again, &[&identity]);
    let mut config = companies.world.operator.config().clone();
    for (variable, value) in aws.session(&again, "operator-pod").environment() {
        config = config.environment(variable, &value);
    }
    companies.world.operator.restart_with(config);
    companies.prove("acme").await;
    companies.refused("acme", "AccessDenied").await;

    let policy = companies.grant("acme", "bucketPolicy").await;
    companies.bucket.paste_policy(&policy);
    companies.prove("acme").await;
    companies.verified("acme").await;
}

#[tokio::test]
async fn a_bucket_that_changed_hands_gets_nothing_though_it_allows_us() {
    let mut companies = Companies::start("hands").await;
    companies.sources();
    companies.destination(Mode::CrossAccount, "acme", "");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.verified("acme").await;

    let stranger = companies.aws.account("aws");
    companies.bucket.hand_over(&stranger);
    companies
        .world
        .apply(&super::deliver(&unique("files"), "acme"));
    companies.prove("acme").await;
    let message = companies.refused("acme", "BucketOwnerMismatch").await;
    assert!(message.contains(&companies.customer.id), "{message}");
    companies.holds_only(&[]).await;
    // All is pinned, but for the one Abort of an invented upload that tells an owner from a denial.
    for request in companies.asked() {
        let pinned = request.headers.get("x-amz-expected-bucket-owner");
        let invented = request.operation == "AbortMultipartUpload"
            && request.key.contains(PROOF)
            && request.query.contains("uploadId=outbound-");
        assert!(pinned.is_some() || invented, "{request:#?}");
    }
}
