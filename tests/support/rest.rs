//! The REST API as a backend uses it.

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::http::{Answer, ask};

impl Gateway {
    /// `POST` of a JSON body.
    pub(crate) async fn api_post(&self, path: &str, body: &Value) -> Answer {
        self.api_with("POST", path, &[], &body.to_string()).await
    }

    /// `GET`.
    pub(crate) async fn api_get(&self, target: &str) -> Answer {
        ask(self.api, "GET", target, &[], "").await
    }

    /// Any method, headers and body; `content-type: application/json` where there is a body and no other type.
    pub(crate) async fn api_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut headers = headers.to_vec();
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(("content-type", "application/json"));
        }
        ask(self.api, method, target, &headers, body).await
    }

    /// `POST /v1/emit` that must be accepted with 202.
    pub(crate) async fn emit(&self, to: &Value, event: &str, args: &Value) {
        let body = json!({"event": event, "args": args, "to": to});
        let answer = self.api_post("/v1/emit", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// `POST /v1/actions` whose results must all be 202.
    pub(crate) async fn actions(&self, actions: &Value) {
        let answer = self
            .api_post("/v1/actions", &json!({"actions": actions}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let results = body["results"].as_array().expect("results");
        assert_eq!(results.len(), actions.as_array().unwrap().len(), "{body}");
        assert!(results.iter().all(|r| r["status"] == 202), "{body}");
    }
}

impl Answer {
    /// Fails the test unless this is a problem document of contract 9 with this status and code; the places of its
    /// `errors`: pointers into the body, or `?name` of a query parameter.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{self:?}");
        self.has("content-type", "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        let kind = format!("urn:sockgate:problem:{}", code.replace('_', "-"));
        assert_eq!(body["type"], kind, "{body}");
        for text in ["title", "detail", "request_id"] {
            assert!(
                body[text].as_str().is_some_and(|t| !t.is_empty()),
                "{text} in {body}"
            );
        }
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        for error in &errors {
            let detail = error["detail"].as_str();
            assert!(detail.is_some_and(|d| !d.is_empty()), "{body}");
        }
        let place = |error: &Value| match (&error["pointer"], &error["parameter"]) {
            (Value::String(pointer), Value::Null) => pointer.clone(),
            (Value::Null, Value::String(parameter)) => format!("?{parameter}"),
            _ => panic!("neither a pointer nor a parameter: {body}"),
        };
        errors.iter().map(place).collect()
    }
}
