//! A role that trusts us: what both sides paste, and what is proved of it.

use super::{Roles, condition, message, region_of};
use crate::gitops::{DESTINATION, shows};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::PREFIX;

#[tokio::test]
async fn a_role_that_is_made_as_the_status_shows_is_verified_both_ways() {
    let roles = Roles::start("role-both-ways").await;
    let arn = roles.arn("drop");
    roles.destination(&arn, "");
    // All that is to be pasted is there before the first proof succeeds.
    let object = roles.proved("before").await;
    let id = object["status"]["externalId"].as_str().unwrap().to_owned();
    assert_eq!(object["status"]["identity"]["arn"], roles.us.as_str());
    assert_eq!(
        object["status"]["effective"]["bucketOwner"],
        roles.customer.id.as_str()
    );
    assert_eq!(object["status"]["effective"]["acl"], "None");
    assert_eq!(condition(&object, "Ready"), ("False", "RoleNotAssumable"));
    assert_eq!(condition(&object, "Stalled"), ("True", "RoleNotAssumable"));
    assert_eq!(
        condition(&object, "TrustVerified"),
        ("Unknown", "RoleNotAssumable")
    );
    // The customer and we repair it, and nothing is edited here.
    roles.paste("drop").await;
    let object = roles.proved("pasted").await;
    assert_eq!(condition(&object, "Ready"), ("True", "Verified"));
    assert_eq!(condition(&object, "AccessVerified"), ("True", "Verified"));
    assert_eq!(condition(&object, "TrustVerified"), ("True", "Verified"));
    assert_eq!(object["status"]["effective"]["region"], region_of("aws"));

    let asked = roles.aws.assumptions(&arn);
    let with: Vec<_> = asked
        .iter()
        .filter(|call| call.headers["ExternalId"] == id)
        .collect();
    let without: Vec<_> = asked
        .iter()
        .filter(|call| call.headers["ExternalId"].is_empty())
        .collect();
    assert_eq!(with.len() + without.len(), asked.len(), "{asked:?}");
    assert!(
        with.iter()
            .any(|call| call.status == 200 && call.headers["DurationSeconds"] == "3600")
    );
    assert!(
        !without.is_empty() && without.iter().all(|call| call.status == 403),
        "{without:?}"
    );

    let session = format!(
        ":assumed-role/drop/outbound.{}.acme",
        roles.world.namespace.name()
    );
    let requests = roles.bucket.requests();
    let ours: Vec<_> = requests
        .iter()
        .filter(|request| !request.caller.ends_with(":root"))
        .collect();
    assert!(!ours.is_empty());
    for request in ours {
        assert!(request.caller.ends_with(&session), "{request:?}");
        assert!(request.key.starts_with(PREFIX), "{request:?}");
    }
    assert_eq!(roles.bucket.keys(), [""; 0]);
    assert_eq!(roles.bucket.uploads().await, []);
}

#[tokio::test]
async fn a_bucket_policy_does_in_place_of_the_roles_own_permissions() {
    let roles = Roles::start("role-bucket-policy").await;
    roles.destination(&roles.arn("drop"), "");
    let trust = roles.grant("trustPolicy").await;
    roles.customer.role("drop", &trust, &[]);
    roles.allow_us().await;
    let object = roles.proved("no-rights").await;
    assert_eq!(condition(&object, "Ready"), ("False", "AccessDenied"));
    assert_eq!(condition(&object, "TrustVerified"), ("True", "Verified"));
    let said = message(&object, "Ready");
    assert!(
        said.contains("role/drop") && said.contains("bucketPolicy"),
        "{said}"
    );
    let policy = roles.grant("bucketPolicy").await;
    roles.bucket.paste_policy(&policy);
    let object = roles.proved("pasted").await;
    assert_eq!(condition(&object, "Ready"), ("True", "Verified"));
}

