//! Permission modes against the test AWS: accounts, roles and policies as customers have them. What is
//! granted is what the status prints, word for word.

mod cross_account;
mod test_aws;

use serde_json::{Value, json};

use crate::support::manifest::manifest;
use crate::support::process::unique;
use crate::support::world::PREFIX;
use crate::support::{Account, Aws, AwsBucket, OperatorConfig, S3Server, World};

const REGION: &str = "us-east-1";

/// Two companies at AWS: the customer with a bucket, and us with the role that our operator has. Neither
/// grants anything yet. Dropped in this order: the operator first.
struct Companies {
    world: World,
    bucket: AwsBucket,
    customer: Account,
    #[allow(dead_code, reason = "used by the topics to come")]
    ours: Account,
    /// Our role's ARN: the `principalArn` of the configuration.
    role: String,
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
        let rule = json!({
            "namespaces": ["*"],
            "crossAccountBuckets": [{"bucket": bucket.name(), "owners": [customer.id], "prefixes": [PREFIX]}],
        });
        let configure = |config: OperatorConfig| {
            let config = config
                .with("identity.accountId", ours.id.clone())
                .with("identity.principalArn", role.clone())
                .with("endpoints.allow", json!([aws.url()]))
                .with("endpoints.s3", aws.url())
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
            customer,
            ours,
            role,
            aws,
        }
    }

    /// A CrossAccount destination for the customer's bucket.
    fn cross_account(&self, name: &str, change: &str) {
        let base = format!(
            "bucket: {}\nprefix: {PREFIX}\nregion: {}\nbucketOwner: \"{}\"\npermissionMode: CrossAccount",
            self.bucket.name(),
            self.bucket.region(),
            self.customer.id,
        );
        self.world
            .apply(&manifest("OutboundDestination", name, &base, change));
    }

    /// One of the policies in `status.grant`, once it is there: the text, as a customer copies it.
    async fn grant(&self, name: &str, policy: &str) -> String {
        let what = format!("{name} has status.grant.{policy}");
        let found = |object: &Value| Some(object["status"]["grant"][policy].as_str()?.to_owned());
        self.world
            .eventually(crate::support::wait::PATIENCE, &what, "obdest", name, found)
            .await
    }

    /// Both companies paste what the status of that CrossAccount destination shows, and a new proof is
    /// asked for.
    async fn paste_grants(&self, name: &str) {
        let policy = self.grant(name, "bucketPolicy").await;
        self.bucket.paste_policy(&policy);
        let policy = self.grant(name, "identityPolicy").await;
        self.aws.set_policies(&self.role, &[&policy]);
        self.world.request("obdest", name, &unique("granted")).await;
    }

    /// No object but those with these keys below the prefix, and no open upload.
    async fn holds_only(&self, names: &[&str]) {
        let mut wanted: Vec<_> = names.iter().map(|name| format!("{PREFIX}{name}")).collect();
        wanted.sort();
        assert_eq!(self.bucket.keys(), wanted);
        assert_eq!(self.bucket.uploads().await, []);
    }
}
