//! `verify`: proves destinations from manifests, with the operator's own code.

use std::process::ExitCode;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::input::{BadInput, Chosen, Input, label};
use super::{objects, report};
use crate::api::{ConditionType, OutboundDestination, Status};
use crate::controllers::Offline;
use crate::runtime::{on_termination, start_logging};

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// The objects with the status that the operator would write.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Proves the destinations. 0: all are verified; 1: one isn't; 2: bad input.
pub(super) fn main(input: &Input, output: Output) -> ExitCode {
    let chosen = match input.choose() {
        Ok(chosen) => chosen,
        Err(bad) => return bad.exit(),
    };
    // The operator's log would stand between the lines of progress: only for who asks for it.
    if std::env::var_os("RUST_LOG").is_some() {
        start_logging(None);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("outbound-operator verify: the runtime can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let proved = match runtime.block_on(prove(chosen)) {
        Ok(proved) => proved,
        Err(bad) => return bad.exit(),
    };
    match print(&proved.objects, output) {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("outbound-operator verify: {error}");
            return ExitCode::FAILURE;
        }
    }
    if !proved.interrupted && proved.objects.iter().all(is_ready) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Proved {
    objects: Vec<OutboundDestination>,
    /// Whether not all were looked at.
    interrupted: bool,
}

/// One after the other: a proof is three requests, and what is told stays in order.
async fn prove(chosen: Chosen) -> Result<Proved, BadInput> {
    let stop = CancellationToken::new();
    on_termination(stop.clone())?;
    let offline = Offline::new(chosen.config, &chosen.manifests).await;
    let mut objects = Vec::new();
    for destination in chosen.destinations {
        // A proof that has begun is let to its end: it would leave an upload open.
        if stop.is_cancelled() {
            return Ok(Proved {
                objects,
                interrupted: true,
            });
        }
        let label = label(&destination);
        eprintln!("{label}: proving our access to {}", destination.spec.bucket);
        let proved = offline.proved(destination).await;
        let verdict = if is_ready(&proved) {
            "verified"
        } else {
            "not verified"
        };
        eprintln!("{label}: {verdict}");
        objects.push(proved);
    }
    Ok(Proved {
        objects,
        interrupted: false,
    })
}

fn is_ready(destination: &OutboundDestination) -> bool {
    let status = destination.status.as_ref();
    let ready = status.and_then(|status| status.condition(ConditionType::Ready));
    ready.is_some_and(|ready| ready.status == Status::True)
}

fn print(
    proved: &[OutboundDestination],
    output: Output,
) -> Result<String, Box<dyn std::error::Error>> {
    match output {
        Output::Table => Ok(report::table(proved)),
        Output::Json => objects::json(proved),
        Output::Yaml => objects::yaml(proved),
    }
}
