//! `serve`: the configuration of the gateway that is to run.

use super::{Plan, ServeArgs};
use crate::config::{Config, Environment, Source, System};

/// Loads the configuration; `main` runs the gateway with it.
pub(super) fn plan(args: ServeArgs, environment: &Environment, system: &System) -> Plan {
    let source = match args.backend {
        Some(url) => Source::Backend {
            url,
            secret: args.secret,
        },
        None => Source::File(args.config.config),
    };
    match Config::load(&source, environment, system) {
        Ok(config) => Plan::Serve(Box::new(config)),
        Err(error) => Plan::Answer(error.into()),
    }
}
