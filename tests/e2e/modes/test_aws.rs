//! The test AWS itself answers as AWS documents it: seen through AWS's own SDK.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use crate::support::{Account, Aws, AwsBucket, AwsKey};

const REGION: &str = "us-east-1";

/// The service's code and message of a refusal, and its HTTP status.
#[track_caller]
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E>>,
) -> (u16, String, String) {
    let error = result.expect_err("refused");
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (status, text(error.code()), text(error.message()))
}

/// A policy of one statement that allows `actions` on everything below `audience/`.
fn allow(bucket: &AwsBucket, principal: Option<&str>, actions: &[&str]) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Action": actions,
        "Resource": format!("arn:aws:s3:::{}/audience/*", bucket.name()),
    });
    if let Some(principal) = principal {
        statement["Principal"] = json!({"AWS": principal});
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

async fn put(
    client: &Client,
    bucket: &AwsBucket,
    key: &str,
) -> Result<(), SdkError<aws_sdk_s3::operation::put_object::PutObjectError>> {
    let put = client.put_object().bucket(bucket.name()).key(key);
    put.body(b"bytes".to_vec().into()).send().await.map(drop)
}

fn companies() -> (Aws, Account, Account) {
    let aws = Aws::shared();
    (aws.clone(), aws.account("aws"), aws.account("aws"))
}

#[tokio::test]
async fn across_accounts_both_must_allow_and_strangers_are_not_told_why() {
    let (aws, ours, customer) = companies();
    let bucket = customer.bucket(REGION);
    let user = ours.user("writer", &[]);
    let client = aws.client(&user, REGION);
    let bare = (403, "AccessDenied".to_owned(), "Access Denied".to_owned());
    assert_eq!(refusal(put(&client, &bucket, "audience/a").await), bare);
    let actions = ["s3:PutObject"];
    bucket.paste_policy(&allow(&bucket, Some(&user.arn), &actions).to_string());
    assert_eq!(refusal(put(&client, &bucket, "audience/a").await), bare);
    let identity = allow(&bucket, None, &actions).to_string();
    aws.set_policies(&user.arn, &[&identity]);
    put(&client, &bucket, "audience/a").await.unwrap();
    assert_eq!(refusal(put(&client, &bucket, "elsewhere").await), bare);

    for account in [&ours, &customer] {
        account.join("o-1");
    }
    let (_, _, why) = refusal(put(&client, &bucket, "elsewhere").await);
    let name = bucket.name();
    assert_eq!(
        why,
        format!(
            "User: {} is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::{name}/elsewhere\" \
             because no resource-based policy allows the s3:PutObject action",
            user.arn
        )
    );
    let requests = bucket.requests();
    assert_eq!(
        requests
            .iter()
            .map(|request| request.status)
            .collect::<Vec<_>>(),
        [403, 403, 200, 403, 403]
    );
    assert_eq!(requests[2].caller, user.arn);
    assert_eq!(requests[2].actions, ["s3:PutObject"]);
}

/// A role of `theirs` that trusts `ours` with the external id, and the caller that may assume it.
fn trusting(aws: &Aws, ours: &Account, theirs: &Account) -> (String, AwsKey) {
    let us = ours.workload_role("outbound", &[]);
    let caller = aws.session(&us, "pod");
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": us}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "our-id"}},
    }]});
    let role = theirs.role("drop", &trust.to_string(), &[]);
    let may = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role,
    }]});
    aws.set_policies(&us, &[&may.to_string()]);
    (role, caller)
}

fn assume(
    aws: &Aws,
    caller: &AwsKey,
    role: &str,
) -> aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder {
    let call = aws.sts(caller).assume_role();
    call.role_arn(role).role_session_name("session")
}

