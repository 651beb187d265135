//! Permission mode AssumeRole, against an AWS with roles, trust policies and sessions that end. The customer pastes
//! what the status shows, word for word.

mod closed;
mod laptop;
mod sessions;
mod trusted;

use serde_json::{Value, json};

use crate::support::world::{PREFIX, find_condition};
use crate::support::{Account, Aws, AwsBucket, OperatorConfig, S3Server, World};

/// A region of each partition.
fn region_of(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "eu-west-1",
    }
}

/// A customer with a bucket, us with a role of our own, and an operator that works as it.
struct Roles {
    world: World,
    aws: Aws,
    customer: Account,
    bucket: AwsBucket,
    /// Our own role's ARN.
    us: String,
}

impl Roles {
    async fn start(topic: &str) -> Roles {
        Roles::start_with(topic, |config| config).await
    }

    /// With a changed configuration.
    async fn start_with(
        topic: &str,
        change: impl FnOnce(OperatorConfig) -> OperatorConfig,
    ) -> Roles {
        Roles::start_in("aws", topic, change).await
    }

    /// In another partition.
    async fn start_in(
        partition: &str,
        topic: &str,
        change: impl FnOnce(OperatorConfig) -> OperatorConfig,
    ) -> Roles {
        let aws = Aws::shared();
        let ours = aws.account(partition);
        let customer = aws.account(partition);
        let us = ours.workload_role("outbound", &[]);
        Roles::with(topic, aws, customer, (ours.id, us), change).await
    }

    /// The same AWS, customer and identity, seen from another namespace with an operator of the same cluster.
    async fn elsewhere(&self, topic: &str) -> Roles {
        let account = self.us.split(':').nth(4).unwrap().to_owned();
        let (aws, customer) = (self.aws.clone(), self.customer.clone());
        Roles::with(topic, aws, customer, (account, self.us.clone()), |config| {
            config
        })
        .await
    }

    async fn with(
        topic: &str,
        aws: Aws,
        customer: Account,
        (account, us): (String, String),
        change: impl FnOnce(OperatorConfig) -> OperatorConfig,
    ) -> Roles {
        let region = region_of(&customer.partition);
        let bucket = customer.bucket(region);
        let session = aws.session(&us, "operator");
        let roles = format!("arn:{}:iam::{}:role/*", customer.partition, customer.id);
        let world = World::start_with(topic, &S3Server::shared(), |config| {
            let identity = json!({"accountId": account, "principalArn": us, "region": region});
            let config = config
                .with("identity", identity)
                .with("tenancy", json!([{"namespaces": ["*"], "roles": [roles]}]))
                .with("endpoints.s3", aws.url())
                .with("endpoints.sts", aws.url())
                .with("transfer.partSize", "5Mi");
            let environment = session.environment().into_iter();
            let config = environment.fold(config, |config, (name, value)| {
                config.environment(name, &value)
            });
            change(config)
        })
        .await;
        Roles {
            world,
            aws,
            customer,
            bucket,
            us,
        }
    }

    /// The ARN of a role of the customer's, whether it is there or not.
    fn arn(&self, role: &str) -> String {
        let Account { partition, id, .. } = &self.customer;
        format!("arn:{partition}:iam::{id}:role/{role}")
    }

    /// Applies the destination `acme` with that role.
    fn destination(&self, role_arn: &str, more: &str) {
        self.world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
             spec:\n  bucket: {}\n  prefix: {PREFIX}\n  permissionMode: AssumeRole\n  \
             assumeRole: {{roleArn: {role_arn:?}}}\n{more}",
            self.bucket.name()
        ));
    }

    /// A policy of `status.grant`, as soon as it is there.
    async fn grant(&self, policy: &str) -> String {
        let what = format!("status.grant.{policy} is there");
        let patience = crate::support::wait::PATIENCE;
        self.world
            .eventually(patience, &what, "obdest", "acme", |object| {
                let current =
                    object["status"]["observedGeneration"] == object["metadata"]["generation"];
                let text = object["status"]["grant"][policy].as_str()?;
                current.then(|| text.to_owned())
            })
            .await
    }

    /// Both sides do what the status shows: the customer makes the role with the permissions on it, and our own
    /// role may assume it.
    async fn paste(&self, role: &str) -> String {
        let trust = self.grant("trustPolicy").await;
        let permissions = without_principal(&self.grant("bucketPolicy").await);
        let arn = self.customer.role(role, &trust, &[&permissions]);
        self.allow_us().await;
        arn
    }

    async fn allow_us(&self) {
        let ours = self.grant("identityPolicy").await;
        self.aws.set_policies(&self.us, &[&ours]);
    }

    /// The destination `acme` with the role `drop`, verified.
    async fn verified(topic: &str, change: impl FnOnce(OperatorConfig) -> OperatorConfig) -> Roles {
        let roles = Roles::start_with(topic, change).await;
        roles.destination(&roles.arn("drop"), "");
        roles.paste("drop").await;
        roles.world.request("obdest", "acme", "pasted").await;
        roles
            .world
            .condition("obdest", "acme", "Ready", "True")
            .await;
        roles
    }

    /// Asks for a proof, and returns what the status says then.
    async fn proved(&self, request: &str) -> Value {
        self.world.request("obdest", "acme", request).await
    }
}

/// The statements of a bucket policy, as the permission policy of the principal that they name.
fn without_principal(policy: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement.as_object_mut().unwrap().remove("Principal");
    }
    policy.to_string()
}

/// Status and reason of a condition.
fn condition<'a>(object: &'a Value, type_: &str) -> (&'a str, &'a str) {
    let found = find_condition(object, type_).unwrap_or_else(|| panic!("no {type_} in {object:#}"));
    (
        found["status"].as_str().unwrap(),
        found["reason"].as_str().unwrap(),
    )
}

fn message<'a>(object: &'a Value, type_: &str) -> &'a str {
    find_condition(object, type_).unwrap()["message"]
        .as_str()
        .unwrap()
}
