//! What threads share is locked here, in one place, so that tests can decide who comes next.
//!
//! Three builds of the same names: the product's; one for unit tests, in which a simulated thread gives the others a turn before
//! and after each lock; and one in which loom explores all turns (`--cfg sockgate_loom`).

pub(crate) use variant::{Hashing, Mutex, interleave};

#[cfg(not(any(test, sockgate_loom)))]
mod variant {
    pub(crate) use parking_lot::Mutex;

    /// Hashing of names that clients may choose: seeded at random for each table.
    pub(crate) type Hashing = hashbrown::DefaultHashBuilder;

    /// A point between two steps that other threads can see: nothing in the product.
    #[inline]
    pub(crate) fn interleave() {}
}

#[cfg(all(test, not(sockgate_loom)))]
mod variant {
    use std::ops::{Deref, DerefMut};

    pub(crate) use crate::hub::simulation::scheduler::interleave;
    use crate::hub::simulation::scheduler::{is_simulated, wait_for_lock};

    /// The same hashes in every run, so that a seed means one course of events.
    pub(crate) type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

    /// A lock around which simulated threads give way.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    /// Holds the lock; gives way when it is dropped.
    pub(crate) struct Guard<'a, T>(Option<parking_lot::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            interleave();
            while is_simulated() {
                if let Some(guard) = self.0.try_lock() {
                    return Guard(Some(guard));
                }
                wait_for_lock();
            }
            Guard(Some(self.0.lock()))
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("held until it is dropped")
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held until it is dropped")
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            self.0 = None;
            interleave();
        }
    }
}

#[cfg(sockgate_loom)]
mod variant {
    use loom::sync::MutexGuard;

    /// The same hashes in every run: loom replays them.
    pub(crate) type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

    /// A lock that loom watches.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics ends")
        }
    }

    /// Nothing: loom chooses at every lock, and what lies between two of them is one step to it.
    pub(crate) fn interleave() {}
}
