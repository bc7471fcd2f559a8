//! A listener of our own that reads ICY metadata.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corecast_protocol::icy::deinterleave::{Deinterleaver, Piece};

use super::http::{self, Answer};

/// One listener.
pub(crate) struct IcyReader {
    stream: TcpStream,
    /// What the server said.
    pub(crate) answer: Answer,
    deinterleaver: Option<Deinterleaver>,
    /// The audio so far, metadata taken out.
    pub(crate) audio: Vec<u8>,
    /// Each block that was not empty: how many bytes of audio came before it, and its fields with
    /// their padding.
    pub(crate) blocks: Vec<(usize, Vec<u8>)>,
}

impl IcyReader {
    /// Asks for `mount` with metadata. The answer must be 200.
    pub(crate) fn open(address: SocketAddr, mount: &str) -> Self {
        let request = format!("GET {mount} HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\r\n");
        let reader = IcyReader::ask(address, &request).expect("the server answers");
        assert_eq!(
            reader.answer.status,
            200,
            "{mount}: {}",
            reader.answer.text()
        );
        reader
    }

    /// Sends `request` and reads the head of the answer.
    pub(crate) fn ask(address: SocketAddr, request: &str) -> io::Result<Self> {
        let mut stream = http::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = http::read_head(&mut stream)?;
        let metaint = answer.header("icy-metaint").map(|text| {
            let metaint: NonZeroU32 = text.parse().expect("icy-metaint is a number");
            Deinterleaver::new(metaint)
        });
        let body = std::mem::take(&mut answer.body);
        let mut reader = IcyReader {
            stream,
            answer,
            deinterleaver: metaint,
            audio: Vec::new(),
            blocks: Vec::new(),
        };
        reader.take(body);
        Ok(reader)
    }

    /// Reads for as long as `limit`; answers whether the stream goes on.
    pub(crate) fn listen(&mut self, limit: Duration) -> bool {
        self.listen_until(limit, |_| false);
        self.stream_goes_on()
    }

    /// Reads until `enough` says so; answers whether it did within `limit`.
    pub(crate) fn listen_until(
        &mut self,
        limit: Duration,
        mut enough: impl FnMut(&IcyReader) -> bool,
    ) -> bool {
        let deadline = Instant::now() + limit;
        let mut piece = vec![0; 65_536];
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let wait = left.max(Duration::from_millis(1));
            self.stream
                .set_read_timeout(Some(wait))
                .expect("never zero");
            match self.stream.read(&mut piece) {
                Ok(0) => return enough(self),
                Ok(n) => self.take(piece[..n].to_vec()),
                Err(error) if is_timeout(&error) => return false,
                Err(_) => return enough(self),
            }
        }
        true
    }

    /// The titles heard, in order; the last one is what a player shows.
    pub(crate) fn titles(&self) -> Vec<String> {
        let fields = self.blocks.iter().map(|(_, fields)| fields);
        fields.map(|fields| title(fields)).collect()
    }

    fn stream_goes_on(&self) -> bool {
        self.stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .expect("never zero");
        match self.stream.peek(&mut [0]) {
            Ok(n) => n > 0,
            Err(error) => is_timeout(&error),
        }
    }

    fn take(&mut self, bytes: Vec<u8>) {
        let Some(deinterleaver) = &mut self.deinterleaver else {
            self.audio.extend(bytes);
            return;
        };
        let mut bytes = Bytes::from(bytes);
        while let Some(piece) = deinterleaver.decode(&mut bytes) {
            match piece {
                Piece::Audio(audio) => self.audio.extend_from_slice(&audio),
                Piece::Block(fields) if fields.is_empty() => {}
                Piece::Block(fields) => self.blocks.push((self.audio.len(), fields.to_vec())),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// What stands between `StreamTitle='` and the first `';`, as players read it.
pub(crate) fn title(fields: &[u8]) -> String {
    let text = String::from_utf8_lossy(fields);
    let title = text
        .strip_prefix("StreamTitle='")
        .and_then(|rest| rest.split_once("';"));
    let (title, _) = title.unwrap_or_else(|| panic!("no title in {text:?}"));
    title.to_owned()
}
