//! Tables of single settings.

use std::time::Duration;

use super::super::limits::{LIMIT_KEYS, limits};
use super::super::raw::Table;
use super::{REST, assert_wrong, load, load_with, machine, valid, wrong};
use crate::config::{Config, Environment, System, file};
use crate::server::settings::Share;
use crate::telemetry::log::Format;
use crate::transport::settings::SameSite;

#[test]
fn what_is_written_reaches_its_setting() {
    let config = valid(
        r#"
        [server]
        listen = ["127.0.0.1:1", "[::1]:2"]
        path = "/ws"
        node = "gw-1"
        shards = 3
        max_connections = 1000
        serve_client = false
        trusted_proxies = ["10.0.0.0/8"]
        proxy_protocol = true
        fallback = "http://app"
        [admin]
        listen = "127.0.0.1:0"
        [engine]
        transports = ["websocket"]
        ping_interval = "1s"
        max_payload = "2MiB"
        http_compression = { enabled = false }
        cookie = { name = "lb", same_site = "none", secure = true }
        [cors]
        origins = ["https://a.example", "null"]
        methods = ["get", "PUT"]
        headers = ["X-A"]
        max_age = "0s"
        [socket]
        connect_timeout = "3s"
        [limits]
        opening = 5
        events_per_socket = "100/s"
        outbox_total = "1GiB"
        api_body = 1024
        [drain]
        delay = "0s"
        hard_stop = "1m"
        [log]
        format = "json"
        level = "info,sockgate::webhook=debug"
        "#,
    );
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(&*config.transport.path, "/ws/");
    assert_eq!(&*config.server.node, "gw-1");
    assert_eq!(
        (config.server.shards, config.server.max_connections),
        (3, 1000)
    );
    assert!(!config.server.serve_client && config.server.proxy_protocol);
    assert_eq!(config.transport.trusted_proxies.len(), 1);
    assert_eq!(config.server.fallback.as_deref(), Some("http://app:80"));
    assert!(!config.transport.polling && config.transport.websocket);
    assert_eq!(config.transport.ping_interval, Duration::from_secs(1));
    assert_eq!(config.transport.max_payload, 2 << 20);
    assert_eq!(config.session.max_payload, 2 << 20);
    assert_eq!(config.transport.compress_from, None);
    let cookie = config.transport.cookie.expect("written");
    assert_eq!(
        (&*cookie.name, cookie.same_site, cookie.http_only),
        ("lb", SameSite::None, true)
    );
    assert_eq!(config.transport.cors.methods, ["GET".into(), "PUT".into()]);
    assert_eq!(config.transport.cors.headers, ["x-a".into()]);
    assert_eq!(config.session.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.server.opening, Share::Count(5));
    assert_eq!(config.session.events_per_socket, 100);
    assert_eq!(config.hub.outbox_total, 1 << 30);
    assert_eq!(config.api.body, 1024);
    assert_eq!(config.server.drain.hard_stop, Duration::from_mins(1));
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn wrong_values_are_told_with_what_would_be_right() {
    assert_wrong(&[
        ("[server]\nlisten = 3000", "IP address and a port"),
        ("[server]\nlisten = []", "must not be empty"),
        ("[server]\npath = 'socket.io'", "expected a path"),
        ("[server]\npath = '/a//b'", "expected a path"),
        (
            "[server]\nnode = 5",
            "expected a string, found the integer 5",
        ),
        ("[server]\nshards = 65", "from 0 to 64"),
        (
            "[server]\ntrusted_proxies = '10.0.0.0/8'",
            "expected a list",
        ),
        ("[server]\nfallback = 'https://app'", "http://"),
        (
            "[server]\npath = '/'\nfallback = 'http://app'",
            "nothing is left",
        ),
        ("[engine]\nping_interval = 25", "with its unit"),
        ("[engine]\nping_interval = '0s'", "more than 0s"),
        ("[engine]\ntransports = []", "must not be empty"),
        (
            "[engine]\ntransports = ['pollin']",
            "the nearest is \"polling\"",
        ),
        ("[engine]\nmax_payload = '2GiB'", "must be from 1 to"),
        ("[engine]\ncookie = true", "expected a table"),
        ("[engine]\ncookie = { same_site = 'none' }", "secure = true"),
        ("[engine]\ncookie = { name = 'a b' }", "no name of a cookie"),
        (
            "[cors]\ncredentials = true\ninsecure_any_origin = true",
            "list `origins` instead",
        ),
        (
            "[cors]\norigins = ['null']\ninsecure_any_origin = true",
            "contradicts",
        ),
        ("[cors]\norigins = ['*']", "insecure_any_origin"),
        ("[limits]\nheld = 0", "from 1 on"),
        ("[limits]\nopening = '101%'", "a share such as"),
        ("[limits]\nheader_bytes = 100", "must be from 8192"),
        (
            "[limits]\noutbox = '2MiB'\noutbox_total = '1MiB'",
            "cannot hold one full outbox",
        ),
        ("[limits]\ncontrol_frames = 0", "at least \"1/s\""),
        (
            "[drain]\nhard_stop = '10s'",
            "before `delay` and `spread` are over (25s)",
        ),
        ("[log]\nlevel = 'inof'", "the nearest level is \"info\""),
        ("[log]\nlevel = 'a=loud'", "is no filter"),
        ("[log]\nformat = 1979-05-27", "found a date"),
        (
            "[admin]\nlisten = '127.0.0.1:3001'",
            "already `api.listen`'s",
        ),
        ("server = 5", "expected a table"),
    ]);
}

#[test]
fn keys_of_later_are_refused_unless_they_are_off() {
    valid(
        "[engine]\neio3 = false\n[socket]\nparser = 'json'\nrecovery = { enabled = false, max_age = '2m' }
        [cluster]\nbus = 'none'\n[socket_admin]\nenabled = false\nusername = 'admin'",
    );
    assert_wrong(&[
        (
            "[engine]\neio3 = true",
            "engine.eio3: not yet available; only `false` is",
        ),
        (
            "[engine]\ntransports = ['webtransport']",
            "not yet available",
        ),
        (
            "[socket]\nparser = 'msgpack'",
            "\"msgpack\" is not yet available",
        ),
        (
            "[socket]\nrecovery = { enabled = true }",
            "socket.recovery.enabled: not yet available",
        ),
        (
            "[server]\ntls = { cert = 'a', key = 'b' }",
            "server.tls: not yet available",
        ),
        ("[cluster]\nbus = 'redis'", "only `\"none\"` is"),
        ("[cluster]\nurl = 'redis://r'", "not yet available"),
        ("[socket_admin]\nenabled = true", "not yet available"),
    ]);
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let problems =
        wrong("[engin]\nx = 1\n[server]\nshards = 'a'\nprot = 1\n[limits]\nrooms = 0\nacks = 0");
    let keys: Vec<_> = problems
        .iter()
        .map(|line| line.split(": ").nth(1).expect("a key"))
        .collect();
    assert_eq!(
        keys,
        [
            "engin",
            "server.shards",
            "server.prot",
            "limits.rooms",
            "limits.acks"
        ]
    );
    assert!(
        problems[0].contains("the nearest valid key is `engine`"),
        "{problems:?}"
    );
    assert!(problems[0].starts_with("1:2: "), "{problems:?}");
}

#[test]
fn a_text_that_is_no_toml_is_told_with_its_place_and_nothing_else() {
    let problems = load("[server\nlisten = 1").expect_err("invalid");
    assert_eq!(problems, ["1:8: unclosed table, expected `]`"]);
}

#[test]
fn the_list_of_limits_is_complete() {
    let raw = super::RawConfig {
        tree: file::parse("[limits]").expect("valid"),
        file: None,
        directory: ".".into(),
        problems: Vec::new(),
        built_in: false,
    };
    let (environment, system) = (Environment::default(), machine());
    let context = raw.context(&environment, &system);
    Table::read_root(&context, &raw.tree, |table| {
        table.table("limits", |table| {
            limits(table, &mut Config::default());
            let mut known = table.known().to_vec();
            let mut listed = LIMIT_KEYS.to_vec();
            known.sort_unstable();
            listed.sort_unstable();
            assert_eq!(known, listed);
        });
    });
}

#[test]
fn the_machine_decides_where_nothing_is_written() {
    let small = System {
        host_name: "gw-7".to_owned(),
        cores: 200,
        memory: 1 << 30,
        files: 4096,
    };
    let environment = Environment::default();
    let config = load_with(REST, &environment, &small).expect("valid");
    assert_eq!(&*config.server.node, "gw-7");
    assert_eq!(config.server.shards, 64);
    assert_eq!(config.server.max_connections, 3096);
    assert_eq!(config.hub.outbox_total, 256 << 20);
    let load = |limit: &str| load_with(&format!("[server]\n{limit}{REST}"), &environment, &small);
    assert!(load("max_connections = 3096").is_ok());
    let problems = load("max_connections = 3097").expect_err("too many");
    assert!(
        problems[0].contains("holds at most 3096 connections"),
        "{problems:?}"
    );
    let tiny = System {
        files: 1000,
        ..small
    };
    let problems = load_with(REST, &environment, &tiny).expect_err("no room");
    assert!(
        problems[0].contains("leaves none for clients"),
        "{problems:?}"
    );
}

#[test]
fn the_limit_of_open_files_holds_the_backends_too() {
    let machine = System {
        host_name: "gw-7".to_owned(),
        cores: 2,
        memory: 1 << 30,
        files: 6000,
    };
    let environment = Environment::default();
    let load = |connections: &str, server: &str, concurrency: usize| {
        let busy = format!("concurrency = {{ max = {concurrency} }}\nurl =");
        let rest = REST.replace("url =", &busy);
        let text = format!("[server]\n{connections}\n{server}\n{rest}");
        load_with(&text, &environment, &machine)
    };
    let written = "max_connections = 5000";
    assert!(load(written, "", 600).is_ok(), "1,000 are enough for these");
    for (server, concurrency, most) in [
        ("", 601, 4999),
        ("", 5000, 600),
        ("fallback = 'http://127.0.0.1:1'", 256, 4768),
    ] {
        let problems = load(written, server, concurrency).expect_err("too many");
        assert_eq!(problems.len(), 1, "{problems:?}");
        let message =
            format!("max_connections: the limit of 6000 open files holds at most {most} ");
        assert!(problems[0].contains(&message), "{problems:?}");
        let config = load("", server, concurrency).expect("valid");
        assert_eq!(config.server.max_connections, most);
    }
}
