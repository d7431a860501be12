//! Processes that are started here: on a core of their own, and never left behind.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// A server.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Kept open: the process may write more.
    output: BufReader<ChildStdout>,
    urls: HashMap<String, String>,
    errors: File,
}

impl Process {
    /// Starts a program on a core, and waits until it prints `ready`. Before that it prints `NAME URL` in a line for every
    /// address where it listens. Its errors go to a file in `folder`, which may be removed then.
    pub fn start(
        core: usize,
        folder: &Path,
        name: &str,
        program: &Path,
        arguments: &[&OsStr],
    ) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let errors = File::create(&path)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("pinned")
            .arg(core.to_string())
            .arg(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stdout.take().expect("it is piped");
        let mut process = Self {
            child,
            output: BufReader::new(output),
            urls: HashMap::new(),
            errors: File::open(path)?,
        };
        let mut line = String::new();
        while process.output.read_line(&mut line)? > 0 {
            if line.trim() == "ready" {
                return Ok(process);
            }
            if let Some((name, url)) = line.trim().split_once(char::is_whitespace) {
                process.urls.insert(name.into(), url.trim().into());
            }
            line.clear();
        }
        bail!("{name} did not start:\n{}", process.log())
    }

    /// The address that it has printed under this name.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let url = self
            .urls
            .get(name)
            .with_context(|| format!("no {name} in what it printed"))?;
        let host = url.split('/').nth(2).unwrap_or_default();
        host.parse().with_context(|| format!("no address: {url}"))
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written on standard error.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let read = (&self.errors).read_to_string(&mut text);
        read.map(|_| text).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Becomes another program, on a core, which ends when its parent does.
pub fn become_pinned(core: usize, command: &[OsString]) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    pin(core)?;
    let (program, arguments) = command.split_first().context("no program")?;
    Err(Command::new(program).args(arguments).exec()).context("cannot become the server")
}

/// Keeps this process on a core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).with_context(|| format!("no core {core}"))
}

/// The core of the servers and the core of everything else: the first two that this process may use, or the same one twice.
pub fn cores() -> Result<(usize, usize)> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    let first = cores.next().context("no core")?;
    Ok((first, cores.next().unwrap_or(first)))
}

/// Raises the limit of open files as far as it goes; gives it.
pub fn raise_file_limit() -> Result<u64> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    Ok(maximum.unwrap_or(u64::MAX))
}
