//! The servers that are measured: how each is started, and where it then is.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::process::Process;

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The gateway.
    Sockgate,
    /// What the kernel alone costs.
    Limit,
}

/// What a scenario needs of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// A backend decides about every CONNECT, and gives each client a user and a room.
    pub backend: bool,
    /// Seconds between pings, where it matters.
    pub ping_interval: Option<u64>,
}

/// How servers are started.
#[derive(Debug)]
pub struct Stage {
    /// The core of the measured server.
    pub server_core: usize,
    /// The core of everything else.
    pub generator_core: usize,
    /// The gateway's binary.
    pub gateway: PathBuf,
}

/// A folder for what a server reads and writes while it starts; later nothing is on disk that could be left behind.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("sockgate-load-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A server that runs, and ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Its REST API, where it has one.
    pub api: Option<SocketAddr>,
    process: Process,
    _backend: Option<Process>,
}

impl Server {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has written on standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Stage {
    /// Starts a server on its core.
    pub fn start(&self, kind: Kind, needs: Needs) -> Result<Server> {
        match kind {
            Kind::Sockgate => self.sockgate(needs),
            Kind::Limit => self.limit(needs),
        }
    }

    fn sockgate(&self, needs: Needs) -> Result<Server> {
        let this = std::env::current_exe()?;
        let folder = Folder::new()?;
        let folder = &folder.0;
        let backend = needs.backend.then(|| {
            let arguments = [OsStr::new("backend")];
            Process::start(self.generator_core, folder, "backend", &this, &arguments)
        });
        let backend = backend.transpose()?;
        let webhooks = backend.as_ref().map(|backend| backend.address("webhooks"));
        let file = folder.join("sockgate.toml");
        fs::write(
            &file,
            configuration(webhooks.transpose()?, needs.ping_interval),
        )?;
        let arguments = ["serve".as_ref(), "--config".as_ref(), file.as_os_str()];
        let process = Process::start(
            self.server_core,
            folder,
            "sockgate",
            &self.gateway,
            &arguments,
        )?;
        Ok(Server {
            clients: process.address("clients")?,
            api: Some(process.address("api")?),
            process,
            _backend: backend,
        })
    }

    fn limit(&self, needs: Needs) -> Result<Server> {
        let this: &Path = &std::env::current_exe()?;
        let interval = needs.ping_interval.unwrap_or(0).to_string();
        let arguments = [OsStr::new("limit"), OsStr::new(&interval)];
        let folder = Folder::new()?;
        let process = Process::start(self.server_core, &folder.0, "limit", this, &arguments)?;
        Ok(Server {
            clients: process.address("clients")?,
            api: None,
            process,
            _backend: None,
        })
    }
}

/// The gateway's configuration file.
fn configuration(backend: Option<SocketAddr>, ping_interval: Option<u64>) -> String {
    let mut parts = vec![
        String::from("server = { listen = \"127.0.0.1:0\", shards = 1 }"),
        String::from(
            "api.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nlog.level = \"warn\"",
        ),
    ];
    if let Some(seconds) = ping_interval {
        parts.push(format!(
            "engine = {{ ping_interval = \"{seconds}s\", ping_timeout = \"{seconds}s\" }}"
        ));
    }
    parts.push(String::from("[[namespace]]\nmatch = \"/\""));
    parts.push(match backend {
        Some(_) => "[[namespace.route]]\non = [\"connect\"]\nupstream = \"backend\"".into(),
        None => "auth = \"none\"".into(),
    });
    parts.push("[[namespace.route]]\nevent = \"echo\"\nreply = \"echo\"".into());
    parts.push(
        "[[namespace.route]]\nevent = \"say\"\nrelay = { to = \"all\", except_self = false }"
            .into(),
    );
    if let Some(address) = backend {
        parts.push("[[namespace.route]]\nevent = \"ask\"\nupstream = \"backend\"".into());
        parts.push(format!(
            "[[upstream]]\nname = \"backend\"\nurl = \"http://{address}/\""
        ));
    }
    parts.join("\n") + "\n"
}
