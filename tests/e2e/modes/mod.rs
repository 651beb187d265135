//! Permission modes against the test AWS: accounts, roles and policies as customers have them. What is
//! granted is what the status prints, word for word.

mod cross_account;
mod kms;
mod least_privilege;
mod our_buckets;
mod ownership;
mod rights;
mod test_aws;

use serde_json::{Value, json};

use crate::support::aws::AwsRequest;
use crate::support::manifest::manifest;
use crate::support::process::unique;
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, find_condition};
use crate::support::{Account, Aws, AwsBucket, OperatorConfig, S3Server, World};

const REGION: &str = "us-east-1";

/// The smallest part that S3 takes, and that operators here send.
const PART: usize = 5 << 20;

/// What a proof's keys begin with, below the prefix.
const PROOF: &str = ".outbound-access-check-";

/// How a destination is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    CrossAccount,
    AccessKey,
    AssumeRole,
}

/// Two companies at AWS: the customer with a bucket, and us with the role that our operator has. Neither
/// grants anything yet. Dropped in this order: the operator first.
struct Companies {
    world: World,
    bucket: AwsBucket,
    customer: Account,
    ours: Account,
    /// Our role's ARN: the `principalArn` of the configuration.
    role: String,
    /// The customer's role that we may assume, and their user whose key we may be given.
    their_role: String,
    their_user: String,
    aws: Aws,
}

impl Companies {
    /// At the shared test AWS.
    async fn start(topic: &str) -> Companies {
        Companies::start_with(topic, |config| config).await
    }

    /// With a changed configuration.
    async fn start_with(
        topic: &str,
        change: impl FnOnce(OperatorConfig) -> OperatorConfig,
    ) -> Companies {
        let aws = Aws::shared();
        let (ours, customer) = (aws.account("aws"), aws.account("aws"));
        let role = ours.workload_role(&unique("outbound"), &[]);
        let session = aws.session(&role, "operator-pod");
        let bucket = customer.bucket(REGION);
        let their_role = customer.workload_role("drop", &[]);
        let rule = json!({
            "namespaces": ["*"],
            "crossAccountBuckets": [{"bucket": bucket.name(), "owners": [customer.id], "prefixes": [PREFIX]}],
            "roles": [their_role],
        });
        let configure = |config: OperatorConfig| {
            let config = config
                .with("identity.accountId", ours.id.clone())
                .with("identity.principalArn", role.clone())
                .with("endpoints.allow", json!([aws.url()]))
                .with("endpoints.s3", aws.url())
                .with("endpoints.sts", aws.url())
                .with("transfer", json!({"partSize": PART}))
                .with("tenancy", json!([rule]));
            let variables = session.environment();
            let set = |config: OperatorConfig, (name, value): (&&'static str, &String)| {
                config.environment(name, value)
            };
            change(variables.iter().fold(config, set))
        };
        let world = World::start_with(topic, &S3Server::shared(), configure).await;
        Companies {
            world,
            bucket,
            ours,
            role,
            their_role,
            their_user: String::new(),
            customer,
            aws,
        }
    }

    /// A destination of that mode for the customer's bucket; `change` as [`manifest`] has it.
    fn destination(&mut self, mode: Mode, name: &str, change: &str) {
        let (bucket, region) = (self.bucket.name(), self.bucket.region());
        let mode_lines = match mode {
            Mode::CrossAccount => format!("bucketOwner: \"{}\"", self.customer.id),
            Mode::AssumeRole => format!("assumeRole: {{roleArn: {}}}", self.their_role),
            Mode::AccessKey => {
                let key = self.customer.user(&unique("writer"), &[]);
                self.world.apply(&key.secret(name));
                self.their_user = key.arn;
                format!(
                    "endpoint: {}\naccessKey: {{secretRef: {{name: {name}}}}}",
                    self.aws.url()
                )
            }
        };
        let base = format!(
            "bucket: {bucket}\nprefix: {PREFIX}\nregion: {region}\npermissionMode: {mode:?}\n{mode_lines}"
        );
        let text = manifest("OutboundDestination", name, &base, change);
        self.world.apply(&text);
    }

