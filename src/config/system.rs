//! What the configuration asks of the machine: file limit, memory, cores, host name.
//!
//! One plain value, read once at start, so that tests can say what the machine is like.

use std::num::NonZero;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
            memory: memory(|path| std::fs::read_to_string(path).ok()).unwrap_or(UNKNOWN_MEMORY),
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

/// The smallest of the machine's memory and the limits of the control groups above this process, versions 2 and 1.
fn memory(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    });
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            if controllers.is_empty() {
                Some(("/sys/fs/cgroup", path, "memory.max"))
            } else if controllers.split(',').any(|name| name == "memory") {
                Some(("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
            } else {
                None
            }
        })
        .flat_map(|(root, path, file)| {
            // Inside a container the path may be the host's, which is not mounted here: the root then holds the limit.
            let path = path.trim_end_matches('/');
            let groups = path.match_indices('/').map(|(at, _)| &path[..at]);
            groups
                .chain([path])
                .map(move |group| format!("{root}{group}/{file}"))
                .collect::<Vec<_>>()
        })
        .filter_map(|file| read(&file)?.trim().parse().ok())
        .chain(machine)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> Option<u64> {
        memory(|path| {
            let (_, text) = files.iter().find(|(name, _)| *name == path)?;
            Some((*text).to_owned())
        })
    }

    const MACHINE: (&str, &str) = (
        "/proc/meminfo",
        "MemTotal:        8388608 kB\nMemFree: 1 kB\n",
    );

    #[test]
    fn memory_is_the_smallest_limit_above_the_process() {
        assert_eq!(with(&[MACHINE]), Some(8 << 30));
        assert_eq!(
            with(&[
                MACHINE,
                ("/proc/self/cgroup", "0::/pod/app\n"),
                ("/sys/fs/cgroup/memory.max", "max\n"),
                ("/sys/fs/cgroup/pod/memory.max", "536870912\n"),
                ("/sys/fs/cgroup/pod/app/memory.max", "1073741824\n"),
            ]),
            Some(512 << 20)
        );
        assert_eq!(
            with(&[
                MACHINE,
                ("/proc/self/cgroup", "0::/\n"),
                ("/sys/fs/cgroup/memory.max", "1073741824\n"),
            ]),
            Some(1 << 30)
        );
    }

    #[test]
    fn the_first_version_of_control_groups_is_read_too() {
        assert_eq!(
            with(&[
                MACHINE,
                (
                    "/proc/self/cgroup",
                    "5:cpu,cpuacct:/x\n4:memory:/docker/1\n"
                ),
                (
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "1073741824\n"
                ),
            ]),
            Some(1 << 30)
        );
        // "No limit" is a number near 2^63 there.
        assert_eq!(
            with(&[
                MACHINE,
                ("/proc/self/cgroup", "4:memory:/\n"),
                (
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n"
                ),
            ]),
            Some(8 << 30)
        );
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_error() {
        assert_eq!(with(&[]), None);
        assert_eq!(
            with(&[("/proc/meminfo", "?"), ("/proc/self/cgroup", "?\n:\n")]),
            None
        );
    }
}
