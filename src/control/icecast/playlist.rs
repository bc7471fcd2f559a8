//! Files that players open: a mount's name with `.m3u`, `.pls`, `.xspf` or `.vclt` behind it.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use corecast_config::Config;
use corecast_media::name::MountName;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::stats::{self, Stats, Value};
use super::xml::escaped;
use super::{Failure, answer, base_url, is_on_air};
use crate::api::path_of;
use crate::form::Form;
use crate::node::Node;

/// A format of playlists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    M3u,
    Pls,
    Xspf,
    Vclt,
}

impl Kind {
    /// The mount and the format that a path names, where it names a playlist.
    pub(crate) fn parse(path: &str) -> Option<(MountName, Self)> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let (mount, suffix) = path.rsplit_once('.')?;
        let kind = match suffix {
            "m3u" => Kind::M3u,
            "pls" => Kind::Pls,
            "xspf" => Kind::Xspf,
            "vclt" => Kind::Vclt,
            _ => return None,
        };
        Some((MountName::parse(mount).ok()?, kind))
    }

    fn content_type(self) -> &'static str {
        match self {
            Kind::M3u => "audio/x-mpegurl",
            Kind::Pls => "audio/x-scpls",
            Kind::Xspf => "application/xspf+xml; charset=UTF-8",
            Kind::Vclt => "audio/x-vclt; charset=UTF-8",
        }
    }
}

/// `GET /{mount}.m3u` and its like; nothing where the path is no playlist of a mount.
pub(crate) async fn find(node: &Arc<Node>, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    let (mount, kind) = Kind::parse(uri.path())?;
    let snapshot = match node.overview().await {
        Ok(snapshot) => snapshot,
        Err(problem) => return Some(problem.into()),
    };
    let config = node.config();
    let report = snapshot
        .mount(mount.as_str())
        .filter(|report| is_on_air(report));
    if report.is_none() && config.configured_mount(mount.as_str()).is_none() {
        if snapshot.missing.is_empty() {
            return None;
        }
        return Some(Failure::silent().into_response());
    }
    let base = base_url(headers, &config);
    let stats = match report {
        Some(report) => stats::source(node, &config, &base, report),
        None => Stats::default(),
    };
    let url = format!("{base}{}", path_of(mount.as_str()));
    Some(serve(kind, text(kind, &url, &stats)))
}

/// `GET /admin/buildm3u?mount=&username=&password=`: a playlist with what a listener just said.
pub(super) fn with_credentials(
    config: &Config,
    headers: &HeaderMap,
    form: &Form,
    mount: &str,
) -> Result<Response, Failure> {
    let missing = || Failure::bad("Missing parameter");
    let user = form.text("username").ok_or_else(missing)?;
    let password = form.text("password").ok_or_else(missing)?;
    let mount = MountName::parse(mount).map_err(|_| Failure::bad("Source does not exist"))?;
    let base = base_url(headers, config);
    let (scheme, host) = base.split_once("://").unwrap_or(("http", &base));
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (user, password) = (encode(&user), encode(&password));
    let path = path_of(mount.as_str());
    let url = format!("{scheme}://{user}:{password}@{host}{path}");
    Ok(serve(Kind::M3u, text(Kind::M3u, &url, &Stats::default())))
}

fn serve(kind: Kind, text: String) -> Response {
    let mut response = answer(StatusCode::OK, kind.content_type(), text);
    let everybody = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    response
}

fn text(kind: Kind, url: &str, stats: &Stats) -> String {
    match kind {
        Kind::M3u => format!("{url}\r\n"),
        Kind::Pls => pls(url, stats),
        Kind::Xspf => xspf(url, stats),
        Kind::Vclt => vclt(url, stats),
    }
}

fn pls(url: &str, stats: &Stats) -> String {
    let name = match line(stats, "server_name") {
        name if name.is_empty() => url.to_owned(),
        name => name,
    };
    format!("[playlist]\nNumberOfEntries=1\nFile1={url}\nTitle1={name}\nLength1=-1\nVersion=2\n")
}

