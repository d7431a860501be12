//! What an operator wrote, and what it means.
//!
//! `RawConfig` is what was written: file, environment and flags, merged into one tree in which every value knows its place.
//! [`Config`] is what it means: typed settings, complete and free of contradictions. The rest of the program sees only the
//! second.
//!
//! ```text
//! start    which file, or --backend ─┐
//! file     TOML with positions       ├─► layers: merged by `config` ─► raw: read table by table ─► Config
//! environment, flags                 ┘                                  server engine limits api upstream namespace route
//! ```
//!
//! Promises that all problems are reported at once (contract 10): each with its file, line and column, or the variable or flag it
//! came from, the path of its key, and for a typing mistake the nearest word that is right. A key of a later issue is refused
//! unless it says "off" (contract 14). Secrets are in no message.
//!
//! Does not bind, connect or resolve anything: that a backend can be reached is found out at run time.
//!
//! # Why
//! A document is not deserialised as a whole; see `raw`. Layers are merged before anything is checked, so that a value which a
//! variable replaces need not be right.

mod address;
mod api;
mod engine;
mod environment;
mod file;
mod header;
mod layers;
mod limits;
mod name;
mod namespace;
mod problem;
mod raw;
mod reach;
mod route;
mod secret;
mod server;
mod start;
mod system;
#[cfg(test)]
mod tests;
mod upstream;
mod value;
mod warnings;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use environment::{Environment, VariableError};
pub use limits::LIMIT_KEYS;
pub use problem::{ConfigError, Place, Problem};
pub use system::System;

use crate::hub::id::ShardId;
use raw::{RawConfig, Table};

/// Share of the memory for queues to clients, in hundredths.
const OUTBOX_SHARE: u8 = 25;

/// Everything that the gateway is told at start, complete and free of contradictions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Listeners, threads, shutdown.
    pub server: crate::server::settings::Settings,
    /// Engine.IO.
    pub transport: crate::transport::settings::Settings,
    /// Conversations.
    pub session: crate::session::settings::Settings,
    /// Rooms, queues, acknowledgements.
    pub hub: crate::hub::settings::Settings,
    /// REST.
    pub api: crate::api::settings::Settings,
    /// Backends.
    pub upstreams: Vec<crate::webhook::settings::Settings>,
    /// Namespaces, in order.
    pub namespaces: Vec<crate::session::settings::NamespaceSettings>,
    /// Logs.
    pub log: crate::telemetry::log::Settings,
    /// Variables with secrets for a start without a file: they are set, but there is a file, and it does not name them.
    pub ignored: Vec<&'static str>,
}

/// Where the lowest layer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The named file, else `SOCKGATE_CONFIG`, `./sockgate.toml`, `/etc/sockgate/sockgate.toml`; without any of them
    /// `SOCKGATE_BACKEND`.
    File(Option<PathBuf>),
    /// No file: `--backend`, and perhaps `--secret` (`env:NAME` or `file:PATH`).
    Backend {
        /// The backend's address.
        url: String,
        /// The signing secret.
        secret: Option<String>,
    },
    /// A text that is part of the program, in which secrets may stand themselves, and routes may lead to the built-in backend.
    BuiltIn(&'static str),
}

/// Where operators come (`admin.listen`): for who asks a running gateway, and needs no secrets for that.
pub fn admin_addresses(
    source: &Source,
    environment: &Environment,
    system: &System,
) -> Result<Vec<SocketAddr>, ConfigError> {
    let raw = start::read(source, environment);
    let context = raw.context(environment, system);
    let mut addresses = Config::default().server.admin;
    Table::read_root(&context, &raw.tree, |table| {
        table.entries();
        table.table("admin", |table| server::listen(table, &mut addresses));
    });
    let problems = context.problems.into_inner();
    if problems.is_empty() {
        Ok(addresses)
    } else {
        Err(ConfigError::new(raw.file.as_deref(), problems))
    }
}

