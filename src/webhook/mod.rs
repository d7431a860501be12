//! A [`crate::session::backend::Backend`] over HTTP webhooks.

pub mod settings;