fn xspf(url: &str, stats: &Stats) -> String {
    let mut annotation = String::new();
    for (label, name) in [
        ("Stream Title: ", "server_name"),
        ("Stream Description: ", "server_description"),
        ("Content Type:", "server_type"),
        ("Bitrate: ", "bitrate"),
        ("Current Listeners: ", "listeners"),
        ("Peak Listeners: ", "listener_peak"),
        ("Stream Genre: ", "genre"),
    ] {
        let value = line(stats, name);
        if !value.is_empty() {
            let end = if annotation.is_empty() { "" } else { "\n" };
            write!(annotation, "{end}{label}{value}").expect("writing to a String cannot fail");
        }
    }
    let (url, title) = (escaped(url), escaped(&title(stats)));
    let (annotation, info) = (escaped(&annotation), escaped(&line(stats, "server_url")));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <playlist xmlns=\"http://xspf.org/ns/0/\" version=\"1\">\n  <title/>\n  <creator/>\n  \
         <trackList>\n    <track>\n      <location>{url}</location>\n      \
         <title>{title}</title>\n      <annotation>{annotation}</annotation>\n      \
         <info>{info}</info>\n    </track>\n  </trackList>\n</playlist>\n"
    )
}

fn vclt(url: &str, stats: &Stats) -> String {
    let line = |name| line(stats, name);
    format!(
        "STREAMURL={url}\nTITLE={}\nSERVER_NAME={}\nDESCRIPTION={}\nSIGNALINFO={}\nGENRE={}\n==\n",
        title(stats),
        line("server_name"),
        line("server_description"),
        line("bitrate"),
        line("genre"),
    )
}

fn title(stats: &Stats) -> String {
    let title = line(stats, "title");
    match line(stats, "artist") {
        artist if artist.is_empty() => title,
        artist => format!("{artist} - {title}"),
    }
}

/// A statistic as one line of text; empty where it is missing.
fn line(stats: &Stats, name: &str) -> String {
    let found = stats.0.iter().find(|(found, _)| found == name);
    let text = match found {
        None => Cow::Borrowed(""),
        Some((_, Value::Number(number))) => Cow::Owned(number.to_string()),
        Some((_, Value::Said(text) | Value::Text(text))) => Cow::Borrowed(text.as_str()),
    };
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlists_path_is_a_mounts_with_a_suffix() {
        for (path, expected) in [
            ("/a.mp3.m3u", Some(("/a.mp3", Kind::M3u))),
            ("/live.pls", Some(("/live", Kind::Pls))),
            ("/a/b.xspf", Some(("/a/b", Kind::Xspf))),
            ("/a%20b.vclt", Some(("/a b", Kind::Vclt))),
            ("/live", None),
            ("/live.m3u8", None),
            ("/.m3u", None),
            ("/a//b.m3u", None),
            ("/%ff.m3u", None),
        ] {
            let found = Kind::parse(path);
            let found = found.as_ref().map(|(mount, kind)| (mount.as_str(), *kind));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn no_text_makes_a_line_of_its_own() {
        let stats = Stats(vec![
            (
                "server_name".into(),
                Value::Text("a\r\nFile2=http://x/".into()),
            ),
            ("title".into(), Value::Text("</title>&".into())),
            ("artist".into(), Value::Text("A".into())),
        ]);
        let pls = text(Kind::Pls, "http://h/m", &stats);
        assert!(pls.contains("\nTitle1=a  File2=http://x/\n"), "{pls}");
        let xspf = text(Kind::Xspf, "http://h/m", &stats);
        assert!(
            xspf.contains("<title>A - &lt;/title&gt;&amp;</title>"),
            "{xspf}"
        );
        let vclt = text(Kind::Vclt, "http://h/m", &stats);
        assert!(
            vclt.contains("\nSERVER_NAME=a  File2=http://x/\n"),
            "{vclt}"
        );
    }
}
