//! HTTP/1.1 on one connection that is kept, with the times at which an answer came.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use flate2::read::GzDecoder;

use crate::clock::now_ns;
use crate::http::{HEAD_BYTES_MAX, Target, fault};

/// The longest body that is taken.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A server that says nothing for this long fails the request.
const SILENCE: Duration = Duration::from_secs(30);
/// Where a page stands that plays our streams.
const ORIGIN: &str = "http://player.test";

/// One answer as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) sent_ns: u64,
    /// When the first byte of the body was there.
    pub(crate) first_ns: u64,
    pub(crate) done_ns: u64,
    /// Seconds since 1970 when the head was there.
    pub(crate) wall_s: i64,
    pub(crate) status: u16,
    /// With names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    /// After decompression.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; what is no UTF-8 is replaced by marks that the parser does not take.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to one server.
pub(crate) struct Client {
    target: Target,
    socket: Option<TcpStream>,
    /// What was read and not used yet.
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(target: &Target) -> Client {
        Client {
            target: target.clone(),
            socket: None,
            buffer: Vec::new(),
        }
    }

    /// Gets `path` (with its query).
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.ask("GET", path, &[])
    }

    /// Asks, on a new connection if the kept one has ended meanwhile.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Answer> {
        let kept = self.socket.is_some();
        let answer = self.ask_once(method, path, headers);
        match answer {
            Err(error) if kept && error.kind() != io::ErrorKind::WouldBlock => {
                self.socket = None;
                self.ask_once(method, path, headers)
            }
            answer => answer,
        }
    }

    fn ask_once(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Answer> {
        if self.socket.is_none() {
            let socket = TcpStream::connect_timeout(&self.target.address, SILENCE)?;
            socket.set_read_timeout(Some(SILENCE))?;
            socket.set_write_timeout(Some(SILENCE))?;
            socket.set_nodelay(true)?;
            self.buffer.clear();
            self.socket = Some(socket);
        }
        let host = &self.target.host;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n\
             Origin: {ORIGIN}\r\n"
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let sent_ns = now_ns();
        self.socket()?.write_all(request.as_bytes())?;
        let mut answer = self.read_head()?;
        answer.sent_ns = sent_ns;
        let has_body = method != "HEAD" && answer.status != 304 && answer.status != 204;
        if has_body {
            self.read_body(&mut answer)?;
        }
        answer.done_ns = now_ns();
        if answer.first_ns == 0 {
            answer.first_ns = answer.done_ns;
        }
        let closes = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes || !self.buffer.is_empty() {
            self.socket = None;
        }
        if has_body && answer.header("content-encoding") == Some("gzip") {
            let limit = BODY_BYTES_MAX as u64;
            let mut plain = Vec::new();
            GzDecoder::new(answer.body.as_slice())
                .take(limit)
                .read_to_end(&mut plain)?;
            answer.body = plain;
        }
        Ok(answer)
    }

    fn socket(&mut self) -> io::Result<&mut TcpStream> {
        self.socket.as_mut().ok_or_else(|| fault("not connected"))
    }

    /// Reads more; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0_u8; 65_536];
        let count = self.socket()?.read(&mut piece)?;
        let read = piece.get(..count).unwrap_or_default();
        self.buffer.extend_from_slice(read);
        Ok(count > 0)
    }

    fn read_head(&mut self) -> io::Result<Answer> {
        let end = loop {
            let mut windows = self.buffer.windows(4);
            if let Some(end) = windows.position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_BYTES_MAX || !self.fill()? {
                return Err(fault("no answer, or a head without an end"));
            }
        };
        let behind = self.buffer.split_off(end + 4);
        let head = std::mem::replace(&mut self.buffer, behind);
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Answer {
            status: status.ok_or_else(|| fault("the answer has no status"))?,
            headers: headers.collect(),
            wall_s: wall.map_or(0, |since| since.as_secs() as i64),
            ..Answer::default()
        })
    }

    fn read_body(&mut self, answer: &mut Answer) -> io::Result<()> {
        if answer.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks(answer);
        }
        let length = answer.header("content-length").map(str::parse::<usize>);
        match length {
            Some(Ok(length)) if length <= BODY_BYTES_MAX => self.take(length, answer),
            Some(_) => Err(fault("an odd content length")),
            None => {
                while self.fill()? && self.buffer.len() <= BODY_BYTES_MAX {
                    note_first(answer);
                }
                answer.body = std::mem::take(&mut self.buffer);
                self.socket = None;
                Ok(())
            }
        }
    }

    /// Takes so many bytes into the body.
    fn take(&mut self, length: usize, answer: &mut Answer) -> io::Result<()> {
        while self.buffer.len() < length {
            if !self.buffer.is_empty() {
                note_first(answer);
            }
            if !self.fill()? {
                return Err(fault("the answer ends too early"));
            }
        }
        if length > 0 {
            note_first(answer);
        }
        let behind = self.buffer.split_off(length);
        answer.body.append(&mut self.buffer);
        self.buffer = behind;
        Ok(())
    }

    fn take_line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_BYTES_MAX || !self.fill()? {
                return Err(fault("a chunk without an end"));
            }
        };
        let behind = self.buffer.split_off(end + 2);
        let line = std::mem::replace(&mut self.buffer, behind);
        Ok(String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned())
    }

    fn read_chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let line = self.take_line()?;
            let digits = line.split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(digits, 16).ok();
            let length = length.filter(|length| answer.body.len() + length <= BODY_BYTES_MAX);
            match length.ok_or_else(|| fault("an odd chunk"))? {
                0 => {
                    while !self.take_line()?.is_empty() {}
                    return Ok(());
                }
                length => {
                    self.take(length, answer)?;
                    self.take_line()?;
                }
            }
        }
    }
}

fn note_first(answer: &mut Answer) {
    if answer.first_ns == 0 {
        answer.first_ns = now_ns();
    }
}
