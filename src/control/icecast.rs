//! The surfaces of Icecast, in its own shapes: what encoders, players and dashboards rely on.
//!
//! Recorded from Icecast 2.4.4. Reading order: [`stats`] (names and values of the server and its
//! mounts), [`status`] (`/status-json.xsl`), [`xml`] (documents), [`admin`] (who may what under
//! `/admin/`), [`lists`] and [`commands`] (what is answered there), [`metadata`] (titles from
//! outside), [`html`] (pages for people and for scrapers), [`playlist`] (files that players open).

pub(crate) mod admin;
mod commands;
pub(crate) mod html;
mod lists;
pub(crate) mod metadata;
pub(crate) mod playlist;
mod stats;
pub(crate) mod status;
mod xml;

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use corecast_config::{Config, ListenProtocol, Mount};
use corecast_mesh::message::{MountReport, SourceState};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HOST, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::masters::NODE_HEADER;
use crate::node::Node;
use crate::problem::Problem;
use xml::Element;

/// What stands in the way of an answer.
enum Failure {
    /// Icecast's page for an error.
    Page(StatusCode, &'static str),
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The node does not answer.
    Problem(Problem),
}

impl Failure {
    /// The client must change its request.
    fn bad(message: &'static str) -> Self {
        Failure::Page(StatusCode::BAD_REQUEST, message)
    }

    /// The shard that may have the mount is silent.
    fn silent() -> Self {
        Failure::Page(StatusCode::SERVICE_UNAVAILABLE, "The mount does not answer")
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure::Problem(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::Page(status, message) => error(status, message),
            Failure::Unauthorized => unauthorized(),
            Failure::Problem(problem) => problem.into(),
        }
    }
}

/// A document as Icecast sends it.
fn xml_answer(document: &Element) -> Response {
    let text = document.document();
    answer(StatusCode::OK, "text/xml; charset=utf-8", text)
}

/// What came of an admin command.
fn response(success: bool, message: impl ToString) -> Element {
    let success = u8::from(success);
    Element::of(
        "iceresponse",
        vec![
            Element::text("message", message),
            Element::text("return", success),
        ],
    )
}

/// Whether Icecast would say that the mount has a source: it is there, or may come back.
fn is_on_air(report: &MountReport) -> bool {
    !matches!(report.state, SourceState::Gone { .. })
}

/// Icecast's name for what decides about listeners of a mount, where anything does.
fn authenticator(settings: &Mount) -> Option<&'static str> {
    if !settings.listener_htpasswd.as_os_str().is_empty() {
        Some("htpasswd")
    } else {
        (!settings.hook_listener_add.is_empty()).then_some("url")
    }
}

/// An answer in Icecast's way: never kept by anybody.
fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache, no-store"),
        (EXPIRES, "Mon, 26 Jul 1997 05:00:00 GMT"),
        (PRAGMA, "no-cache"),
    ];
    (status, headers, body.into()).into_response()
}

/// Says to another node, which asks for our mounts, which one this is.
fn name_node(response: &mut Response, node: &Node) {
    if let Ok(id) = HeaderValue::from_str(&node.id) {
        response.headers_mut().insert(NODE_HEADER, id);
    }
}

/// Icecast's page for an error; `message` is ours and needs no escapes.
fn error(status: StatusCode, message: &'static str) -> Response {
    let code = status.as_u16();
    let page = format!(
        "<html><head><title>Error {code}</title></head>\
         <body><b>{code} - {message}</b></body></html>\r\n"
    );
    answer(status, "text/html; charset=utf-8", page)
}

/// Credentials are missing or wrong.
fn unauthorized() -> Response {
    let text = "You need to authenticate\r\n";
    let mut response = answer(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", text);
    let challenge = HeaderValue::from_static("Basic realm=\"corecast\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// By which scheme a client came that asked for `host`: that of the acceptor at its port.
fn scheme_of(host: &str, config: &Config) -> &'static str {
    let port = host
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let speaks = |protocol, port: u16| {
        let mut listen = config.listen.iter();
        listen.any(|one| one.protocol == protocol && one.address.port() == port)
    };
    let (plain, secure) = (ListenProtocol::Http, ListenProtocol::Https);
    let is_secure = match port {
        Some(port) => speaks(secure, port),
        // Both schemes leave their own port out.
        None => speaks(secure, 443) && (config.tls.redirect_http || !speaks(plain, 80)),
    };
    if is_secure { "https" } else { "http" }
}

/// Where the client reached us, where it says so in a plausible way; else the configured name.
fn base_url(headers: &HeaderMap, config: &Config) -> String {
    let host = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .filter(|host| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            !host.is_empty() && host.len() <= 260 && host.bytes().all(plain)
        });
    match host {
        Some(host) => format!("{}://{host}", scheme_of(host, config)),
        None => {
            let (scheme, port) = config.site();
            let name = &config.server.hostname;
            match name.parse() {
                Ok(ip) => format!("{scheme}://{}", SocketAddr::new(ip, port)),
                Err(_) => format!("{scheme}://{name}:{port}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_config::Listen;

    #[test]
    fn links_lead_back_to_the_acceptor_that_was_asked() {
        let at = |protocol, port| {
            let mut listen = Listen {
                protocol,
                ..Listen::default()
            };
            listen.address.set_port(port);
            listen
        };
        let (plain, secure) = (ListenProtocol::Http, ListenProtocol::Https);
        let mut config = Config {
            listen: vec![at(plain, 8_000), at(secure, 8_443), at(secure, 443)],
            ..Config::default()
        };
        for (host, scheme) in [
            ("a.example:8000", "http"),
            ("a.example:8443", "https"),
            ("[::1]:8443", "https"),
            ("a.example:99", "http"),
            ("a.example", "https"),
        ] {
            assert_eq!(scheme_of(host, &config), scheme, "{host}");
        }
        config.listen.push(at(plain, 80));
        assert_eq!(scheme_of("a.example", &config), "http");
        config.tls.redirect_http = true;
        assert_eq!(scheme_of("a.example", &config), "https");
    }
}
