//! The commands.

mod crds;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Hands data files to customers' S3 buckets, as declared in Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "outbound-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the controllers in the foreground.
    Run {
        /// The operator's configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints the CustomResourceDefinitions.
    Crds {
        /// Writes one file a kind into this folder instead.
        #[arg(long)]
        output: Option<PathBuf>,
    },
}

/// Parses the process's arguments and runs the command. Exit code 0: done; 1: not so; 2: bad input.
#[must_use]
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { config } => run::main(&config),
        Command::Crds { output } => crds::main(output.as_deref()),
    }
}
