//! What decoding may cost: never more memory at a time than four times its input and 4 KiB.
//!
//! # Why
//! Otherwise a client that pays for a byte makes us pay for many. The factor leaves room for a buffer that grows (old and new are
//! there at once) and for one copy; the rest is for what does not depend on the input.

/// What the bound does not count by the byte.
pub const SPARE: usize = 4 << 10;

/// Runs what decodes an input of so many bytes, and panics if it held more memory than allowed. Counts this thread alone.
#[track_caller]
pub fn bounded<T>(input: usize, decode: impl FnOnce() -> T) -> T {
    bounded_by(4 * input + SPARE, input, decode)
}

/// The same with a bound of its own.
#[track_caller]
pub fn bounded_by<T>(bound: usize, input: usize, decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let cost = allocation_counter::measure(|| decoded = Some(decode()));
    assert!(
        cost.bytes_max <= bound as u64,
        "{} bytes were held to decode {input}, {bound} are allowed",
        cost.bytes_max
    );
    decoded.expect("the closure has run")
}
