//! The thin binary: everything lives in the library.
#![forbid(unsafe_code)]

fn main() {}
