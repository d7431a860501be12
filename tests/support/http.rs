//! An HTTP/1.1 client without opinions: what is written and read is bytes, and a request can be left half done.

use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::within;

/// One request and its answer, on a connection of its own unless [`Exchange::again`] is used. Dropping it closes the connection.
pub(crate) struct Exchange {
    /// The connection, for tests that go on by hand.
    pub(crate) stream: TcpStream,
    /// What was read beyond the last answer.
    pub(crate) rest: Vec<u8>,
    asked: String,
}

/// What came back.
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Status line and headers as they came, with the empty line.
    pub(crate) head: String,
    /// Names as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub(crate) body: Vec<u8>,
}

/// The bytes of a request; `content-length` and `host` are added.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    use std::fmt::Write;
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !given("host") {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if (!body.is_empty() || method == "POST") && !given("content-length") {
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends a request and awaits the whole answer.
pub(crate) async fn ask(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    Exchange::begin(to, &request(method, target, headers, body.as_ref()))
        .await
        .answer()
        .await
}

/// `GET` without headers.
pub(crate) async fn get(to: SocketAddr, target: &str) -> Answer {
    ask(to, "GET", target, &[], "").await
}

impl Exchange {
    /// Connects and writes; when this returns, the kernel has the bytes.
    pub(crate) async fn begin(to: SocketAddr, bytes: &[u8]) -> Self {
        let stream = within(format_args!("connect to {to}"), TcpStream::connect(to))
            .await
            .unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        let mut exchange = Self::over(stream);
        exchange.again(bytes).await;
        exchange
    }

    /// Over this connection; nothing is written yet.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            rest: Vec::new(),
            asked: String::new(),
        }
    }

    /// Writes (more) bytes on the same connection.
    pub(crate) async fn again(&mut self, bytes: &[u8]) {
        let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
        self.asked = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        within("write a request", self.stream.write_all(bytes))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", self.asked));
    }

    /// The answer; fails the test where the connection ends before it.
    pub(crate) async fn answer(&mut self) -> Answer {
        match self.answer_or_end().await {
            Ok(answer) => answer,
            Err(end) => panic!("{}: no answer, {end}", self.asked),
        }
    }

    /// The answer, or how the connection ended instead.
    pub(crate) async fn answer_or_end(&mut self) -> Result<Answer, String> {
        let asked = self.asked.clone();
        within(format_args!("an answer to {asked}"), self.read_answer()).await
    }

    /// The status of a head that no body follows, whatever it says.
    pub(crate) async fn answer_head(&mut self) -> u16 {
        let asked = self.asked.clone();
        within(format_args!("a head for {asked}"), async {
            loop {
                if let Some((answer, used)) = parse_head(&self.rest) {
                    self.rest.drain(..used);
                    return answer.status;
                }
                self.more().await.unwrap();
            }
        })
        .await
    }

    /// Reads until the peer closes; a reset counts as the end.
    pub(crate) async fn until_end(&mut self) -> Vec<u8> {
        let asked = self.asked.clone();
        let mut all = std::mem::take(&mut self.rest);
        within(format_args!("the end of {asked}"), async {
            while self.stream.read_buf(&mut all).await.unwrap_or(0) > 0 {}
        })
        .await;
        all
    }

    /// Ends the connection with RST instead of FIN.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    }

    async fn read_answer(&mut self) -> Result<Answer, String> {
        let (mut answer, length) = loop {
            if let Some((answer, used)) = parse_head(&self.rest) {
                self.rest.drain(..used);
                let length = answer
                    .header("content-length")
                    .map(|length| length.parse().unwrap());
                break (answer, length);
            }
            self.more().await?;
        };
        answer.body = if let Some(length) = length {
            self.take(length).await?
        } else if answer.header("transfer-encoding") == Some("chunked") {
            self.take_chunks().await?
        } else if matches!(answer.status, 101 | 204 | 304) {
            Vec::new()
        } else {
            while self.more().await.is_ok() {}
            std::mem::take(&mut self.rest)
        };
        Ok(answer)
    }

    async fn more(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.rest).await {
            Ok(0) => Err(format!("closed after {} bytes", self.rest.len())),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.rest.len() < length {
            self.more().await?;
        }
        Ok(self.rest.drain(..length).collect())
    }

    async fn take_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.take(end + 2).await?;
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn take_chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk {line:?}"))?;
            body.extend(self.take(length).await?);
            self.take_line().await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

fn parse_head(bytes: &[u8]) -> Option<(Answer, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    let status = response
        .parse(bytes)
        .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(bytes)));
    let httparse::Status::Complete(used) = status else {
        return None;
    };
    let answer = Answer {
        status: response.code?,
        head: String::from_utf8_lossy(&bytes[..used]).into_owned(),
        headers: response
            .headers
            .iter()
            .map(|h| {
                let value = String::from_utf8_lossy(h.value).into_owned();
                (h.name.to_owned(), value)
            })
            .collect(),
        body: Vec::new(),
    };
    Some((answer, used))
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not UTF-8: {:?}", self.body))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Fails the test unless status and body are these.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) -> &Self {
        assert_eq!((self.status, self.text()), (status, body), "{}", self.head);
        self
    }

    /// Fails the test unless the header is there with this value.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.header(name), Some(value), "{name} in {}", self.head);
        self
    }

    /// Fails the test if the header is there.
    #[track_caller]
    pub(crate) fn lacks(&self, name: &str) -> &Self {
        assert_eq!(self.header(name), None, "{name} in {}", self.head);
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]);
        write!(f, "{}{body}", self.head)
    }
}
