//! The command line: what was typed becomes a [`Plan`].
//!
//! Promises that nothing here prints or exits: an [`Answer`] says what `main` prints where, and with which code it ends.
//! Subcommands that run (`serve`, `demo`, `healthcheck`) are only planned here; `main` hands the plan to who runs them.
//!
//! Exit codes: 0; 1 failed while running; 2 usage; 78 configuration (contract 10).

mod check;
pub mod demo;
mod init;
mod keys;
mod serve;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Environment, Source, System};

/// Exit code of a failure while running.
pub const FAILED: u8 = 1;
/// Exit code of a wrong configuration.
pub const BAD_CONFIG: u8 = 78;

const ABOUT: &str = "A standalone real-time gateway: Socket.IO clients on one side, HTTP backends in any language on the other.";

const DETAILS: &str = "A standalone real-time gateway: Socket.IO clients on one side, HTTP backends in any language on the other.

Clients connect with any Socket.IO client. What they do reaches your backend as signed HTTP requests; your backend answers
with what is to happen, and calls the gateway's REST API when something happens by itself.

  See what it does:              sockgate demo
  Put it before your backend:    sockgate serve --backend http://localhost:8000/sockgate
  Configure it:                  sockgate init; edit sockgate.toml; sockgate check; sockgate serve";

const AFTER_HELP: &str = "Without a command, `serve` is meant.
Configuration keys can be overridden by variables, such as SOCKGATE__ENGINE__PING_INTERVAL=10s.
Exit codes: 0 fine, 1 failed while running, 2 wrong usage, 78 wrong configuration.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "sockgate",
    version,
    about = ABOUT,
    long_about = DETAILS,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT (the default command)
    Serve(ServeArgs),
    /// Run the gateway with a built-in backend and a chat page, to see what it does
    Demo,
    /// Report everything that is wrong with the configuration, and start nothing
    Check(ConfigArgs),
    /// Write the smallest configuration file that works
    Init {
        /// The file to write; one that exists is never overwritten
        #[arg(default_value = "sockgate.toml")]
        path: PathBuf,
    },
    /// Print a fresh API key and a fresh signing secret, with the lines that configure them
    Keys,
    /// Ask the running gateway whether it is alive: exit code 0 if so, 1 if not, 78 if the configuration does not tell where it is
    Healthcheck(ConfigArgs),
}

/// Which configuration file is read.
#[derive(Debug, Args)]
struct ConfigArgs {
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration file; else SOCKGATE_CONFIG, ./sockgate.toml or /etc/sockgate/sockgate.toml"
    )]
    config: Option<PathBuf>,
}

/// What is run.
#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "config",
        help = "Start without a file and send everything to this backend (http://…, https://… or unix:/socket:/path); else SOCKGATE_BACKEND"
    )]
    backend: Option<String>,
    #[arg(
        long,
        value_name = "env:NAME|file:PATH",
        requires = "backend",
        help = "Where the backend's signing secret is; else SOCKGATE_BACKEND_SECRET, which is the secret itself"
    )]
    secret: Option<String>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Print this and end.
    Answer(Answer),
    /// Run the gateway.
    Serve(Box<Config>),
    /// Run the gateway with the built-in backend and its pages.
    Demo(Box<Config>),
    /// Ask the gateway whose operators come to these addresses.
    Healthcheck(Vec<SocketAddr>),
}

/// What a command has to say, and the exit code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub error: String,
    /// Exit code.
    pub code: u8,
}

impl Answer {
    /// A success with this text, one line end added.
    fn said(output: impl Into<String>) -> Self {
        Self {
            output: output.into() + "\n",
            ..Self::default()
        }
    }

    /// A failure with this text, one line end added.
    pub fn failed(code: u8, error: impl Into<String>) -> Self {
        Self {
            error: error.into() + "\n",
            code,
            ..Self::default()
        }
    }
}

impl From<ConfigError> for Answer {
    fn from(error: ConfigError) -> Self {
        Self::failed(BAD_CONFIG, error.to_string())
    }
}

/// Reads the arguments (the program's name first), and the configuration where the command needs one.
pub fn plan(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    system: &System,
) -> Plan {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return Plan::Answer(usage(&error)),
    };
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::plan(args, environment, system),
        Command::Demo => demo::plan(environment, system),
        Command::Check(args) => Plan::Answer(check::check(args, environment, system)),
        Command::Init { path } => Plan::Answer(init::init(&path)),
        Command::Keys => Plan::Answer(keys::keys()),
        Command::Healthcheck(args) => {
            match config::admin_addresses(&Source::File(args.config), environment, system) {
                Ok(addresses) => Plan::Healthcheck(addresses),
                Err(error) => Plan::Answer(error.into()),
            }
        }
    }
}

/// Help and version are answers; everything else is a mistake.
fn usage(error: &clap::Error) -> Answer {
    let text = error.render().to_string();
    if error.use_stderr() {
        Answer {
            error: text,
            code: u8::try_from(error.exit_code()).unwrap_or(FAILED),
            ..Answer::default()
        }
    } else {
        Answer {
            output: text,
            ..Answer::default()
        }
    }
}
