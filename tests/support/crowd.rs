//! Very many WebSocket clients, as cheap as they can be: plain connections without tasks, all in the test's hand.

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::frames::{Frames, opcode};
use super::gateway::Gateway;

/// Clients that connect at once.
const AT_ONCE: usize = 128;

/// Open files that a process needs besides one for each client; the gateway wants them in reserve, too.
const FILES: u64 = 1_000;

/// The members, each with the namespace `/` joined.
pub(crate) struct Crowd(Vec<Frames>);

impl Crowd {
    /// Lets so many come.
    pub(crate) async fn joined(gateway: &Gateway, count: usize) -> Self {
        allow_files(count);
        let joining = stream::iter(0..count).map(|_| Frames::joined(gateway));
        Self(joining.buffer_unordered(AT_ONCE).collect().await)
    }

    /// The next text of every member, which must be the same for all.
    pub(crate) async fn text(&mut self) -> String {
        let mut first = None;
        for (number, member) in self.0.iter_mut().enumerate() {
            let frame = member.next().await;
            let frame = frame.unwrap_or_else(|| panic!("the connection of {number} has ended"));
            assert_eq!(frame.first, 0x80 | opcode::TEXT, "{number}: {frame:?}");
            let first = first.get_or_insert_with(|| frame.payload.clone());
            assert_eq!(*first, frame.payload, "{number} got something else");
        }
        String::from_utf8(first.unwrap_or_default()).expect("UTF-8")
    }

    /// Every member sends this.
    pub(crate) async fn send(&mut self, text: &str) {
        for member in &mut self.0 {
            member.text(text).await;
        }
    }
}

/// Raises this process's limit of open files as far as so many clients need it, or fails the test.
pub(crate) fn allow_files(clients: usize) {
    let wanted = clients as u64 + FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "{clients} clients need {wanted} open files, and this machine allows {maximum:?} (`ulimit -Hn`): the test cannot run here"
    );
    if current.is_some_and(|current| current < wanted) {
        let current = Some(wanted);
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
}
