//! `demo`: the gateway with the chat inside the program as its backend, and a page to see both.
//!
//! The configuration is a text of the program like one that an operator writes, read by the same loader: variables change it
//! (`SOCKGATE__SERVER__LISTEN=0.0.0.0:8080`), and the page shows it.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::Serialize;

use super::{Answer, FAILED, Plan};
use crate::app::{Addresses, StartError};
use crate::config::{Config, Environment, Source, System};
use crate::server::site::Page;

const CONFIG: &str = include_str!("demo.toml");
const PAGE: &str = include_str!("demo.html");
/// Where the page is told what cannot be known before the listeners are bound.
const FACTS: &str = "{\"facts\":\"of this run\"}";

/// Loads the demo's configuration.
pub(super) fn plan(environment: &Environment, system: &System) -> Plan {
    match Config::load(&Source::BuiltIn(CONFIG), environment, system) {
        Ok(config) => Plan::Demo(Box::new(config)),
        Err(error) => Plan::Answer(error.into()),
    }
}

/// What the page knows of the run.
#[derive(Debug, Serialize)]
struct Facts {
    version: &'static str,
    commands: Vec<String>,
}

/// The pages of the demo.
pub fn pages(addresses: &Addresses) -> Vec<Page> {
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        commands: commands(addresses),
    };
    let facts = serde_json::to_string(&facts).expect("texts are always JSON");
    // Inside a script element; nothing in it may look like the end of one.
    let facts = facts.replace('<', "\\u003c");
    vec![
        Page {
            path: "/",
            content_type: "text/html; charset=utf-8",
            body: PAGE.replace(FACTS, &facts).into(),
        },
        Page {
            path: "/sockgate.toml",
            content_type: "text/plain; charset=utf-8",
            body: Bytes::from_static(CONFIG.as_bytes()),
        },
    ]
}

/// What is printed once the gateway listens; its last line is `ready`.
pub fn greeting(addresses: &Addresses) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let page = addresses.clients.first().map_or_else(String::new, url);
    let commands = commands(addresses).join("\n\n  ");
    format!(
        "
Sockgate {version}: a chat, with the backend inside this program.

Open this address twice, side by side:

  {page}/

Then speak to the people in it from a terminal, as a backend would:

  {commands}

Ctrl-C ends it.
ready
"
    )
}

/// Why the demo did not start or ended, and what helps.
pub fn failure(error: &StartError, chain: &str) -> Answer {
    let hint = match error {
        StartError::Bind { .. } => {
            "\nPerhaps another program uses this port. The demo takes others too, 0 is any free one:\n\n  SOCKGATE__SERVER__LISTEN=127.0.0.1:0 SOCKGATE__API__LISTEN=127.0.0.1:0 SOCKGATE__ADMIN__LISTEN=127.0.0.1:0 sockgate demo"
        }
        _ => "",
    };
    Answer::failed(FAILED, format!("{chain}{hint}"))
}

/// Ready-made command lines for the API of this run.
fn commands(addresses: &Addresses) -> Vec<String> {
    let Some(api) = addresses.api.first().map(url) else {
        return Vec::new();
    };
    let emit = format!("curl -s {api}/v1/emit -H 'content-type: application/json' -d");
    vec![
        format!(
            r#"{emit} '{{"event":"message","args":[{{"from":"curl","text":"Hello from the terminal"}}],"to":{{"all":true}}}}'"#
        ),
        format!(
            r#"{emit} '{{"event":"message","args":[{{"from":"curl","text":"Only for this room"}}],"to":{{"rooms":["room:general"]}},"report":true}}'"#
        ),
        format!("curl -s {api}/v1/rooms"),
    ]
}

/// An address that a browser on this machine can open.
fn url(address: &SocketAddr) -> String {
    let mut address = *address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            clients: vec![SocketAddr::from(([0, 0, 0, 0], 3000))],
            api: vec![SocketAddr::from(([127, 0, 0, 1], 3001))],
            admin: vec![],
        }
    }

    #[test]
    fn the_page_has_a_place_for_the_facts_and_gets_them() {
        assert_eq!(PAGE.matches(FACTS).count(), 1);
        let pages = pages(&addresses());
        let page = std::str::from_utf8(&pages[0].body).expect("it is text");
        assert!(!page.contains(FACTS));
        assert!(page.contains("http://127.0.0.1:3001/v1/emit"));
    }

    #[test]
    fn what_is_printed_can_be_opened_and_run() {
        let text = greeting(&addresses());
        assert!(text.contains("\n  http://127.0.0.1:3000/\n"), "{text}");
        assert!(
            text.contains("\n  curl -s http://127.0.0.1:3001/v1/emit "),
            "{text}"
        );
        assert!(text.ends_with("\nready\n"), "{text}");
    }

    #[test]
    fn the_configuration_is_valid() {
        let loaded = Config::load(
            &Source::BuiltIn(CONFIG),
            &Environment::default(),
            &System::read(),
        );
        let config = loaded.expect("the demo's own text");
        assert!(config.upstreams.is_empty());
        assert_eq!(config.namespaces.len(), 2);
    }
}
