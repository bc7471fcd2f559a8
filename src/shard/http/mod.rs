//! Requests and answers: the one form that all versions of HTTP share, and the front end of
//! HTTP/1.
//!
//! Reading order: [`exchange`] (one request that is being answered), [`response`] (an answer),
//! [`router`] (source, listener, HLS or control), [`control`] (answers that come through the
//! mesh), [`inbox`] (where their pieces wait), [`room`] (how much bodies of requests may take),
//! [`hls_path`] and [`range`] (what paths of HLS and `Range` headers say), [`redirect`] (who is
//! sent to `https`), [`answer`] (how HTTP/2 and 3 send answers), [`connection`] (a connection of
//! HTTP/1), [`framing`] (how it frames answers).

pub(crate) mod answer;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod exchange;
pub(crate) mod framing;
pub(crate) mod hls_path;
pub(crate) mod inbox;
pub(crate) mod range;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod room;
pub(crate) mod router;

#[cfg(test)]
pub(crate) mod cuts;
#[cfg(test)]
mod tests;
