//! A backend for webhooks that costs next to nothing: whoever connects is let in as a user of its own and joins one room; an event
//! is acknowledged with its arguments. HTTP/1.1 with connections that are kept.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http;
use crate::sockets::{Handler, Sockets, Table};

/// In the body of a request about a client that wants to join.
const CONNECT: &[u8] = br#""type":"connect""#;
/// Before the arguments of an event, which in the scenarios are one text without brackets.
const ARGUMENTS: &[u8] = br#""args":["#;

/// Serves until it is killed.
pub fn serve() -> Result<()> {
    let mut sockets = Sockets::new()?;
    println!("webhooks http://{}/\nready", sockets.listen()?);
    let mut backend = Backend { users: 0 };
    loop {
        sockets.turn(&mut backend, Duration::from_secs(1))?;
    }
}

/// What comes after a text, if it is there.
fn after<'a>(body: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(text.len()).position(|w| w == text)?;
    Some(&body[at + text.len()..])
}

struct Backend {
    users: u64,
}

impl Backend {
    fn answer(&mut self, body: &[u8]) -> Result<String> {
        let reply = if after(body, CONNECT).is_some() {
            self.users += 1;
            format!(r#"{{"user":"user-{}","rooms":["room"]}}"#, self.users)
        } else {
            let arguments = after(body, ARGUMENTS).context("a request without arguments")?;
            let end = arguments.iter().position(|&b| b == b']').unwrap_or(0);
            format!(r#"{{"ack":[{}]}}"#, std::str::from_utf8(&arguments[..end])?)
        };
        Ok(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{reply}",
            reply.len()
        ))
    }
}

impl Handler for Backend {
    fn received(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while let Some((body, taken)) = http::request(&bytes[used..])? {
            table.send(who, self.answer(body)?.as_bytes())?;
            used += taken;
        }
        Ok(used)
    }

    fn closed(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
