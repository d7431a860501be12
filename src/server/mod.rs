//! Acceptor, shard threads, router, probes, client bundle, drain.

pub mod settings;