#[tokio::test]
async fn a_role_that_asks_for_no_external_id_is_warned_of_and_stays_ready() {
    let roles = Roles::verified("role-open", |config| config).await;
    let arn = roles.arn("drop");
    let closed = roles.grant("trustPolicy").await;
    let mut open: serde_json::Value = serde_json::from_str(&closed).unwrap();
    open["Statement"][0]
        .as_object_mut()
        .unwrap()
        .remove("Condition");
    roles.aws.set_trust(&arn, &open.to_string());
    let object = roles.proved("open").await;
    assert_eq!(
        condition(&object, "TrustVerified"),
        ("False", "TrustTooOpen")
    );
    assert_eq!(condition(&object, "Ready"), ("True", "Verified"));
    let id = object["status"]["externalId"].as_str().unwrap();
    let said = message(&object, "TrustVerified");
    assert!(said.contains(id) && said.contains(&arn), "{said}");
    assert!(message(&object, "Ready").contains("TrustVerified"));
    let state = "is verified, though the customer's role asks for no external ID";
    shows(&roles.world, &DESTINATION, "acme", state);
    roles.aws.set_trust(&arn, &closed);
    let object = roles.proved("closed").await;
    assert_eq!(condition(&object, "TrustVerified"), ("True", "Verified"));
    let expected = [
        ("Warning", "TrustTooOpen", 1),
        ("Normal", "TrustVerified", 1),
    ];
    eventually(PATIENCE, "both are said, once", async || {
        let events = roles.world.events("acme");
        let said = events
            .iter()
            .map(|(type_, reason, _, count)| (type_.as_str(), reason.as_str(), *count));
        let said: Vec<_> = said.filter(|it| it.1.starts_with("Trust")).collect();
        if said == expected {
            Ok(())
        } else {
            Err(format!("{events:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_re_created_destination_has_the_same_external_id() {
    let roles = Roles::verified("role-again", |config| config).await;
    let before = roles.world.get("obdest", "acme");
    roles
        .world
        .namespace
        .kubectl(&["delete", "obdest", "acme"])
        .ok();
    roles.destination(&roles.arn("drop"), "");
    roles
        .world
        .condition("obdest", "acme", "Ready", "True")
        .await;
    let after = roles.world.get("obdest", "acme");
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(
        before["status"]["externalId"],
        after["status"]["externalId"]
    );
    assert_eq!(condition(&after, "TrustVerified"), ("True", "Verified"));
}

#[tokio::test]
async fn other_partitions_have_roles_and_policies_of_their_own() {
    for partition in ["aws-cn", "aws-us-gov"] {
        let topic = format!("role-{partition}");
        let roles = Roles::start_in(partition, &topic, |config| config).await;
        roles.destination(
            &roles.arn("drop"),
            &format!("  region: {}\n", region_of(partition)),
        );
        roles.paste("drop").await;
        let object = roles.proved("pasted").await;
        assert_eq!(
            condition(&object, "Ready"),
            ("True", "Verified"),
            "{partition}"
        );
        assert_eq!(
            condition(&object, "TrustVerified"),
            ("True", "Verified"),
            "{partition}"
        );
        for policy in ["bucketPolicy", "trustPolicy", "identityPolicy"] {
            let text = object["status"]["grant"][policy].as_str().unwrap();
            let arns: Vec<_> = text.split("\"arn:").skip(1).collect();
            let inside = |arn: &&str| arn.starts_with(&format!("{partition}:"));
            assert!(
                !arns.is_empty() && arns.iter().all(inside),
                "{policy}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_of_a_session_is_logged_or_told() {
    let roles = Roles::verified("role-canary", |config| {
        config.environment("RUST_LOG", "trace")
    })
    .await;
    roles.world.file("a.csv", "a\n");
    roles.world.apply(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {name: d}\n\
         spec:\n  destinationRef: {name: acme}\n  source: {volume: {path: a.csv}}\n",
    );
    roles
        .world
        .condition("obdel", "d", "Complete", "True")
        .await;
    let (log, told) = (
        roles.world.operator.log(),
        roles.world.get("obdest", "acme").to_string()
            + &roles.world.get("obdel", "d").to_string()
            + &format!("{:?}", roles.world.events("acme")),
    );
    assert!(log.contains("TRACE"), "nothing is traced");
    // The element of STS's answer, and what every token of this AWS begins with.
    for secret in ["<SecretAccessKey>", "IQoJb3JpZ2luX2Vj"] {
        let shown = log.lines().find(|line| line.contains(secret));
        assert_eq!(shown, None, "{secret}");
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    // An id is no secret, and is nobody's business all the same.
    assert!(!told.contains("ASIA"), "{told}");
}
