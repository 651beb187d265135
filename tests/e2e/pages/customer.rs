//! The customer's side of the pages: their account at the test AWS, and the commands by which they let us in. There is no
//! AWS CLI here, so each command is done by what it would call.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Account, Aws, AwsKey};

/// The customers' account, their buckets with the regions that they lie in.
pub(super) const ACCOUNT: &str = "111122223333";
const BUCKETS: [(&str, &str); 4] = [
    ("acme-inbound", "eu-west-1"),
    ("initech-inbound", "eu-west-1"),
    ("umbrella-inbound", "eu-west-1"),
    // Reached by `endpoint`, where we can't learn another region.
    ("globex-inbound", "us-east-1"),
];

/// An account of that number.
pub(super) fn account(aws: &Aws, id: &str) -> Account {
    Account {
        aws: aws.clone(),
        id: id.to_owned(),
        partition: "aws".to_owned(),
        root: aws.admin("account", &json!({"id": id, "partition": "aws"})),
    }
}

pub(super) struct Customer {
    aws: Aws,
    account: Account,
    /// Where the pages' files are.
    folder: std::path::PathBuf,
}

impl Customer {
    pub(super) fn new(aws: &Aws, folder: &Path) -> Customer {
        let account = account(aws, ACCOUNT);
        for (name, region) in BUCKETS {
            let request = json!({"name": name, "owner": ACCOUNT, "region": region});
            aws.admin::<Value>("bucket", &request);
        }
        Customer {
            aws: aws.clone(),
            account,
            folder: folder.to_owned(),
        }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).expect("a file that a command has written")
    }

    /// Does what the command would; whether it is the customer's at all.
    pub(super) fn does(&self, command: &str) -> bool {
        if !command.starts_with("aws ") {
            return false;
        }
        let user = format!("arn:aws:iam::{ACCOUNT}:user/outbound");
        let role = format!("arn:aws:iam::{ACCOUNT}:role/drop");
        match command {
            // Shows what is there; nothing is.
            "aws s3api get-bucket-policy --bucket acme-inbound --query Policy --output text" => {}
            "aws s3api put-bucket-policy --bucket acme-inbound --policy file://bucket.json" => {
                let request = json!({"name": "acme-inbound", "policy": self.file("bucket.json")});
                self.aws.admin::<Value>("bucket-policy", &request);
            }
            "aws iam create-role --role-name drop --assume-role-policy-document file://trust.json" =>
            {
                assert_eq!(
                    self.account.role("drop", &self.file("trust.json"), &[]),
                    role
                );
            }
            "aws iam put-role-policy --role-name drop --policy-name outbound --policy-document file://permissions.json" =>
            {
                self.aws
                    .set_policies(&role, &[&self.file("permissions.json")]);
            }
            // The test AWS makes user and key at once: below.
            "aws iam create-user --user-name outbound" => {}
            "aws iam put-user-policy --user-name outbound --policy-name outbound --policy-document file://user.json" =>
            {
                self.hands_over(&self.account.user("outbound", &[]));
                self.aws.set_policies(&user, &[&self.file("user.json")]);
            }
            "aws iam create-access-key --user-name outbound" => {}
            _ => panic!("a command of the customer's that nobody does: {command}"),
        }
        true
    }

    /// Makes a user with that policy, and hands its key over.
    pub(super) fn lets_in(&self, policy: &str) {
        self.hands_over(&self.account.user("globex", &[policy]));
    }

    /// `globex.env`, as the pages describe it.
    fn hands_over(&self, key: &AwsKey) {
        let lines = format!(
            "accessKeyId={}\nsecretAccessKey={}\n",
            key.access_key_id, key.secret_access_key
        );
        std::fs::write(self.folder.join("globex.env"), lines).expect("write a key");
    }

    /// What is in a bucket of theirs.
    pub(super) async fn keys(&self, bucket: &str) -> Vec<String> {
        let (_, region) = BUCKETS
            .iter()
            .find(|(name, _)| *name == bucket)
            .expect("a bucket");
        let client = self.aws.client(&self.account.root, region);
        let listed = client.list_objects_v2().bucket(bucket).send().await;
        let listed = listed.expect("a listing");
        let keys = listed.contents().iter().filter_map(|object| object.key());
        keys.map(str::to_owned).collect()
    }
}
