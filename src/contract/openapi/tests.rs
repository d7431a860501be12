use std::collections::BTreeSet;

use serde_json::Value;

use super::DOCUMENT;
use crate::contract::problem::Code;
use crate::contract::reader::Fields;
use crate::contract::samples::Sites;
use crate::contract::{acks, action, audience, names, query, rest};
use crate::hub::id;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

/// What a JSON pointer leads to.
fn at(pointer: &str) -> Value {
    let document = document();
    let found = document.pointer(pointer);
    found
        .unwrap_or_else(|| panic!("{pointer} is there"))
        .clone()
}

fn schema(name: &str) -> Value {
    at(&format!("/components/schemas/{name}"))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Calls back for every value of the document.
fn walk(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Array(list) => list.iter().for_each(|value| walk(value, visit)),
        Value::Object(members) => members.values().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

#[test]
fn every_path_has_its_operation() {
    let paths = at("/paths");
    let operations: BTreeSet<String> = paths
        .as_object()
        .expect("an object")
        .iter()
        .flat_map(|(path, operations)| {
            let methods = keys(operations).into_iter();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(
        operations,
        set(&[
            "post /v1/emit",
            "post /v1/actions",
            "post /v1/join",
            "post /v1/leave",
            "post /v1/disconnect",
            "get /v1/namespaces",
            "get /v1/rooms",
            "get /v1/sockets",
            "get /v1/nodes",
            "get /v1/upstreams",
            "get /v1/openapi.json",
        ])
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = 0;
    walk(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("inside the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
            references += 1;
        }
    });
    assert!(references > 100);
}

#[test]
fn every_component_is_used() {
    let document = document();
    for kind in [
        "headers",
        "parameters",
        "requestBodies",
        "schemas",
        "responses",
    ] {
        for name in keys(&at(&format!("/components/{kind}"))) {
            let reference = format!("#/components/{kind}/{name}");
            let mut used = false;
            walk(&document, &mut |value| {
                used |= value.get("$ref").is_some_and(|other| *other == *reference);
            });
            assert!(used, "{reference}");
        }
    }
}

#[test]
fn the_codes_are_those_of_problems() {
    let codes = at("/components/schemas/Problem/properties/code/enum");
    let expected: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(codes, serde_json::json!(expected));
}

#[test]
fn every_problem_in_an_example_is_one_of_ours() {
    let mut seen = BTreeSet::new();
    walk(&document(), &mut |value| {
        let Some(urn) = value.get("type").and_then(Value::as_str) else {
            return;
        };
        let Some(code) = Code::ALL.iter().find(|code| code.urn() == urn) else {
            assert!(!urn.starts_with("urn:"), "{urn}");
            return;
        };
        assert_eq!(value["title"], code.title());
        assert_eq!(value["status"], code.status());
        assert_eq!(value["code"], code.as_str());
        seen.insert(code.as_str());
    });
    assert!(seen.len() >= 12, "{seen:?}");
}

#[test]
fn every_operation_documents_every_status_that_it_can_have() {
    for (path, operations) in at("/paths").as_object().expect("an object") {
        for (method, operation) in operations.as_object().expect("an object") {
            let statuses = keys(&operation["responses"]);
            let mut expected = set(&["401", "403", "405", "408", "422", "429", "500", "503"]);
            if method == "post" {
                expected.extend(set(&["400", "413", "415"]));
            }
            let missing: Vec<_> = expected.difference(&statuses).collect();
            assert!(missing.is_empty(), "{method} {path}: {missing:?}");
            for (status, response) in operation["responses"].as_object().expect("an object") {
                let is_problem = status.parse::<u16>().expect("a number") >= 400;
                let reference = response["$ref"].as_str();
                assert!(!is_problem || reference.is_some());
                if let Some(reference) = reference.filter(|_| is_problem) {
                    let content = at(&format!("{}/content", &reference[1..]));
                    assert_eq!(keys(&content), set(&["application/problem+json"]));
                    let description = at(&format!("{}/description", &reference[1..]));
                    let description = description.as_str().expect("text");
                    let fits = |code: &&Code| code.status().to_string() == *status;
                    let codes = Code::ALL.iter().filter(fits);
                    let documented = codes.filter(|code| description.contains(code.as_str()));
                    assert!(documented.count() > 0, "{status}");
                }
            }
        }
    }
}

#[test]
fn the_fields_are_those_that_readers_know() {
    let check = |name: &str, fields: &Fields| {
        let schema = schema(name);
        assert_eq!(keys(&schema["properties"]), set(fields.known), "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    };
    check("EmitRequest", &rest::EMIT);
    check("AckRequest", &rest::ACK);
    check("ActionsRequest", &rest::ACTIONS);
    check("MembershipRequest", &rest::MEMBERSHIP);
    check("DisconnectRequest", &rest::DISCONNECT);
    check("EmitAction", &action::EMIT);
    check("MembershipAction", &action::MEMBERSHIP);
    check("DisconnectAction", &action::DISCONNECT);
    check("StateAction", &action::STATE);
    check("ExpireAction", &action::EXPIRE);

    // `self` has no meaning over REST.
    let names = keys(&schema("Names")["properties"]);
    let mut except = set(audience::EXCEPT.known);
    except.remove("self");
    assert_eq!(names, except);
    let types: BTreeSet<String> = [
        "EmitAction",
        "DisconnectAction",
        "StateAction",
        "ExpireAction",
    ]
    .iter()
    .map(|name| schema(name)["properties"]["type"]["const"].clone())
    .chain(
        schema("MembershipAction")["properties"]["type"]["enum"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
    )
    .map(|name| name.as_str().expect("text").to_owned())
    .collect();
    let mut known = set(action::TYPES);
    known.remove("ack");
    assert_eq!(types, known);
}

#[test]
fn the_limits_are_those_that_readers_keep() {
    for name in ["Namespace", "Room", "Event"] {
        assert_eq!(schema(name)["maxLength"], id::MAX_NAME);
    }
    assert_eq!(schema("UserName")["maxLength"], id::MAX_USER);
    assert_eq!(schema("Rooms")["maxItems"], names::MAX_NAMES);
    assert_eq!(schema("Reason")["maxLength"], action::MAX_REASON);
    assert_eq!(
        schema("Event")["not"]["enum"],
        serde_json::json!(id::RESERVED_EVENTS)
    );
    let actions = &schema("ActionsRequest")["properties"]["actions"];
    assert_eq!(actions["maxItems"], action::MAX_ACTIONS);
    let ack = &schema("AckRequest")["properties"];
    assert_eq!(ack["timeout_ms"]["maximum"], rest::MAX_ACK_TIMEOUT);
    assert_eq!(ack["timeout_ms"]["default"], rest::DEFAULT_ACK_TIMEOUT);
    assert_eq!(ack["max"]["maximum"], rest::MAX_ACKS);
    let report = &schema("AckReport")["properties"];
    assert_eq!(report["acks"]["maxItems"], acks::MAX_ANSWERS);
    assert_eq!(report["missing"]["maxItems"], acks::MAX_MISSING);
    let limit = at("/components/parameters/Limit/schema");
    assert_eq!(limit["maximum"], query::MAX_LIMIT);
    assert_eq!(limit["default"], query::DEFAULT_LIMIT);
    let cursor = at("/components/parameters/Cursor/schema");
    assert_eq!(cursor["maxLength"], query::MAX_CURSOR);
    let errors = &schema("Problem")["properties"]["errors"];
    assert_eq!(errors["maxItems"], crate::contract::fault::Faulty::MAX);
}

#[test]
fn the_parameters_are_those_that_readers_know() {
    let parameters = |path: &str| {
        let operation = at("/paths")[path]["get"].clone();
        let list = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let names = list
            .iter()
            .map(|parameter| match parameter["$ref"].as_str() {
                Some(reference) => at(&reference[1..])["name"].clone(),
                None => parameter["name"].clone(),
            });
        let names = names.map(|name| name.as_str().expect("text").to_owned());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(parameters("/v1/namespaces"), set(query::NAMESPACES));
    assert_eq!(parameters("/v1/rooms"), set(query::ROOMS));
    assert_eq!(parameters("/v1/sockets"), set(query::SOCKETS));
    for path in ["/v1/nodes", "/v1/upstreams", "/v1/openapi.json"] {
        assert!(parameters(path).is_empty());
    }
}

#[test]
fn every_example_of_a_request_is_valid() {
    let sites = Sites::new();
    let context = rest::RestContext {
        namespaces: &sites,
        max_emit: 1 << 20,
    };
    let mut seen = 0;
    for (path, operations) in at("/paths").as_object().expect("an object") {
        let body = match operations["post"]["requestBody"].clone() {
            Value::Null => continue,
            body => match body["$ref"].as_str() {
                Some(reference) => at(&reference[1..]),
                None => body,
            },
        };
        let examples = &body["content"]["application/json"]["examples"];
        for example in examples.as_object().expect("examples").values() {
            let text = example["value"].to_string();
            let body = text.as_bytes();
            let problems = match path.as_str() {
                "/v1/emit" => vec![rest::emit(body, &context).err()],
                "/v1/join" => vec![rest::join(body, &context).err()],
                "/v1/leave" => vec![rest::leave(body, &context).err()],
                "/v1/disconnect" => vec![rest::disconnect(body, &context).err()],
                "/v1/actions" => match rest::actions(body, &context) {
                    Ok(request) => request.actions.into_iter().map(Result::err).collect(),
                    Err(problem) => vec![Some(problem)],
                },
                other => panic!("{other} has a reader"),
            };
            let problems: Vec<_> = problems.into_iter().flatten().collect();
            assert!(problems.is_empty(), "{path}: {text}: {problems:?}");
            seen += 1;
        }
    }
    assert!(seen >= 10);
}
