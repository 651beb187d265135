//! Pages that are made from the types.

use std::path::Path;
use std::process::ExitCode;

/// Prints the page to standard output, or writes the file `output`; `command` is who says so where it can't.
pub(super) fn print(command: &str, page: &str, output: Option<&Path>) -> ExitCode {
    let Some(file) = output else {
        print!("{page}");
        return ExitCode::SUCCESS;
    };
    match std::fs::write(file, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let file = file.display();
            eprintln!("outbound-operator {command}: {file} can't be written: {error}");
            ExitCode::FAILURE
        }
    }
}
