//! Upstreams, namespaces, routes, and what of them can be reached.

use std::time::Duration;

use super::{Environment, Source, assert_wrong, load, load_with, machine, valid};
use crate::config::Config;
use crate::session::settings::{
    Allow, Auth, Life, OnUnavailable, Relay, RelayTo, TargetSettings, Trigger,
};

const UPSTREAM: &str = "[[upstream]]\nname = 'app'\nurl = 'http://localhost:1/'\n";

/// The routes of a namespace without CONNECT.
fn with_routes(routes: &str) -> Result<Config, Vec<String>> {
    load(&format!(
        "[[namespace]]\nmatch = '/'\nauth = 'none'\n{routes}"
    ))
}

fn assert_routes_wrong(cases: &[(&str, &str)]) {
    for (routes, message) in cases {
        let problems = with_routes(routes).expect_err(routes);
        assert_eq!(problems.len(), 1, "{routes}\n{problems:#?}");
        assert!(
            problems[0].contains(message),
            "{routes}\n{problems:#?}\nlacks {message:?}"
        );
    }
}

#[test]
fn routes_and_namespaces_reach_their_settings() {
    let config = valid(
        r#"
        [[namespace]]
        match = "/doc-*"
        auth = "webhook"
        user_room = "u/{user}"
        forward = { headers = ["*"], query = ["v"], pass = ["Cookie"] }
        on_unavailable = "reject"
        hold = "3s"
        [[namespace.route]]
        on = "connect"
        upstream = "app"
        [[namespace.route]]
        event = ["typing", "cur*"]
        relay = { to = "arg", prefix = "doc:", volatile = true, rate = "20/s", max_bytes = 512 }
        [[namespace.route]]
        name = "messages"
        event = "message"
        upstream = "app"
        deadline = "8s"
        idempotent = true
        max_in_flight = 4
        auto_ack = false
        [[namespace.route]]
        event = "echo"
        reply = "echo"
        [[namespace.route]]
        event = ""
        drop = true
        "#,
    );
    let namespace = &config.namespaces[0];
    assert_eq!(namespace.pattern.as_str(), "/doc-*");
    assert_eq!(namespace.auth, Auth::Webhook);
    assert_eq!(namespace.forward.headers, Allow::All);
    assert_eq!(namespace.forward.query, Allow::Only(vec!["v".into()]));
    assert_eq!(namespace.forward.pass, ["cookie".into()]);
    assert_eq!(namespace.on_unavailable, OnUnavailable::Reject);
    assert_eq!(namespace.hold, Duration::from_secs(3));
    let names: Vec<_> = namespace.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(
        names,
        [
            "/doc-*:connect",
            "/doc-*:typing",
            "messages",
            "/doc-*:echo",
            "/doc-*:"
        ]
    );
    assert_eq!(namespace.routes[0].on, Trigger::Life(vec![Life::Connect]));
    let relay = Relay {
        to: RelayTo::Arg,
        prefix: "doc:".into(),
        except_self: true,
        volatile: true,
        stamp: false,
        rate: Some(20),
        max_bytes: 512,
    };
    assert_eq!(namespace.routes[1].target, TargetSettings::Relay(relay));
    let TargetSettings::Upstream(messages) = &namespace.routes[2].target else {
        panic!("{:?}", namespace.routes[2]);
    };
    assert_eq!(messages.deadline, Duration::from_secs(8));
    assert!(messages.idempotent && !messages.auto_ack);
    assert_eq!(messages.max_in_flight, 4);
    assert_eq!(namespace.routes[3].target, TargetSettings::Echo);
    assert_eq!(namespace.routes[4].target, TargetSettings::Drop);
    // The rest of the file is a second namespace.
    assert_eq!(config.namespaces[1].pattern.as_str(), "/");
}

