//! The thin binary: what was typed, what is configured, who runs it, how it ended.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use sockgate::app::{self, Addresses};
use sockgate::cli::{self, Answer, Plan};
use sockgate::config::{Config, Environment, System};
use sockgate::telemetry::subscriber;

fn main() -> ExitCode {
    let plan = cli::plan(
        std::env::args_os(),
        &Environment::of_process(),
        &System::read(),
    );
    let answer = match plan {
        Plan::Answer(answer) => answer,
        Plan::Serve(config) => serve(*config),
        Plan::Demo | Plan::Healthcheck(_) => {
            Answer::failed(cli::FAILED, "this command is not there yet")
        }
    };
    print(&answer.output);
    std::io::stderr().write_all(answer.error.as_bytes()).ok();
    ExitCode::from(answer.code)
}

fn serve(config: Config) -> Answer {
    subscriber::start(&config.log);
    let config = Arc::new(config);
    let path = config.transport.path.clone();
    match app::run(&config, |addresses| print(&greeting(addresses, &path))) {
        Ok(()) => Answer::default(),
        Err(error) => Answer::failed(cli::FAILED, chain(&error)),
    }
}

/// Where the gateway listens: for people, and for scripts that start it with port 0.
fn greeting(addresses: &Addresses, path: &str) -> String {
    let mut text = String::new();
    for address in &addresses.clients {
        text += &format!("clients  http://{address}{path}\n");
    }
    for address in &addresses.api {
        text += &format!("api      http://{address}/v1\n");
    }
    for address in &addresses.admin {
        text += &format!("admin    http://{address}\n");
    }
    text + "ready\n"
}

/// Who closed the pipe does not want the rest.
fn print(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .ok();
}

/// The error and everything behind it, in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
