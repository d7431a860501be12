//! What the client listener has besides Engine.IO: the browser client, and what is for all other paths.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::server::client_files::ClientFiles;
use crate::server::fallback::{Fallback, Origin, Passed};
use crate::server::router;
use crate::transport::http::Reply;
use crate::transport::origin::{self, Verdict};
use crate::transport::{Context, address};

/// The body of a response: from memory, or passed on from another server.
pub type Body = Either<Full<Bytes>, Passed>;

/// What all shards serve.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The browser client; `None`: its names are nothing special.
    pub client_files: Option<Arc<ClientFiles>>,
    /// What is not under the Engine.IO path.
    pub elsewhere: Elsewhere,
}

/// What is not under the Engine.IO path.
#[derive(Clone, Debug)]
pub enum Elsewhere {
    /// 404.
    Nothing,
    /// These pages, and 404 for the rest.
    Pages(Arc<[Page]>),
    /// Another server.
    Fallback(Arc<Origin>),
}

/// A page of the gateway's own.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path.
    pub path: &'static str,
    /// Its `content-type`.
    pub content_type: &'static str,
    /// What it shows.
    pub body: Bytes,
}

impl Plan {
    /// Whether nothing is being passed on, on any shard.
    pub fn is_idle(&self) -> bool {
        match &self.elsewhere {
            Elsewhere::Fallback(origin) => origin.is_idle(),
            Elsewhere::Nothing | Elsewhere::Pages(_) => true,
        }
    }
}

/// What one shard serves.
#[derive(Debug)]
pub struct Site {
    plan: Plan,
    fallback: Option<Fallback>,
}

impl Site {
    /// Built on the shard's own thread.
    pub fn new(plan: Plan) -> Self {
        let fallback = match &plan.elsewhere {
            Elsewhere::Fallback(origin) => Some(Fallback::new(Arc::clone(origin))),
            Elsewhere::Nothing | Elsewhere::Pages(_) => None,
        };
        Self { plan, fallback }
    }

    /// Whether requests are passed on to another server.
    pub fn passes_on(&self) -> bool {
        self.fallback.is_some()
    }

    /// A file of the browser client; `None` where the name is none. Every origin gets it, those that are listed with CORS headers.
    pub fn client_file(
        &self,
        context: &Context,
        request: &Request<Incoming>,
        name: &str,
        peer: IpAddr,
    ) -> Option<Reply> {
        let headers = request.headers();
        let mut response = self.plan.client_files.as_ref()?.answer(name, headers)?;
        let settings = &context.settings;
        let host = address::host(headers, peer, &settings.trusted_proxies);
        let verdict = origin::check(headers, host, &settings.cors);
        if request.method() == Method::OPTIONS && matches!(verdict, Verdict::Listed(_)) {
            response = origin::preflight(headers, &settings.cors);
        }
        origin::decorate(&mut response, &verdict, &settings.cors);
        Some(response)
    }

    /// What is not under the Engine.IO path.
    pub async fn elsewhere(
        &self,
        context: &Context,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<Body> {
        if let Some(fallback) = &self.fallback {
            // Most connections never come here: they should not have to hold room for it.
            let answer = Box::pin(fallback.pass(&context.settings, request, peer));
            let mut response = answer.await;
            if context.is_draining() {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
        let page = match &self.plan.elsewhere {
            Elsewhere::Pages(pages) => pages.iter().find(|p| p.path == request.uri().path()),
            Elsewhere::Nothing | Elsewhere::Fallback(_) => None,
        };
        let response = match page {
            None => router::not_found(&context.settings.path),
            Some(page) => page.answer(request.method()),
        };
        response.map(Either::Left)
    }
}

impl Page {
    fn answer(&self, method: &Method) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = Reply::default();
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut response = Reply::new(self.body.clone().into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}