impl Config {
    /// Reads what was written, and says what it means; or everything that is wrong with it.
    pub fn load(
        source: &Source,
        environment: &Environment,
        system: &System,
    ) -> Result<Self, ConfigError> {
        let raw = start::read(source, environment);
        let (config, problems) = Self::resolve(&raw, environment, system);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(raw.file.as_deref(), problems))
        }
    }

    fn resolve(
        raw: &RawConfig,
        environment: &Environment,
        system: &System,
    ) -> (Self, Vec<Problem>) {
        let context = raw.context(environment, system);
        let mut config = Self::for_machine(system);
        // Where the text itself could not be read, all that follows would be noise.
        if raw.is_readable() {
            Table::read_root(&context, &raw.tree, |table| config.read(table));
            config.ignored = raw.ignored(environment);
        }
        (config, context.problems.into_inner())
    }

    /// The defaults on this machine.
    fn for_machine(system: &System) -> Self {
        let mut config = Self::default();
        config.server.node = system.host_name.as_str().into();
        config.server.shards = system.cores.clamp(1, ShardId::MAX);
        // Not written so far; see `server::check_files`.
        config.server.max_connections = 0;
        config.hub.outbox_total = limits::share_of(system.memory, OUTBOX_SHARE);
        config
    }

    /// Reads the root table.
    fn read(&mut self, table: &mut Table<'_>) {
        // The largest message first: others are measured by it.
        table.table("engine", |table| engine::engine(table, self));
        table.table("server", |table| server::server(table, self));
        table.table("api", |table| api::api(table, &mut self.api));
        table.table("admin", |table| {
            server::listen(table, &mut self.server.admin);
        });
        table.table("cors", |table| {
            engine::cors(table, &mut self.transport.cors);
        });
        table.table("socket", |table| engine::socket(table, &mut self.session));
        table.table("limits", |table| limits::limits(table, self));
        self.read_routes(table);
        table.table("socket_admin", server::socket_admin);
        table.table("cluster", server::cluster);
        table.table("drain", |table| {
            server::drain(table, &mut self.server.drain);
        });
        table.table("log", |table| server::log(table, &mut self.log));
        self.check_listeners(table);
        server::check_files(table, self);
    }

    fn read_routes(&mut self, table: &mut Table<'_>) {
        let mut known = Vec::new();
        let mut names = name::Taken::default();
        let upstreams = table.tables("upstream", |table| {
            upstream::upstream(table, &mut names, &mut known)
        });
        self.upstreams = upstreams.into_iter().flatten().collect();
        if table.context().built_in {
            known.push(upstream::Named::built_in());
        }
        let mut shared = namespace::Shared {
            upstreams: &mut known,
            max_payload: self.transport.max_payload,
            names: name::Taken::default(),
            routes: 0,
            patterns: Vec::new(),
        };
        let namespaces = table.tables("namespace", |table| {
            namespace::namespace(table, &mut shared)
        });
        if namespaces.is_empty() {
            table.wrong(
                "namespace",
                "without any [[namespace]] no client can join: `sockgate init` writes a file to begin with, and `sockgate serve --backend URL` needs none",
            );
        }
        self.namespaces = namespaces.into_iter().flatten().collect();
        reach::upstreams(table.context(), &known);
    }

    /// Two listeners cannot share an address.
    fn check_listeners(&self, table: &Table<'_>) {
        let listeners: [(&str, &[SocketAddr]); 3] = [
            ("server", &self.server.listen),
            ("api", &self.api.listen),
            ("admin", &self.server.admin),
        ];
        let mut taken = Vec::new();
        for (key, address) in listeners
            .into_iter()
            .flat_map(|(key, addresses)| addresses.iter().map(move |address| (key, address)))
            .filter(|(_, address)| address.port() != 0)
        {
            if let Some((first, _)) = taken.iter().find(|(_, other)| *other == address) {
                let message = format!("{address} is already `{first}.listen`'s");
                let place = table.place_at(&[key, "listen"]);
                table
                    .context()
                    .problem(place, format!("{key}.listen"), message);
            }
            taken.push((key, address));
        }
    }
}
