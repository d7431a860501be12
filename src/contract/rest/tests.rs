use super::*;
use crate::contract::problem::Code;
use crate::contract::samples::{
    OTHER, SOCKET, Sites, at, audience, gist, millis, names, namespace, packet, rooms, sent,
    written,
};
use crate::hub::action::{Ending, Names, Target};

/// Runs a reader with the namespaces of the examples.
fn with<T>(
    read: impl FnOnce(&[u8], &RestContext<'_>) -> Result<T, Problem>,
    body: &str,
) -> Result<T, Problem> {
    let sites = Sites::new();
    let context = RestContext {
        namespaces: &sites,
        max_emit: 100,
    };
    read(body.as_bytes(), &context)
}

fn emitted(body: &str) -> EmitRequest {
    with(emit, body).expect("a valid request")
}

fn problem(body: &str) -> Problem {
    with(emit, body).expect_err("a problem")
}

#[test]
fn the_emit_example_of_the_contract_is_read() {
    let request = emitted(
        r#"{"namespace":"/chat","event":"news","args":[{"id":1},"x"],"to":{"rooms":["doc:9"],"users":["7"]},"except":{"sockets":["aB3xQ9Zk3q9sT0bXw7Kd"]},"volatile":false,"report":true}"#,
    );
    assert!(request.report);
    assert_eq!(request.ack, None);
    assert_eq!(
        request.emit.to,
        audience(
            "/chat",
            names(&["doc:9", "user:7"], &[]),
            names(&[], &[SOCKET])
        )
    );
    assert!(!request.emit.volatile);
    let action = request.emit.into_action(None);
    assert_eq!(sent(&action), r#"42/chat,["news",{"id":1},"x"]"#);
}

#[test]
fn the_ack_example_of_the_contract_is_read_and_encoded_once_it_has_a_number() {
    let request = emitted(
        r#"{"namespace":"/chat","event":"confirm","args":["delete?"],"to":{"users":["42"]},"ack":{"timeout_ms":3000,"first":false}}"#,
    );
    assert_eq!(
        request.ack,
        Some(AckRequest {
            timeout: millis(3000),
            enough: None
        })
    );
    let action = request.emit.into_action(Some(17));
    assert_eq!(sent(&action), r#"42/chat,17["confirm","delete?"]"#);
}

#[test]
fn an_ack_waits_5_s_for_all_unless_told_otherwise() {
    let ack = |json: &str| {
        let body = format!(r#"{{"event":"e","args":[],"to":{{"all":true}},"ack":{json}}}"#);
        with(emit, &body).map(|request| request.ack.expect("an ack"))
    };
    let read = |json| {
        let ack = ack(json).expect("valid");
        (ack.timeout, ack.enough)
    };
    assert_eq!(read("{}"), (millis(5000), None));
    assert_eq!(read(r#"{"timeout_ms":1}"#), (millis(1), None));
    assert_eq!(
        read(r#"{"timeout_ms":30000,"max":1000}"#),
        (millis(30_000), Some(1000))
    );
    assert_eq!(read(r#"{"first":true,"max":5}"#), (millis(5000), Some(1)));
    for (json, fault) in [
        (
            r#"{"timeout_ms":0}"#,
            "/ack/timeout_ms: must be a whole number from 1 to 30000",
        ),
        (
            r#"{"timeout_ms":30001}"#,
            "/ack/timeout_ms: must be a whole number from 1 to 30000",
        ),
        (
            r#"{"timeout_ms":1.5}"#,
            "/ack/timeout_ms: must be a whole number from 1 to 30000",
        ),
        (
            r#"{"max":0}"#,
            "/ack/max: must be a whole number from 1 to 1000",
        ),
        (
            r#"{"max":1001}"#,
            "/ack/max: must be a whole number from 1 to 1000",
        ),
        (
            r#"{"timeout":1}"#,
            "/ack/timeout: unknown field; did you mean 'timeout_ms'?",
        ),
        (
            "true",
            r#"/ack: must be an object such as {"timeout_ms":5000}, or {}"#,
        ),
    ] {
        let problem = ack(json).expect_err("invalid");
        assert_eq!(written(&problem.errors), [fault]);
    }
}

#[test]
fn to_is_required_and_self_is_an_error() {
    assert_eq!(
        written(&problem(r#"{"event":"connect","args":[]}"#).errors),
        [
            "/event: 'connect' is reserved",
            "/to: required; use {\"all\":true} for everybody"
        ]
    );
    for field in ["to", "except"] {
        let to = if field == "to" {
            ""
        } else {
            r#","to":{"all":true}"#
        };
        let body = format!(r#"{{"event":"e","args":[]{to},"{field}":{{"self":true}}}}"#);
        assert_eq!(
            written(&problem(&body).errors),
            [format!(
                "/{field}/self: has a meaning only in the reply to a webhook"
            )]
        );
    }
}

#[test]
fn the_namespace_defaults_to_the_root() {
    let request = emitted(r#"{"event":"e","args":[],"to":{"all":true}}"#);
    assert_eq!(request.emit.to.namespace, namespace("/"));
    assert_eq!(request.emit.to.to, Target::All);
    assert_eq!(sent(&request.emit.into_action(None)), r#"42["e"]"#);
}

#[test]
fn a_body_that_is_no_json_is_400() {
    for empty in ["", " \n"] {
        assert_eq!(problem(empty).code, Code::MalformedJson);
        assert_eq!(problem(empty).detail, "the body is empty");
    }
    for body in ["{", "{\"event\":}", "\u{feff}{}", "{'a':1}"] {
        let problem = problem(body);
        assert_eq!(problem.code, Code::MalformedJson, "{body}");
        assert!(problem.detail.starts_with("the body is not valid JSON: "));
        assert!(problem.errors.is_empty());
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let problem = problem(&deep);
    assert_eq!(problem.code, Code::MalformedJson);
    assert_eq!(problem.detail, "the body is nested deeper than 64 levels");
    // Far beyond what recursion could take.
    let abyss = "[".repeat(1 << 20);
    assert_eq!(
        super::emit(
            abyss.as_bytes(),
            &RestContext {
                namespaces: &Sites::new(),
                max_emit: 0
            }
        )
        .expect_err("deep")
        .code,
        Code::MalformedJson
    );
}

#[test]
fn a_body_that_is_no_object_is_422() {
    for body in ["[]", "7", "\"{}\""] {
        let problem = problem(body);
        assert_eq!(problem.code, Code::InvalidRequest);
        assert_eq!(written(&problem.errors), ["the body must be an object"]);
    }
    let null = problem("null");
    assert_eq!(
        written(&null.errors),
        ["the body must be an object, not null"]
    );
}

#[test]
fn unknown_fields_of_a_body_are_errors() {
    let problem = problem(r#"{"event":"e","args":[],"to":{"all":true},"room":"a","type":"emit"}"#);
    assert_eq!(
        gist(&problem),
        (Code::InvalidRequest, vec!["/room".into(), "/type".into()])
    );
    assert_eq!(problem.detail, "2 fields are invalid");
}

#[test]
fn an_absurd_object_is_refused_as_a_whole() {
    let fields: Vec<String> = (0..100_000).map(|n| format!("\"f{n}\":0")).collect();
    let problem = problem(&format!("{{{}}}", fields.join(",")));
    assert_eq!(
        written(&problem.errors),
        ["the body has more than 32 fields"]
    );
}

#[test]
fn what_is_not_there_yet_is_told_only_where_nothing_else_is_wrong() {
    let later = r#"{"event":"e","args":[],"to":{"all":true},"ttl_ms":5,"namespace":"*"}"#;
    let problem = problem(later);
    assert_eq!(
        gist(&problem),
        (
            Code::NotAvailable,
            vec!["/ttl_ms".into(), "/namespace".into()]
        )
    );
    let both = self::problem(r#"{"event":"","args":[],"to":{"all":true},"conflate":"k"}"#);
    assert_eq!(
        gist(&both),
        (
            Code::InvalidRequest,
            vec!["/conflate".into(), "/event".into()]
        )
    );
    let disconnect = with(disconnect, r#"{"namespace":"*","to":{"users":["1"]}}"#);
    assert_eq!(disconnect.expect_err("later").code, Code::NotAvailable);
}

#[test]
fn a_namespace_must_be_configured_and_open_to_the_key() {
    let emit = |namespace: &str| {
        problem(&format!(
            r#"{{"event":"e","args":[],"to":{{"all":true}},"namespace":"{namespace}"}}"#
        ))
    };
    let pointer = || vec!["/namespace".to_owned()];
    assert_eq!(gist(&emit("/nowhere")), (Code::UnknownNamespace, pointer()));
    assert_eq!(
        gist(&emit("/closed")),
        (Code::NamespaceForbidden, pointer())
    );
    assert_eq!(gist(&emit("/a,b")), (Code::InvalidRequest, pointer()));
}

#[test]
fn an_emit_above_the_limit_is_413() {
    let emit = |len: usize| {
        let args = "x".repeat(len - 10);
        with(
            emit,
            &format!(r#"{{"event":"e","args":["{args}"],"to":{{"all":true}}}}"#),
        )
    };
    assert!(emit(100).is_ok());
    let problem = emit(101).expect_err("too large");
    assert_eq!(gist(&problem), (Code::TooLarge, vec!["/args".into()]));
    assert_eq!(problem.code.status(), 413);
}

#[test]
fn attachments_count_for_the_limit_as_bytes() {
    // 451-["e",{"_placeholder":true,"num":0}] is 39 bytes, and 61 are left.
    let emit = |base64: &str| {
        with(
            emit,
            &format!(
                r#"{{"event":"e","args":[{{"_placeholder":true,"num":0}}],"to":{{"all":true}},"attachments":["{base64}"]}}"#
            ),
        )
    };
    let sixty = "AAAA".repeat(20);
    let action = emit(&format!("{sixty}AA=="))
        .expect("it fits")
        .emit
        .into_action(None);
    let Action::Emit { frame, .. } = action else {
        panic!("an emit");
    };
    let (text, attachments) = packet(&frame);
    assert_eq!(text.len() + attachments[0].len(), 100);
    let problem = emit(&format!("{sixty}AAA=")).expect_err("too large");
    assert_eq!(problem.code, Code::TooLarge);
}

#[test]
fn join_leave_and_disconnect_are_single_actions() {
    let join = with(
        join,
        r#"{"rooms":["doc:9"],"to":{"users":["42"]},"report":true}"#,
    );
    let join = join.expect("valid");
    assert!(join.report);
    let Action::Join { to, rooms: joined } = join.action else {
        panic!("a join");
    };
    assert_eq!(
        to,
        audience("/", names(&["user:42"], &[]), Names::default())
    );
    assert_eq!(joined, rooms(&["doc:9"]));

    let leave = with(
        leave,
        &format!(r#"{{"namespace":"/chat","rooms":[],"to":{{"sockets":["{OTHER}"]}}}}"#),
    );
    let leave = leave.expect("valid");
    assert!(!leave.report);
    let to = audience("/chat", names(&[], &[OTHER]), Names::default());
    assert!(
        matches!(leave.action, Action::Leave { to: found, rooms } if found == to && rooms.is_empty())
    );

    let end = with(
        disconnect,
        r#"{"to":{"all":true},"close":true,"reason":"maintenance"}"#,
    );
    assert!(matches!(
        end.expect("valid").action,
        Action::Disconnect {
            ending: Ending::Connection,
            reason: Some(reason),
            ..
        } if &*reason == "maintenance"
    ));
    let missing = with(disconnect, "{}").expect_err("no audience");
    assert_eq!(gist(&missing).1, ["/to"]);
    let typed = with(
        self::join,
        r#"{"type":"join","rooms":[],"to":{"all":true}}"#,
    );
    assert_eq!(gist(&typed.expect_err("unknown")).1, ["/type"]);
}

#[test]
fn the_actions_example_of_the_contract_is_read_in_order() {
    let request = with(
        actions,
        r#"{"namespace":"/chat","actions":[
  {"type":"join","rooms":["doc:9"],"to":{"users":["42"]}},
  {"type":"emit","event":"joined","args":["42"],"to":{"rooms":["doc:9"]}},
  {"type":"disconnect","to":{"users":["13"]}}]}"#,
    )
    .expect("valid");
    assert!(!request.stop_on_error);
    let [
        Ok(Action::Join { to, .. }),
        Ok(emit),
        Ok(Action::Disconnect {
            ending: Ending::Namespace,
            ..
        }),
    ] = &request.actions[..]
    else {
        panic!("three actions: {:?}", request.actions);
    };
    assert_eq!(to.namespace, namespace("/chat"));
    assert_eq!(sent(emit), r#"42/chat,["joined","42"]"#);
}

#[test]
fn an_invalid_action_is_refused_alone_with_a_pointer_into_the_body() {
    let request = with(
        actions,
        r#"{"stop_on_error":true,"attachments":["AA=="],"actions":[
            {"type":"emit","event":"e","args":[]},
            {"type":"join","rooms":["a"],"to":{"all":true}},
            {"type":"ack","args":[]},
            {"type":"emit","event":"e","args":[{"_placeholder":true,"num":0}],"to":{"all":true},"namespace":"/docs"},
            {"type":"emit","event":"e","args":[],"to":{"all":true},"namespace":"/nowhere"},
            {"type":"emit","event":"e","args":[],"to":{"all":true},"conflate":"k"},
            {"type":"state","set":1},
            {"type":"expire","at":"2026-11-24T23:00:00Z","to":{"all":true}},
            "?"]}"#,
    )
    .expect("valid as a list");
    assert!(request.stop_on_error);
    let problem = |index: usize| match &request.actions[index] {
        Err(problem) => gist(problem),
        Ok(action) => panic!("not refused: {action:?}"),
    };
    let invalid = |pointer: &str| (Code::InvalidRequest, vec![pointer.to_owned()]);
    assert_eq!(problem(0), invalid("/actions/0/to"));
    assert!(request.actions[1].is_ok());
    assert_eq!(problem(2), invalid("/actions/2/type"));
    assert!(request.actions[3].is_ok());
    assert_eq!(
        problem(4),
        (Code::UnknownNamespace, vec!["/actions/4/namespace".into()])
    );
    assert_eq!(
        problem(5),
        (Code::NotAvailable, vec!["/actions/5/conflate".into()])
    );
    assert_eq!(problem(6), invalid("/actions/6/to"));
    let end = Some(at("2026-11-24T23:00:00Z"));
    assert!(matches!(&request.actions[7], Ok(Action::Expire { at, .. }) if *at == end));
    assert_eq!(problem(8), invalid("/actions/8"));
}

#[test]
fn what_is_no_list_of_actions_is_refused_as_a_whole() {
    let refused = |body: &str| with(actions, body).expect_err("a problem");
    assert_eq!(gist(&refused("{}")).1, ["/actions"]);
    assert_eq!(gist(&refused(r#"{"actions":{}}"#)).1, ["/actions"]);
    assert_eq!(
        gist(&refused(
            r#"{"actions":[],"namespace":"chat","stop":1,"attachments":["!"]}"#
        ))
        .1,
        ["/stop", "/namespace", "/attachments/0"]
    );
    let action = r#"{"type":"leave","rooms":[],"to":{"all":true}}"#;
    let many = |count: usize| {
        let list = vec![action; count].join(",");
        with(actions, &format!(r#"{{"actions":[{list}]}}"#))
    };
    assert_eq!(many(1000).expect("valid").actions.len(), 1000);
    assert_eq!(
        written(&many(1001).expect_err("too many").errors),
        ["/actions: has more than 1000 entries"]
    );
}

#[test]
fn only_so_many_faults_are_listed_but_all_are_counted() {
    let rooms = vec!["\"\""; 1000].join(",");
    let problem = problem(&format!(
        r#"{{"event":"e","args":[],"to":{{"rooms":[{rooms}]}}}}"#
    ));
    assert_eq!(problem.errors.len(), 50);
    assert_eq!(problem.detail, "1000 fields are invalid");
}

#[test]
fn what_a_body_costs_does_not_grow_with_the_packets_that_share_an_attachment() {
    let attachment = "A".repeat(700_000);
    let emit = |room| {
        format!(
            r#"{{"type":"emit","event":"e","args":[{{"_placeholder":true,"num":0}}],"to":{{"rooms":["{room}"]}}}}"#
        )
    };
    let emits: Vec<String> = (0..MAX_ACTIONS).map(emit).collect();
    let body = format!(
        r#"{{"attachments":["{attachment}"],"actions":[{}]}}"#,
        emits.join(",")
    );
    let sites = Sites::new();
    let context = RestContext {
        namespaces: &sites,
        max_emit: 1 << 20,
    };
    let mut read = None;
    let cost = allocation_counter::measure(|| read = Some(actions(body.as_bytes(), &context)));
    let request = read.expect("it ran").expect("a valid body");
    let is_whole = |action: &Result<Action, _>| matches!(action, Ok(Action::Emit { frame, .. }) if frame.len() > 525_000);
    assert_eq!(request.actions.len(), MAX_ACTIONS);
    assert!(request.actions.iter().all(is_whole));
    let bound = 4 * body.len() as u64;
    assert!(cost.bytes_max < bound, "{} bytes were held", cost.bytes_max);
}