/// Opens a session, and returns its keys and how long it said that they last.
async fn session(aws: &Aws, caller: &AwsKey, role: &str) -> (AwsKey, f64) {
    let answer = assume(aws, caller, role).external_id("our-id").send().await;
    let answer = answer.unwrap();
    let keys = answer.credentials().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let key = AwsKey {
        access_key_id: keys.access_key_id().to_owned(),
        secret_access_key: keys.secret_access_key().to_owned(),
        session_token: Some(keys.session_token().to_owned()),
        arn: answer.assumed_role_user().unwrap().arn().to_owned(),
    };
    (
        key,
        keys.expiration().as_secs_f64() - now.unwrap().as_secs_f64(),
    )
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id_and_its_sessions_end() {
    let (aws, ours, customer) = companies();
    let (role, caller) = trusting(&aws, &ours, &customer);
    let bucket = customer.bucket(REGION);
    let refused = format!(
        "User: {} is not authorized to perform: sts:AssumeRole on resource: {role}",
        caller.arn
    );
    let refused = (403, "AccessDenied".to_owned(), refused);
    let call = || assume(&aws, &caller, &role);
    assert_eq!(refusal(call().send().await), refused);
    assert_eq!(refusal(call().external_id("other").send().await), refused);
    let long = call().external_id("our-id").duration_seconds(7200);
    assert_eq!(refusal(long.send().await).1, "ValidationError");

    let (key, lasts) = session(&aws, &caller, &role).await;
    assert!((3000.0..3601.0).contains(&lasts), "{lasts}");
    let arn = format!("arn:aws:sts::{}:assumed-role/drop/session", customer.id);
    assert_eq!(key.arn, arn);
    let identity = aws.sts(&key).get_caller_identity().send().await.unwrap();
    assert_eq!(identity.arn(), Some(&*arn));
    assert_eq!(identity.account(), Some(&*customer.id));

    // Both in the customer's account: the role's own policy is enough.
    let client = aws.client(&key, REGION);
    assert_eq!(refusal(put(&client, &bucket, "audience/a").await).0, 403);
    aws.set_policies(
        &role,
        &[&allow(&bucket, None, &["s3:PutObject"]).to_string()],
    );
    put(&client, &bucket, "audience/a").await.unwrap();
    let mut wrong = key.clone();
    wrong.session_token = Some("other".to_owned());
    let wrong = aws.client(&wrong, REGION);
    let (status, code, _) = refusal(put(&wrong, &bucket, "audience/a").await);
    assert_eq!((status, &*code), (400, "InvalidToken"));
    assert_eq!(aws.expire_sessions(&role), 1);
    let (status, code, _) = refusal(put(&client, &bucket, "audience/a").await);
    assert_eq!((status, &*code), (400, "ExpiredToken"));

    aws.set_ttl(&role, 30.0);
    let (key, lasts) = session(&aws, &caller, &role).await;
    assert!((0.0..31.0).contains(&lasts), "{lasts}");
    put(&aws.client(&key, REGION), &bucket, "audience/a")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_upload_is_its_initiators_and_asks_the_rights_of_each_step() {
    let (aws, ours, customer) = companies();
    let bucket = customer.bucket(REGION);
    let user = ours.user("writer", &[]);
    let grant = |actions: &[&str]| {
        bucket.paste_policy(&allow(&bucket, Some(&user.arn), actions).to_string());
        let identity = allow(&bucket, None, actions).to_string();
        aws.set_policies(&user.arn, &[&identity]);
    };
    grant(&["s3:PutObject"]);
    let client = aws.client(&user, REGION);
    let (name, key) = (bucket.name(), "audience/a");
    let create = client.create_multipart_upload().bucket(name).key(key);
    let tagged = create.clone().tagging("feed=audience").send().await;
    assert_eq!(refusal(tagged).0, 403);
    let acl = aws_sdk_s3::types::ObjectCannedAcl::BucketOwnerFullControl;
    assert_eq!(refusal(create.clone().acl(acl).send().await).0, 403);
    let created = create.send().await.unwrap();
    let id = created.upload_id().unwrap();

    let listing = bucket.client().list_multipart_uploads().bucket(name);
    let listing = listing.send().await.unwrap();
    let upload = &listing.uploads()[0];
    assert_eq!(upload.initiator().unwrap().id(), Some(&*user.arn));
    assert_eq!(upload.upload_id(), Some(id));

    let abort = client.abort_multipart_upload().bucket(name).key(key);
    assert_eq!(refusal(abort.clone().upload_id(id).send().await).0, 403);
    let parts = client.list_parts().bucket(name).key(key).upload_id(id);
    assert_eq!(refusal(parts.clone().send().await).0, 403);
    let head = || client.head_object().bucket(name).key(key).send();
    assert_eq!(refusal(head().await).0, 403);
    grant(&[
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        "s3:GetObject",
    ]);
    parts.send().await.unwrap();
    assert_eq!(refusal(head().await).0, 403, "a missing key, hidden");
    abort.clone().upload_id(id).send().await.unwrap();
    let (status, code, _) = refusal(abort.upload_id(id).send().await);
    assert_eq!((status, &*code), (404, "NoSuchUpload"));
    let owner = bucket.client().head_object().bucket(name).key(key);
    assert_eq!(refusal(owner.send().await).0, 404);
}

#[tokio::test]
async fn a_key_can_let_an_upload_begin_and_refuse_its_parts() {
    let (aws, _, customer) = companies();
    let bucket = customer.bucket(REGION);
    let policy = allow(&bucket, None, &["s3:*"]).to_string();
    let user = customer.user("writer", &[&policy]);
    let may = |actions: &[&str]| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": actions, "Resource": "*",
        }]})
        .to_string()
    };
    let key = customer.kms_key(REGION, Some(&may(&["kms:GenerateDataKey"])));
    bucket.encrypt_with(&key);
    let client = aws.client(&user, REGION);
    put(&client, &bucket, "audience/small").await.unwrap();
    let (name, large) = (bucket.name(), "audience/large");
    let create = client.create_multipart_upload().bucket(name).key(large);
    let created = create.send().await.unwrap();
    assert_eq!(created.ssekms_key_id(), Some(&*key.arn));
    let part = || {
        let part = client.upload_part().bucket(name).key(large).part_number(1);
        let part = part.upload_id(created.upload_id().unwrap());
        part.body(b"bytes".to_vec().into()).send()
    };
    let expected = format!(
        "User: {} is not authorized to perform: kms:Decrypt on resource: {} because no resource-based policy allows \
         the kms:Decrypt action",
        user.arn, key.arn
    );
    assert_eq!(
        refusal(part().await),
        (403, "AccessDenied".to_owned(), expected)
    );
    key.set_policy(&may(&["kms:GenerateDataKey", "kms:Decrypt"]));
    part().await.unwrap();
    let kept = &bucket.objects()["audience/small"]["encryption"];
    assert_eq!(
        (&kept["algorithm"], &kept["key"]),
        (&json!("aws:kms"), &json!(key.arn))
    );

    key.set_state("Disabled");
    let (status, code, _) = refusal(put(&client, &bucket, "audience/b").await);
    assert_eq!((status, &*code), (400, "KMS.DisabledException"));
    let unknown = key.arn.replace(":key/", ":key/0");
    let other = client.put_object().bucket(name).key("audience/b");
    let other = other.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms);
    let (status, code, _) = refusal(other.ssekms_key_id(unknown).send().await);
    assert_eq!((status, &*code), (400, "KMS.NotFoundException"));
}

