//! One client's conversation.

pub mod backend;
pub mod settings;
