//! Keys of what a shard owns: small, copyable, and never valid for anything else after their owner is gone.
//!
//! # Why
//! A key outlives what it names: it sits in tasks, timers and answers under way. An index alone would then mean whoever has
//! taken the place since; the generation, checked at every entry, makes it mean nobody.

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }

        impl $name {
            /// The key as one number, for timer wheels and maps; unique among the living keys of its kind on a shard.
            pub fn as_u64(self) -> u64 {
                u64::from(self.generation) << 32 | u64::from(self.index)
            }

            /// The key with this number.
            pub fn from_u64(number: u64) -> Self {
                Self {
                    index: (number & 0xffff_ffff) as u32,
                    generation: (number >> 32) as u32,
                }
            }
        }
    };
}

key! {
    /// A connection on its shard: an outbox and the sockets behind it.
    ConnectionKey
}

key! {
    /// A socket on its shard.
    SocketKey
}

/// An index of a slab in the size that members and keys store.
pub(crate) fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("a shard holds fewer than 2^32 of anything")
}

#[cfg(test)]
mod tests {
    use super::SocketKey;

    #[test]
    fn a_key_survives_the_way_through_a_number() {
        let key = SocketKey {
            index: u32::MAX,
            generation: 7,
        };
        assert_eq!(SocketKey::from_u64(key.as_u64()), key);
    }
}
