//! The official browser client: `socket.io.js` and its seven siblings under the Engine.IO path (protocol 5.7).
//!
//! Where the build has them (see `build/client_files.rs`), they are served from memory, to every origin and whatever the method,
//! as Socket.IO servers do it. Where it has not, browsers are sent on to the CDN of the Socket.IO project, so that a page with
//! `<script src="/socket.io/socket.io.js">` works with every build that can reach the internet.
//!
//! # Why
//! A file is compressed when it is first asked for and then kept: eight files of which a node serves one or two. That first time
//! costs its shard a few milliseconds. Brotli is not offered: browsers name `gzip` first, and on equal weight the client's order
//! decides.

use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};

use crate::transport::compress::Coding;

/// What this build knows.
const BUILD: Build = include!(concat!(env!("OUT_DIR"), "/client_files.rs"));
/// Where the Socket.IO project publishes its bundles, by version.
const CDN: &str = "https://cdn.socket.io";
/// All names that exist.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
    "socket.io.js.map",
    "socket.io.min.js.map",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js.map",
];

/// What the build script has found.
struct Build {
    /// Version that the build script looks for.
    fetched: &'static str,
    bundle: Option<Bundle>,
}

/// The eight files.
#[derive(Clone, Copy, Debug)]
struct Bundle {
    version: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// The client files of a node.
#[derive(Debug)]
pub struct ClientFiles {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory {
        /// The version in quotes.
        etag: HeaderValue,
        files: Vec<File>,
    },
    Cdn {
        version: &'static str,
    },
}

#[derive(Debug)]
struct File {
    name: &'static str,
    plain: Bytes,
    gzip: OnceLock<Bytes>,
    deflate: OnceLock<Bytes>,
}

impl ClientFiles {
    /// Those of this build.
    pub fn of_this_build() -> Self {
        Self::new(BUILD)
    }

    fn new(Build { fetched, bundle }: Build) -> Self {
        let source = match bundle {
            None => Source::Cdn { version: fetched },
            Some(Bundle { version, files }) => {
                let etag = format!("\"{version}\"");
                let etag = HeaderValue::try_from(etag).expect("the build checks the version");
                let files = files.iter().map(|(name, bytes)| File::new(name, bytes));
                Source::Memory {
                    etag,
                    files: files.collect(),
                }
            }
        };
        Self { source }
    }

    /// Says in the log where the files come from.
    pub fn announce(&self) {
        match &self.source {
            Source::Memory { etag, .. } => {
                let version = etag.to_str().unwrap_or_default().trim_matches('"');
                tracing::info!(version, "the browser client is served from this program");
            }
            Source::Cdn { version } => {
                let cdn = format!("{CDN}/{version}/");
                tracing::warn!(
                    cdn,
                    "the browser client is not part of this build: browsers are sent on"
                );
            }
        }
    }

    /// The answer to a request for this name below the Engine.IO path; `None` where there is no such file.
    pub fn answer(&self, name: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        match &self.source {
            Source::Memory { etag, files } => {
                let file = files.iter().find(|file| file.name == name)?;
                if is_known(headers, etag) {
                    let mut response = Response::new(Full::default());
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    return Some(response);
                }
                Some(file.answer(etag, Coding::choose(headers)))
            }
            Source::Cdn { version } => {
                let name = NAMES.iter().find(|known| **known == name)?;
                Some(redirect(&format!("{CDN}/{version}/{name}")))
            }
        }
    }
}

/// Whether the client has this version already.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let tags = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.map(<[u8]>::trim_ascii)
        .any(|tag| tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

fn redirect(to: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    let location = HeaderValue::try_from(to).expect("made of a version and a known name");
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, CACHED);
    response
}

/// Kept, but asked about each time.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=0");

impl File {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            name,
            plain: Bytes::from_static(bytes),
            gzip: OnceLock::new(),
            deflate: OnceLock::new(),
        }
    }

    fn answer(&self, etag: &HeaderValue, coding: Option<Coding>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body(coding)));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, CACHED);
        headers.insert(ETAG, etag.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        response
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("map") => "application/json; charset=utf-8",
            _ => "application/javascript; charset=utf-8",
        }
    }

    fn body(&self, coding: Option<Coding>) -> Bytes {
        let Some(coding) = coding else {
            return self.plain.clone();
        };
        let kept = match coding {
            Coding::Gzip => &self.gzip,
            Coding::Deflate => &self.deflate,
        };
        let encode = || coding.encode_with(&self.plain, Compression::best()).into();
        kept.get_or_init(encode).clone()
    }
}

#[cfg(test)]
mod tests;
