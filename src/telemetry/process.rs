//! The standard numbers about the process (`process_*`), read when somebody scrapes.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::readings::Readings;

/// Readings of this process, which has started just now.
pub fn readings() -> Readings {
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    Readings::default()
        .counter(
            "process_cpu_seconds",
            "User and system time, in seconds",
            || cpu_time().as_secs_f64(),
        )
        .gauge("process_open_fds", "Open files", || float(open_files()))
        .gauge("process_max_fds", "Open files at most", || {
            float(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
        })
        .gauge("process_resident_memory_bytes", "Resident memory", || {
            float(resident_bytes().unwrap_or_default())
        })
        .gauge(
            "process_start_time_seconds",
            "Start of the process, in seconds since 1970",
            move || started,
        )
}

/// Bytes of memory that are resident; `None` where the system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Open files of this process.
pub(crate) fn open_files() -> u64 {
    // Since Linux 6.2 the directory's size is their number; it is 0 before.
    let size = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
    if size > 0 {
        return size;
    }
    fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Metrics are floats; far beyond what a process can have they are not exact.
#[expect(clippy::cast_precision_loss, reason = "as the comment says")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let open = || fs::File::open("/proc/self/statm").expect("this is Linux");
        let files: Vec<_> = (0..100).map(|_| open()).collect();
        assert!(open_files() > files.len() as u64);
        assert!(resident_bytes() > Some(1 << 20));
        assert!(cpu_time() > Duration::ZERO);
    }
}
