//! The thin binary: what was typed, what is configured, who runs it, how it ended.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use sockgate::app::{self, Addresses};
use sockgate::cli::{self, Answer, Plan};
use sockgate::config::{Config, Environment, System};
use sockgate::server::healthcheck;
use sockgate::telemetry::subscriber;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let plan = cli::plan(
        std::env::args_os(),
        &Environment::of_process(),
        &System::read(),
    );
    let answer = match plan {
        Plan::Answer(answer) => answer,
        Plan::Serve(config) => serve(*config),
        Plan::Demo(config) => demo(*config),
        Plan::Healthcheck(addresses) => healthcheck(&addresses),
    };
    print(&answer.output);
    std::io::stderr().write_all(answer.error.as_bytes()).ok();
    ExitCode::from(answer.code)
}

fn serve(config: Config) -> Answer {
    subscriber::start(&config.log);
    // `max_connections` counts on it; where it is forbidden, accepting copes with what there is.
    if let Err(error) = System::raise_file_limit() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let config = Arc::new(config);
    let path = config.transport.path.clone();
    match app::run(&config, |addresses| print(&greeting(addresses, &path))) {
        Ok(()) => Answer::default(),
        Err(error) => Answer::failed(cli::FAILED, chain(&error)),
    }
}

fn demo(config: Config) -> Answer {
    subscriber::start(&config.log);
    let config = Arc::new(config);
    let greet = |addresses: &Addresses| print(&cli::demo::greeting(addresses));
    match app::run_with(&config, cli::demo::pages, greet) {
        Ok(()) => Answer::default(),
        Err(error) => cli::demo::failure(&error, &chain(&error)),
    }
}

fn healthcheck(addresses: &[SocketAddr]) -> Answer {
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map(|runtime| runtime.block_on(healthcheck::ask(addresses)));
    match outcome {
        Ok(Ok(())) => Answer::default(),
        Ok(Err(error)) => Answer::failed(cli::FAILED, chain(&error)),
        Err(error) => Answer::failed(cli::FAILED, chain(&error)),
    }
}

/// Where the gateway listens: for people, and for scripts that start it with port 0.
fn greeting(addresses: &Addresses, path: &str) -> String {
    let clients = addresses
        .clients
        .iter()
        .map(|a| format!("clients  http://{a}{path}\n"));
    let api = addresses
        .api
        .iter()
        .map(|a| format!("api      http://{a}/v1\n"));
    let admin = addresses
        .admin
        .iter()
        .map(|a| format!("admin    http://{a}\n"));
    clients
        .chain(api)
        .chain(admin)
        .chain(["ready\n".to_owned()])
        .collect()
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
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}
