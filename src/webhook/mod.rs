//! A [`crate::session::backend::Backend`] over HTTP webhooks.

pub mod address;
pub mod breaker;
pub mod client;
pub mod connection;
pub mod exchange;
pub mod gate;
pub mod health;
pub mod outcome;
pub mod request;
pub mod retry;
pub mod settings;
pub mod signature;
