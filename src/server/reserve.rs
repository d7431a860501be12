//! [`Reserve`]: a few open files that can be given up, so that operators and backends get in where the limit of open files is reached.

use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;

/// Connections beyond the limit at one listener.
const FILES: usize = 4;

/// Files that are open for nothing.
#[derive(Clone, Debug)]
pub struct Reserve(Arc<Mutex<Vec<File>>>);

impl Reserve {
    /// A full reserve, as far as there are files.
    pub fn new() -> Self {
        let reserve = Self(Arc::default());
        reserve.fill();
        reserve
    }

    /// Gives one up, so that a connection can be accepted; false where there is none.
    pub fn release(&self) -> bool {
        self.0.lock().pop().is_some()
    }

    /// Opens what was given up, as far as there are files.
    pub fn fill(&self) {
        let mut files = self.0.lock();
        while files.len() < FILES {
            let Ok(file) = File::open("/dev/null") else {
                return;
            };
            files.push(file);
        }
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_comes_back() {
        let reserve = Reserve::new();
        assert_eq!((0..10).filter(|_| reserve.release()).count(), FILES);
        reserve.fill();
        assert!(reserve.release());
    }
}
