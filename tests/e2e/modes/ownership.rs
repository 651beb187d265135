//! ACLs and Object Ownership: enabled, disabled, demanded by policy, left out.

use serde_json::{Value, json};

use super::{Companies, Mode};

/// The printed bucket policy with one more statement, about `s3:x-amz-acl`.
async fn paste_with_a_condition(companies: &Companies, effect: &str, condition: Value) {
    let printed = companies.grant("acme", "bucketPolicy").await;
    let mut policy: Value = serde_json::from_str(&printed).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    let mut more = statements[0].clone();
    more["Sid"] = json!("Acl");
    more["Effect"] = json!(effect);
    more["Action"] = json!("s3:PutObject");
    more["Condition"] = condition;
    statements.push(more);
    companies.bucket.paste_policy(&policy.to_string());
    let identity = companies.grant("acme", "identityPolicy").await;
    companies.aws.set_policies(&companies.role, &[&identity]);
    companies.prove("acme").await;
}

/// The customer's own view of a delivered object.
async fn customer_reads(companies: &Companies, key: &str) -> Result<Vec<u8>, u16> {
    let get = companies.bucket.client().get_object();
    match get.bucket(companies.bucket.name()).key(key).send().await {
        Ok(object) => Ok(object.body.collect().await.unwrap().to_vec()),
        Err(error) => Err(error.raw_response().unwrap().status().as_u16()),
    }
}

#[tokio::test]
async fn with_acls_enabled_the_customer_owns_what_we_write_by_the_acl() {
    let mut companies = Companies::start("writer").await;
    companies.bucket.set_ownership("ObjectWriter");
    companies.world.file("a.csv", "a\n");
    companies.destination(Mode::CrossAccount, "acme", "");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.deliver("first", "acme").await;
    let read = customer_reads(&companies, "audience/a.csv").await;
    assert_eq!(read.as_deref(), Ok(&b"a\n"[..]));
    for (key, object) in companies.bucket.objects() {
        assert_eq!(object["acl"], "bucket-owner-full-control", "{key}");
    }
}

/// The trap that the default avoids: delivered, complete, and useless to the customer.
#[tokio::test]
async fn with_acls_enabled_and_none_sent_the_customer_cannot_read() {
    let mut companies = Companies::start("closed").await;
    companies.bucket.set_ownership("ObjectWriter");
    companies.world.file("a.csv", "a\n");
    companies.destination(Mode::CrossAccount, "acme", "acl: None");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.deliver("first", "acme").await;
    assert_eq!(customer_reads(&companies, "audience/a.csv").await, Err(403));
    assert_eq!(
        companies.bucket.objects()["audience/a.csv"]["owner"],
        companies.ours.id
    );
}

#[tokio::test]
async fn with_acls_disabled_all_is_the_customers_with_the_acl_or_without() {
    for change in ["", "acl: None", "acl: BucketOwnerFullControl"] {
        let mut companies = Companies::start("enforced").await;
        companies.world.file("a.csv", "a\n");
        companies.destination(Mode::CrossAccount, "acme", change);
        companies.paste_grants(Mode::CrossAccount, "acme").await;
        companies.deliver("first", "acme").await;
        let read = customer_reads(&companies, "audience/a.csv").await;
        assert_eq!(read.as_deref(), Ok(&b"a\n"[..]), "{change}");
    }
}

#[tokio::test]
async fn a_policy_that_demands_the_acl_is_met_by_parts_too() {
    let mut companies = Companies::start("demanded").await;
    companies.sources();
    companies.destination(Mode::CrossAccount, "acme", "");
    let lacks = json!({"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}});
    paste_with_a_condition(&companies, "Deny", lacks).await;
    companies.verified("acme").await;
    companies.deliver("files", "acme").await;
    companies
        .holds_only(&["files.info", "large.csv", "small.csv"])
        .await;
}

#[tokio::test]
async fn a_policy_that_demands_the_acl_refuses_a_destination_without_one() {
    let mut companies = Companies::start("lacking").await;
    companies.destination(Mode::CrossAccount, "acme", "acl: None");
    let lacks = json!({"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}});
    paste_with_a_condition(&companies, "Deny", lacks).await;
    companies.refused("acme", "AccessDenied").await;
    companies.holds_only(&[]).await;
}

#[tokio::test]
async fn a_policy_that_refuses_the_acl_is_told_from_a_missing_right() {
    let mut companies = Companies::start("refusing").await;
    companies.destination(Mode::CrossAccount, "acme", "");
    let has = json!({"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}});
    paste_with_a_condition(&companies, "Deny", has).await;
    let message = companies.refused("acme", "AclNotAllowed").await;
    assert!(message.contains("acl must be None"), "{message}");
    companies.holds_only(&[]).await;
    companies.destination(Mode::CrossAccount, "acme", "acl: None");
    companies.verified("acme").await;
}

/// The customer pasted the policy of a destination without an ACL.
#[tokio::test]
async fn the_right_to_send_an_acl_is_named_when_it_alone_is_missing() {
    let mut companies = Companies::start("acl-right").await;
    companies.destination(Mode::CrossAccount, "acme", "");
    companies.paste_grants(Mode::CrossAccount, "acme").await;
    companies.verified("acme").await;
    companies.bucket.deny("s3:PutObjectAcl");
    companies.prove("acme").await;
    let message = companies.refused("acme", "AclNotAllowed").await;
    assert!(message.contains("s3:PutObjectAcl"), "{message}");
    companies.bucket.undeny();
    companies.prove("acme").await;
    companies.verified("acme").await;
    companies.holds_only(&[]).await;
}