#[test]
fn namespaces_are_checked() {
    assert_wrong(&[
        (
            "[[namespace]]\nauth = 'none'",
            "namespace[0].match: is missing",
        ),
        (
            "[[namespace]]\nmatch = 'chat'\nauth = 'none'",
            "must begin with '/'",
        ),
        (
            "[[namespace]]\nmatch = '/a,b'\nauth = 'none'",
            "must not contain ','",
        ),
        (
            "[[namespace]]\nmatch = '/a'",
            "needs a route with `on = [\"connect\"]`",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'jtw'",
            "the nearest is",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'jwt'",
            "not yet available",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\njwt = {}",
            "not yet available",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\npolicy = 'reject'",
            "not yet available",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\ndisconnect = { grace = '1s' }",
            "not yet available",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nuser_room = 'users'",
            "must hold {user} once",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nuser_room = '{user}{user}'",
            "must hold {user} once",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nhold = '0s'",
            "hold: must be at least 100ms",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nhold = '99ms'",
            "hold: must be at least 100ms",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nforward = { pass = ['Host'] }",
            "`host` cannot be sent",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nforward = { pass = ['*'] }",
            "by name",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nforward = { headers = ['*', 'cookie'] }",
            "stands alone",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\nforward = { query = ['sid'] }",
            "belongs to the transport",
        ),
        (
            "[[namespace]]\nmatch = '/a'\nauth = 'none'\n[[namespace.route]]\non = ['connect', 'disconnect']\nupstream = 'app'",
            "nobody is asked about CONNECT",
        ),
    ]);
    valid("[[namespace]]\nmatch = '/a'\nauth = 'none'\ndisconnect = { grace = '0s' }");
}

#[test]
fn the_longest_user_has_a_room() {
    let template = |bytes| {
        let rest = "r".repeat(bytes);
        format!("[[namespace]]\nmatch = '/a'\nauth = 'none'\nuser_room = '{rest}{{user}}'")
    };
    let config = valid(&template(72));
    let user = crate::hub::id::UserId::new(&"u".repeat(128)).expect("valid");
    assert!(config.namespaces[0].user_room.room(&user).is_some());
    assert_wrong(&[(&template(73), "must be at most")]);
}

#[test]
fn routes_are_checked() {
    assert_routes_wrong(&[
        ("[[namespace.route]]\ndrop = true", "needs `on` or `event`"),
        (
            "[[namespace.route]]\nevent = 'a'",
            "needs one of `upstream`, `relay`, `reply` and `drop`",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nreply = 'ok'\ndrop = true",
            "contradicts `reply`",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = false",
            "can only be `true`",
        ),
        (
            "[[namespace.route]]\nevent = 'connect'\ndrop = true",
            "event \"connect\" is reserved",
        ),
        (
            "[[namespace.route]]\nevent = []\ndrop = true",
            "must not be empty",
        ),
        (
            "[[namespace.route]]\nevent = [5]\ndrop = true",
            "route[0].event[0]: expected a string",
        ),
        (
            &format!("[[namespace.route]]\non = 'disconect'\nupstream = 'app'\n{UPSTREAM}"),
            "the nearest is \"disconnect\"",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nreply = 'okay'",
            "the nearest is \"ok\"",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\ndeadline = '1s'",
            "only for a route with `upstream`",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nrelay = {}",
            "relay.to: is missing",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nrelay = { to = 'all', prefix = 'x' }",
            "has no meaning",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nrelay = { to = 'all', rate = '0/s' }",
            "at least",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nrelay = { to = 'all', max_bytes = '2MB' }",
            "engine.max_payload",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nupstream = 'app'",
            "add an [[upstream]]",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\nname = ''",
            "must be 1 to 64 bytes",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\nmirror = 'x'",
            "not yet available",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\nupstreams = ['x']",
            "not yet available",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\nbatch = { max = 2 }",
            "only `1` is",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\nbatch = { max_wait = '1s' }",
            "only `\"0s\"` is",
        ),
        (
            "[[namespace.route]]\nevent = 'a'\ndrop = true\nencoding = 'msgpack'",
            "only `\"json\"` is",
        ),
    ]);
    for later in [
        "connected",
        "suspended",
        "refresh",
        "user.online",
        "room.vacated",
    ] {
        let route = format!("[[namespace.route]]\non = '{later}'\nupstream = 'app'\n{UPSTREAM}");
        assert_routes_wrong(&[(&route, "is not yet available")]);
    }
    let off = "[[namespace.route]]\nevent = 'a'\ndrop = true\nack_on_failure = 'none'\nencoding = 'json'\nstream = false
        batch = { max = 1, always = false, max_wait = '0s' }";
    assert!(with_routes(off).is_ok());
}

