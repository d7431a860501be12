//! The REST API for backends.

pub mod settings;
