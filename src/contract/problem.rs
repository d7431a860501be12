//! [`Problem`]: why a REST request was refused, in the form of RFC 9457 (contract 9).

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::fault::{Cause, Fault, Faulty, Place};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $title:literal,)*) => {
        /// What is wrong with a request: a closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The word in `code`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The same for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or nested too deep.
    MalformedJson = 400 "malformed_json" "Malformed JSON",
    /// A header has a value that it cannot have.
    BadHeader = 400 "bad_header" "Bad header",
    /// There is no key, or a wrong one.
    Unauthenticated = 401 "unauthenticated" "Unauthenticated",
    /// The key does not allow this.
    ScopeMissing = 403 "scope_missing" "Scope missing",
    /// The key does not allow this namespace.
    NamespaceForbidden = 403 "namespace_forbidden" "Namespace forbidden",
    /// There is nothing at this path.
    NotFound = 404 "not_found" "Not found",
    /// No configured namespace matches.
    UnknownNamespace = 404 "unknown_namespace" "Unknown namespace",
    /// No socket has this id in this namespace.
    UnknownSocket = 404 "unknown_socket" "Unknown socket",
    /// The path has other methods, which `allow` names.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed",
    /// The request did not arrive in time.
    Timeout = 408 "timeout" "Timeout",
    /// A request with the same idempotency key is under way.
    IdempotencyInProgress = 409 "idempotency_in_progress" "Idempotency in progress",
    /// The socket has changed since that version.
    VersionConflict = 409 "version_conflict" "Version conflict",
    /// The body, or the packet made of it, is too large.
    TooLarge = 413 "too_large" "Too large",
    /// The body is declared to be something else than JSON.
    UnsupportedMediaType = 415 "unsupported_media_type" "Unsupported media type",
    /// Fields break the contract.
    InvalidRequest = 422 "invalid_request" "Invalid request",
    /// A limit kept all sockets out.
    Limit = 422 "limit" "Limit",
    /// A part of the contract that this version does not have yet.
    NotAvailable = 422 "not_available" "Not available",
    /// The same idempotency key came with another body.
    IdempotencyMismatch = 422 "idempotency_mismatch" "Idempotency mismatch",
    /// Too many wrong keys from this address.
    RateLimited = 429 "rate_limited" "Rate limited",
    /// A fault of ours.
    Internal = 500 "internal" "Internal",
    /// The bus between nodes is away.
    BusUnavailable = 503 "bus_unavailable" "Bus unavailable",
    /// The node is shutting down.
    Draining = 503 "draining" "Draining",
    /// The node has too much to do.
    Overloaded = 503 "overloaded" "Overloaded",
    /// The node awaits too many acknowledgements.
    TooManyAcks = 503 "too_many_acks" "Too many acks",
}

impl Code {
    /// What `type` begins with.
    const URN: &str = "urn:sockgate:problem:";

    /// The URI in `type`.
    pub fn urn(self) -> String {
        format!("{}{}", Self::URN, self.as_str().replace('_', "-"))
    }
}

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub code: Code,
    /// The same for the author of the request.
    pub detail: Cow<'static, str>,
    /// Where, as far as it is in the request.
    pub errors: Vec<Fault>,
    /// The id of the request; none inside a list of results, whose answer has one itself.
    pub request_id: Option<Box<str>>,
}

impl Problem {
    /// A problem that no single field is the cause of.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// The same problem, as the answer to this request.
    #[must_use]
    pub fn with_request_id(self, id: &str) -> Self {
        Self {
            request_id: Some(id.into()),
            ..self
        }
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }
}

