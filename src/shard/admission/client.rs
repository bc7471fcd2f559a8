//! Whom a request comes from, where trusted proxies stand between.

use std::net::{IpAddr, SocketAddr};

use corecast_config::{Network, contains_ip};
use corecast_protocol::http::Headers;

/// The client behind `peer`: what a trusted proxy says, else the peer itself. A client without a
/// known port has port 0.
pub(crate) fn client(proxies: &[Network], peer: SocketAddr, headers: &Headers) -> SocketAddr {
    let is_proxy = |ip: IpAddr| contains_ip(proxies, ip);
    if !is_proxy(peer.ip()) {
        return peer;
    }
    // Each proxy adds whom it heard at the end: what stands before a stranger is the stranger's
    // own invention.
    let lines: Vec<&[u8]> = headers.find_all("x-forwarded-for").collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|&byte| byte == b','));
    let mut client = None;
    for ip in hops.map_while(parse_ip) {
        client = Some(ip);
        if !is_proxy(ip) {
            break;
        }
    }
    let client = client.or_else(|| headers.find("x-real-ip").and_then(parse_ip));
    client.map_or(peer, |ip| SocketAddr::new(ip, 0))
}

/// Whether the client behind `peer` came by `https`, which a trusted proxy there has ended.
pub(crate) fn came_by_https(proxies: &[Network], peer: SocketAddr, headers: &Headers) -> bool {
    let said = headers.find("x-forwarded-proto").unwrap_or_default();
    // The first of several is what the client spoke.
    let first = said.split(|&byte| byte == b',').next().unwrap_or_default();
    contains_ip(proxies, peer.ip()) && first.trim_ascii().eq_ignore_ascii_case(b"https")
}

/// An address, with or without a port.
fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse().ok();
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use corecast_protocol::http::Limits;
    use corecast_protocol::http1::{Parse, parse_request};

    /// Asks `look` about a request with `lines` that `peer` sent.
    fn look_at<R>(
        peer: &str,
        lines: &str,
        look: impl Fn(&[Network], SocketAddr, &Headers) -> R,
    ) -> R {
        let proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
        let head = Bytes::from(format!("GET /live HTTP/1.0\r\n{lines}\r\n"));
        let Ok(Parse::Done { request, .. }) = parse_request(&head, &Limits::default()) else {
            panic!("{lines}: a good head");
        };
        let peer = SocketAddr::new(peer.parse().expect("an address"), 5_000);
        look(&proxies, peer, request.headers())
    }

    fn check(peer: &str, lines: &str, expected: &str) {
        let found = look_at(peer, lines, client);
        assert_eq!(found.ip().to_string(), expected, "{peer} {lines}");
    }

    #[test]
    fn only_trusted_proxies_say_that_they_ended_tls() {
        for (peer, said, expected) in [
            ("10.0.0.1", "https", true),
            ("10.0.0.1", "HTTPS, http", true),
            ("10.0.0.1", "http", false),
            ("10.0.0.1", "http, https", false),
            ("10.0.0.1", "", false),
            ("192.0.2.1", "https", false),
        ] {
            let line = format!("X-Forwarded-Proto: {said}\r\n");
            let found = look_at(peer, &line, came_by_https);
            assert_eq!(found, expected, "{peer} {said}");
        }
        assert!(!look_at("10.0.0.1", "", came_by_https));
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (peer, lines, expected) in [
            ("192.0.2.1", "", "192.0.2.1"),
            (
                "192.0.2.1",
                "X-Forwarded-For: 198.51.100.1\r\n",
                "192.0.2.1",
            ),
            ("192.0.2.1", "X-Real-IP: 198.51.100.1\r\n", "192.0.2.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            (
                "10.0.0.1",
                "X-Forwarded-For: 198.51.100.1\r\n",
                "198.51.100.1",
            ),
            (
                "::ffff:10.0.0.1",
                "X-Real-IP: 198.51.100.1\r\n",
                "198.51.100.1",
            ),
            (
                "::1",
                "X-Forwarded-For: [2001:db8::1]:443\r\n",
                "2001:db8::1",
            ),
            (
                "::1",
                "X-Forwarded-For: 198.51.100.1:443\r\n",
                "198.51.100.1",
            ),
        ] {
            check(peer, lines, expected);
        }
    }

    #[test]
    fn what_a_stranger_says_before_the_proxies_is_not_believed() {
        for (lines, expected) in [
            (
                "X-Forwarded-For: 203.0.113.9, 198.51.100.1\r\n",
                "198.51.100.1",
            ),
            (
                "X-Forwarded-For: 198.51.100.1, 10.2.3.4\r\n",
                "198.51.100.1",
            ),
            (
                "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n",
                "198.51.100.1",
            ),
            (
                "X-Forwarded-For: 203.0.113.9, nobody, 10.2.3.4\r\n",
                "10.2.3.4",
            ),
            ("X-Forwarded-For: nobody\r\n", "10.0.0.1"),
            (
                "X-Forwarded-For: \r\nX-Real-IP: 198.51.100.1\r\n",
                "198.51.100.1",
            ),
        ] {
            check("10.0.0.1", lines, expected);
        }
    }
}
