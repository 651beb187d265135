//! `config-schema`: prints the JSON schema of the operator's configuration file.

use std::process::ExitCode;

use crate::config::Config;

/// Prints to standard output.
pub(super) fn main() -> ExitCode {
    match serde_json::to_string_pretty(&Config::schema()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("outbound-operator config-schema: {error}");
            ExitCode::FAILURE
        }
    }
}
