//! The REST API as a document: `OpenAPI` 3.1 (contract 9), without what comes later.
//!
//! Written by hand, so that it reads well; the tests hold it against the readers and the problems, so that it stays true.

/// The document, served at `/v1/openapi.json`.
pub const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests;
