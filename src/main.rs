//! The `outbound-operator` binary.

fn main() -> std::process::ExitCode {
    outbound_operator::cli::main()
}
