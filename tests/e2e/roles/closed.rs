//! Roles that are not for us, or not for this namespace.

use super::{Roles, condition, message};

#[tokio::test]
async fn another_namespace_does_not_get_in_with_what_this_one_was_given() {
    let ours = Roles::verified("role-ours", |config| config).await;
    let arn = ours.arn("drop");
    let theirs = ours.elsewhere("role-theirs").await;
    theirs.destination(&arn, "");
    let object = theirs.proved("now").await;
    assert_eq!(condition(&object, "Ready"), ("False", "RoleNotAssumable"));
    let (id, other) = (
        ours.world.get("obdest", "acme")["status"]["externalId"].clone(),
        object["status"]["externalId"].clone(),
    );
    assert_ne!(id, other);
    // Nor does somebody who knows the id: there is no field to write it into.
    let copied = format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: copied}}\n\
         spec:\n  bucket: {}\n  permissionMode: AssumeRole\n  assumeRole: {{roleArn: {arn:?}, externalId: {id}}}\n",
        ours.bucket.name()
    );
    let refusal = theirs.world.refused(&copied);
    assert!(
        refusal.contains("unknown field \"spec.assumeRole.externalId\""),
        "{refusal}"
    );
    let given = ours.aws.assumptions(&arn);
    let others = given
        .iter()
        .filter(|call| call.headers["ExternalId"] == other.as_str().unwrap());
    assert!(others.clone().count() > 0 && others.clone().all(|call| call.status == 403));
}

#[tokio::test]
async fn a_role_that_the_namespace_was_not_given_is_not_even_asked() {
    let roles = Roles::start("role-not-given").await;
    let stranger = roles.aws.account("aws");
    let arn = format!("arn:aws:iam::{}:role/drop", stranger.id);
    roles.destination(&arn, "");
    let object = roles.proved("now").await;
    assert_eq!(condition(&object, "Ready"), ("False", "RoleNotAllowed"));
    assert_eq!(
        condition(&object, "TrustVerified"),
        ("Unknown", "RoleNotAllowed")
    );
    let said = message(&object, "Ready");
    assert!(
        said.contains(&arn) && said.contains("tenancy[].roles"),
        "{said}"
    );
    assert!(roles.aws.assumptions(&arn).is_empty());
}

#[tokio::test]
async fn each_side_that_is_missing_is_told() {
    let roles = Roles::start("role-sides").await;
    let arn = roles.arn("drop");
    roles.destination(&arn, "");
    let trust = roles.grant("trustPolicy").await;
    let id = roles.world.get("obdest", "acme")["status"]["externalId"].clone();
    let id = id.as_str().unwrap();
    // There is no role, then one that trusts us while we may not assume it, then one that trusts somebody else.
    for step in ["no-role", "not-ours", "not-theirs"] {
        match step {
            "not-ours" => {
                roles.customer.role("drop", &trust, &[]);
            }
            "not-theirs" => {
                roles.allow_us().await;
                roles
                    .aws
                    .set_trust(&arn, &trust.replace(id, "somebody-elses"));
            }
            _ => {}
        }
        let object = roles.proved(step).await;
        assert_eq!(
            condition(&object, "Ready"),
            ("False", "RoleNotAssumable"),
            "{step}"
        );
        let said = message(&object, "Ready");
        for word in [&arn, &roles.us, "identityPolicy"] {
            assert!(said.contains(word), "{step}: no {word} in {said}");
        }
        if step != "not-ours" {
            assert!(
                said.contains(id) && said.contains("trustPolicy"),
                "{step}: {said}"
            );
        }
    }
    roles.aws.set_trust(&arn, &trust);
    let permissions = super::without_principal(&roles.grant("bucketPolicy").await);
    roles.aws.set_policies(&arn, &[&permissions]);
    let object = roles.proved("repaired").await;
    assert_eq!(condition(&object, "Ready"), ("True", "Verified"));
}
