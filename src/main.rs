//! The thin binary: everything lives in the library.
#![forbid(unsafe_code)]

use sockgate::config::Config;
use sockgate::session::settings::*;
use std::sync::Arc;
fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut config = Config::default();
    config.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.server.admin = vec!["127.0.0.1:0".parse().unwrap()];
    config.api.listen = vec![];
    config.server.shards = 2;
    config.server.max_connections = Some(1000);
    config.namespaces = vec![NamespaceSettings {
        pattern: sockgate::hub::pattern::Pattern::new("/"),
        auth: Auth::None,
        user_room: Default::default(),
        forward: Default::default(),
        on_unavailable: OnUnavailable::Close,
        hold: std::time::Duration::from_secs(20),
        routes: vec![
            RouteSettings {
                name: "echo".into(),
                on: Trigger::Event(vec![sockgate::hub::pattern::Pattern::new("echo")]),
                target: TargetSettings::Echo,
            },
            RouteSettings {
                name: "all".into(),
                on: Trigger::Event(vec![sockgate::hub::pattern::Pattern::new("say")]),
                target: TargetSettings::Relay(Relay {
                    to: RelayTo::All,
                    prefix: "".into(),
                    except_self: false,
                    volatile: false,
                    stamp: true,
                    rate: None,
                    max_bytes: 1000,
                }),
            },
        ],
    }];
    sockgate::app::run(&Arc::new(config), |a| {
        println!(
            "clients  http://{}/socket.io/\nadmin    http://{}\nready",
            a.clients[0], a.admin[0]
        )
    })
    .unwrap();
}
