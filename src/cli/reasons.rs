//! `reasons`: prints the page of all reasons, or writes `docs/reasons.md`.

use std::path::Path;
use std::process::ExitCode;

use crate::api::reasons_page;

/// Prints to standard output, or writes the file `output`.
pub(super) fn main(output: Option<&Path>) -> ExitCode {
    let page = reasons_page();
    let Some(file) = output else {
        print!("{page}");
        return ExitCode::SUCCESS;
    };
    match std::fs::write(file, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let file = file.display();
            eprintln!("outbound-operator reasons: {file} can't be written: {error}");
            ExitCode::FAILURE
        }
    }
}
