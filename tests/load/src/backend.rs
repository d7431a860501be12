//! A backend for webhooks that costs next to nothing: whoever connects is let in as a user of its own and joins one room; an event
//! is acknowledged. HTTP/1.1 with connections that are kept.

use std::time::Duration;

use anyhow::Result;

use crate::http;
use crate::sockets::{Handler, Sockets, Table};

/// In the body of a request about a client that wants to join.
const CONNECT: &[u8] = br#""type":"connect""#;

/// Serves until it is killed.
pub fn serve() -> Result<()> {
    let mut sockets = Sockets::new()?;
    println!("webhooks http://{}/\nready", sockets.listen()?);
    let mut backend = Backend { users: 0 };
    loop {
        sockets.turn(&mut backend, Duration::from_secs(1))?;
    }
}

struct Backend {
    users: u64,
}

impl Backend {
    fn answer(&mut self, body: &[u8]) -> String {
        let connects = body.windows(CONNECT.len()).any(|w| w == CONNECT);
        let reply = if connects {
            self.users += 1;
            format!(r#"{{"user":"user-{}","rooms":["room"]}}"#, self.users)
        } else {
            String::from(r#"{"ack":["ok"]}"#)
        };
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{reply}",
            reply.len()
        )
    }
}

impl Handler for Backend {
    fn received(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while let Some((body, taken)) = http::request(&bytes[used..])? {
            table.send(who, self.answer(body).as_bytes())?;
            used += taken;
        }
        Ok(used)
    }

    fn closed(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
