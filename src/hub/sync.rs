//! The lock that threads share, in one place so that models can replace it.

pub(crate) use parking_lot::Mutex;

/// Hashing of names that clients may choose: seeded at random for each table.
pub(crate) type Hashing = hashbrown::DefaultHashBuilder;
