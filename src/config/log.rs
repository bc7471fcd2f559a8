//! Settings of the logs.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::property::{Kind, choice, section};

section! {
    /// Logs.
    pub struct Log in "log" {
        /// Least level that is written.
        level: String = "info".to_owned(), Kind::Choice(LOG_LEVELS), Reload;
        /// Whether lines are JSON objects instead of text.
        json: bool = false, Kind::Bool, Restart;
        /// Access log in Icecast's combined form; empty for none.
        access_path: PathBuf = PathBuf::new(), Kind::Path, Restart;
        /// What lines of it say of HLS: `"viewers"` that a viewer has gone, with the seconds it
        /// watched and the bytes it took, as of any listener; `"requests"` each request. Those
        /// that fail have a line in any case.
        access_hls: HlsLines = HlsLines::Viewers, Kind::Choice(HlsLines::WORDS), Reload;
        /// Whether addresses of peers are cut (last octet, last 80 bits) wherever they are
        /// written.
        redact_ip: bool = false, Kind::Bool, Reload;
    }
}

choice! {
    /// What the access log says of HLS.
    pub enum HlsLines {
        /// A line for each viewer that has gone.
        #[default]
        Viewers = "viewers",
        /// A line for each request.
        Requests = "requests",
    }
}

/// The log levels, the quietest first.
pub const LOG_LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// An address that may be written to logs under `redact`.
pub fn shown_ip(ip: IpAddr, redact: bool) -> IpAddr {
    let ip = ip.to_canonical();
    match (redact, ip) {
        (false, ip) => ip,
        (true, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        (true, IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}
