//! The few bits of HTTP that a load generator speaks: a URL, a request, a response head.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Longest response head that is read.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A mount on a server of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// The host and port as the URL says them.
    pub(crate) host: String,
    /// The path, with its leading slash.
    pub(crate) path: String,
}

impl Target {
    /// Reads `http://host:port/path`. Addresses that are not loopback are refused: this program
    /// is made to overwhelm what it points at.
    pub(crate) fn parse(url: &str) -> io::Result<Target> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| fault("the URL must be http://"))?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let with_port = if has_port(host) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let address = with_port
            .to_socket_addrs()?
            .find(|address| address.ip().is_loopback());
        let address = address.ok_or_else(|| fault("the URL must name this machine (loopback)"))?;
        Ok(Target {
            address,
            host: with_port,
            path: path.to_owned(),
        })
    }

    /// The request of a listener; with `icy` it asks for metadata.
    pub(crate) fn listen_request(&self, icy: bool) -> Vec<u8> {
        let icy = if icy { "Icy-MetaData: 1\r\n" } else { "" };
        let (path, host) = (&self.path, &self.host);
        format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: loadtest\r\n{icy}\r\n")
            .into_bytes()
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// What a response head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes between metadata blocks, where there are any.
    pub(crate) metaint: Option<usize>,
    /// Length of the head, its empty line included.
    pub(crate) len: usize,
}

/// Reads the response head at the front of `bytes`; none while it is incomplete.
pub(crate) fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(fault("the response head is too long"));
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let version = words.next().unwrap_or_default();
    if !version.starts_with("HTTP/1.") && version != "ICY" {
        return Err(fault("the response is no HTTP"));
    }
    let status = words.next().and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| fault("the response has no status"))?;
    let metaint = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("icy-metaint"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .filter(|&metaint| metaint > 0);
    Ok(Some(Head {
        status,
        metaint,
        len: end + 4,
    }))
}

/// An error with a message of ours.
pub(crate) fn fault(message: impl Into<String>) -> io::Error {
    io::Error::other(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_mount_on_this_machine_only() {
        let target = Target::parse("http://127.0.0.1:8000/live").expect("a good URL");
        assert_eq!(target.address, SocketAddr::from(([127, 0, 0, 1], 8000)));
        assert_eq!(
            (target.host.as_str(), target.path.as_str()),
            ("127.0.0.1:8000", "/live")
        );
        assert_eq!(
            Target::parse("http://[::1]:8000").expect("a good URL").path,
            "/"
        );
        for url in [
            "https://127.0.0.1/",
            "http://192.0.2.1:8000/live",
            "127.0.0.1:8000/x",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn heads_are_read_when_whole() {
        let head = b"HTTP/1.0 200 OK\r\nicy-metaint: 16000\r\n\r\nabc";
        assert_eq!(parse_head(&head[..20]).expect("no fault yet"), None);
        let expected = Head {
            status: 200,
            metaint: Some(16_000),
            len: head.len() - 3,
        };
        assert_eq!(parse_head(head).expect("a good head"), Some(expected));
        let icy = parse_head(b"ICY 404 no\r\nicy-metaint:0\r\n\r\n").expect("a good head");
        assert_eq!(
            icy.map(|head| (head.status, head.metaint)),
            Some((404, None))
        );
        assert!(parse_head(b"SSH-2.0-x\r\n\r\n").is_err());
        assert!(parse_head(&[b'a'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
