//! The scenarios: what clients do, what must arrive, and what is counted.
//!
//! Each pass starts a server of its own, so that no pass profits or suffers from another, and so that passes of several servers
//! can alternate.

mod broadcast;
mod closed_loop;
mod connect;
mod echo;
mod idle;
mod ping;
mod polling;
mod rest;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::client::Crowd;
use crate::latency::Latencies;
use crate::meter::Spent;
use crate::server::{Kind, Needs, Server};

/// Broadcasts that are under way at once in `four-at-once`.
const FOUR: usize = 4;
/// Seconds between the pings of `ping`.
const PING_INTERVAL: u64 = 2;

/// A scenario by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Clients open a WebSocket and join a namespace; nobody is asked about them.
    Connect,
    /// Clients that do nothing, each a user of its own, all in one room.
    Idle,
    /// A client's event goes to everybody, one at a time.
    Broadcast,
    /// The same, four at once.
    FourAtOnce,
    /// A REST request goes to everybody, one at a time.
    RestBroadcast,
    /// Each client's event comes back as its acknowledgement.
    Echo,
    /// The same over polling; a GET waits while the POST is sent, as with the official clients.
    Polling,
    /// The same over polling; first the POST, then the GET, on one connection.
    PollingInTurn,
    /// Each client's event is asked of a backend, whose reply acknowledges it.
    Webhook,
    /// Clients that do nothing but answer pings.
    Ping,
}

/// A scenario with its sizes.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Which.
    pub scenario: Scenario,
    /// How many clients.
    pub clients: usize,
    /// How long the argument of an event is; 0 where there is none.
    pub bytes: usize,
    /// How much is counted: what, says [`Scenario::unit`].
    pub operations: u64,
}

/// What one pass has given.
#[derive(Debug)]
pub struct Pass {
    /// The figure, as [`Scenario::unit`] says.
    pub figure: f64,
    /// How many operations it is the mean of.
    pub operations: u64,
    /// What they have cost.
    pub spent: Spent,
    /// Milliseconds that half of the operations have not exceeded, and 99 % of them.
    pub latency: Option<(f64, f64)>,
    /// Further figures by name.
    pub more: Vec<(&'static str, f64)>,
}

impl Pass {
    fn new(figure: f64, operations: u64, spent: Spent) -> Self {
        Self {
            figure,
            operations,
            spent,
            latency: None,
            more: Vec::new(),
        }
    }

    fn with_latency(mut self, latencies: &mut Latencies) -> Self {
        self.latency = Some((latencies.percentile(50), latencies.percentile(99)));
        self
    }
}

impl Scenario {
    /// What is measured.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Connect => "CPU ms per 1,000 connects",
            Self::Idle => "KiB of memory per connection",
            Self::Broadcast | Self::FourAtOnce => "CPU µs per delivery",
            Self::RestBroadcast => "CPU µs per call, more than a client's event",
            Self::Echo => "CPU µs per echo",
            Self::Webhook => "CPU µs per event",
            Self::Polling | Self::PollingInTurn => "CPU µs per acknowledgement",
            Self::Ping => "CPU µs per ping and pong",
        }
    }

    /// Clients and bytes, if nothing else is said.
    fn sizes(self) -> &'static [(usize, usize)] {
        match self {
            Self::Connect => &[(5_000, 0)],
            Self::Idle => &[(1_000, 0), (10_000, 0)],
            Self::Broadcast => &[(1_000, 128), (1_000, 1024), (10_000, 128)],
            Self::FourAtOnce | Self::RestBroadcast => &[(1_000, 128)],
            Self::Echo => &[(100, 128), (1_000, 128)],
            Self::Polling | Self::PollingInTurn | Self::Webhook => &[(100, 128)],
            Self::Ping => &[(10_000, 0)],
        }
    }

    /// Operations, if nothing else is said: for about a second.
    fn operations(self, clients: usize) -> u64 {
        match self {
            Self::Connect | Self::Idle => clients as u64,
            Self::Broadcast | Self::FourAtOnce => 400_000,
            Self::RestBroadcast => 400,
            Self::Echo => 300_000,
            Self::Polling | Self::PollingInTurn | Self::Webhook => 50_000,
            Self::Ping => 3 * clients as u64,
        }
    }

    /// The cases with these sizes, each of which may be left open.
    pub fn cases(self, clients: &[usize], bytes: &[usize], operations: Option<u64>) -> Vec<Case> {
        let mut sizes = self.sizes().to_vec();
        if !clients.is_empty() || !bytes.is_empty() {
            let usual = sizes[0];
            let or = |chosen: &[usize], usual| {
                if chosen.is_empty() {
                    vec![usual]
                } else {
                    chosen.to_vec()
                }
            };
            let bytes = or(if usual.1 == 0 { &[] } else { bytes }, usual.1);
            let clients = or(clients, usual.0);
            let pairs = clients
                .iter()
                .flat_map(|&c| bytes.iter().map(move |&b| (c, b)));
            sizes = pairs.collect();
        }
        let case = |(clients, bytes)| Case {
            scenario: self,
            clients,
            bytes,
            operations: match self {
                Self::Connect | Self::Idle => clients as u64,
                _ => operations.unwrap_or(self.operations(clients)),
            },
        };
        sizes.into_iter().map(case).collect()
    }

    /// Whether a server has what is measured.
    pub fn is_for(self, kind: Kind) -> bool {
        match self {
            Self::RestBroadcast | Self::Polling | Self::PollingInTurn | Self::Webhook => {
                kind != Kind::Limit
            }
            _ => true,
        }
    }

    /// What a server must have for it.
    pub fn needs(self) -> Needs {
        Needs {
            backend: matches!(self, Self::Idle | Self::Webhook),
            ping_interval: (self == Self::Ping).then_some(PING_INTERVAL),
        }
    }
}

impl Case {
    /// One pass against a server that has just started.
    pub fn run(&self, server: &Server) -> Result<Pass> {
        match self.scenario {
            Scenario::Connect => connect::run(self, server),
            Scenario::Idle => idle::run(self, server),
            Scenario::Broadcast => broadcast::run(self, server, 1),
            Scenario::FourAtOnce => broadcast::run(self, server, FOUR),
            Scenario::RestBroadcast => rest::run(self, server),
            Scenario::Echo => echo::run(self, server, "echo"),
            Scenario::Webhook => echo::run(self, server, "ask"),
            Scenario::Polling => polling::run(self, server, polling::Order::GetWaits),
            Scenario::PollingInTurn => polling::run(self, server, polling::Order::InTurn),
            Scenario::Ping => ping::run(self, server),
        }
    }

    /// Clients that have joined.
    fn crowd(&self, server: &Server) -> Result<Crowd> {
        let mut crowd = Crowd::new(server.clients)?;
        crowd.open(self.clients)?;
        crowd.rest(Duration::from_millis(200))?;
        Ok(crowd)
    }
}
