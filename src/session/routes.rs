//! Which backend, or which edge rule, is for a namespace and an event. Built once per shard by the composition root.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use hashbrown::HashSet;

use crate::hub::action::UserRoom;
use crate::hub::id::Namespace;
use crate::hub::reads::HandshakeRecord;
use crate::session::backend::{Backend, ConnectInfo};
use crate::session::settings::{
    Allow, Auth, Forward, Life, NamespaceSettings, OnUnavailable, Relay, RouteSettings,
    TargetSettings, Trigger, UpstreamRoute,
};

/// Names of unrouted events that are logged, per table; clients choose them, so there must be an end.
const LOGGED_NAMES: usize = 100;

/// All tables, in order.
#[derive(Debug, Default)]
pub struct Routes {
    tables: Vec<Rc<Table>>,
}

/// One `[[namespace]]`: what is the same for every socket in it.
#[derive(Debug)]
pub struct Table {
    /// Place in the configuration.
    pub index: usize,
    /// Pattern as written, the name for metrics and logs.
    pub label: Box<str>,
    /// Template of a user's room.
    pub user_room: UserRoom,
    /// What a `connect` call carries.
    pub forward: Forward,
    /// What happens without a decision.
    pub on_unavailable: OnUnavailable,
    /// How long a CONNECT waits.
    pub hold: std::time::Duration,
    pattern: crate::hub::pattern::Pattern,
    connect: Option<Rc<Route>>,
    disconnect: Option<Rc<Route>>,
    events: Vec<(Vec<crate::hub::pattern::Pattern>, Rc<Route>)>,
    unrouted: RefCell<HashSet<Box<str>>>,
}

/// What happens with a call.
pub struct Route {
    /// Name for metrics and logs.
    pub name: Box<str>,
    /// What happens.
    pub target: Target,
}

/// What a route does.
pub enum Target {
    /// Asks a backend.
    Backend {
        /// Who answers.
        backend: Rc<dyn Backend>,
        /// Calls of one lane that may overlap.
        max_in_flight: usize,
        /// Whether success without an acknowledgement is acknowledged with `[]`.
        auto_ack: bool,
    },
    /// Sends the event on.
    Relay(Relay),
    /// Answers with the event's own arguments.
    Echo,
    /// Acknowledges with `[]`.
    Ok,
    /// Does nothing.
    Drop,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backend { .. } => "Backend",
            Self::Relay(_) => "Relay",
            Self::Echo => "Echo",
            Self::Ok => "Ok",
            Self::Drop => "Drop",
        })
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.name).finish()
    }
}

/// Makes the backend of a route that names an upstream.
///
/// It gets the place of the namespace, the place of the route in it, and the route.
pub type MakeBackend<'a> = dyn FnMut(usize, usize, &UpstreamRoute) -> Rc<dyn Backend> + 'a;

impl Routes {
    /// Builds the tables; `backend` is asked for each route that names an upstream.
    pub fn new(namespaces: &[NamespaceSettings], backend: &mut MakeBackend<'_>) -> Self {
        let tables = namespaces
            .iter()
            .enumerate()
            .map(|(index, n)| Rc::new(Table::new(index, n, backend)));
        Self {
            tables: tables.collect(),
        }
    }

    /// The table of a namespace; `None`: there is no such namespace.
    pub fn table(&self, namespace: &Namespace) -> Option<&Rc<Table>> {
        self.tables
            .iter()
            .find(|t| t.pattern.matches(namespace.as_str()))
    }

    /// All tables, in order.
    pub fn tables(&self) -> &[Rc<Table>] {
        &self.tables
    }
}

impl Table {
    /// What this namespace may know of the request that opened a connection.
    pub fn forwarded(&self, info: &ConnectInfo) -> HandshakeRecord {
        let only = |pairs: &[(Box<str>, Box<str>)], allowed: &Allow| {
            let pairs = pairs.iter().filter(|(name, _)| allowed.contains(name));
            pairs.cloned().collect()
        };
        HandshakeRecord {
            ip: info.ip,
            headers: only(&info.headers, &self.forward.headers),
            query: only(&info.query, &self.forward.query),
        }
    }

    fn new(index: usize, settings: &NamespaceSettings, make: &mut MakeBackend<'_>) -> Self {
        let mut table = Self {
            index,
            label: settings.pattern.as_str().into(),
            user_room: settings.user_room.clone(),
            forward: settings.forward.clone(),
            on_unavailable: settings.on_unavailable,
            hold: settings.hold,
            pattern: settings.pattern.clone(),
            connect: None,
            disconnect: None,
            events: Vec::new(),
            unrouted: RefCell::default(),
        };
        for (place, route) in settings.routes.iter().enumerate() {
            let built = Rc::new(Route {
                name: route.name.clone(),
                target: target((index, place), route, make),
            });
            match &route.on {
                Trigger::Event(patterns) => table.events.push((patterns.clone(), built)),
                Trigger::Life(steps) => {
                    for step in steps {
                        let own = match step {
                            Life::Connect if settings.auth == Auth::None => continue,
                            Life::Connect => &mut table.connect,
                            Life::Disconnect => &mut table.disconnect,
                        };
                        own.get_or_insert_with(|| Rc::clone(&built));
                    }
                }
            }
        }
        table
    }

    /// Who decides about CONNECT; `None`: everybody is let in.
    pub fn connect(&self) -> Option<&Rc<Route>> {
        self.connect.as_ref()
    }

    /// Who is told that a socket has ended.
    pub fn disconnect(&self) -> Option<&Rc<Route>> {
        self.disconnect.as_ref()
    }

    /// What happens with an event; first match.
    pub fn event(&self, name: &str) -> Option<&Rc<Route>> {
        self.events
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|p| p.matches(name)))
            .map(|(_, route)| route)
    }

    /// Whether an unrouted name is seen for the first time, and so worth a line in the log.
    pub fn first_unrouted(&self, name: &str) -> bool {
        let mut seen = self.unrouted.borrow_mut();
        seen.len() < LOGGED_NAMES && !seen.contains(name) && seen.insert(name.into())
    }
}

fn target(
    (namespace, place): (usize, usize),
    route: &RouteSettings,
    make: &mut MakeBackend<'_>,
) -> Target {
    match &route.target {
        TargetSettings::Upstream(upstream) => Target::Backend {
            backend: make(namespace, place, upstream),
            max_in_flight: upstream.max_in_flight,
            auto_ack: upstream.auto_ack,
        },
        TargetSettings::Relay(relay) => Target::Relay(relay.clone()),
        TargetSettings::Echo => Target::Echo,
        TargetSettings::Ok => Target::Ok,
        TargetSettings::Drop => Target::Drop,
    }
}
