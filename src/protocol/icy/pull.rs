//! The pulling side: asks another server for a stream as a listener would, and takes it apart into
//! what the server says of it, audio, and titles.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use corecast_media::metadata::Metadata;
use corecast_media::mount::SourceInfo;

use super::deinterleave::{Deinterleaver, Piece};
use super::{metadata, source};
use crate::http::{BodyFraming, Credentials, Limits};
use crate::http1::{BadReply, ChunkedDecoder, ChunkedEvent, Reply, ReplyParser};
use crate::text;

/// The longest `Location` that is followed, in bytes.
pub const LOCATION_BYTES_MAX: usize = 2_048;

/// What is asked for. No text has control characters or spaces, but for `agent`.
#[derive(Clone, Copy, Debug)]
pub struct PullRequest<'a> {
    /// Path and query, escaped as in a URL.
    pub target: &'a str,
    /// Host and port, as in a URL.
    pub authority: &'a str,
    /// Who asks.
    pub agent: &'a str,
    /// For servers that know their listeners.
    pub credentials: Option<&'a Credentials>,
    /// Whether titles are wanted between the audio.
    pub titles: bool,
}

impl PullRequest<'_> {
    /// Writes the request's head. HTTP/1.0: so no server sends chunks, and none waits for more
    /// requests.
    pub fn write_to(&self, out: &mut BytesMut) {
        let mut line = |parts: &[&str]| {
            parts
                .iter()
                .for_each(|part| out.extend_from_slice(part.as_bytes()));
            out.extend_from_slice(b"\r\n");
        };
        line(&["GET ", self.target, " HTTP/1.0"]);
        line(&["Host: ", self.authority]);
        line(&["User-Agent: ", self.agent]);
        line(&["Accept: */*"]);
        if self.titles {
            line(&["Icy-MetaData: 1"]);
        }
        if let Some(Credentials { user, password }) = self.credentials {
            let token = STANDARD.encode(format!("{user}:{password}"));
            line(&["Authorization: Basic ", &token]);
        }
        line(&[]);
    }
}

/// What [`Pull::poll_event`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// The server sends the stream: what it says of it. Audio and titles follow.
    Live(Box<SourceInfo>),
    /// The stream is elsewhere: the `Location`, clean and bounded. Nothing follows.
    Moved(String),
    /// The server gives no stream, but this status. Nothing follows.
    Refused(u16),
    /// Bytes of the stream, never empty.
    Audio(Bytes),
    /// The title from here on.
    Title(Metadata),
    /// The stream is complete. Nothing follows.
    End,
}

/// One pulled stream, from the first byte of the server's answer.
#[derive(Debug)]
pub struct Pull {
    state: State,
    events: VecDeque<PullEvent>,
}

#[derive(Debug)]
enum State {
    /// The head is not whole.
    Head {
        parser: ReplyParser,
        inbox: BytesMut,
    },
    /// In the stream.
    Body {
        body: Body,
        titles: Option<Deinterleaver>,
    },
    /// Nothing is expected any more.
    Over,
}

/// What undoes the framing of the body.
#[derive(Debug)]
enum Body {
    UntilClose,
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
}

impl Pull {
    /// Waits for the head of the answer, which keeps within `limits`.
    pub fn new(limits: Limits) -> Self {
        Pull {
            state: State::Head {
                parser: ReplyParser::new(limits),
                inbox: BytesMut::new(),
            },
            events: VecDeque::new(),
        }
    }

    /// Takes what the server sent next. Afterwards [`Pull::poll_event`] is called until it says
    /// `None`.
    ///
    /// # Errors
    /// [`BadReply`] where the bytes break the protocol; what was found before stays to be polled.
    pub fn handle_input(&mut self, bytes: Bytes) -> Result<(), BadReply> {
        let rest = match &mut self.state {
            State::Over => return Ok(()),
            State::Body { .. } => bytes,
            State::Head { parser, inbox } => {
                inbox.extend_from_slice(&bytes);
                let Some(reply) = parser.parse(inbox)? else {
                    return Ok(());
                };
                let rest = inbox.split().freeze();
                self.begin(&reply)?;
                rest
            }
        };
        self.take(rest)
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<PullEvent> {
        self.events.pop_front()
    }

    fn begin(&mut self, reply: &Reply) -> Result<(), BadReply> {
        let body = match reply.framing {
            BodyFraming::None => None,
            BodyFraming::UntilClose => Some(Body::UntilClose),
            BodyFraming::Length(length) => Some(Body::Length(length)),
            BodyFraming::Chunked => Some(Body::Chunked(Box::default())),
        };
        self.state = State::Over;
        let (event, state) = match (reply.status, body) {
            (200, Some(body)) => {
                let titles = metaint(reply)?.map(Deinterleaver::new);
                let info = SourceInfo {
                    user_agent: "".into(),
                    ..source::source_info(&reply.headers)
                };
                (
                    PullEvent::Live(Box::new(info)),
                    State::Body { body, titles },
                )
            }
            (200, None) => (PullEvent::End, State::Over),
            (301 | 302 | 303 | 307 | 308, _) => {
                let location = reply.headers.find("location").unwrap_or_default();
                if location.len() > LOCATION_BYTES_MAX {
                    return Err(BadReply("redirect is too long"));
                }
                let location = text::clean(&text::decode(location), LOCATION_BYTES_MAX);
                if location.is_empty() {
                    return Err(BadReply("redirect to nowhere"));
                }
                (PullEvent::Moved(location), State::Over)
            }
            (status, _) => (PullEvent::Refused(status), State::Over),
        };
        self.events.push_back(event);
        self.state = state;
        Ok(())
    }

    /// Takes a piece of the body.
    fn take(&mut self, mut input: Bytes) -> Result<(), BadReply> {
        let State::Body { body, titles } = &mut self.state else {
            return Ok(());
        };
        let events = &mut self.events;
        let over = match body {
            Body::UntilClose => {
                split(titles, input, events);
                false
            }
            Body::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left = left.saturating_sub(here as u64);
                split(titles, input.split_to(here), events);
                *left == 0
            }
            Body::Chunked(decoder) => loop {
                match decoder.decode(&mut input) {
                    Ok(ChunkedEvent::Payload(payload)) => split(titles, payload, events),
                    Ok(ChunkedEvent::NeedMore) => break false,
                    Ok(ChunkedEvent::End) => break true,
                    Err(_) => return Err(BadReply("bad HTTP chunk")),
                }
            },
        };
        if over {
            self.events.push_back(PullEvent::End);
            self.state = State::Over;
        }
        Ok(())
    }
}

