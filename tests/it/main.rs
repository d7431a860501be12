//! The integration tests: one binary, one file per promise.

mod parser_verdicts;
