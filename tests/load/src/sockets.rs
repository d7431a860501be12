//! A table of TCP connections that never block, over one epoll instance: under the clients, and under the small servers.
//!
//! One thread, level-triggered, one `recv` per wake-up and one `send` per message; what a connection owns is its descriptor and
//! two empty vectors. Bytes are received into one buffer that all connections share; only the rest of an incomplete message is
//! kept with its connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::time::Timespec;

/// Bytes received at once.
const READ: usize = 64 << 10;
/// An incomplete message may have so many.
const REST: usize = 4 << 20;
/// Events taken at once.
const EVENTS: usize = 1024;
/// Connections from one source address, well below the 28,000 ports that Linux gives by default.
const PER_ADDRESS: usize = 16_384;
/// Backlog of a listener.
const BACKLOG: i32 = 4096;
/// The listener among the entries.
const LISTENER: u64 = u64::MAX;

/// Who a connection belongs to.
pub trait Handler {
    /// A connection was accepted.
    fn accepted(&mut self, _table: &mut Table, _who: usize) -> Result<()> {
        Ok(())
    }

    /// Bytes that have arrived, after those which were not used before. Gives how many are used up now.
    fn received(&mut self, table: &mut Table, who: usize, bytes: &[u8]) -> Result<usize>;

    /// The other side has closed.
    fn closed(&mut self, who: usize) -> Result<()>;
}

/// A table of connections, and what waiting for them takes.
pub struct Sockets {
    /// The connections.
    pub table: Table,
    listener: Option<TcpListener>,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

impl Sockets {
    /// An empty table.
    pub fn new() -> Result<Self> {
        Ok(Self {
            table: Table {
                epoll: epoll::create(CreateFlags::CLOEXEC)?,
                entries: Vec::new(),
                free: Vec::new(),
            },
            listener: None,
            buffer: vec![0; READ],
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Listens on a free port of 127.0.0.1, which it gives.
    pub fn listen(&mut self) -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Listening once more changes the backlog, which the standard library sets to 128.
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let data = EventData::new_u64(LISTENER);
        epoll::add(&self.table.epoll, &listener, data, EventFlags::IN)?;
        let address = listener.local_addr()?;
        self.listener = Some(listener);
        Ok(address)
    }

    /// Waits for events, at most so long, and deals with them.
    pub fn turn(&mut self, handler: &mut impl Handler, wait: Duration) -> Result<()> {
        let wait = Timespec::try_from(wait).context("too long a wait")?;
        self.events.clear();
        let events = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.table.epoll, events, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for i in 0..self.events.len() {
            let Event { flags, data } = self.events[i];
            let who = data.u64();
            if who == LISTENER {
                self.accept(handler)?;
                continue;
            }
            let who = usize::try_from(who).expect("it was a usize");
            if flags.contains(EventFlags::OUT) {
                self.table.flush(who)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.receive(who, handler)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self, handler: &mut impl Handler) -> Result<()> {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, _)) => {
                    let who = self.table.insert(stream)?;
                    handler.accepted(&mut self.table, who)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot accept"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, handler: &mut impl Handler) -> Result<()> {
        let Self { table, buffer, .. } = self;
        // An earlier event of this turn may have closed it.
        let Some(Some(entry)) = table.entries.get_mut(who) else {
            return Ok(());
        };
        let kept = entry.rest.len();
        if buffer.len() < kept + READ {
            if kept > REST {
                bail!("connection {who}: a message of more than {REST} bytes");
            }
            buffer.resize(kept + READ, 0);
        }
        buffer[..kept].copy_from_slice(&entry.rest);
        let read = match entry.stream.read(&mut buffer[kept..kept + READ]) {
            Ok(0) => {
                table.remove(who);
                return handler.closed(who);
            }
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(_) => {
                table.remove(who);
                return handler.closed(who);
            }
        };
        let filled = &buffer[..kept + read];
        let used = handler.received(table, who, filled)?;
        if let Some(Some(entry)) = table.entries.get_mut(who) {
            entry.rest.clear();
            entry.rest.extend_from_slice(&filled[used..]);
        }
        Ok(())
    }
}

/// The connections by number.
#[derive(Debug)]
pub struct Table {
    epoll: OwnedFd,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    stream: TcpStream,
    /// The beginning of an incomplete message.
    rest: Vec<u8>,
    /// What the kernel has not taken.
    unsent: Vec<u8>,
}

impl Table {
    /// Connects to an address of this machine. From a source address of its own for every [`PER_ADDRESS`] connections; blocking,
    /// which on loopback does not wait for the server, only for a place in its backlog.
    pub fn connect(&mut self, to: SocketAddr) -> Result<usize> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let host =
            u8::try_from(1 + self.entries.len() / PER_ADDRESS).context("too many connections")?;
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, host), 0);
        rustix::net::bind(&socket, &from).context("no port is free")?;
        rustix::net::connect(&socket, &to).with_context(|| format!("cannot connect to {to}"))?;
        self.insert(TcpStream::from(socket))
    }

    fn insert(&mut self, stream: TcpStream) -> Result<usize> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // Closing resets, so that no port stays in TIME_WAIT for a minute and the next pass finds them all free.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        let who = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(who as u64),
            EventFlags::IN,
        )?;
        self.entries[who] = Some(Entry {
            stream,
            rest: Vec::new(),
            unsent: Vec::new(),
        });
        Ok(who)
    }

    /// Closes a connection; its number will be given to another.
    pub fn remove(&mut self, who: usize) {
        if self.entries[who].take().is_some() {
            self.free.push(who);
        }
    }

    /// Sends, at once or as soon as the kernel takes it.
    pub fn send(&mut self, who: usize, bytes: &[u8]) -> Result<()> {
        let Some(Some(entry)) = self.entries.get_mut(who) else {
            bail!("connection {who} is gone");
        };
        let mut sent = 0;
        if entry.unsent.is_empty() {
            match entry.stream.write(bytes) {
                Ok(n) if n == bytes.len() => return Ok(()),
                Ok(n) => sent = n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).with_context(|| format!("connection {who}")),
            }
        }
        entry.unsent.extend_from_slice(&bytes[sent..]);
        self.watch(who, EventFlags::IN | EventFlags::OUT)
    }

    fn flush(&mut self, who: usize) -> Result<()> {
        let Some(Some(entry)) = self.entries.get_mut(who) else {
            return Ok(());
        };
        match entry.stream.write(&entry.unsent) {
            Ok(n) => drop(entry.unsent.drain(..n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("connection {who}")),
        }
        if entry.unsent.is_empty() {
            entry.unsent = Vec::new();
            self.watch(who, EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch(&self, who: usize, flags: EventFlags) -> Result<()> {
        let Some(Some(entry)) = self.entries.get(who) else {
            return Ok(());
        };
        let data = EventData::new_u64(who as u64);
        Ok(epoll::modify(&self.epoll, &entry.stream, data, flags)?)
    }
}
