//! What a process has cost: CPU time of all its threads, and memory.
//!
//! # Why
//! The kernel counts the CPU time of a thread in nanoseconds (`/proc/PID/task/TID/schedstat`), user and system together; the
//! fields of `/proc/PID/stat` have 10 ms. On loopback the receiver's half of a packet is paid by who sends it, here the server.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// A thread that runs has its time counted at the next tick of the kernel, at most so much later.
const TICK: Duration = Duration::from_millis(10);

/// Measures one stretch of time.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    begin: Reading,
}

#[derive(Debug)]
struct Reading {
    server: Duration,
    generator: Duration,
    machine: Duration,
    at: Instant,
}

/// What a stretch of time has cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// CPU time of the server.
    pub server: Duration,
    /// CPU time of this process.
    pub generator: Duration,
    /// CPU time of everything else on the machine, which disturbs.
    pub others: Duration,
    /// Time on the clock.
    pub wall: Duration,
}

impl Spent {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            server: self.server + other.server,
            generator: self.generator + other.generator,
            others: self.others + other.others,
            wall: self.wall + other.wall,
        }
    }

    /// Microseconds of the server's CPU per operation.
    pub fn micros_per(&self, operations: u64) -> f64 {
        self.server.as_secs_f64() * 1e6 / operations as f64
    }
}

impl Meter {
    /// Begins, for the server with this process id.
    pub fn start(pid: u32) -> Result<Self> {
        std::thread::sleep(TICK);
        let begin = read(pid)?;
        Ok(Self { pid, begin })
    }

    /// Ends.
    pub fn stop(self) -> Result<Spent> {
        let wall = self.begin.at.elapsed();
        std::thread::sleep(TICK);
        let end = read(self.pid)?;
        let server = end.server.saturating_sub(self.begin.server);
        let generator = end.generator.saturating_sub(self.begin.generator);
        let machine = end.machine.saturating_sub(self.begin.machine);
        Ok(Spent {
            server,
            generator,
            others: machine.saturating_sub(server + generator),
            wall,
        })
    }
}

fn read(pid: u32) -> Result<Reading> {
    Ok(Reading {
        server: cpu(pid)?,
        generator: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?,
        machine: machine()?,
        at: Instant::now(),
    })
}

/// CPU time of the threads of a process that live.
fn cpu(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the server has ended")? {
        // It may end meanwhile.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let first = text.split(' ').next().unwrap_or_default();
        total += first.parse::<u64>().context("schedstat without a number")?;
    }
    Ok(Duration::from_nanos(total))
}

/// CPU time of all processes and of the kernel.
fn machine() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let fields = first.split_ascii_whitespace().skip(1);
    let busy = fields
        .enumerate()
        .filter(|(i, _)| !matches!(i, 3 | 4 | 8..));
    let ticks: u64 = busy.map(|(_, field)| field.parse().unwrap_or(0)).sum();
    // USER_HZ is 100 on every Linux.
    Ok(Duration::from_millis(ticks * 10))
}

/// Waits until the whole machine has been idle for a second but for a twentieth of a core, at most so long.
pub fn wait_until_quiet(patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let before = machine()?;
        std::thread::sleep(Duration::from_secs(1));
        if machine()?.saturating_sub(before) < Duration::from_millis(50) {
            break;
        }
    }
    Ok(())
}

/// Resident memory of a process, in KiB.
pub fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    value.context("no VmRSS")
}
