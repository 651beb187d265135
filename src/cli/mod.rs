//! The commands.

mod config_schema;
mod crds;
mod deliver;
mod grant;
mod input;
mod objects;
mod outcome;
mod page;
mod plan;
mod progress;
mod report;
mod run;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::api::{reasons_page, reference_page};

/// What `--help` says beside the commands.
const ENVIRONMENT: &str = "Exit codes: 0 done, 1 not so, 2 bad input.\n\
    Environment: KUBECONFIG (else ~/.kube/config, else the pod's ServiceAccount), the AWS SDK's variables for our own identity, RUST_LOG.";

/// Hands data files to customers' S3 buckets, as declared in Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "outbound-operator", version, after_help = ENVIRONMENT)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the controllers in the foreground.
    Run {
        /// The operator's configuration file (YAML; docs/configuration.md lists the keys).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Prints the CustomResourceDefinitions.
    Crds {
        /// Writes one file a kind into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
    /// Proves destinations from their manifests, without a cluster: an upload is created, one part sent, and the upload aborted.
    Verify {
        #[command(flatten)]
        input: input::Input,
        /// How the result is printed; json and yaml are the objects with the status that the operator would write.
        #[arg(short, long, value_enum, default_value_t = verify::Output::Table)]
        output: verify::Output,
    },
    /// Prints the policies that a destination needs, and who pastes each where. Nothing is contacted.
    Grant {
        #[command(flatten)]
        input: input::Input,
        /// How the policies are printed.
        #[arg(short, long, value_enum, default_value_t = grant::Output::Text)]
        output: grant::Output,
    },
    /// Tells what deliveries would write: files, objects, keys, bytes, parts, memory, and what would be refused. Reads the sources, contacts nothing.
    Plan {
        #[command(flatten)]
        input: input::DeliveryInput,
        /// How the plans are printed.
        #[arg(short, long, value_enum, default_value_t = plan::Output::Table)]
        output: plan::Output,
    },
    /// Delivers without a cluster, with the operator's own code: proves the destinations, plans, uploads, verifies, writes the receipts. Run again it goes on where it was.
    Deliver {
        #[command(flatten)]
        input: input::DeliveryInput,
        #[command(flatten)]
        options: deliver::Options,
    },
    /// Prints the JSON schema of the configuration file; `make generate` puts it into the chart's.
    #[command(hide = true)]
    ConfigSchema,
    /// Prints the page of all conditions' reasons (docs/reasons.md).
    #[command(hide = true)]
    Reasons {
        /// Writes this file instead.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Prints the page of all fields (docs/reference.md).
    #[command(hide = true)]
    Reference {
        /// Writes this file instead.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Parses the process's arguments and runs the command. Exit code 0: done; 1: not so; 2: bad input.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => run::main(&config),
        Command::Crds { output } => crds::main(output.as_deref()),
        Command::Verify { input, output } => verify::main(&input, output),
        Command::Grant { input, output } => grant::main(&input, output),
        Command::Plan { input, output } => plan::main(&input, output),
        Command::Deliver { input, options } => deliver::main(&input, &options),
        Command::Reasons { output } => page::print("reasons", &reasons_page(), output.as_deref()),
        Command::Reference { output } => {
            page::print("reference", &reference_page(), output.as_deref())
        }
        Command::ConfigSchema => config_schema::main(),
    }
}
