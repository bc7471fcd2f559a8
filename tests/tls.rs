//! TLS, HTTP/2 and HTTP/3, with clients that we did not write and with some that no one would.
//!
//! Reading order: [`rules`] (the letter of HTTP/2), [`flood`] (HTTP/2 misused).

mod flood;
mod rules;
