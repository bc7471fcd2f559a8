//! A raw HTTP client: what is sent and what came are bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// How long one read or write may take.
pub(crate) const IO_LIMIT: Duration = Duration::from_secs(15);

/// The head of an answer, and what came after it so far.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status line, without its end.
    pub(crate) status_line: String,
    /// The code in it.
    pub(crate) status: u16,
    /// Names in lower case, values trimmed; in order, repeats kept.
    pub(crate) headers: Vec<(String, String)>,
    /// The bytes after the head; whole where the exchange was read to its end.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status_line, self.text()))
    }

    fn parse(head: &[u8], body: Vec<u8>) -> io::Result<Self> {
        let bad = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
        let head = std::str::from_utf8(head).map_err(|_| bad("the head is not UTF-8"))?;
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default().to_owned();
        let code = status_line.split(' ').nth(1).unwrap_or_default();
        let status = code.parse().map_err(|_| bad(&status_line))?;
        let headers = lines
            .map(|line| line.split_once(':').ok_or_else(|| bad(line)))
            .map(|pair| pair.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
            .collect::<io::Result<_>>()?;
        Ok(Answer {
            status_line,
            status,
            headers,
            body,
        })
    }
}

/// A connection with [`IO_LIMIT`] on each read and write.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, IO_LIMIT)?;
    stream.set_read_timeout(Some(IO_LIMIT))?;
    stream.set_write_timeout(Some(IO_LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads up to the end of a head. What was read of the body is in the answer.
pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<Answer> {
    let mut read = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            return Answer::parse(&read[..at], read[at + 4..].to_vec());
        }
        match stream.read(&mut piece)? {
            0 => {
                let text = String::from_utf8_lossy(&read).into_owned();
                return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
            }
            n => read.extend_from_slice(&piece[..n]),
        }
    }
}

/// Reads an answer whole: up to its length where it has one, else up to the end of the connection.
pub(crate) fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut answer = read_head(stream)?;
    let length = answer.header("content-length");
    let length = length.and_then(|text| text.parse::<usize>().ok());
    let no_body = matches!(answer.status, 100..=199 | 204 | 304);
    match length {
        _ if no_body => {}
        Some(length) => {
            let missing = length.saturating_sub(answer.body.len()) as u64;
            stream
                .by_ref()
                .take(missing)
                .read_to_end(&mut answer.body)?;
        }
        None => {
            stream.read_to_end(&mut answer.body)?;
            if answer.header("transfer-encoding") == Some("chunked") {
                answer.body = dechunk(&answer.body);
            }
        }
    }
    Ok(answer)
}

/// Sends `request` on a new connection and reads the answer whole.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(address)?;
    stream.write_all(request)?;
    read_answer(&mut stream)
}

/// `GET path`, closing.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes())
}

/// An `Authorization` line, its end included.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let word = BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {word}\r\n")
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = body.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&body[..at]);
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size");
        if size == 0 {
            break;
        }
        out.extend_from_slice(&body[at + 2..at + 2 + size]);
        body = &body[at + 2 + size + 2..];
    }
    out
}
