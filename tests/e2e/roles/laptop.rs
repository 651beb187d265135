//! A role's destination, proved from a laptop before any cluster has it.

use serde_json::Value;

use super::{Roles, condition, without_principal};
use crate::commands::Laptop;

#[tokio::test]
async fn verify_assumes_the_role_as_the_operator_will() {
    let roles = Roles::start("role-laptop").await;
    let (arn, namespace) = (roles.arn("drop"), roles.world.namespace.name());
    let laptop = Laptop::new();
    laptop.write("operator.yaml", roles.world.operator.config().render());
    laptop.write(
        "acme.yaml",
        format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
             metadata: {{name: acme, namespace: {namespace}}}\n\
             spec: {{bucket: {}, prefix: audience/, permissionMode: AssumeRole, assumeRole: {{roleArn: {arn:?}}}}}\n",
            roles.bucket.name()
        ),
    );
    let session = roles.aws.session(&roles.us, "laptop").environment();
    let environment: Vec<_> = session
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let verify = || {
        let ran = laptop.run_with(
            "verify -f acme.yaml --config operator.yaml -o json",
            &environment,
        );
        let printed: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
        (ran.code, printed)
    };
    // Nobody made the role yet; what it takes is told all the same.
    let (code, object) = verify();
    assert_eq!(
        (code, condition(&object, "Ready")),
        (1, ("False", "RoleNotAssumable"))
    );
    let grant = |policy: &str| {
        object["status"]["grant"][policy]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let permissions = without_principal(&grant("bucketPolicy"));
    roles
        .customer
        .role("drop", &grant("trustPolicy"), &[&permissions]);
    roles
        .aws
        .set_policies(&roles.us, &[&grant("identityPolicy")]);
    let (code, object) = verify();
    assert_eq!(
        (code, condition(&object, "Ready")),
        (0, ("True", "Verified"))
    );
    assert_eq!(condition(&object, "TrustVerified").0, "True");
    // The cluster issues the same external ID, so it needs nothing more of the customer.
    roles.destination(&arn, "");
    let there = roles.proved("now").await;
    assert_eq!(condition(&there, "Ready"), ("True", "Verified"));
    assert_eq!(
        there["status"]["externalId"],
        object["status"]["externalId"]
    );
    assert_eq!(roles.bucket.uploads().await, []);
}
