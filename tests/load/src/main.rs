//! The load generator of Sockgate, and the small servers that it measures beside the gateway or needs behind it.
//!
//! One thread over raw epoll, which prepares every message before it measures and checks every message that arrives: a figure
//! comes with the proof that the work was done, or not at all.
//!
//! ```text
//! scenario ─► client (Crowd, Script) ─► websocket, http ─► sockets ◄─ limit, backend
//!     └─────► server (Stage) ─► process          └─ meter ─► report
//! ```
#![forbid(unsafe_code)]

mod backend;
mod client;
mod digits;
mod http;
mod latency;
mod limit;
mod meter;
mod process;
mod report;
mod scenario;
mod server;
mod sockets;
mod websocket;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum as _};

use crate::report::{Context, Outcome};
use crate::scenario::{Case, Scenario};
use crate::server::{Kind, Stage};

/// Clients that this machine's limit of open files must hold, with some to spare.
const SPARE_FILES: u64 = 200;

#[derive(Debug, Parser)]
#[command(
    name = "tests/load/run",
    about = "Measures the gateway; tests/load/README.md says how to read it."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios and prints one JSON object for each
    Measure(Measure),
    /// Becomes the server without any protocol
    Limit {
        /// Seconds between pings; 0: none
        ping_interval: u64,
    },
    /// Becomes a backend for webhooks
    Backend,
    /// Becomes another program, on one core
    Pinned {
        core: usize,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
struct Measure {
    /// What to run [default: all]
    scenarios: Vec<Scenario>,
    /// The servers to measure
    #[arg(long, value_delimiter = ',', default_value = "sockgate,limit")]
    servers: Vec<Kind>,
    /// Passes of each case; the lowest counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    passes: u8,
    /// Numbers of clients, instead of each scenario's own
    #[arg(long, value_delimiter = ',')]
    clients: Vec<usize>,
    /// Lengths of an event's argument, instead of each scenario's own
    #[arg(long, value_delimiter = ',')]
    bytes: Vec<usize>,
    /// How much is counted in a pass, instead of each scenario's own
    #[arg(long)]
    operations: Option<u64>,
    /// Before each pass wait until the rest of the machine has been quiet for a second, at most so many seconds
    #[arg(long, default_value_t = 0)]
    quiet: u64,
    /// Print a table in Markdown instead of JSON
    #[arg(long)]
    table: bool,
    /// Also write the JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway's binary
    #[arg(long, env = "SOCKGATE_BIN")]
    gateway: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Measure(options) => measure(&options),
        Command::Limit { ping_interval } => {
            limit::serve((ping_interval > 0).then(|| Duration::from_secs(ping_interval)))
        }
        Command::Backend => backend::serve(),
        Command::Pinned { core, command } => process::become_pinned(core, &command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Measure) -> Result<()> {
    let files = process::raise_file_limit()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (server_core, generator_core) = process::cores()?;
    process::pin(generator_core)?;
    let stage = Stage {
        server_core,
        generator_core,
        gateway: options.gateway.canonicalize().context("no gateway")?,
    };
    let context = Context::of_process(cores, (server_core, generator_core));
    let mut log = options
        .json
        .as_ref()
        .map(std::fs::File::create)
        .transpose()?;
    let mut outcomes = Vec::new();
    for case in cases(options) {
        ensure!(
            case.clients as u64 + SPARE_FILES <= files,
            "{} clients, but only {files} open files",
            case.clients
        );
        let outcome = run(&case, options, &stage)?;
        let line = outcome.json(&context).to_string();
        if let Some(log) = &mut log {
            writeln!(log, "{line}")?;
        }
        if !options.table {
            println!("{line}");
        }
        outcomes.push(outcome);
    }
    if options.table {
        print!("{}", report::table(&outcomes, &context));
    }
    Ok(())
}

fn cases(options: &Measure) -> Vec<Case> {
    let scenarios = if options.scenarios.is_empty() {
        Scenario::value_variants()
    } else {
        &options.scenarios
    };
    let cases = scenarios.iter();
    cases
        .flat_map(|s| s.cases(&options.clients, &options.bytes, options.operations))
        .collect()
}

/// All passes of a case, in which the servers take turns.
fn run(case: &Case, options: &Measure, stage: &Stage) -> Result<Outcome> {
    let load = report::load()?;
    let chosen = options
        .servers
        .iter()
        .filter(|kind| case.scenario.is_for(**kind));
    let mut servers: Vec<(Kind, Vec<_>)> = chosen.map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..options.passes {
        for (kind, passes) in &mut servers {
            meter::wait_until_quiet(Duration::from_secs(options.quiet))?;
            let server = stage.start(*kind, case.scenario.needs())?;
            let words = || {
                let (scenario, kind) = (report::name(&case.scenario), report::name(kind));
                format!("{scenario}, {} clients, {kind}", case.clients)
            };
            let pass = case.run(&server);
            let pass = pass.with_context(|| format!("{}; its log:\n{}", words(), server.log()))?;
            eprintln!("{}: {:.3} {}", words(), pass.figure, case.scenario.unit());
            passes.push(pass);
        }
    }
    Ok(Outcome {
        case: *case,
        servers,
        load,
    })
}