#[test]
fn edge_rules_and_their_keys_are_for_events() {
    let routes = |rest: &str| format!("[[namespace.route]]\non = 'disconnect'\n{rest}");
    assert_routes_wrong(&[
        (&routes("drop = true"), "is for events only"),
        (&routes("relay = { to = 'all' }"), "is for events only"),
        (
            &routes(&format!("upstream = 'app'\nauto_ack = true\n{UPSTREAM}")),
            "auto_ack: is for events only",
        ),
        (
            &format!(
                "[[namespace.route]]\non = 'disconnect'\nevent = 'a'\nupstream = 'app'\n{UPSTREAM}"
            ),
            "contradicts `on`",
        ),
    ]);
}

#[test]
fn what_can_never_be_reached_is_told() {
    let route = |event: &str| format!("[[namespace.route]]\nevent = {event}\ndrop = true\n");
    assert_routes_wrong(&[
        (
            &(route("'a*'") + &route("'abc'")),
            "\"abc\" never gets here: route \"/:a*\" (line 4) takes it first",
        ),
        (&(route("'*'") + &route("'x*'")), "\"x*\" never gets here"),
        (
            &route("['*', 'a']"),
            "\"a\" is already covered by this route",
        ),
    ]);
    assert!(with_routes(&(route("'ab*'") + &route("'a*'"))).is_ok());
    assert_wrong(&[
        (
            "[[namespace]]\nmatch = '/'\nauth = 'none'",
            "there is already a namespace \"/\" (line 2)",
        ),
        (
            "[[namespace]]\nmatch = '*'\nauth = 'none'",
            "is never reached: \"*\" (line 2) matches first",
        ),
        (
            "[[upstream]]\nname = 'spare'\nurl = 'http://localhost/'",
            "no route leads to the upstream \"spare\"",
        ),
    ]);
    let twice = "[[namespace.route]]\non = ['disconnect']\nupstream = 'app'\n[[namespace.route]]\nname = 'x'\non = ['disconnect']\nupstream = 'app'\n";
    assert_routes_wrong(&[(
        &format!("{twice}{UPSTREAM}"),
        "\"disconnect\" never gets here",
    )]);
}

#[test]
fn names_are_unique_and_routes_at_most_64() {
    let route = |event: usize| format!("[[namespace.route]]\nevent = 'e{event}'\ndrop = true\n");
    assert!(with_routes(&(0..64).map(route).collect::<String>()).is_ok());
    let many: String = (0..65).map(route).collect();
    assert_routes_wrong(&[
        (&many, "at most 64 routes"),
        (
            "[[namespace.route]]\nname = 'x'\nevent = 'a'\ndrop = true\n[[namespace.route]]\nname = 'x'\nevent = 'b'\ndrop = true",
            "\"x\" is taken (line 5)",
        ),
        (
            &format!("[[namespace.route]]\nevent = 'a'\nupstream = 'app'\n{UPSTREAM}{UPSTREAM}"),
            "\"app\" is taken",
        ),
    ]);
}

#[test]
fn a_made_name_is_cut_to_the_length_of_a_label() {
    let event = "ü".repeat(40);
    let config = with_routes(&format!(
        "[[namespace.route]]\nevent = '{event}'\ndrop = true"
    ));
    let name = &config.expect("valid").namespaces[0].routes[0].name;
    assert_eq!((name.len(), name.starts_with("/:ü")), (64, true));
}

