//! Sockets: the only part of the shard that knows the runtime's I/O.
//!
//! Reading order: [`backend`] (which engine works here), [`acceptor`] (new connections), [`wire`]
//! (what connections do alike), [`tcp`] (one of them), [`records`] and [`tls`] (the same over TLS),
//! [`link`] (either), [`stream`] (a link for crates that poll), [`reader`] (what the hub sends to),
//! [`websocket`] (that with a peer that talks), [`ears`] (who of them says something), [`udp`]
//! (packets of QUIC), [`buffer`], [`ready`], [`fd`].
//!
//! The runtime is asked for readiness, accepts and timers, never for a read into a buffer of
//! ours: a wait that is given up leaves nothing behind, and no buffer waits for a silent peer.

pub mod acceptor;
pub mod backend;
pub(crate) mod buffer;
pub(crate) mod ears;
mod fd;
pub(crate) mod link;
mod reader;
pub(crate) mod ready;
mod records;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod tls;
pub mod udp;
pub(crate) mod websocket;
pub(crate) mod wire;

pub use link::LinkSocket;
pub use reader::{ReaderSocket, StreamSocket};
pub use tcp::TcpSocket;
pub use tls::TlsSocket;
