//! Who is where, and delivery. No I/O.

pub mod action;
pub mod id;
pub mod pattern;
pub mod reason;
pub mod settings;
