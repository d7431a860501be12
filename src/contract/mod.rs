//! The public JSON of calls, replies and actions.
