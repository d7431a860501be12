//! [`Trace`]: what ties an answer to its request in the logs of both sides.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use crate::contract::answer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest request id of a caller, in bytes.
const MAX_REQUEST_ID: usize = 200;
/// Longest `traceparent`, in bytes: versions to come may be longer than ours.
const MAX_TRACEPARENT: usize = 200;

/// The identity of a request, echoed in its answer.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    request_id: HeaderValue,
    traceparent: Option<HeaderValue>,
}

impl Trace {
    /// The caller's own identity, or a fresh one where it gave none that can be repeated: visible ASCII, at most 200 bytes.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = only(headers, &REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
        let fresh = || {
            HeaderValue::try_from(answer::request_id()).expect("letters, digits and an underscore")
        };
        let traceparent =
            only(headers, &TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        Self {
            request_id: given.cloned().unwrap_or_else(fresh),
            traceparent: traceparent.cloned(),
        }
    }

    /// The request's id.
    pub(super) fn request_id(&self) -> &str {
        self.request_id
            .to_str()
            .expect("visible ASCII, as was checked")
    }

    /// Echoes it.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.request_id);
        if let Some(traceparent) = self.traceparent {
            headers.insert(TRACEPARENT, traceparent);
        }
    }
}

/// The value of a header that is there once.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Whether it has the form of W3C Trace Context: `version-trace-parent-flags`, in later versions with more behind.
fn is_traceparent(text: &[u8]) -> bool {
    const FORM: &[u8] = b"xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    let Some((form, rest)) = text.split_at_checked(FORM.len()) else {
        return false;
    };
    let has_form = form.iter().zip(FORM).all(|(byte, form)| match form {
        b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        _ => byte == form,
    });
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let rest_fits = match &form[..2] {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    has_form
        && rest_fits
        && rest.iter().all(u8::is_ascii_graphic)
        && !is_zero(&form[3..35])
        && !is_zero(&form[36..52])
        && text.len() <= MAX_TRACEPARENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn echoed(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes());
            headers.append(*name, value.expect("a header"));
        }
        let mut out = HeaderMap::new();
        Trace::of(&headers).write(&mut out);
        out
    }

    #[test]
    fn what_a_caller_gives_is_echoed() {
        let headers = echoed(&[("x-request-id", "my-id/1"), ("traceparent", PARENT)]);
        assert_eq!(headers["x-request-id"], "my-id/1");
        assert_eq!(headers["traceparent"], PARENT);
    }

    #[test]
    fn an_id_that_cannot_be_repeated_is_replaced() {
        let long = "x".repeat(MAX_REQUEST_ID + 1);
        for bad in ["", "two words", "tab\there", "naïve", &long] {
            let headers = echoed(&[("x-request-id", bad)]);
            let id = headers["x-request-id"].to_str().expect("ASCII");
            assert!(id.starts_with("req_") && id.len() == 30, "{bad}: {id}");
        }
        let twice = echoed(&[("x-request-id", "a"), ("x-request-id", "b")]);
        assert_ne!(twice["x-request-id"], "a");
    }

    #[test]
    fn only_a_traceparent_in_its_form_is_echoed() {
        assert!(is_traceparent(PARENT.as_bytes()));
        let later = format!("cc{}-more", &PARENT[2..]);
        assert!(is_traceparent(later.as_bytes()));
        let long = format!("{later}{}", "x".repeat(MAX_TRACEPARENT));
        for bad in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-more"),
            &format!("ff{}", &PARENT[2..]),
            &PARENT.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            &long,
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
