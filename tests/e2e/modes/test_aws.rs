//! The test AWS itself answers as AWS documents it: seen through AWS's own SDK.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use crate::support::{Account, Aws, AwsBucket};

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
