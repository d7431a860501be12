#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};

use super::super::settings::{Secret, Url};
use super::*;

const SECRET: &[u8] = b"a secret of twenty-four.";

fn settings() -> Settings {
    let mut settings = Settings::new("app", Url::Http("http://app.internal:8080/hook".into()));
    settings.secrets = vec![Secret::new(SECRET)];
    settings
}

fn message() -> Message {
    let id = "evt_01JDH3V8Q7C8M5X2R9W4T6Y0ZA".to_owned();
    Message::new(Kind::Event, id, Bytes::from_static(b"{\"type\":\"event\"}"))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn request(settings: &Settings, message: &Message, attempt: u32) -> Request {
    Template::new(settings).unwrap().request(
        message,
        attempt,
        Duration::from_millis(4999),
        at(1_732_485_600 + u64::from(attempt)),
    )
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let values: Vec<_> = request.headers().get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name} once");
    values[0].to_str().unwrap()
}

#[test]
fn a_request_has_the_headers_of_the_contract_and_no_others() {
    let request = request(&settings(), &message(), 1);
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.url().as_str(), "http://app.internal:8080/hook");
    let expected = [
        ("content-type", "application/json"),
        ("user-agent", AGENT),
        ("accept-encoding", "identity"),
        ("webhook-id", "evt_01JDH3V8Q7C8M5X2R9W4T6Y0ZA"),
        ("webhook-timestamp", "1732485601"),
        ("sockgate-type", "event"),
        ("sockgate-attempt", "1"),
        ("sockgate-timeout-ms", "4999"),
    ];
    for (name, value) in expected {
        assert_eq!(header(&request, name), value);
    }
    let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let mut all: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    all.extend(["webhook-signature", "traceparent"]);
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn the_signature_is_over_id_timestamp_and_the_bytes_sent() {
    let request = request(&settings(), &message(), 1);
    let body = request.body().unwrap().as_bytes().unwrap();
    let signed = [
        header(&request, "webhook-id").as_bytes(),
        header(&request, "webhook-timestamp").as_bytes(),
        body,
    ]
    .join(&b'.');
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(&signed);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header(&request, "webhook-signature"), expected);
}

#[test]
fn without_secrets_there_is_no_signature_but_an_id() {
    let mut settings = settings();
    settings.secrets.clear();
    let request = request(&settings, &message(), 1);
    assert!(!request.headers().contains_key("webhook-signature"));
    assert!(request.headers().contains_key("webhook-id"));
}

#[test]
fn attempts_differ_in_time_number_and_span_only() {
    let (settings, message) = (settings(), message());
    let (first, second) = (
        request(&settings, &message, 1),
        request(&settings, &message, 2),
    );
    assert_eq!(
        first.body().unwrap().as_bytes(),
        second.body().unwrap().as_bytes()
    );
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_eq!(header(&second, "sockgate-attempt"), "2");
    assert_ne!(
        header(&first, "webhook-signature"),
        header(&second, "webhook-signature")
    );
    let trace = |request: &Request| {
        let text = header(request, "traceparent").to_owned();
        let parts: Vec<_> = text.split('-').map(str::to_owned).collect();
        assert_eq!((parts.len(), text.len()), (4, 55));
        assert!(
            text.bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        );
        assert_eq!((&*parts[0], &*parts[3]), ("00", "01"));
        (parts[1].clone(), parts[2].clone())
    };
    let (first, second) = (trace(&first), trace(&second));
    assert_eq!(first.0, second.0, "one trace");
    assert_ne!(first.1, second.1, "a span for each attempt");
    assert_ne!(
        Message::new(Kind::Event, String::new(), Bytes::new()).trace,
        message.trace
    );
}

#[test]
fn listed_headers_of_the_client_are_passed() {
    let names = ["cookie".into(), "authorization".into(), "x-bad".into()];
    let message = message().pass(
        &names,
        [
            ("cookie", "sid=abc; théme=ü"),
            ("authorization", "Bearer of-client"),
            ("x-other", "1"),
            ("x-bad", "a\r\nwebhook-id: evil"),
        ],
    );
    let request = request(&settings(), &message, 1);
    assert_eq!(
        request.headers().get("cookie").unwrap().as_bytes(),
        "sid=abc; théme=ü".as_bytes()
    );
    assert_eq!(header(&request, "authorization"), "Bearer of-client");
    assert!(!request.headers().contains_key("x-other"));
    assert!(!request.headers().contains_key("x-bad"));
}

#[test]
fn a_client_never_overrides_ours_or_the_operators_headers() {
    let names = [
        "authorization".into(),
        "accept-encoding".into(),
        "user-agent".into(),
        "webhook-id".into(),
    ];
    let message = message().pass(
        &names,
        [
            ("authorization", "Bearer of-client"),
            ("accept-encoding", "gzip"),
            ("user-agent", "Mozilla/5.0"),
            ("webhook-id", "evt_evil"),
        ],
    );
    let mut settings = settings();
    settings.headers = vec![(
        "authorization".into(),
        Secret::new(&b"Basic of-operator"[..]),
    )];
    let request = request(&settings, &message, 1);
    assert_eq!(header(&request, "authorization"), "Basic of-operator");
    assert_eq!(header(&request, "accept-encoding"), "identity");
    assert_eq!(
        header(&request, "user-agent"),
        "Mozilla/5.0",
        "session middleware may want it"
    );
    assert_eq!(
        header(&request, "webhook-id"),
        "evt_01JDH3V8Q7C8M5X2R9W4T6Y0ZA"
    );
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let mut settings = settings();
    settings.headers = vec![("authorization".into(), Secret::new(&b"Basic hidden"[..]))];
    let template = Template::new(&settings).unwrap();
    let message = message().pass(&["cookie".into()], [("cookie", "hidden=1")]);
    let shown = format!("{template:?} {message:?}");
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_header_that_cannot_be_sent_is_named() {
    for (name, value) in [("bad name", "x"), ("x-line", "a\nb")] {
        let mut settings = settings();
        settings.headers = vec![(name.into(), Secret::new(value.as_bytes()))];
        let error = Template::new(&settings).unwrap_err();
        assert!(matches!(error, ClientError::Header(named) if &*named == name));
    }
}