#[tokio::test]
async fn acls_are_refused_where_they_are_disabled() {
    let (_, _, customer) = companies();
    let bucket = customer.bucket(REGION);
    let with = |acl: &str| {
        let put = bucket.client().put_object().bucket(bucket.name()).key("a");
        put.acl(acl.into()).send()
    };
    let (status, code, message) = refusal(with("private").await);
    assert_eq!((status, &*code), (400, "AccessControlListNotSupported"));
    assert_eq!(message, "The bucket does not allow ACLs");
    with("bucket-owner-full-control").await.unwrap();
    bucket.set_ownership("ObjectWriter");
    with("private").await.unwrap();
}

#[tokio::test]
async fn regions_owners_and_partitions_are_told_apart() {
    let aws = Aws::shared();
    let customer = aws.account("aws-cn");
    let bucket = customer.bucket("cn-north-1");
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:PutObject",
        "Resource": format!("arn:aws-cn:s3:::{}/audience/*", bucket.name()),
    }]});
    let user = customer.user("writer", &[&policy.to_string()]);
    assert_eq!(
        user.arn,
        format!("arn:aws-cn:iam::{}:user/writer", customer.id)
    );
    let client = aws.client(&user, "cn-north-1");
    put(&client, &bucket, "audience/a").await.unwrap();
    let elsewhere = aws.client(&user, REGION);
    let (status, code, message) = refusal(put(&elsewhere, &bucket, "audience/a").await);
    assert_eq!((status, &*code), (400, "AuthorizationHeaderMalformed"));
    assert!(message.ends_with("expecting 'cn-north-1'"), "{message}");
    let pinned = |owner: &str| {
        let put = client.put_object().bucket(bucket.name()).key("audience/a");
        put.expected_bucket_owner(owner).send()
    };
    pinned(&customer.id).await.unwrap();
    assert_eq!(refusal(pinned("111111111111").await).0, 403);
    let mut wrong = user.clone();
    wrong.secret_access_key.push('x');
    let wrong = aws.client(&wrong, "cn-north-1");
    assert_eq!(
        refusal(put(&wrong, &bucket, "audience/a").await).1,
        "SignatureDoesNotMatch"
    );
}

#[tokio::test]
async fn a_switch_denies_one_action_in_one_bucket() {
    let (aws, _, customer) = companies();
    let (bucket, other) = (customer.bucket(REGION), customer.bucket(REGION));
    let client = aws.client(&customer.root, REGION);
    bucket.deny("s3:PutObject");
    let (_, _, message) = refusal(put(&client, &bucket, "a").await);
    let end = "with an explicit deny in a resource-based policy";
    assert!(message.ends_with(end), "{message}");
    put(&client, &other, "a").await.unwrap();
    bucket.undeny();
    put(&client, &bucket, "a").await.unwrap();
    assert_eq!(bucket.keys(), ["a"]);
}

#[tokio::test]
async fn the_same_buckets_are_there_over_tls() {
    let aws = Aws::start_with_tls();
    let customer = aws.account("aws");
    let bucket = customer.bucket(REGION);
    let only_tls = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": format!("arn:aws:s3:::{}/*", bucket.name()),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }]});
    bucket.paste_policy(&only_tls.to_string());
    let plain = aws.client(&customer.root, REGION);
    assert_eq!(refusal(put(&plain, &bucket, "a").await).0, 403);
    let ca = aws.ca();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
    let client = aws.tls_client(&customer.root, REGION);
    put(&client, &bucket, "a").await.unwrap();
    assert_eq!(bucket.keys(), ["a"]);
    aws.stop();
    assert!(put(&client, &bucket, "a").await.is_err());
}