impl From<Faulty> for Problem {
    /// One problem for all faults. It is called after the gravest; so `not_available` means that nothing else is wrong.
    fn from(faulty: Faulty) -> Self {
        let count = match faulty.count {
            1 => "1 field is".to_owned(),
            count => format!("{count} fields are"),
        };
        let (code, detail) = match faulty.cause() {
            // A body that is no JSON has no fields: its only fault says all.
            Cause::Malformed => {
                let detail = faulty.faults.into_iter().next().map(|fault| fault.detail);
                return Self::new(
                    Code::MalformedJson,
                    format!("the body {}", detail.unwrap_or_default()),
                );
            }
            Cause::Invalid => (Code::InvalidRequest, format!("{count} invalid")),
            Cause::Forbidden => (
                Code::NamespaceForbidden,
                "the key does not allow this namespace".to_owned(),
            ),
            Cause::UnknownNamespace => (
                Code::UnknownNamespace,
                "no configured namespace has this name".to_owned(),
            ),
            Cause::TooLarge => (Code::TooLarge, "the packet would be too large".to_owned()),
            Cause::NotAvailable => (Code::NotAvailable, format!("{count} not yet available")),
        };
        Self {
            errors: faulty.faults,
            ..Self::new(code, detail)
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut object = out.serialize_struct("Problem", 7)?;
        object.serialize_field("type", &self.code.urn())?;
        object.serialize_field("title", self.code.title())?;
        object.serialize_field("status", &self.code.status())?;
        object.serialize_field("code", self.code.as_str())?;
        object.serialize_field("detail", &self.detail)?;
        if let Some(id) = &self.request_id {
            object.serialize_field("request_id", id)?;
        }
        if !self.errors.is_empty() {
            object.serialize_field("errors", &self.errors)?;
        }
        object.end()
    }
}

/// `{"pointer":…,"detail":…}`, or `{"parameter":…,"detail":…}` for what is in the query, which JSON pointers cannot name.
impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut object = out.serialize_struct("Fault", 2)?;
        match &self.place {
            Place::Pointer(pointer) => object.serialize_field("pointer", pointer)?,
            Place::Parameter(name) => object.serialize_field("parameter", name)?,
        }
        object.serialize_field("detail", &self.detail)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_form_of_the_contract() {
        let error = |pointer: &str, detail: &'static str| Fault {
            place: Place::Pointer(pointer.into()),
            cause: Cause::Invalid,
            detail: detail.into(),
        };
        let faulty = Faulty {
            faults: vec![
                error("/to", "required; use {\"all\":true} for everybody"),
                error("/event", "'connect' is reserved"),
            ],
            count: 2,
        };
        let problem = Problem::from(faulty).with_request_id("req_01JDH3V8Q7C8M5X2R9W4T6Y0ZA");
        assert_eq!(
            String::from_utf8_lossy(&problem.to_json()),
            concat!(
                r#"{"type":"urn:sockgate:problem:invalid-request","title":"Invalid request","status":422,"#,
                r#""code":"invalid_request","detail":"2 fields are invalid","request_id":"req_01JDH3V8Q7C8M5X2R9W4T6Y0ZA","#,
                r#""errors":[{"pointer":"/to","detail":"required; use {\"all\":true} for everybody"},"#,
                r#"{"pointer":"/event","detail":"'connect' is reserved"}]}"#
            )
        );
    }

    #[test]
    fn a_parameter_of_the_query_is_named_as_such() {
        let fault = Fault {
            place: Place::Parameter("limit".into()),
            cause: Cause::Invalid,
            detail: "x".into(),
        };
        assert_eq!(
            serde_json::to_string(&fault).expect("serialises"),
            r#"{"parameter":"limit","detail":"x"}"#
        );
    }

    #[test]
    fn every_code_has_the_status_of_the_contract() {
        let of = |status| {
            let codes = Code::ALL.iter().filter(|code| code.status() == status);
            codes.map(|code| code.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(400), ["malformed_json", "bad_header"]);
        assert_eq!(of(401), ["unauthenticated"]);
        assert_eq!(of(403), ["scope_missing", "namespace_forbidden"]);
        assert_eq!(
            of(404),
            ["not_found", "unknown_namespace", "unknown_socket"]
        );
        assert_eq!(of(405), ["method_not_allowed"]);
        assert_eq!(of(408), ["timeout"]);
        assert_eq!(of(409), ["idempotency_in_progress", "version_conflict"]);
        assert_eq!(of(413), ["too_large"]);
        assert_eq!(of(415), ["unsupported_media_type"]);
        assert_eq!(
            of(422),
            [
                "invalid_request",
                "limit",
                "not_available",
                "idempotency_mismatch"
            ]
        );
        assert_eq!(of(429), ["rate_limited"]);
        assert_eq!(of(500), ["internal"]);
        assert_eq!(
            of(503),
            ["bus_unavailable", "draining", "overloaded", "too_many_acks"]
        );
    }
}
