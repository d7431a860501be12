//! The thin binary: what was typed, what is configured, who runs it, how it ended.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use sockgate::cli::{self, Answer, Plan};
use sockgate::config::{Environment, System};

fn main() -> ExitCode {
    let plan = cli::plan(
        std::env::args_os(),
        &Environment::of_process(),
        &System::read(),
    );
    let answer = match plan {
        Plan::Answer(answer) => answer,
        Plan::Serve(_) | Plan::Demo | Plan::Healthcheck(_) => {
            Answer::failed(cli::FAILED, "this command is not there yet")
        }
    };
    // Who closed the pipe does not want the rest.
    std::io::stdout().write_all(answer.output.as_bytes()).ok();
    std::io::stderr().write_all(answer.error.as_bytes()).ok();
    ExitCode::from(answer.code)
}
