//! `plan`: what deliveries would write, by the operator's own planner. Reads the sources, and contacts nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;
use indicatif::HumanBytes;
use serde::Serialize;

use super::input::{BadInput, DeliveryInput, label};
use super::report::columns;
use crate::api::OutboundDelivery;
use crate::controllers::{Offline, Preview, Then, Unplanned};
use crate::text::line;
use crate::yaml;

/// The shape of what `-o json` prints; it grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// How the plans are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// docs/commands.md describes the fields.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Prints the plans. 0: all could begin; 1: one couldn't; 2: bad input.
pub(super) fn main(input: &DeliveryInput, output: Output) -> ExitCode {
    let printed = match read(input) {
        Ok(plans) => print(&plans, output).map(|text| (text, plans.is_fine())),
        Err(bad) => return bad.exit(),
    };
    match printed {
        Ok((text, is_fine)) => {
            print!("{text}");
            if is_fine {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("outbound-operator plan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(input: &DeliveryInput) -> Result<Plans, BadInput> {
    let chosen = input.choose_to_plan()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _within = runtime.enter();
    let offline = runtime.block_on(Offline::for_planning(
        chosen.config,
        &chosen.manifests.destinations,
        &chosen.deliveries,
    ));
    let mut places = Places::default();
    let mut plans = Vec::new();
    for delivery in &chosen.deliveries {
        let found = runtime.block_on(offline.previewed(delivery, chosen.tenancy));
        if let Ok(preview) = &found {
            places.add(delivery, preview);
        }
        plans.push(DeliveryPlan::new(delivery, found));
    }
    Ok(Plans {
        version: VERSION,
        deliveries: plans,
        collisions: places.collisions(),
    })
}

/// Everything that is printed.
#[derive(Serialize)]
struct Plans {
    version: u32,
    deliveries: Vec<DeliveryPlan>,
    /// Keys that several of the deliveries want.
    collisions: Vec<Collision>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryPlan {
    namespace: String,
    name: String,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Planned>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    reason: &'static str,
    message: String,
    then: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    bucket: String,
    files: usize,
    bytes: u64,
    parts: u64,
    memory: u64,
    objects: Vec<Object>,
    receipt: Receipt,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    sequence: u32,
    key: String,
    bytes: u64,
    /// Bytes of the repeated first record among them.
    header: u64,
    parts: u64,
    part_size: u64,
    source: Source,
}

#[derive(Serialize)]
struct Source {
    path: String,
    offset: u64,
}

#[derive(Serialize)]
struct Receipt {
    key: String,
}

#[derive(Serialize)]
struct Collision {
    bucket: String,
    key: String,
    deliveries: Vec<String>,
}

impl Plans {
    fn is_fine(&self) -> bool {
        self.collisions.is_empty() && self.deliveries.iter().all(|plan| plan.refused.is_none())
    }
}

impl DeliveryPlan {
    fn new(delivery: &OutboundDelivery, found: Result<Preview, Unplanned>) -> Self {
        let (plan, refused) = match found {
            Ok(preview) => (Some(Planned::from(preview)), None),
            Err(unplanned) => (None, Some(Refused::from(unplanned))),
        };
        Self {
            namespace: delivery.metadata.namespace.clone().unwrap_or_default(),
            name: delivery.metadata.name.clone().unwrap_or_default(),
            destination: delivery.spec.destination_ref.name.clone(),
            refused,
            plan,
        }
    }
}

impl From<Unplanned> for Refused {
    fn from(unplanned: Unplanned) -> Self {
        Self {
            reason: unplanned.reason.as_str(),
            message: unplanned.message,
            then: match unplanned.then {
                Then::Fails => "Fails",
                Then::Waits => "Waits",
                Then::Stalls => "Stalls",
            },
        }
    }
}

impl From<Preview> for Planned {
    fn from(preview: Preview) -> Self {
        let (plan, layouts) = (preview.plan, preview.parts);
        let object =
            |(object, layout): (&crate::plan::PlannedObject, &crate::plan::PartLayout)| Object {
                sequence: object.sequence,
                key: object.key.as_str().to_owned(),
                bytes: object.len(),
                header: object.header,
                parts: layout.count(),
                part_size: layout.largest(),
                source: Source {
                    path: plan.sources()[object.source].path.clone(),
                    offset: object.range.offset,
                },
            };
        Self {
            bucket: preview.bucket,
            files: plan.sources().len(),
            bytes: plan.bytes_total(),
            parts: layouts.iter().map(crate::plan::PartLayout::count).sum(),
            memory: preview.memory,
            objects: plan.objects().iter().zip(&layouts).map(object).collect(),
            receipt: Receipt {
                key: plan.receipt().as_str().to_owned(),
            },
        }
    }
}

/// Who wants which key, over all deliveries: (store, bucket, key) to the deliveries.
#[derive(Default)]
struct Places(BTreeMap<(Option<String>, String, String), Vec<String>>);

impl Places {
    fn add(&mut self, delivery: &OutboundDelivery, preview: &Preview) {
        let objects = preview.plan.objects().iter().map(|object| &object.key);
        for key in objects.chain([preview.plan.receipt()]) {
            let place = (
                preview.endpoint.clone(),
                preview.bucket.clone(),
                key.as_str().to_owned(),
            );
            self.0.entry(place).or_default().push(label(delivery));
        }
    }

    fn collisions(self) -> Vec<Collision> {
        let several = self
            .0
            .into_iter()
            .filter(|(_, deliveries)| deliveries.len() > 1);
        several
            .map(|((_, bucket, key), deliveries)| Collision {
                bucket,
                key,
                deliveries,
            })
            .collect()
    }
}

fn print(plans: &Plans, output: Output) -> Result<String, Box<dyn std::error::Error>> {
    match output {
        Output::Table => Ok(table(plans)),
        Output::Json => Ok(serde_json::to_string_pretty(plans)? + "\n"),
        Output::Yaml => Ok(yaml::write(plans)?),
    }
}

fn table(plans: &Plans) -> String {
    let mut blocks: Vec<String> = plans.deliveries.iter().map(block).collect();
    if !plans.collisions.is_empty() {
        let mut text = "keys that several deliveries want: the first to come gets them, the others end with ObjectExists\n".to_owned();
        let mut rows = vec![["BUCKET", "KEY", "DELIVERIES"].map(str::to_owned)];
        rows.extend(plans.collisions.iter().map(|collision| {
            [
                collision.bucket.clone(),
                line(&collision.key),
                collision.deliveries.join(", "),
            ]
        }));
        columns(&mut text, &rows);
        blocks.push(text);
    }
    blocks.join("\n")
}

fn block(delivery: &DeliveryPlan) -> String {
    let mut text = format!(
        "{}/{} to {}\n",
        delivery.namespace, delivery.name, delivery.destination
    );
    if let Some(refused) = &delivery.refused {
        let rows = [
            [refused.then, refused.reason].map(str::to_owned),
            ["Message".to_owned(), line(&refused.message)],
        ];
        columns(&mut text, &rows);
    }
    let Some(plan) = &delivery.plan else {
        return text;
    };
    let rows = [
        ("Bucket", plan.bucket.clone()),
        ("Files", plan.files.to_string()),
        ("Objects", plan.objects.len().to_string()),
        (
            "Bytes",
            format!("{} ({})", plan.bytes, HumanBytes(plan.bytes)),
        ),
        ("Parts", plan.parts.to_string()),
        ("Memory", format!("{} at most", HumanBytes(plan.memory))),
        ("Receipt", line(&plan.receipt.key)),
    ];
    columns(
        &mut text,
        &rows.map(|(name, value)| [name.to_owned(), value]),
    );
    let mut rows = vec![["#", "KEY", "BYTES", "PARTS", "SOURCE", "FROM BYTE"].map(str::to_owned)];
    rows.extend(plan.objects.iter().map(|object| {
        [
            object.sequence.to_string(),
            line(&object.key),
            object.bytes.to_string(),
            parts(object),
            line(&object.source.path),
            object.source.offset.to_string(),
        ]
    }));
    text.push('\n');
    columns(&mut text, &rows);
    text
}

fn parts(object: &Object) -> String {
    let mut text = object.parts.to_string();
    if object.parts > 1 {
        // Writing into a String can't fail.
        let _ = write!(text, " of {}", HumanBytes(object.part_size));
    }
    text
}
