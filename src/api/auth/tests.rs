use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::*;
use crate::hub::pattern::Pattern;

const RIGHT: &str = "sgk_right";
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn key(name: &str, text: &str, scopes: &[Scope], namespaces: Option<&[&str]>) -> Key {
    let patterns = |list: &[&str]| list.iter().map(|p| Pattern::new(p)).collect();
    Key {
        name: name.into(),
        sha256: Sha256::digest(text).into(),
        scopes: scopes.to_vec(),
        namespaces: namespaces.map(patterns),
    }
}

fn tables(patterns: &[&str]) -> Vec<NamespaceTable> {
    let table = |pattern: &&str| NamespaceTable {
        pattern: Pattern::new(pattern),
        user_room: UserRoom::default(),
    };
    patterns.iter().map(table).collect()
}

fn with(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).expect("a header"));
    headers
}

fn code(refusal: Refusal) -> u16 {
    let trace = super::super::trace::Trace::of(&HeaderMap::new());
    let response = super::super::reply::response(Err(refusal), trace, false);
    response.status().as_u16()
}

fn name(namespace: &str) -> Namespace {
    Namespace::new(namespace).expect("a namespace")
}

#[test]
fn any_of_the_keys_opens_and_nothing_else_does() {
    let keys = vec![
        key("old", "sgk_old", &[Scope::Read], None),
        key("new", RIGHT, &[Scope::Emit], None),
    ];
    let (auth, now) = (Auth::new(keys), Instant::now());
    let admitted = |value: &str| {
        let key = auth.admit(&with(AUTHORIZATION, value), ADDRESS, now);
        key.map(|key| key.map(|key| key.name.to_string()))
            .map_err(code)
    };
    assert_eq!(admitted("Bearer sgk_right"), Ok(Some("new".to_owned())));
    assert_eq!(admitted("bearer  sgk_old"), Ok(Some("old".to_owned())));
    for bad in [
        "Bearer sgk_righ",
        "Bearer sgk_right2",
        "Bearer",
        "Bearer ",
        "sgk_right",
        "Basic sgk_right",
    ] {
        assert_eq!(admitted(bad), Err(401), "{bad}");
    }
    assert_eq!(
        auth.admit(&HeaderMap::new(), ADDRESS, now).map_err(code),
        Err(401)
    );
    let mut twice = with(AUTHORIZATION, "Bearer sgk_right");
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer sgk_right"));
    assert_eq!(auth.admit(&twice, ADDRESS, now).map_err(code), Err(401));
}

#[test]
fn a_right_key_is_admitted_from_wherever_wrong_ones_came() {
    let auth = Auth::new(vec![key("k", RIGHT, &[Scope::Read], None)]);
    let start = Instant::now();
    let wrong = with(AUTHORIZATION, "Bearer sgk_wrong");
    let right = with(AUTHORIZATION, "Bearer sgk_right");
    for _ in 0..20 {
        assert_eq!(auth.admit(&wrong, ADDRESS, start).map_err(code), Err(401));
    }
    assert_eq!(auth.admit(&wrong, ADDRESS, start).map_err(code), Err(429));
    assert!(auth.admit(&right, ADDRESS, start).is_ok());
    // A missing key is no guess.
    let none = HeaderMap::new();
    assert_eq!(auth.admit(&none, ADDRESS, start).map_err(code), Err(401));
    let later = start + Duration::from_mins(1);
    assert_eq!(auth.admit(&wrong, ADDRESS, later).map_err(code), Err(401));
}

#[test]
fn without_keys_only_requests_to_this_machine_by_name_are_answered() {
    let auth = Auth::new(Vec::new());
    let admitted = |host: &str| {
        auth.admit(&with(HOST, host), ADDRESS, Instant::now())
            .is_ok()
    };
    for local in [
        "localhost",
        "localhost:3001",
        "LOCALHOST.",
        "app.localhost:1",
        "127.0.0.1:3001",
        "[::1]:3001",
        "10.0.0.7",
    ] {
        assert!(admitted(local), "{local}");
    }
    for foreign in [
        "evil.example",
        "evil.example:3001",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "",
        "a b",
    ] {
        assert!(!admitted(foreign), "{foreign}");
    }
    let none = HeaderMap::new();
    assert!(auth.admit(&none, ADDRESS, Instant::now()).is_ok());
}

#[test]
fn a_scope_allows_itself_and_admin_allows_all() {
    let scopes = [
        Scope::Emit,
        Scope::Rooms,
        Scope::Disconnect,
        Scope::Read,
        Scope::Admin,
    ];
    for own in scopes {
        let key = key("k", RIGHT, &[own], None);
        let caller = Caller::new(Some(&key), &[]);
        for wanted in scopes {
            let allowed = own == wanted || own == Scope::Admin;
            assert_eq!(caller.needs(wanted).is_ok(), allowed, "{own:?} {wanted:?}");
        }
        assert!(Caller::new(None, &[]).needs(own).is_ok());
    }
}

#[test]
fn a_key_with_a_list_opens_these_namespaces_only() {
    let tables = tables(&["/orders", "/doc-*", "/"]);
    let key = key(
        "k",
        RIGHT,
        &[Scope::Emit],
        Some(&["/orders", "/doc-*", "/gone"]),
    );
    let caller = Caller::new(Some(&key), &tables);
    let open = |namespace: &str| caller.user_room(&name(namespace)).map(|_| ());
    assert_eq!(open("/orders"), Ok(()));
    assert_eq!(open("/doc-1"), Ok(()));
    assert_eq!(open("/"), Err(Closed::Forbidden));
    assert_eq!(
        open("/other"),
        Err(Closed::Forbidden),
        "not even whether it is there"
    );
    assert_eq!(open("/gone"), Err(Closed::Unknown));
    assert!(!caller.may_touch_all());
    assert!(Caller::new(None, &tables).may_touch_all());
}

#[test]
fn a_list_that_covers_every_table_is_as_good_as_none() {
    let tables = tables(&["/orders", "/doc-*"]);
    let all = |list: &[&str]| {
        let key = key("k", RIGHT, &[Scope::Disconnect], Some(list));
        Caller::new(Some(&key), &tables).may_touch_all()
    };
    assert!(all(&["*"]));
    assert!(all(&["/*"]));
    assert!(all(&["/doc-*", "/orders"]));
    assert!(!all(&["/doc-1", "/orders"]));
    assert!(!all(&["/doc-*"]));
}
