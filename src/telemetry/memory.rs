//! How much memory the process may use, how much it uses, and what follows.
//!
//! The limit is that of the control groups above the process, versions 1 and 2; without one it is the machine's memory, and what
//! counts is what the process itself has. A group's use is taken without the file cache that the system can take back at once.
//!
//! [`Watch`] looks four times a second and takes the [`Level`]: at 80 % it is told in the log, at 88 % the node is not ready and
//! refuses new sessions (contract 10, *Probes*). What waits for clients has a budget of its own (`limits.outbox_total`).
//!
//! # Why
//! A level is left only some way below where it begins: else a node at the edge would change its mind four times a second.

use std::fs;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::process;

/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(250);

/// Use in hundredths of the limit from which on memory is scarce.
const SCARCE: u64 = 80;
/// And from which on new sessions are refused.
const FULL: u64 = 88;
/// So far below a level begins its end, in hundredths.
const SLACK: u64 = 2;

/// How scarce memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is enough.
    Calm,
    /// It is told in the log.
    Scarce,
    /// New sessions are refused.
    Full,
}

impl Level {
    fn after(self, Use { used, limit }: Use) -> Self {
        let reached = |level: Self, begin: u64| {
            let begin = if self >= level { begin - SLACK } else { begin };
            u128::from(used) * 100 >= u128::from(limit) * u128::from(begin)
        };
        if reached(Self::Full, FULL) {
            Self::Full
        } else if reached(Self::Scarce, SCARCE) {
            Self::Scarce
        } else {
            Self::Calm
        }
    }
}

/// Bytes in use, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// In use.
    pub used: u64,
    /// At most; 0 before the system has told it.
    pub limit: u64,
}

/// The last look, for all threads.
#[derive(Debug)]
pub struct Watch {
    groups: Vec<Group>,
    used: AtomicU64,
    limit: AtomicU64,
    level: AtomicU8,
}

impl Watch {
    /// Takes the first look.
    pub fn new() -> Self {
        let watch = Self {
            groups: groups(&read),
            used: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            level: AtomicU8::new(Level::Calm as u8),
        };
        watch.look();
        watch
    }

    /// One that has found this.
    #[cfg(test)]
    pub(crate) fn at(now: Use) -> Self {
        let watch = Self {
            groups: Vec::new(),
            used: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            level: AtomicU8::new(Level::Calm as u8),
        };
        watch.take(now);
        watch
    }

    /// Looks again and again, for ever.
    pub async fn run(&self) {
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        if let Some(now) = look(&self.groups, &read, process::resident_bytes()) {
            self.take(now);
        }
    }

    fn take(&self, now: Use) {
        self.used.store(now.used, Ordering::Relaxed);
        self.limit.store(now.limit, Ordering::Relaxed);
        let before = self.level();
        let level = before.after(now);
        self.level.store(level as u8, Ordering::Relaxed);
        let Use { used, limit } = now;
        match level {
            _ if level == before => {}
            Level::Full => tracing::warn!(used, limit, "memory is full: new sessions are refused"),
            Level::Scarce if before < level => tracing::warn!(used, limit, "memory is scarce"),
            Level::Scarce => tracing::info!(used, limit, "new sessions are let in again"),
            Level::Calm => tracing::info!(used, limit, "there is enough memory again"),
        }
    }

    /// How scarce memory was at the last look.
    pub fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Calm,
            1 => Level::Scarce,
            _ => Level::Full,
        }
    }

    /// Whether new sessions are to be refused.
    pub fn is_full(&self) -> bool {
        self.level() == Level::Full
    }

    /// What the last look has found.
    pub fn last(&self) -> Use {
        Use {
            used: self.used.load(Ordering::Relaxed),
            limit: self.limit.load(Ordering::Relaxed),
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a file of the system; `None` where there is none.
///
/// In builds with debug assertions the variable `SOCKGATE_SYSTEM_ROOT` may name a folder with other files of these names: so that
/// a test can say what the machine is like.
pub fn read(path: &str) -> Option<String> {
    #[cfg(debug_assertions)]
    if let Some(root) = std::env::var_os("SOCKGATE_SYSTEM_ROOT") {
        let other = std::path::Path::new(&root).join(path.trim_start_matches('/'));
        return fs::read_to_string(other).ok();
    }
    fs::read_to_string(path).ok()
}

/// Reads a file of the system; `None` where there is none.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The smallest of the machine's memory and the limits of the control groups above this process.
pub fn limit(read: Read<'_>) -> Option<u64> {
    let limits = groups(read);
    let limits = limits.iter().filter_map(|group| number(read, &group.limit));
    limits.chain(machine(read)).min()
}

/// The files that tell about a control group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    limit: String,
    used: String,
    details: String,
    /// Key in the details of what the system can take back at once.
    reclaimable: &'static str,
}

/// The control groups above this process that may have a limit, from the outermost on.
fn groups(read: Read<'_>) -> Vec<Group> {
    let known = read("/proc/self/cgroup").unwrap_or_default();
    let ours = known.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            return Some((path, 2));
        }
        let has_memory = controllers.split(',').any(|name| name == "memory");
        has_memory.then_some((path, 1))
    });
    // Inside a container the path may be the host's, which is not mounted here: the root then holds the limit.
    let all = ours.flat_map(|(path, version)| {
        let path = path.trim_end_matches('/');
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let groups = above.chain([path]);
        groups.map(move |group| Group::new(group, version))
    });
    let all = all.filter(|group| read(&group.limit).is_some());
    all.collect()
}

impl Group {
    fn new(path: &str, version: u8) -> Self {
        let (root, limit, used, reclaimable) = if version == 1 {
            (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        } else {
            (
                "/sys/fs/cgroup",
                "memory.max",
                "memory.current",
                "inactive_file",
            )
        };
        Self {
            limit: format!("{root}{path}/{limit}"),
            used: format!("{root}{path}/{used}"),
            details: format!("{root}{path}/memory.stat"),
            reclaimable,
        }
    }

    /// `None` where it has no limit below the machine's memory.
    fn look(&self, read: Read<'_>, machine: u64) -> Option<Use> {
        let limit = number(read, &self.limit).filter(|limit| (1..machine).contains(limit))?;
        let used = number(read, &self.used)?;
        let details = read(&self.details).unwrap_or_default();
        let reclaimable = details.lines().find_map(|line| {
            let (key, value) = line.split_once(' ')?;
            (key == self.reclaimable)
                .then(|| value.trim().parse().ok())
                .flatten()
        });
        Some(Use {
            used: used.saturating_sub(reclaimable.unwrap_or(0)),
            limit,
        })
    }
}

/// What comes closest to its limit: the process to the machine's memory, or a group to its own.
fn look(groups: &[Group], read: Read<'_>, resident: Option<u64>) -> Option<Use> {
    let machine = machine(read);
    let own = machine
        .zip(resident)
        .map(|(limit, used)| Use { used, limit });
    let all = groups
        .iter()
        .filter_map(|group| group.look(read, machine.unwrap_or(u64::MAX)));
    all.chain(own)
        .max_by_key(|now| u128::from(now.used) * 10_000 / u128::from(now.limit.max(1)))
}

fn number(read: Read<'_>, path: &str) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

fn machine(read: Read<'_>) -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests;