    /// One of the policies in `status.grant`, at the present generation: the text, as a customer copies it.
    async fn grant(&self, name: &str, policy: &str) -> String {
        let what = format!("{name} has status.grant.{policy}");
        let found = |object: &Value| {
            let status = &object["status"];
            let current = status["observedGeneration"] == object["metadata"]["generation"];
            let text = status["grant"][policy].as_str()?;
            current.then(|| text.to_owned())
        };
        self.world
            .eventually(PATIENCE, &what, "obdest", name, found)
            .await
    }

    /// Both companies paste what the status shows and nothing else, and a new proof is asked for.
    async fn paste_grants(&self, mode: Mode, name: &str) {
        let identity = self.grant(name, "identityPolicy").await;
        match mode {
            Mode::AccessKey => self.aws.set_policies(&self.their_user, &[&identity]),
            Mode::CrossAccount | Mode::AssumeRole => {
                self.aws.set_policies(&self.role, &[&identity]);
                self.bucket
                    .paste_policy(&self.grant(name, "bucketPolicy").await);
            }
        }
        if mode == Mode::AssumeRole {
            let trust = self.grant(name, "trustPolicy").await;
            self.aws.set_trust(&self.their_role, &trust);
        }
        self.prove(name).await;
    }

    /// Asks for a proof now, and waits until it was made.
    async fn prove(&self, name: &str) -> Value {
        let value = unique("proof");
        self.world.request("obdest", name, &value).await
    }

    /// Waits until access is proved.
    async fn verified(&self, name: &str) {
        let ready = self.world.condition("obdest", name, "Ready", "True").await;
        assert_eq!(ready["reason"], "Verified", "{ready:#}");
    }

    /// Waits until the destination needs somebody for that reason; returns what the user reads.
    async fn refused(&self, name: &str, reason: &str) -> String {
        let what = format!("{name} is refused with {reason}");
        let found = |object: &Value| {
            let ready = find_condition(object, "Ready")?;
            let refused = ready["status"] == "False" && ready["reason"] == reason;
            refused.then(|| ready["message"].as_str().unwrap_or_default().to_owned())
        };
        self.world
            .eventually(PATIENCE, &what, "obdest", name, found)
            .await
    }

    /// Delivers every `*.csv` of the namespace's folder to the destination `to`, and waits for the end.
    async fn deliver(&self, name: &str, to: &str) -> Value {
        self.world.apply(&deliver(name, to));
        self.world
            .condition("obdel", name, "Complete", "True")
            .await;
        self.world.get("obdel", name)
    }

    /// Two source files: a small one, and one of three parts.
    fn sources(&self) {
        self.world.file("small.csv", "a,b\n1,2\n");
        self.world
            .file("large.csv", b"0123456,89\n".repeat((2 * PART + 1) / 11 + 1));
    }

    /// The customer has exactly these files below the prefix, and no upload is open.
    async fn holds_only(&self, names: &[&str]) {
        let mut wanted: Vec<_> = names.iter().map(|name| format!("{PREFIX}{name}")).collect();
        wanted.sort();
        assert_eq!(self.bucket.keys(), wanted);
        assert_eq!(self.bucket.uploads().await, []);
    }

    /// What the operator asked of the bucket, by whatever identity.
    fn asked(&self) -> Vec<AwsRequest> {
        let mut all = self.bucket.requests();
        all.retain(|request| request.caller != self.bucket.owner.root.arn);
        all
    }
}

fn deliver(name: &str, to: &str) -> String {
    let base = format!("destinationRef: {{name: {to}}}\nsource: {{volume: {{path: \"*.csv\"}}}}");
    manifest("OutboundDelivery", name, &base, "")
}
