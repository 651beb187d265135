//! `grant`: the policies for a customer, from manifests. Nothing is contacted.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::input::{BadInput, Input, label};
use crate::api::{Grant, OutboundDestination, PermissionMode};
use crate::controllers::Offline;
use crate::yaml;

/// How the policies are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Each policy, with who pastes it where.
    Text,
    /// The policies by destination.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Prints the policies. 0: done; 2: bad input.
pub(super) fn main(input: &Input, output: Output) -> ExitCode {
    match render(input, output) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(bad) => bad.exit(),
    }
}

fn render(input: &Input, output: Output) -> Result<String, BadInput> {
    let chosen = input.choose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let offline = runtime.block_on(Offline::new(chosen.config, &chosen.manifests));
    let _within = runtime.enter();
    let mut grants = Vec::new();
    for destination in &chosen.destinations {
        let grant = offline.granted(destination).ok_or_else(|| {
            BadInput::new(format!(
                "{}: the configuration has no identity, which the customer's policy must name",
                label(destination)
            ))
        })?;
        grants.push((destination, grant));
    }
    match output {
        Output::Text => {
            let blocks: Vec<String> = grants.iter().map(|(d, grant)| text(d, grant)).collect();
            Ok(blocks.join("\n"))
        }
        Output::Json => Ok(serde_json::to_string_pretty(&list(&grants)?)? + "\n"),
        Output::Yaml => Ok(yaml::write(&list(&grants)?)?),
    }
}

fn list(grants: &[(&OutboundDestination, Grant)]) -> Result<Value, serde_json::Error> {
    let mut listed = Vec::new();
    for (destination, grant) in grants {
        listed.push(json!({
            "namespace": destination.metadata.namespace,
            "name": destination.metadata.name,
            "grant": serde_json::to_value(grant)?,
        }));
    }
    Ok(Value::Array(listed))
}

fn text(destination: &OutboundDestination, grant: &Grant) -> String {
    let mode = destination.spec.permission_mode;
    let mut text = format!("{} ({mode:?})\n", label(destination));
    let policies = serde_json::to_value(grant).unwrap_or_default();
    for name in ["bucketPolicy", "trustPolicy", "keyPolicy", "identityPolicy"] {
        if let Some(policy) = policies[name].as_str() {
            // Writing into a String can't fail.
            let _ = write!(text, "\n{name}: {}\n{policy}\n", place(name, destination));
        }
    }
    text
}

/// Who pastes it where.
fn place(name: &str, destination: &OutboundDestination) -> String {
    let bucket = &destination.spec.bucket;
    match (name, destination.spec.permission_mode) {
        ("bucketPolicy", _) => {
            format!("the customer adds this statement to the policy of the bucket {bucket}")
        }
        ("trustPolicy", _) => "the customer makes this the trust policy of the role".to_owned(),
        ("keyPolicy", _) => {
            "the customer adds this statement to the policy of the bucket's KMS key".to_owned()
        }
        (_, PermissionMode::AccessKey) => {
            "the customer attaches this to the IAM user whose access key the Secret holds"
                .to_owned()
        }
        (_, PermissionMode::CrossAccount | PermissionMode::AssumeRole) => {
            "we attach this to our own role; across accounts AWS asks for both sides".to_owned()
        }
    }
}
