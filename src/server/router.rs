//! Where a request on the client listener goes, by its path.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::transport::http::Reply;

/// What is behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Engine.IO.
    Engine,
    /// A name directly under the Engine.IO path that could be a client file.
    File(&'a str),
    /// Not ours.
    Elsewhere,
}

/// Finds the place; the Engine.IO path counts with and without its trailing slash, and so does everything below it.
pub fn find<'a>(path: &'a str, engine: &str) -> Place<'a> {
    let bare = engine.trim_end_matches('/');
    match path.strip_prefix(bare) {
        Some("" | "/") => Place::Engine,
        Some(rest) => match rest.strip_prefix('/') {
            Some(name) if name.starts_with("socket.io") && !name.contains('/') => Place::File(name),
            Some(_) => Place::Engine,
            None => Place::Elsewhere,
        },
        None => Place::Elsewhere,
    }
}

/// One line that tells a lost client where to go.
pub fn not_found(engine: &str) -> Reply {
    let mut response =
        Reply::new(format!("not found; Socket.IO clients connect to {engine}\n").into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_counts_with_and_without_slash() {
        let find = |path| find(path, "/socket.io/");
        assert_eq!(find("/socket.io"), Place::Engine);
        assert_eq!(find("/socket.io/"), Place::Engine);
        assert_eq!(find("/socket.io/anything/else"), Place::Engine);
        assert_eq!(find("/socket.io/socket.io.js"), Place::File("socket.io.js"));
        assert_eq!(find("/socket.ioxyz"), Place::Elsewhere);
        assert_eq!(find("/"), Place::Elsewhere);
    }
}
