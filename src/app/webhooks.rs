//! Backends over HTTP, put together: what all threads share of each upstream, and each shard's routes to them.

use std::rc::Rc;
use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::app::StartError;
use crate::builtin::{Builtin, Surroundings};
use crate::config::Config;
use crate::contract::audience::{Closed, Namespaces};
use crate::hub::action::UserRoom;
use crate::hub::id::Namespace;
use crate::hub::pattern::Pattern;
use crate::hub::switchboard::Switchboard;
use crate::session::backend::Backend;
use crate::session::routes::Routes;
use crate::session::settings::{BUILT_IN, NamespaceSettings, TargetSettings, UpstreamRoute};
use crate::webhook::backend::{Format, Route, Webhook};
use crate::webhook::counters::Counters;
use crate::webhook::upstream::{Endpoint, Upstream};

/// The namespaces of the configuration and their users' rooms.
#[derive(Clone, Debug)]
pub struct Tables(Arc<[(Pattern, UserRoom)]>);

impl Tables {
    /// Those of the configuration, in order.
    pub fn new(namespaces: &[NamespaceSettings]) -> Self {
        Self(
            namespaces
                .iter()
                .map(|n| (n.pattern.clone(), n.user_room.clone()))
                .collect(),
        )
    }
}

impl Namespaces for Tables {
    fn user_room(&self, namespace: &Namespace) -> Result<&UserRoom, Closed> {
        let table = self
            .0
            .iter()
            .find(|(pattern, _)| pattern.matches(namespace.as_str()));
        table.map(|(_, room)| room).ok_or(Closed::Unknown)
    }
}

/// The part of webhooks that all threads share.
#[derive(Clone, Debug)]
pub struct Webhooks {
    config: Arc<Config>,
    tables: Tables,
    upstreams: Arc<[Arc<Upstream>]>,
    /// One for each route that names an upstream: by namespace and place in it.
    routes: Arc<[(usize, usize, Arc<Route>)]>,
}

impl Webhooks {
    /// Checks the settings of every upstream and registers the counters.
    pub fn new(config: &Arc<Config>, registry: &mut Registry) -> Result<Self, StartError> {
        let counters = Counters::new(registry);
        let upstreams = config
            .upstreams
            .iter()
            .map(|settings| Upstream::new(settings.clone(), &counters));
        let upstreams: Arc<[Arc<Upstream>]> = upstreams.collect::<Result<_, _>>()?;
        crate::webhook::counters::Gauges::register(&upstreams, registry);
        let mut routes = Vec::new();
        for (table, namespace) in config.namespaces.iter().enumerate() {
            for (place, route) in namespace.routes.iter().enumerate() {
                if let TargetSettings::Upstream(to) = &route.target
                    && !is_built_in(config, to)
                {
                    let shared = Route::new(&route.name, to.deadline, to.idempotent, &counters);
                    routes.push((table, place, Arc::new(shared)));
                }
            }
        }
        let tables = Tables::new(&config.namespaces);
        Ok(Self {
            config: Arc::clone(config),
            tables,
            upstreams,
            routes: routes.into(),
        })
    }

    /// All upstreams.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Starts the delivery of notices; on the control runtime.
    pub fn deliver_notices(&self) -> Result<(), StartError> {
        for upstream in self.upstreams.iter() {
            let endpoint = Endpoint::new(Arc::clone(upstream))?;
            crate::tasks::spawn("notices", crate::webhook::notices::deliver(endpoint));
        }
        Ok(())
    }

    /// Whether a route leads to the backend inside the program.
    pub fn want_built_in(&self) -> bool {
        let routes = self.config.namespaces.iter().flat_map(|n| &n.routes);
        routes.into_iter().any(|route| match &route.target {
            TargetSettings::Upstream(to) => is_built_in(&self.config, to),
            _ => false,
        })
    }

    /// A shard's routes; on its own thread.
    pub fn routes(&self, builtin: Option<&Arc<Builtin>>) -> Result<Routes, StartError> {
        let endpoints = self
            .upstreams
            .iter()
            .map(|u| Ok(Rc::new(Endpoint::new(Arc::clone(u))?)));
        let endpoints: Vec<Rc<Endpoint>> = endpoints.collect::<Result<_, StartError>>()?;
        let namespaces: Rc<dyn Namespaces> = Rc::new(self.tables.clone());
        let formats = self
            .config
            .namespaces
            .iter()
            .map(|n| Rc::new(self.format(n, &namespaces)));
        let formats: Vec<Rc<Format>> = formats.collect();
        Ok(Routes::new(
            &self.config.namespaces,
            &mut |table, place, to| {
                let endpoint = endpoints
                    .iter()
                    .find(|e| e.upstream().name() == &*to.upstream);
                let Some(endpoint) = endpoint else {
                    let builtin = builtin.expect("the configuration names known upstreams only");
                    return builtin.backend(self.config.namespaces[table].forward.clone());
                };
                let route = self
                    .routes
                    .iter()
                    .find(|(t, p, _)| (*t, *p) == (table, place));
                let (_, _, route) = route.expect("one for each route that names an upstream");
                let webhook = Webhook::new(
                    Rc::clone(endpoint),
                    Arc::clone(route),
                    Rc::clone(&formats[table]),
                );
                Rc::new(webhook) as Rc<dyn Backend>
            },
        ))
    }

    /// Its surroundings are those of webhooks.
    pub fn built_in(&self, switchboard: &Arc<Switchboard>) -> Builtin {
        Builtin::new(Surroundings {
            node: self.config.server.node.clone(),
            namespaces: Box::new(self.tables.clone()),
            max_emit: self.config.hub.emit,
            max_rooms: self.config.hub.rooms_per_socket,
            switchboard: Arc::clone(switchboard),
        })
    }

    fn format(&self, namespace: &NamespaceSettings, namespaces: &Rc<dyn Namespaces>) -> Format {
        Format {
            node: self.config.server.node.clone(),
            forward: namespace.forward.clone(),
            namespaces: Rc::clone(namespaces),
            max_emit: self.config.hub.emit,
            max_rooms: self.config.hub.rooms_per_socket,
        }
    }
}

/// An upstream of this name that somebody has configured is theirs.
fn is_built_in(config: &Config, to: &UpstreamRoute) -> bool {
    &*to.upstream == BUILT_IN && config.upstreams.iter().all(|u| &*u.name != BUILT_IN)
}
