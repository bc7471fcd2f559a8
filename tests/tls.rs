//! TLS, HTTP/2 and HTTP/3, with clients that we did not write and with some that no one would.
//!
//! Reading order: [`curl`] (every version of HTTP), [`handshakes`] (TLS itself), [`sources`] (who
//! plays over it), [`icy`] (the radio over HTTP/2), [`websocket`], [`browsers`] (video over HTTP/2
//! and 3), [`rules`] (the letter of HTTP/2), [`flood`] (HTTP/2 misused), [`quic`] (HTTP/3, on good
//! roads and bad), [`quinn`] (the same by a client that moves), [`acme`] (certificates that come by
//! themselves).

mod acme;
mod browsers;
mod curl;
mod flood;
mod handshakes;
mod icy;
mod quic;
pub(crate) mod quinn;
mod rules;
mod sources;
mod websocket;
