//! QUIC and HTTP/3: one endpoint for each shard and address, on UDP.
//!
//! Reading order: [`endpoint`] (packets to connections), [`greeting`] (packets of nobody: new
//! connections, Retry, resets), [`turns`] (its task: receive, look at timers, serve, send),
//! [`flight`] (packets out, many at a time), [`ways`] (where a client is), [`connection`] (one
//! connection: requests in, bodies out), [`outbox`] (what of an answer waits), [`stream`] (one
//! request, for the task that answers it), [`answer`] (that task), [`host`] (what of its shard an
//! endpoint needs), [`tls`] (what quiche is set up with).
//!
//! Ids of connections say their shard ([`corecast_protocol::quic::steering`]), so that the kernel
//! brings a packet to where its connection is, wherever the client moves to. quiche has the
//! protocol; it neither says nor takes ECN marks, so that we set none.

mod answer;
mod connection;
mod endpoint;
mod flight;
mod greeting;
mod host;
mod outbox;
mod stream;
mod timers;
mod tls;
mod turns;
mod ways;

#[cfg(test)]
mod tests;

pub(crate) use endpoint::Endpoints;
pub(crate) use host::run;

use bytes::Bytes;
use quiche::BufFactory;

/// Requests that a connection may have open at once.
const STREAMS_MAX: u64 = 128;

/// Error codes of HTTP/3 (RFC 9114 section 8.1).
pub(crate) mod code {
    /// All is well, or no more is needed.
    pub(crate) const NO_ERROR: u64 = 0x100;
    /// Our own fault.
    pub(crate) const INTERNAL_ERROR: u64 = 0x102;
    /// The request was not looked at.
    pub(crate) const REQUEST_REJECTED: u64 = 0x10b;
    /// The answer is given up.
    pub(crate) const REQUEST_CANCELLED: u64 = 0x10c;
    /// The stream ended before its request did.
    pub(crate) const REQUEST_INCOMPLETE: u64 = 0x10d;
    /// The request breaks the rules of HTTP.
    pub(crate) const MESSAGE_ERROR: u64 = 0x10e;
}

/// Buffers of quiche: what we send is never copied before it is sealed into packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers;

impl BufFactory for Buffers {
    type Buf = Bytes;
    type DgramBuf = Vec<u8>;

    fn buf_from_slice(buf: &[u8]) -> Bytes {
        Bytes::copy_from_slice(buf)
    }

    fn dgram_buf_from_slice(buf: &[u8]) -> Vec<u8> {
        buf.into()
    }
}
