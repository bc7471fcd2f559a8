//! Browsers and video players that came by `http` where the settings want them on `https`.

use corecast_config::{Config, ListenProtocol};
use corecast_protocol::http::{Fields, Method, Request};

use super::exchange::Front;
use super::response::Response;

/// The port that a URL of `https` need not name.
const HTTPS_PORT: u16 = 443;

/// Where pages for browsers are, beside the one at `/`.
const PAGES: [&str; 2] = ["/watch/", "/embed/"];

/// Sends a request on (RFC 9110 section 15.4.9) that wants a page or `plays` video, where
/// `tls.redirect_http` says so.
pub(crate) fn redirect(
    config: &Config,
    front: Front,
    request: &Request,
    plays: bool,
) -> Option<Response> {
    if !config.tls.redirect_http || front.secure {
        return None;
    }
    let is_page = request.path() == "/" || PAGES.iter().any(|at| request.path().starts_with(at));
    let asks = matches!(request.method(), Method::Get | Method::Head);
    if !asks || !(is_page || plays) {
        return None;
    }
    let mut listen = config.listen.iter();
    let https = listen.find(|listen| listen.protocol == ListenProtocol::Https)?;
    let host = without_port(request.host());
    if host.is_empty() {
        return None;
    }
    let port = match https.address.port() {
        HTTPS_PORT => String::new(),
        port => format!(":{port}"),
    };
    let location = format!("https://{host}{port}{}", request.origin_form());
    let fields = Fields::with_capacity(256)
        .with("Location", location)
        .with("Access-Control-Allow-Origin", "*")
        .with("Cache-Control", "max-age=60")
        .with("Vary", "Host");
    Some(Response::new(308, fields))
}

/// The host of an authority (RFC 3986 section 3.2), an IPv6 address with its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // The last colon of a bare IPv6 address is inside its brackets.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use corecast_config::Listen;
    use corecast_protocol::http::Limits;
    use corecast_protocol::http1::{Parse, parse_request};

    use super::*;

    fn sent_to(line: &str, host: &str, port: u16, front: Front, plays: bool) -> Option<String> {
        let mut config = Config::default();
        config.tls.redirect_http = true;
        config.listen = vec![
            Listen::default(),
            Listen {
                address: ([0, 0, 0, 0], port).into(),
                protocol: ListenProtocol::Https,
                ..Listen::default()
            },
        ];
        let head = Bytes::from(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let Ok(Parse::Done { request, .. }) = parse_request(&head, &Limits::default()) else {
            panic!("{line} is good");
        };
        let response = redirect(&config, front, &request, plays)?;
        let found = response.fields.iter().find(|(name, _)| *name == "Location");
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn browsers_and_players_are_sent_on_and_nobody_else() {
        let plain = Front::default();
        let to = |line, plays| sent_to(line, "radio.example:8000", 8_443, plain, plays);
        let on = |path: &str| Some(format!("https://radio.example:8443{path}"));
        assert_eq!(to("GET /", false), on("/"));
        assert_eq!(to("HEAD /watch/live?x=1", false), on("/watch/live?x=1"));
        assert_eq!(to("GET /live.m3u8", true), on("/live.m3u8"));
        assert_eq!(to("GET http://radio.example:8000/?x", false), on("/?x"));
        assert_eq!(to("GET /live", false), None);
        assert_eq!(to("GET /api/v1/mounts", false), None);
        assert_eq!(to("GET /admin/metadata?song=x", false), None);
        assert_eq!(to("POST /watch/live", false), None);
        let secure = Front {
            secure: true,
            ..plain
        };
        assert_eq!(sent_to("GET /", "a", 443, secure, false), None);
    }

    #[test]
    fn who_came_by_https_to_a_trusted_proxy_stays_there() {
        let mut config = Config::default();
        config.limits.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n";
        let head = Bytes::from_static(head.as_bytes());
        let Ok(Parse::Done { request, .. }) = parse_request(&head, &Limits::default()) else {
            panic!("it is good");
        };
        for (peer, stays) in [([10, 0, 0, 1], true), ([192, 0, 2, 1], false)] {
            let front = Front::default().of(&request, (peer, 1).into(), &config);
            assert_eq!(front.secure, stays, "{peer:?}");
        }
    }

    #[test]
    fn the_port_is_named_unless_it_is_the_usual_one() {
        let to = |host| sent_to("GET /", host, 443, Front::default(), false);
        assert_eq!(to("a.example").as_deref(), Some("https://a.example/"));
        assert_eq!(to("[::1]:8000").as_deref(), Some("https://[::1]/"));
        assert_eq!(to("[::1]").as_deref(), Some("https://[::1]/"));
    }
}
