//! What the configuration asks of the machine: file limit, memory, cores, host name.
//!
//! One plain value, read once at start, so that tests can say what the machine is like.

use std::num::NonZero;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::telemetry::memory;

/// The machine, or the part of it that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Host name.
    pub host_name: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory: the limit of the control group, else the machine's.
    pub memory: u64,
    /// Open files at most, after the limit is raised to the hard one.
    pub files: u64,
}

/// Assumed where the machine does not tell.
const UNKNOWN_MEMORY: u64 = 4 << 30;

impl System {
    /// Asks this machine.
    pub fn read() -> Self {
        Self {
            host_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            cores: std::thread::available_parallelism().map_or(1, NonZero::get),
            memory: memory::limit(&memory::read).unwrap_or(UNKNOWN_MEMORY),
            files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        }
    }

    /// Raises this process's limit of open files to the hard one, which [`System::files`] tells.
    ///
    /// Fails only where the system forbids it; the process can go on with what it has.
    pub fn raise_file_limit() -> std::io::Result<()> {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: maximum,
            maximum,
        };
        Ok(setrlimit(Resource::Nofile, limit)?)
    }
}
