use bytes::Bytes;

use super::*;
use crate::contract::samples::{OTHER, SOCKET, socket};

fn answer(args: &str, attachments: &[&'static [u8]]) -> AckAnswer {
    let attachments = attachments.iter().copied();
    AckAnswer {
        args: args.into(),
        attachments: attachments.map(Bytes::from_static).collect(),
    }
}

fn report(answers: Answers, missing: Vec<SocketId>) -> AckReport {
    AckReport {
        id: "em_01JDH5V8Q7C8M5X2R9W4T6Y0ZA".into(),
        sockets: 2,
        complete: false,
        answers,
        missing_count: missing.len(),
        missing,
        nodes: Nodes::ALONE,
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a user")
}

fn acks(answers: Answers) -> serde_json::Value {
    serde_json::from_str(&report(answers, Vec::new()).to_json()).expect("JSON")
}

#[test]
fn the_example_of_the_contract_is_written() {
    let mut answers = Answers::default();
    answers.add(socket(SOCKET), Some(user("42")), Some(answer("true", &[])));
    assert_eq!(
        report(answers, vec![socket(OTHER)]).to_json(),
        r#"{"id":"em_01JDH5V8Q7C8M5X2R9W4T6Y0ZA","sockets":2,"complete":false,"acks":[{"socket":"aB3xQ9Zk3q9sT0bXw7Kd","user":"42","args":[true]}],"missing":["cD5yR2pQ8mV1nE4tJ6Hs"],"missing_count":1,"nodes":{"expected":1,"answered":1}}"#
    );
}

#[test]
fn answers_are_verbatim_and_a_guest_has_no_user() {
    let mut answers = Answers::default();
    let args = r#"1.50 , {"_placeholder":true,"num":9}"#;
    answers.add(socket(SOCKET), None, Some(answer(args, &[])));
    let body = report(answers, Vec::new()).to_json();
    assert!(body.contains(&format!(r#""user":null,"args":[{args}]}}],"missing":[]"#)));
}

#[test]
fn the_attachments_of_all_answers_stand_in_one_list() {
    let mut answers = Answers::default();
    let two = r#"{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}"#;
    answers.add(socket(SOCKET), None, Some(answer(two, &[b"\0", b"\x01"])));
    answers.add(socket(SOCKET), None, Some(answer("7", &[])));
    let one = r#"{"_placeholder":true,"num":0}"#;
    answers.add(socket(OTHER), None, Some(answer(one, &[b"\x02"])));
    let body = report(answers, Vec::new()).to_json();
    assert!(
        body.contains(r#""args":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#)
    );
    assert!(body.contains(r#""args":[{"_placeholder":true,"num":2}]"#));
    assert!(body.contains(r#""attachments":["AA==","AQ==","Ag=="],"missing""#));
}

#[test]
fn a_client_cannot_point_at_the_bytes_of_another() {
    let mut answers = Answers::default();
    let theirs = r#"{"_placeholder":true,"num":0}"#;
    answers.add(socket(SOCKET), None, Some(answer(theirs, &[b"secret"])));
    answers.add(socket(OTHER), None, Some(answer(theirs, &[])));
    assert_eq!(acks(answers)["acks"][1]["args"], serde_json::json!([]));
}

#[test]
fn at_most_1000_answers_are_given_back() {
    let mut answers = Answers::default();
    for _ in 0..MAX_ANSWERS {
        answers.add(socket(SOCKET), None, Some(answer("", &[])));
    }
    assert_eq!(acks(answers.clone()).get("truncated"), None);
    answers.add(socket(SOCKET), None, Some(answer("", &[])));
    let body = acks(answers);
    assert_eq!(body["truncated"], true);
    assert_eq!(body["acks"].as_array().map(Vec::len), Some(MAX_ANSWERS));
}

#[test]
fn at_most_4_mib_of_answers_are_given_back() {
    let mut answers = Answers::default();
    let large = format!("\"{}\"", "x".repeat(MAX_BYTES - 10));
    answers.add(socket(SOCKET), None, Some(answer(&large, &[])));
    answers.add(socket(SOCKET), None, Some(answer("1", &[b"123456"])));
    answers.add(socket(SOCKET), None, Some(answer("12345678", &[])));
    let body = acks(answers);
    assert_eq!(body["truncated"], true);
    assert_eq!(body["acks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_answer_that_was_dropped_before_truncates_the_whole() {
    let mut answers = Answers::default();
    answers.add(socket(SOCKET), None, None);
    let body = acks(answers);
    assert_eq!(body["truncated"], true);
    assert_eq!(body["acks"], serde_json::json!([]));
}

#[test]
fn at_most_1000_missing_sockets_are_named_and_all_are_counted() {
    let missing = vec![socket(SOCKET); MAX_MISSING + 1];
    let body = report(Answers::default(), missing).to_json();
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["missing"].as_array().map(Vec::len), Some(MAX_MISSING));
    assert_eq!(body["missing_count"], MAX_MISSING + 1);
}