#[test]
fn upstreams_are_checked() {
    let upstream = |rest: &str| {
        format!(
            "[[upstream]]\nname = 'b'\nurl = 'http://localhost/'\n{rest}
            [[namespace]]\nmatch = '/b'\nauth = 'none'\n[[namespace.route]]\nevent = '*'\nupstream = 'b'"
        )
    };
    valid(&upstream(
        "headers = { x-a = 'plain' }\nconcurrency = { max = 1, queue = 0, adaptive = false }",
    ));
    for (rest, message) in [
        ("timeout = '0s'", "more than 0s"),
        ("concurrency = { max = 0 }", "from 1 on"),
        ("concurrency = { adaptive = true }", "not yet available"),
        ("breaker = { failure_ratio = 2.0 }", "from 0.001 to 1.0"),
        (
            "retention = { itmes = 5 }",
            "the nearest valid key is `items`",
        ),
        (
            "headers = { content-type = 'x' }",
            "`content-type` cannot be sent",
        ),
        (
            "headers = { Traceparent = 'x' }",
            "`traceparent` cannot be sent",
        ),
        (
            "headers = { X-A = 'a', x-a = 'b' }",
            "`x-a` is there already",
        ),
        (
            "headers = { x-a = \"a\\nb\" }",
            "a character that a header cannot carry",
        ),
        ("ca = 'ca.pem'\n", "ca.pem"),
        (
            "insecure_skip_verify = true",
            "only where `url` is https://",
        ),
        ("secrets = 'env:X'", "expected a list"),
        ("url2 = ''", "the nearest valid key is `url`"),
    ] {
        let text = upstream(rest);
        let problems = load(&format!("{text}{}", super::REST)).expect_err(&text);
        assert!(
            problems.iter().any(|p| p.contains(message)),
            "{rest}\n{problems:#?}"
        );
    }
    assert_wrong(&[
        (
            "[[upstream]]\nurl = 'http://localhost/'",
            "upstream[0].name: is missing",
        ),
        (
            "[[upstream]]\nname = 'a b'\nurl = 'http://localhost/'",
            "letters, digits",
        ),
    ]);
}

#[test]
fn requests_that_leave_the_machine_are_signed() {
    let load = |rest: &str| {
        let text = super::REST.replace(
            "127.0.0.1:8000/sockgate\"",
            &format!("app.internal/\"\n{rest}"),
        );
        let secret = format!("whsec_{}", "A".repeat(32));
        let environment: Environment = [("S", secret.as_str())].into_iter().collect();
        load_with(&text, &environment, &machine())
    };
    assert!(load("secrets = ['env:S']").is_ok());
    assert!(load("insecure_unsigned = true").is_ok());
    for unsigned in ["", "secrets = []", "insecure_unsigned = false"] {
        let problems = load(unsigned).expect_err("unsigned");
        assert!(problems[0].contains("must be signed"), "{problems:?}");
    }
    let problems = load("secrets = ['env:S']\ninsecure_unsigned = true").expect_err("both");
    assert!(
        problems[0].contains("contradicts `secrets`"),
        "{problems:?}"
    );
    let unix = super::REST.replace(
        "http://127.0.0.1:8000/sockgate",
        "unix:/run/app.sock:/sockgate",
    );
    assert!(super::load(&unix).is_ok());
}

#[test]
fn the_built_in_backend_is_for_texts_of_the_program_alone() {
    const TEXT: &str =
        "[[namespace]]\nmatch = '/'\n[[namespace.route]]\non = 'connect'\nupstream = 'builtin'";
    let problems = load(TEXT).expect_err("nobody has configured it");
    assert!(problems[0].contains("builtin"), "{problems:?}");
    let own = Config::load(&Source::BuiltIn(TEXT), &Environment::default(), &machine());
    assert!(own.expect("a text of the program").upstreams.is_empty());
}