/// Bytes between two blocks of titles, where the server sends such.
fn metaint(reply: &Reply) -> Result<Option<NonZeroU32>, BadReply> {
    let Some(value) = reply.headers.find("icy-metaint") else {
        return Ok(None);
    };
    let number = std::str::from_utf8(value).ok();
    let number: Option<u32> = number.and_then(|digits| digits.trim().parse().ok());
    // Zero is how some say that there are no blocks.
    number
        .map(NonZeroU32::new)
        .ok_or(BadReply("icy-metaint is no number"))
}

/// Tells titles from audio.
fn split(titles: &mut Option<Deinterleaver>, mut bytes: Bytes, events: &mut VecDeque<PullEvent>) {
    let Some(deinterleaver) = titles else {
        if !bytes.is_empty() {
            events.push_back(PullEvent::Audio(bytes));
        }
        return;
    };
    while let Some(piece) = deinterleaver.decode(&mut bytes) {
        match piece {
            Piece::Audio(audio) => events.push_back(PullEvent::Audio(audio)),
            Piece::Block(fields) => {
                events.extend(metadata::parse(&fields).map(PullEvent::Title));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the answer `bytes` comes to, audio joined, the same whatever the pieces.
    fn check(bytes: &[u8], expected: &str) {
        for step in [1, 5, bytes.len()] {
            let mut pull = Pull::new(Limits::default());
            let mut told = String::new();
            for piece in bytes.chunks(step) {
                let taken = pull.handle_input(Bytes::copy_from_slice(piece));
                while let Some(event) = pull.poll_event() {
                    told.push_str(&match event {
                        PullEvent::Live(info) => {
                            format!("live {} {}|", info.content_type, info.name)
                        }
                        PullEvent::Moved(location) => format!("moved {location}|"),
                        PullEvent::Refused(status) => format!("refused {status}|"),
                        PullEvent::Audio(audio) => String::from_utf8_lossy(&audio).into_owned(),
                        PullEvent::Title(title) => format!("[{}]", title.title),
                        PullEvent::End => "|end".to_owned(),
                    });
                }
                if let Err(bad) = taken {
                    told.push_str(&format!("|{}", bad.0));
                    break;
                }
            }
            assert_eq!(told, expected, "by {step}");
        }
    }

    #[test]
    fn streams_of_all_framings_are_taken_apart() {
        let head = "ICY 200 OK\r\nicy-name: A\r\ncontent-type: audio/aac\r\nicy-metaint: 4\r\n\r\n";
        let titled = [head.as_bytes(), b"abcd\x01StreamTitle='T';efgh\0ij"].concat();
        check(&titled, "live audio/aac A|abcd[T]efghij");
        let plain = b"HTTP/1.0 200 OK\r\nice-name: B\r\nicy-metaint: 0\r\n\r\nabc";
        check(plain, "live audio/mpeg B|abc");
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef";
        check(length, "live audio/mpeg |abc|end");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nicy-metaint: 2\r\n\r\n\
            3\r\nab\0\r\n2\r\ncd\r\n0\r\n\r\n";
        check(chunked, "live audio/mpeg |abcd|end");
        check(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "|end");
    }

    #[test]
    fn answers_without_a_stream_say_why() {
        check(
            b"HTTP/1.0 404 Not Found\r\n\r\nno such mount",
            "refused 404|",
        );
        check(
            b"HTTP/1.0 302 Found\r\nLocation: http://b/c\r\n\r\n",
            "moved http://b/c|",
        );
        check(b"HTTP/1.0 302 Found\r\n\r\n", "|redirect to nowhere");
        check(
            b"HTTP/1.0 200 OK\r\nicy-metaint: x\r\n\r\n",
            "|icy-metaint is no number",
        );
        let bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz";
        check(bad, "live audio/mpeg ||bad HTTP chunk");
    }

    #[test]
    fn the_request_asks_as_a_listener_does() {
        let credentials = Credentials {
            user: "u".into(),
            password: "p".into(),
        };
        let mut out = BytesMut::new();
        let request = PullRequest {
            target: "/live?a=b",
            authority: "origin:8000",
            agent: "test",
            credentials: Some(&credentials),
            titles: true,
        };
        request.write_to(&mut out);
        let expected = "GET /live?a=b HTTP/1.0\r\nHost: origin:8000\r\nUser-Agent: test\r\n\
            Accept: */*\r\nIcy-MetaData: 1\r\nAuthorization: Basic dTpw\r\n\r\n";
        assert_eq!(out, expected.as_bytes());
    }
}
