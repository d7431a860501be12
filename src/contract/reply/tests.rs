use super::*;
use crate::contract::audience::Closed;
use crate::contract::samples::{
    OTHER, SOCKET, Sites, at, audience, causes, names, namespace, packet, pointers, rooms, sent,
    socket, written,
};
use crate::hub::action::{Action, Audience, Ending, Names, State, Target, UserRoom};
use crate::session::backend::Payload;

fn read_with(
    kind: ReplyKind,
    body: &str,
    change: impl FnOnce(&mut ReplyContext<'_>),
) -> Result<Parsed, BadReply> {
    let (sites, chat) = (Sites::new(), namespace("/chat"));
    let mut context = ReplyContext {
        socket: socket(SOCKET),
        namespace: &chat,
        namespaces: &sites,
        max_emit: 1 << 20,
        max_rooms: 512,
        now: at("2026-11-24T22:00:00Z"),
    };
    change(&mut context);
    parse(kind, body.as_bytes(), &context)
}

fn connected(body: &str) -> Reply {
    let parsed = read_with(ReplyKind::Connect, body, |_| {});
    parsed.expect("a valid reply").reply
}

fn answered(body: &str) -> Reply {
    let parsed = read_with(ReplyKind::Event, body, |_| {});
    parsed.expect("a valid reply").reply
}

fn faults(kind: ReplyKind, body: &str) -> Vec<String> {
    written(&bad(kind, body).0.faults)
}

fn bad(kind: ReplyKind, body: &str) -> BadReply {
    read_with(kind, body, |_| {}).expect_err("a bad reply")
}

/// The action of a reply with only one.
fn action(json: &str) -> Action {
    let mut steps = answered(&format!(r#"{{"actions":[{json}]}}"#)).steps;
    match (steps.pop(), steps.len()) {
        (Some(Step::Action(action)), 0) => action,
        other => panic!("not one action: {other:?}"),
    }
}

/// What is wrong with a reply that has only this action, without the pointer to it.
fn action_faults(json: &str) -> Vec<String> {
    let faults = faults(ReplyKind::Event, &format!(r#"{{"actions":[{json}]}}"#));
    let relative = |fault: &String| fault.trim_start_matches("/actions/0").to_owned();
    faults.iter().map(relative).collect()
}

fn own() -> Audience {
    Audience::socket(namespace("/chat"), socket(SOCKET))
}

#[test]
fn an_empty_body_accepts_an_anonymous_socket() {
    for body in ["", " \r\n", "{}", " {} "] {
        for kind in [ReplyKind::Connect, ReplyKind::Event] {
            let reply = read_with(kind, body, |_| {}).expect("valid").reply;
            assert_eq!(reply.user, Change::Keep);
            assert_eq!(reply.state, Change::Keep);
            assert_eq!(reply.expires_at, Change::Keep);
            assert!(reply.reject.is_none());
            assert!(reply.rooms.is_empty());
            assert!(reply.steps.is_empty());
        }
    }
}

#[test]
fn the_accepting_example_of_the_contract_is_read_but_for_what_comes_later() {
    let example = r#"{"user":"42","state":{"role":"editor","tenant":"acme"},"rooms":["doc:9","tenant:acme"],
 "expires_at":"2026-11-24T23:00:00Z","cache_ttl":30,
 "actions":[{"type":"emit","event":"welcome","args":[{"motd":"hi"}]}]}"#;
    let bad = bad(ReplyKind::Connect, example);
    assert_eq!(written(&bad.0.faults), ["/cache_ttl: is not yet available"]);
    assert_eq!(bad.0.cause(), Cause::NotAvailable);

    let reply = connected(&example.replace(":30", ":0"));
    assert_eq!(reply.user, Change::Set(UserId::new("42").expect("a user")));
    let state = r#"{"role":"editor","tenant":"acme"}"#;
    assert_eq!(reply.state, Change::Set(State(state.into())));
    assert_eq!(reply.rooms, rooms(&["doc:9", "tenant:acme"]));
    assert_eq!(reply.expires_at, Change::Set(at("2026-11-24T23:00:00Z")));
    let [Step::Action(welcome)] = &reply.steps[..] else {
        panic!("one action");
    };
    assert_eq!(sent(welcome), r#"42/chat,["welcome",{"motd":"hi"}]"#);
    assert_eq!(welcome.audience(), &own());
}

#[test]
fn the_event_example_of_the_contract_is_read_in_order() {
    let reply = answered(
        r#"{"ack":[{"ok":true,"id":"m_881"}],
 "state":{"role":"editor","tenant":"acme","last":"m_881"},
 "actions":[
   {"type":"emit","event":"message","args":[{"id":"m_881","text":"héllo"}],"to":{"rooms":["doc:9"]},"except":{"self":true}},
   {"type":"join","rooms":["thread:881"]},
   {"type":"leave","rooms":["lobby"]},
   {"type":"emit","event":"notice","args":["saved"],"volatile":true}]}"#,
    );
    let [
        Step::Ack(ack),
        Step::Action(message),
        Step::Action(Action::Join { to, rooms: joined }),
        Step::Action(Action::Leave { rooms: left, .. }),
        Step::Action(notice),
    ] = &reply.steps[..]
    else {
        panic!("five steps in order: {:?}", reply.steps);
    };
    assert_eq!(&*ack.args, r#"{"ok":true,"id":"m_881"}"#);
    assert_eq!(
        sent(message),
        r#"42/chat,["message",{"id":"m_881","text":"héllo"}]"#
    );
    let expected = audience("/chat", names(&["doc:9"], &[]), names(&[], &[SOCKET]));
    assert_eq!(message.audience(), &expected);
    assert_eq!((to, joined), (&own(), &rooms(&["thread:881"])));
    assert_eq!(left, &rooms(&["lobby"]));
    assert!(matches!(notice, Action::Emit { volatile: true, .. }));
    assert_eq!(sent(notice), r#"42/chat,["notice","saved"]"#);
}

#[test]
fn a_reject_is_a_refusal_and_everything_beside_it_is_ignored() {
    let body = r#"{"user":[],"actions":7,"reject":{"message":"not authorized","data":{"code":"TOKEN_EXPIRED"}}}"#;
    let parsed = read_with(ReplyKind::Connect, body, |_| {}).expect("valid");
    assert_eq!(parsed.wording, Some(Wording::Backend));
    assert_eq!(
        parsed.reply.reject,
        Some(Reject {
            message: "not authorized".into(),
            data: Some(r#"{"code":"TOKEN_EXPIRED"}"#.into()),
        })
    );
}

#[test]
fn a_reject_that_is_too_long_becomes_unauthorized_and_is_told_apart() {
    let reject = |message: usize, data: usize| {
        let (message, data) = ("x".repeat(message), "y".repeat(data));
        let body = format!(r#"{{"reject":{{"message":"{message}","data":"{data}"}}}}"#);
        let parsed = read_with(ReplyKind::Connect, &body, |_| {}).expect("valid");
        (parsed.reply.reject.expect("a reject"), parsed.wording)
    };
    let quotes = 2;
    assert_eq!(reject(200, 4096 - quotes).1, Some(Wording::Backend));
    for (message, data) in [(201, 0), (0, 4097 - quotes)] {
        let (reject, wording) = reject(message, data);
        assert_eq!(wording, Some(Wording::TooLong));
        assert_eq!((&*reject.message, reject.data), ("unauthorized", None));
    }
}

#[test]
fn a_reject_which_is_none_is_a_bad_reply() {
    for (body, fault) in [
        (r#"{"reject":true}"#, "/reject: must be an object"),
        (r#"{"reject":{}}"#, "/reject/message: required"),
        (
            r#"{"reject":{"message":1}}"#,
            "/reject/message: must be a string",
        ),
        (
            r#"{"reject":{"message":"x","datas":1}}"#,
            "/reject/datas: unknown field; did you mean 'data'?",
        ),
    ] {
        assert_eq!(faults(ReplyKind::Connect, body), [fault]);
    }
}

#[test]
fn any_4xx_with_a_valid_reject_refuses_and_401_and_403_do_without() {
    let body = br#"{"reject":{"message":"no"},"more":1}"#;
    for status in [400, 401, 403, 404, 422, 429] {
        let refusal = reject_body(status, body).expect("a refusal");
        assert_eq!(&*refusal.reject.message, "no");
        assert_eq!(refusal.wording, Wording::Backend);
    }
    for body in [
        &b""[..],
        b"<html>",
        b"{}",
        br#"{"reject":{}}"#,
        br#"{"message":"x"}"#,
    ] {
        for status in [401, 403] {
            let refusal = reject_body(status, body).expect("a refusal");
            assert_eq!(&*refusal.reject.message, "unauthorized");
            assert_eq!(refusal.wording, Wording::Missing);
        }
        for status in [400, 404, 408, 429, 500] {
            assert_eq!(reject_body(status, body), None);
        }
    }
    for status in [200, 302, 500, 503] {
        assert_eq!(reject_body(status, body), None);
    }
}

#[test]
fn the_user_is_a_string_or_an_integer_and_null_clears() {
    let user = |json: &str| answered(&format!(r#"{{"user":{json}}}"#)).user;
    let set = |id: &str| Change::Set(UserId::new(id).expect("a user"));
    assert_eq!(user("42"), set("42"));
    assert_eq!(user("\"42\""), set("42"));
    assert_eq!(user("-7"), set("-7"));
    assert_eq!(user("42.0"), set("42"));
    assert_eq!(
        user("123456789012345678901234567890"),
        set("123456789012345678901234567890")
    );
    assert_eq!(user("\"\\u00e9\""), set("é"));
    assert_eq!(user("null"), Change::Clear);
    for (json, detail) in [
        ("4.5", "must be a string or an integer"),
        ("1e-3", "must be a string or an integer"),
        ("true", "must be a string or an integer"),
        ("\"\"", "must not be empty"),
        ("\"a\\n\"", "must not contain control characters"),
        ("\"\\ud800\"", "must not contain half of a surrogate pair"),
    ] {
        let body = format!(r#"{{"user":{json}}}"#);
        assert_eq!(
            faults(ReplyKind::Event, &body),
            [format!("/user: {detail}")]
        );
    }
    let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(129));
    assert_eq!(
        faults(ReplyKind::Event, &long),
        ["/user: is longer than 128 bytes"]
    );
}

#[test]
fn the_state_is_kept_verbatim_up_to_16_kib() {
    let state = |json: &str| answered(&format!(r#"{{"state": {json} }}"#)).state;
    let odd = r#"{ "a" : 1.50e+1, "a":"\u00e9" }"#;
    assert_eq!(state(odd), Change::Set(State(odd.into())));
    assert_eq!(state("null"), Change::Clear);
    assert_eq!(state("false"), Change::Set(State("false".into())));
    let sized = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    assert!(matches!(state(&sized(State::MAX)), Change::Set(_)));
    let body = format!(r#"{{"state":{}}}"#, sized(State::MAX + 1));
    assert_eq!(
        faults(ReplyKind::Event, &body),
        ["/state: is longer than 16384 bytes"]
    );
}

#[test]
fn an_expiry_in_the_past_is_invalid_for_a_connect_and_ends_an_event() {
    let body = r#"{"expires_at":"2026-11-24T21:59:59Z"}"#;
    assert_eq!(
        faults(ReplyKind::Connect, body),
        ["/expires_at: is in the past"]
    );
    assert_eq!(
        answered(body).expires_at,
        Change::Set(at("2026-11-24T21:59:59Z"))
    );
    assert_eq!(
        connected(r#"{"expires_at":null}"#).expires_at,
        Change::Clear
    );
    assert_eq!(
        pointers(
            &bad(ReplyKind::Event, r#"{"expires_at":1732485600}"#)
                .0
                .faults
        ),
        ["/expires_at"]
    );
}

#[test]
fn more_rooms_than_a_socket_may_be_in_are_invalid_and_the_users_own_counts() {
    let read = |body: &str| read_with(ReplyKind::Connect, body, |context| context.max_rooms = 2);
    assert!(read(r#"{"rooms":["a","b","a"]}"#).is_ok());
    assert!(read(r#"{"rooms":["a"],"user":"1"}"#).is_ok());
    assert!(read(r#"{"rooms":["a","user:1"],"user":"1"}"#).is_ok());
    for body in [
        r#"{"rooms":["a","b","c"]}"#,
        r#"{"rooms":["a","b"],"user":"1"}"#,
    ] {
        let bad = read(body).expect_err("too many");
        assert_eq!(pointers(&bad.0.faults), ["/rooms"]);
    }
    let off = r#"{"rooms":["a","b","c"]}"#;
    assert!(read_with(ReplyKind::Connect, off, |context| context.max_rooms = 0).is_ok());
}

#[test]
fn fields_of_the_other_kind_are_ignored() {
    let reply = answered(r#"{"rooms":7,"cache_ttl":"x","reject":true}"#);
    assert!(reply.rooms.is_empty() && reply.reject.is_none());
    let reply =
        connected(r#"{"ack":7,"actions":[{"type":"ack","args":[]},{"type":"ack","args":[]}]}"#);
    assert!(reply.steps.is_empty());
}

#[test]
fn unknown_fields_at_the_top_are_ignored() {
    assert_eq!(
        answered(r#"{"later":{"to":1},"user":null}"#).user,
        Change::Clear
    );
}

#[test]
fn an_explicit_ack_stands_where_it_is_written_and_two_are_an_error() {
    let reply = answered(
        r#"{"actions":[{"type":"join","rooms":["a"]},{"type":"ack","args":[1, 2]},{"type":"leave","rooms":["a"]}]}"#,
    );
    assert!(matches!(
        &reply.steps[..],
        [Step::Action(_), Step::Ack(Payload { args, .. }), Step::Action(_)] if &**args == "1, 2"
    ));
    assert_eq!(
        faults(
            ReplyKind::Event,
            r#"{"ack":[],"actions":[{"type":"ack","args":[]}]}"#
        ),
        ["/actions/0: is a second acknowledgement"]
    );
    assert_eq!(
        faults(
            ReplyKind::Event,
            r#"{"actions":[{"type":"ack","args":[]},{"type":"ack","args":[]}]}"#
        ),
        ["/actions/1: is a second acknowledgement"]
    );
    for body in [r#"{"ack":"ok"}"#, r#"{"ack":{}}"#] {
        assert_eq!(faults(ReplyKind::Event, body), ["/ack: must be a list"]);
    }
    assert_eq!(
        faults(ReplyKind::Event, r#"{"ack":null}"#),
        ["/ack: must be a list, not null"]
    );
}

#[test]
fn what_is_no_json_object_is_a_bad_reply() {
    for (body, start) in [
        ("ok", "the body is not valid JSON: expected value"),
        (
            "<html></html>",
            "the body is not valid JSON: expected value",
        ),
        (r#"{"user":"1""#, "the body is not valid JSON: EOF"),
        (
            r#"{"user":"1"} x"#,
            "the body is not valid JSON: trailing characters",
        ),
        ("null", "the body must be an object, not null"),
        ("[]", "the body must be an object"),
    ] {
        let bad = bad(ReplyKind::Event, body).to_string();
        assert!(bad.starts_with(start), "{bad}");
    }
    let sites = Sites::new();
    let chat = namespace("/chat");
    let context = ReplyContext {
        socket: socket(SOCKET),
        namespace: &chat,
        namespaces: &sites,
        max_emit: 0,
        max_rooms: 0,
        now: at("2026-11-24T22:00:00Z"),
    };
    let latin1 = parse(ReplyKind::Event, b"{\"user\":\"\xe9\"}", &context);
    assert_eq!(latin1.expect_err("not UTF-8").0.cause(), Cause::Malformed);
}

#[test]
fn a_body_has_at_most_64_levels() {
    // The object and the list of arguments are two of them.
    let nested = |levels: usize| {
        let levels = levels - 2;
        format!(
            r#"{{"ack":[{}{}]}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert_eq!(answered(&nested(64)).steps.len(), 1);
    let bad = bad(ReplyKind::Event, &nested(65));
    assert_eq!(bad.to_string(), "the body is nested deeper than 64 levels");
    let text = format!(r#"{{"ack":["{}"]}}"#, "[".repeat(100));
    assert_eq!(answered(&text).steps.len(), 1);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_nothing_is_applied() {
    let bad = bad(
        ReplyKind::Connect,
        r#"{"user":"","expires_at":"x","rooms":["", "a", 1],
            "actions":[{"type":"join"},{"type":"join","rooms":["ok"]},{"type":"emitt"},7]}"#,
    );
    assert_eq!(
        pointers(&bad.0.faults),
        [
            "/user",
            "/expires_at",
            "/rooms/0",
            "/rooms/2",
            "/actions/0/rooms",
            "/actions/2/type",
            "/actions/3"
        ]
    );
    assert_eq!(bad.to_string(), "/user: must not be empty (and 6 more)");
}

#[test]
fn a_log_line_repeats_nothing_of_the_payload() {
    let bad = bad(
        ReplyKind::Event,
        r#"{"user":"top\nsecret","actions":[{"type":"secret"},{"type":"emit","event":"secret\n","args":"secret"}]}"#,
    );
    for fault in bad.0.faults {
        assert!(!fault.to_string().contains("secret"), "{fault}");
    }
}

#[test]
fn to_defaults_to_self_and_names_are_united() {
    assert_eq!(
        action(r#"{"type":"join","rooms":["a"]}"#).audience(),
        &own()
    );
    let all = action(&format!(
        r#"{{"type":"join","rooms":["a"],"to":{{"rooms":["r"],"users":["7",8],"sockets":["{OTHER}"],"self":true}}}}"#
    ));
    let expected = names(&["r", "user:7", "user:8"], &[OTHER, SOCKET]);
    assert_eq!(
        all.audience(),
        &audience("/chat", expected, Names::default())
    );
    let everybody = action(r#"{"type":"join","rooms":["a"],"to":{"all":true}}"#);
    assert_eq!(everybody.audience().to, Target::All);
}

#[test]
fn a_room_may_name_a_socket_and_the_room_of_a_user_may_not() {
    let room = action(&format!(
        r#"{{"type":"emit","event":"e","args":[],"to":{{"rooms":["{OTHER}"]}}}}"#
    ));
    let both = names(&[OTHER], &[OTHER]);
    assert_eq!(room.audience(), &audience("/chat", both, Names::default()));
}

#[test]
fn empty_lists_reach_nobody_and_an_empty_audience_is_an_error() {
    let nobody = action(r#"{"type":"emit","event":"e","args":[],"to":{"users":[]}}"#);
    let nobody_named = audience("/chat", Names::default(), Names::default());
    assert_eq!(nobody.audience(), &nobody_named);
    for field in ["to", "except"] {
        assert_eq!(
            action_faults(&format!(
                r#"{{"type":"emit","event":"e","args":[],"{field}":{{}}}}"#
            )),
            [format!(
                "/{field}: names nobody; to reach nobody, give an empty list"
            )]
        );
    }
}

#[test]
fn all_and_self_can_only_be_true_and_all_stands_alone() {
    for (to, fault) in [
        (r#"{"all":false}"#, "/to/all: can only be true"),
        (r#"{"all":1}"#, "/to/all: can only be true"),
        (r#"{"self":false}"#, "/to/self: can only be true"),
        (r#"{"self":"x"}"#, "/to/self: can only be true"),
        (
            r#"{"all":true,"rooms":[]}"#,
            "/to: has more than 'all', which stands alone",
        ),
        (
            r#""all""#,
            r#"/to: must be an object such as {"rooms":["a"]} or {"all":true}"#,
        ),
        (
            "null",
            r#"/to: must be an object such as {"rooms":["a"]} or {"all":true}, not null"#,
        ),
    ] {
        let action = format!(r#"{{"type":"emit","event":"e","args":[],"to":{to}}}"#);
        assert_eq!(action_faults(&action), [fault]);
    }
    let except = r#"{"type":"emit","event":"e","args":[],"except":{"all":true}}"#;
    assert_eq!(
        action_faults(except),
        ["/except/all: unknown field; known here: rooms, users, sockets, self"]
    );
}

#[test]
fn a_typo_is_an_error_that_names_the_nearest_field() {
    for (action, fault) in [
        (
            r#"{"type":"emit","event":"e","args":[],"too":{"rooms":["a"]}}"#,
            "/too: unknown field; did you mean 'to'?",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"execpt":{"self":true}}"#,
            "/execpt: unknown field; did you mean 'except'?",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"to":{"room":["a"]}}"#,
            "/to/room: unknown field; did you mean 'rooms'?",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"to":{"userIds":["a"]}}"#,
            "/to/userIds: unknown field; did you mean 'users'?",
        ),
        (
            r#"{"type":"join","rooms":["a"],"zzz":1}"#,
            "/zzz: unknown field; known here: type, rooms, to, namespace",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"a/b~c":1}"#,
            "/a~1b~0c: unknown field; known here: type, event, args, to, except, namespace, volatile",
        ),
        (
            r#"{"type":"jion","rooms":["a"]}"#,
            "/type: unknown type; did you mean 'join'?",
        ),
        (r#"{"rooms":["a"]}"#, "/type: required"),
    ] {
        assert_eq!(action_faults(action), [fault]);
    }
}

#[test]
fn a_field_that_is_there_twice_is_an_error() {
    assert_eq!(
        action_faults(r#"{"type":"join","rooms":["a"],"rooms":["b"]}"#),
        ["/rooms: is there twice"]
    );
    assert_eq!(
        faults(ReplyKind::Event, r#"{"user":"1","user":"2"}"#),
        ["/user: is there twice"]
    );
}

#[test]
fn fields_of_later_are_a_bad_reply_with_their_pointer() {
    let bad = bad(
        ReplyKind::Event,
        r#"{"actions":[{"type":"emit","event":"e","args":[],"ttl_ms":0,"conflate":"k"}]}"#,
    );
    assert_eq!(
        written(&bad.0.faults),
        [
            "/actions/0/ttl_ms: is not yet available",
            "/actions/0/conflate: is not yet available"
        ]
    );
    assert_eq!(causes(&bad.0.faults), [Cause::NotAvailable; 2]);
    assert_eq!(
        faults(ReplyKind::Connect, r#"{"cache_ttl":301}"#),
        ["/cache_ttl: must be a whole number from 0 to 300"]
    );
    assert_eq!(
        action_faults(r#"{"type":"emit","event":"e","args":[],"namespace":"*"}"#),
        ["/namespace: '*' is not yet available"]
    );
    assert_eq!(
        action_faults(r#"{"type":"join","rooms":["a"],"namespace":"*"}"#),
        ["/namespace: must begin with '/'"]
    );
}

#[test]
fn another_namespace_needs_an_audience_without_self_and_has_its_own_rooms_of_users() {
    let there = action(
        r#"{"type":"emit","event":"e","args":[],"namespace":"/docs","to":{"users":["7"]},"except":{"users":["8"]}}"#,
    );
    let expected = audience(
        "/docs",
        names(&["of 7 in docs"], &[]),
        names(&["of 8 in docs"], &[]),
    );
    assert_eq!(there.audience(), &expected);
    assert_eq!(sent(&there), r#"42/docs,["e"]"#);

    let own = action(r#"{"type":"join","rooms":["a"],"namespace":"/chat"}"#);
    assert_eq!(own.audience(), &self::own());

    for (action, fault) in [
        (
            r#"{"type":"join","rooms":["a"],"namespace":"/docs"}"#,
            "/to: required; use {\"all\":true} for everybody",
        ),
        (
            r#"{"type":"join","rooms":["a"],"namespace":"/docs","to":{"self":true}}"#,
            "/to/self: cannot be meant, since the namespace is not the socket's own",
        ),
        (
            r#"{"type":"join","rooms":["a"],"namespace":"/nowhere","to":{"users":["7"]}}"#,
            "/namespace: no namespace of this name is configured",
        ),
        (
            r#"{"type":"join","rooms":["a"],"namespace":"nowhere"}"#,
            "/namespace: must begin with '/'",
        ),
    ] {
        assert_eq!(action_faults(action), [fault]);
    }
}

struct One(UserRoom);

impl Namespaces for One {
    fn user_room(&self, _: &Namespace) -> Result<&UserRoom, Closed> {
        Ok(&self.0)
    }
}

#[test]
fn a_user_whose_room_would_have_too_long_a_name_is_an_error() {
    let user = "x".repeat(128);
    let template = format!("{}{{user}}", "p".repeat(100));
    let one = One(UserRoom::new(&template).expect("a template"));
    let body = format!(
        r#"{{"actions":[{{"type":"join","rooms":["a"],"to":{{"users":["ok","{user}"]}}}}]}}"#
    );
    let chat = namespace("/chat");
    let context = ReplyContext {
        socket: socket(SOCKET),
        namespace: &chat,
        namespaces: &one,
        max_emit: 0,
        max_rooms: 0,
        now: at("2026-11-24T22:00:00Z"),
    };
    let bad = parse(ReplyKind::Event, body.as_bytes(), &context).expect_err("too long");
    assert_eq!(
        written(&bad.0.faults),
        ["/actions/0/to/users/1: makes a room name that is too long"]
    );
}

#[test]
fn names_keep_to_their_limits() {
    for event in crate::hub::id::RESERVED_EVENTS {
        assert_eq!(
            action_faults(&format!(r#"{{"type":"emit","event":"{event}","args":[]}}"#)),
            [format!("/event: '{event}' is reserved")]
        );
    }
    let long = "é".repeat(101);
    for (action, fault) in [
        (
            r#"{"type":"emit","event":"","args":[]}"#.to_owned(),
            "/event: must not be empty",
        ),
        (
            format!(r#"{{"type":"emit","event":"{long}","args":[]}}"#),
            "/event: is longer than 200 bytes",
        ),
        (
            format!(r#"{{"type":"join","rooms":["a","{long}"]}}"#),
            "/rooms/1: is longer than 200 bytes",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"to":{"sockets":["nobody"]}}"#.to_owned(),
            "/to/sockets/0: is not a socket id: 20 characters of A-Z, a-z, 0-9, '-' and '_'",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"to":{"rooms":[1]}}"#.to_owned(),
            "/to/rooms/0: must be a string",
        ),
        (
            r#"{"type":"emit","event":7,"args":[]}"#.to_owned(),
            "/event: must be a string",
        ),
        (
            r#"{"type":"emit","event":"e","args":{}}"#.to_owned(),
            "/args: must be a list",
        ),
        (
            r#"{"type":"emit","event":"e","args":[],"volatile":1}"#.to_owned(),
            "/volatile: must be true or false",
        ),
    ] {
        assert_eq!(action_faults(&action), [fault]);
    }
}

#[test]
fn a_list_has_at_most_1000_names_and_a_reply_1000_actions() {
    let list = |count: usize| vec!["\"a\""; count].join(",");
    let join = |count| format!(r#"{{"type":"join","rooms":[{}]}}"#, list(count));
    assert!(matches!(action(&join(1000)), Action::Join { rooms, .. } if rooms.len() == 1000));
    assert_eq!(
        action_faults(&join(1001)),
        ["/rooms: has more than 1000 entries"]
    );
    let actions = |count: usize| {
        let leave = r#"{"type":"leave","rooms":["a"]}"#;
        format!(r#"{{"actions":[{}]}}"#, vec![leave; count].join(","))
    };
    assert_eq!(answered(&actions(1000)).steps.len(), 1000);
    assert_eq!(
        faults(ReplyKind::Event, &actions(1001)),
        ["/actions: has more than 1000 entries"]
    );
}

#[test]
fn an_emit_above_the_limit_is_a_bad_reply() {
    let body = |len: usize| {
        // 42/chat,["e","…"]
        let args = "x".repeat(len - 16);
        format!(r#"{{"actions":[{{"type":"emit","event":"e","args":["{args}"]}}]}}"#)
    };
    let read = |len| {
        read_with(ReplyKind::Event, &body(len), |context| {
            context.max_emit = 100;
        })
    };
    assert!(read(100).is_ok());
    let bad = read(101).expect_err("too large");
    assert_eq!(
        written(&bad.0.faults),
        ["/actions/0/args: make a packet of more than 100 bytes"]
    );
    assert_eq!(bad.0.cause(), Cause::TooLarge);
    let off = read_with(ReplyKind::Event, &body(101), |context| context.max_emit = 0);
    assert!(off.is_ok());
}

#[test]
fn a_disconnect_ends_a_socket_in_three_ways() {
    let ending = |fields: &str| match action(&format!(r#"{{"type":"disconnect"{fields}}}"#)) {
        Action::Disconnect { ending, .. } => ending,
        other => panic!("not a disconnect: {other:?}"),
    };
    assert_eq!(ending(""), Ending::Namespace);
    assert_eq!(
        ending(r#","reconnect":false,"close":false"#),
        Ending::Namespace
    );
    assert_eq!(
        ending(r#","reconnect":true,"reason":"moved""#),
        Ending::Transport
    );
    assert_eq!(ending(r#","close":true"#), Ending::Connection);
    assert_eq!(
        action_faults(r#"{"type":"disconnect","reconnect":true,"close":true}"#),
        ["/close: cannot be true together with 'reconnect'"]
    );
    assert_eq!(
        action_faults(r#"{"type":"disconnect","reason":7}"#),
        ["/reason: must be a string"]
    );
    let long = "x".repeat(201);
    assert_eq!(
        action_faults(&format!(r#"{{"type":"disconnect","reason":"{long}"}}"#)),
        ["/reason: is longer than 200 bytes"]
    );
}

#[test]
fn a_state_action_is_for_single_sockets() {
    let set = action(r#"{"type":"state","set":{"n":1}}"#);
    assert!(
        matches!(&set, Action::State { set: Change::Set(State(text)), .. } if &**text == r#"{"n":1}"#)
    );
    assert_eq!(set.audience(), &own());
    assert!(matches!(
        action(r#"{"type":"state","set":null}"#),
        Action::State {
            set: Change::Clear,
            ..
        }
    ));
    let both = format!(r#"{{"type":"state","set":1,"to":{{"self":true,"sockets":["{OTHER}"]}}}}"#);
    let expected = audience("/chat", names(&[], &[OTHER, SOCKET]), Names::default());
    assert_eq!(action(&both).audience(), &expected);
    for to in [
        r#"{"all":true}"#,
        r#"{"rooms":["a"]}"#,
        r#"{"users":["a"]}"#,
    ] {
        let faults = action_faults(&format!(r#"{{"type":"state","set":1,"to":{to}}}"#));
        assert!(faults[0].contains("unknown field"), "{faults:?}");
    }
    assert_eq!(action_faults(r#"{"type":"state"}"#), ["/set: required"]);
}

#[test]
fn an_expire_action_sets_an_end_or_takes_it_away() {
    let end = |at: &str| match action(&format!(r#"{{"type":"expire","at":{at}}}"#)) {
        Action::Expire { at, .. } => at,
        other => panic!("not an expire: {other:?}"),
    };
    assert_eq!(end("null"), None);
    assert_eq!(
        end(r#""2000-01-01T00:00:00Z""#),
        Some(at("2000-01-01T00:00:00Z"))
    );
    assert_eq!(
        action_faults(r#"{"type":"expire"}"#),
        ["/at: required; null is never"]
    );
}

#[test]
fn except_belongs_to_emit_alone() {
    for action in [
        r#"{"type":"join","rooms":["a"],"except":{"self":true}}"#,
        r#"{"type":"disconnect","except":{"self":true}}"#,
        r#"{"type":"expire","at":null,"except":{"self":true}}"#,
    ] {
        let faults = action_faults(action);
        assert!(
            faults[0].starts_with("/except: unknown field"),
            "{faults:?}"
        );
    }
}

#[test]
fn a_reply_cannot_ask_for_acks() {
    let faults = action_faults(r#"{"type":"emit","event":"e","args":[],"ack":{"first":true}}"#);
    assert!(faults[0].starts_with("/ack: unknown field"), "{faults:?}");
}

#[test]
fn arguments_pass_verbatim() {
    let odd = r#"1.50e+1 , {"b":1,"a":2,"b":3},"\u00e9\/", 1e999 ,"\ud800""#;
    let emit = action(&format!(
        r#"{{"type":"emit","event":"e","args":[ {odd} ]}}"#
    ));
    assert_eq!(sent(&emit), format!(r#"42/chat,["e",{odd}]"#));
}

#[test]
fn arguments_may_be_left_out() {
    let emit = action(r#"{"type":"emit","event":"e"}"#);
    assert_eq!(sent(&emit), r#"42/chat,["e"]"#);
    let reply = answered(r#"{"actions":[{"type":"ack"}]}"#);
    assert!(matches!(&reply.steps[..], [Step::Ack(ack)] if ack.args.is_empty()));
}

#[test]
fn without_attachments_a_placeholder_is_plain_data() {
    let emit = action(r#"{"type":"emit","event":"e","args":[{"_placeholder":true,"num":7}]}"#);
    assert_eq!(
        sent(&emit),
        r#"42/chat,["e",{"_placeholder":true,"num":7}]"#
    );
}

#[test]
fn attachments_are_of_the_whole_body_and_renumbered_per_packet() {
    let reply = answered(
        r#"{"attachments":["AA==","AQ==","Ag==","/+8="],
            "ack":[{"_placeholder":true,"num":3}],
            "actions":[
              {"type":"emit","event":"a","args":[{"_placeholder":true,"num":2},{"_placeholder":true,"num":0},{"_placeholder":true,"num":2}]},
              {"type":"emit","event":"b","args":["none"]}]}"#,
    );
    let [
        Step::Ack(ack),
        Step::Action(Action::Emit { frame, .. }),
        Step::Action(plain),
    ] = &reply.steps[..]
    else {
        panic!("three steps");
    };
    assert_eq!(&*ack.args, r#"{"_placeholder":true,"num":0}"#);
    assert_eq!(ack.attachments, [&[0xff, 0xef][..]]);
    let (text, attachments) = packet(frame);
    assert_eq!(
        text,
        r#"452-/chat,["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#
    );
    assert_eq!(attachments, [[2], [0]]);
    assert_eq!(sent(plain), r#"42/chat,["b","none"]"#);
}

#[test]
fn a_placeholder_outside_the_list_or_an_eleventh_attachment_is_an_error() {
    let emit = |attachments: usize, nums: &[usize]| {
        let list = vec!["\"\""; attachments].join(",");
        let args: Vec<String> = nums
            .iter()
            .map(|num| format!(r#"{{"_placeholder":true,"num":{num}}}"#))
            .collect();
        let args = args.join(",");
        format!(
            r#"{{"attachments":[{list}],"actions":[{{"type":"emit","event":"e","args":[{args}]}}]}}"#
        )
    };
    let eleven: Vec<usize> = (0..11).collect();
    assert_eq!(answered(&emit(11, &eleven[1..])).steps.len(), 1);
    assert_eq!(
        faults(ReplyKind::Event, &emit(11, &eleven)),
        ["/actions/0/args: uses more than 10 different attachments; clients refuse such a packet"]
    );
    assert_eq!(
        faults(ReplyKind::Event, &emit(1, &[0, 1])),
        ["/actions/0/args: has a placeholder whose 'num' is no index of 'attachments'"]
    );
    assert_eq!(
        faults(
            ReplyKind::Event,
            r#"{"attachments":[],"ack":[{"_placeholder":true,"num":0}]}"#
        ),
        ["/ack: has a placeholder whose 'num' is no index of 'attachments'"]
    );
}

#[test]
fn attachments_are_standard_base64() {
    let detail = "must be base64 with the standard alphabet and padding";
    for bad in ["AA", "A", "_-8=", "AA==\\n", "é", " AA=="] {
        assert_eq!(
            faults(
                ReplyKind::Event,
                &format!(r#"{{"attachments":["","{bad}"]}}"#)
            ),
            [format!("/attachments/1: {detail}")]
        );
    }
    assert_eq!(
        faults(ReplyKind::Event, r#"{"attachments":{}}"#),
        ["/attachments: must be a list"]
    );
}
