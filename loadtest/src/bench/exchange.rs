//! One HTTP/1.1 connection of many that are kept and ask again and again, without a thread of its
//! own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::crowd::start_connect;
use crate::http::{HEAD_BYTES_MAX, Target, fault};

/// What becomes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// It is handed out.
    Kept,
    /// It is read as a player reads, and thrown away.
    Discarded,
}

/// What an answer's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) length: u64,
    /// Bytes of the head itself.
    pub(super) bytes: usize,
}

/// A connection, and how far its answer is.
#[derive(Debug)]
pub(super) struct Exchange {
    fd: OwnedFd,
    /// Bytes of the head, and of the body behind it where it is kept.
    received: Vec<u8>,
    head: Option<Head>,
    /// Bytes of the body so far.
    body_bytes: u64,
}

impl Exchange {
    /// Connects.
    pub(super) fn connect(target: &Target) -> io::Result<Exchange> {
        Ok(Exchange {
            fd: start_connect(target.address, 0, false)?,
            received: Vec::new(),
            head: None,
            body_bytes: 0,
        })
    }

    /// Sends a request, which fits into any send buffer.
    pub(super) fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.received.clear();
        self.head = None;
        self.body_bytes = 0;
        if send(&self.fd, request, SendFlags::NOSIGNAL)? != request.len() {
            return Err(fault("a request was not taken at once"));
        }
        Ok(())
    }

    /// Reads what is there; the head once the answer is whole.
    pub(super) fn take(&mut self, body: Body, scratch: &mut [u8]) -> io::Result<Option<Head>> {
        loop {
            let count = match recv(&self.fd, &mut *scratch, RecvFlags::empty()) {
                Ok((_, 0)) => return Err(fault("the server hung up")),
                Ok((_, count)) => count,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if self.head.is_some() && body == Body::Discarded {
                self.body_bytes += count as u64;
            } else {
                let bytes = scratch.get(..count).unwrap_or_default();
                self.received.extend_from_slice(bytes);
                if self.head.is_none() {
                    self.head = parse_head(&self.received)?;
                }
                if let Some(head) = self.head {
                    self.body_bytes = (self.received.len() - head.bytes) as u64;
                }
            }
            if let Some(head) = self.head
                && self.body_bytes >= head.length
            {
                return Ok(Some(head));
            }
        }
    }

    /// The body of the last answer, where it was kept.
    pub(super) fn body(&self) -> &[u8] {
        let start = self.head.map_or(0, |head| head.bytes);
        self.received.get(start..).unwrap_or_default()
    }
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads a head with a length at the front of `bytes`; none while it is incomplete.
pub(super) fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(fault("the response head is too long"));
        }
        return Ok(None);
    };
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some(Head {
            status,
            length,
            bytes: end + 4,
        })),
        _ => Err(fault(format!("no length: {first}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn heads_have_a_status_and_a_length() {
        let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: 12\r\n\r\nbody";
        let head = Head {
            status: 200,
            length: 12,
            bytes: bytes.len() - 4,
        };
        assert_eq!(parse_head(bytes).expect("a good head"), Some(head));
        assert_eq!(parse_head(&bytes[..30]).expect("no fault yet"), None);
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").is_err());
        assert!(parse_head(&[b'a'; HEAD_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn answers_come_whole_on_one_connection_kept_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let target = Target {
            address,
            host: String::new(),
            path: String::new(),
        };
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("somebody connects");
            for _ in 0..2 {
                let mut request = [0; 4];
                socket.read_exact(&mut request).expect("a request");
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
                socket.write_all(head).expect("the client reads");
                socket.write_all(&[7; 5_000]).expect("the client reads");
            }
        });
        let mut exchange = Exchange::connect(&target).expect("it listens");
        let mut scratch = vec![0; 4_096];
        for body in [Body::Kept, Body::Discarded] {
            while exchange.ask(b"GET ").is_err() {
                std::thread::yield_now();
            }
            let head = loop {
                if let Some(head) = exchange.take(body, &mut scratch).expect("it answers") {
                    break head;
                }
            };
            assert_eq!((head.status, head.length), (200, 5_000));
            if body == Body::Kept {
                assert_eq!(exchange.body(), [7; 5_000]);
            }
        }
        server.join().expect("it answered");
    }
}
