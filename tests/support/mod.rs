//! What the black-box tests stand on: the real binary, a scripted backend, and clients that show every byte.
//!
//! Promises: every wait has a deadline that fails the test with what was seen; nothing sleeps to wait for something; only what
//! a test started is ended. It does not know the library: a test that needs the inside of the gateway is a unit test.

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod polling;
pub(crate) mod rest;
pub(crate) mod wait;
pub(crate) mod websocket;
