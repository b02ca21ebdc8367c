//! The binary `vtp`. Step: read the command line, run one subcommand, end with its exit code. In: arguments,
//! a video. Out: files, a result on stdout, everything else on stderr. Never: work of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    vtp_cli::main()
}
