//! Pages for people, and for scrapers that know the labels of Icecast's status page. The good
//! page is at `/`; these are plain, without a script.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_mesh::message::MountReport;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::stats::{self, Stats, Value};
use super::xml::{Content, Element, escaped};
use super::{answer, base_url, is_on_air};
use crate::api::path_of;
use crate::api::server::VERSION;
use crate::auth::Rights;
use crate::form::Form;
use crate::node::Node;
use crate::problem::Problem;

/// Only our style, our sounds and forms to us; no script; nobody else's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; media-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Labels of Icecast's status page, and the statistics behind them.
const ROWS: [(&str, &str); 8] = [
    ("Stream Name:", "server_name"),
    ("Stream Description:", "server_description"),
    ("Content Type:", "server_type"),
    ("Stream started:", "stream_start"),
    ("Bitrate:", "bitrate"),
    ("Listeners (current):", "listeners"),
    ("Listeners (peak):", "listener_peak"),
    ("Genre:", "genre"),
];

/// `GET /status.xsl?mount=`
pub(crate) async fn status(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let config = node.config();
    let rights = Rights::of(&headers, &config).unwrap_or(Rights::Public);
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let wanted = form.text("mount");
    let snapshot = node.overview().await?;
    let base = base_url(&headers, &config);
    let is_shown = |report: &&MountReport| {
        let name = report.mount.as_str();
        is_on_air(report)
            && wanted.as_deref().is_none_or(|wanted| wanted == name)
            && rights.sees(&config, name)
    };
    let mut body = String::from("<h1 id=\"header\">Status</h1>\n");
    menu(
        &mut body,
        &[
            ("/", "Player"),
            ("/admin/", "Administration"),
            ("/status.xsl", "Server Status"),
            ("/server_version.xsl", "Version"),
        ],
    );
    for report in snapshot.mounts.iter().filter(is_shown) {
        let stats = stats::source(&node, &config, &base, report);
        put_mount(&mut body, report, &stats);
    }
    Ok(page("Status", &body))
}

/// `GET /server_version.xsl`
pub(crate) async fn version(State(node): State<Arc<Node>>) -> Response {
    let config = node.config();
    let version = format!("corecast {VERSION}");
    let mut body =
        String::from("<h1 id=\"header\">Server Information</h1>\n<div class=\"roundbox\">");
    open_table(&mut body);
    for (label, text) in [
        ("Location", config.server.location.as_str()),
        ("Admin", config.server.admin.as_str()),
        ("Host", config.server.hostname.as_str()),
        ("Version", version.as_str()),
    ] {
        row(&mut body, label, text);
    }
    close_table(&mut body);
    body.push_str("</div>\n");
    page("Server Information", &body)
}

/// The page of an admin command.
pub(crate) fn admin(document: &Element) -> Response {
    let mut body = head_of_admin();
    let elements = document.elements();
    let from = elements
        .iter()
        .find(|element| element.name == "current_source");
    body.push_str("<div class=\"roundbox\">\n");
    put_table(&mut body, elements);
    body.push_str("</div>\n");
    for element in elements {
        if let Some(mount) = &element.mount {
            put_source(&mut body, mount, element.elements(), from);
        }
    }
    page("Administration", &body)
}

/// The page of the users of a mount.
pub(crate) fn users(document: &Element) -> Response {
    let mut body = head_of_admin();
    for element in document.elements() {
        match &element.mount {
            Some(mount) => put_users(&mut body, mount, element.elements()),
            None => put_table(&mut body, element.elements()),
        }
    }
    page("Administration", &body)
}

fn head_of_admin() -> String {
    let mut body = String::from("<h1>Administration</h1>\n");
    menu(
        &mut body,
        &[
            ("stats.xsl", "Admin Home"),
            ("listmounts.xsl", "Mountpoint List"),
            ("/status.xsl", "Public Home"),
        ],
    );
    body
}

fn put_users(body: &mut String, mount: &str, users: &[Element]) {
    let (shown, query) = (escaped(mount), query_of(mount));
    push(
        body,
        format_args!(
            "<div class=\"roundbox\"><h3 class=\"mount\">Mount Point {shown}</h3>\n\
             <table><thead><tr><th>User</th><th>Action</th></tr></thead><tbody>\n"
        ),
    );
    for name in users.iter().flat_map(Element::elements) {
        if let Content::Text(name) = &name.content {
            let (shown, user) = (escaped(name), query_of(name));
            push(
                body,
                format_args!(
                    "<tr><td>{shown}</td><td><a href=\"manageauth.xsl?mount={query}&amp;\
                     username={user}&amp;action=delete\">Delete</a></td></tr>\n"
                ),
            );
        }
    }
    push(
        body,
        format_args!(
            "</tbody></table>\n<form method=\"post\" action=\"manageauth.xsl?mount={query}\">\
             <label for=\"username\">User:</label> \
             <input id=\"username\" name=\"username\" type=\"text\" /> \
             <label for=\"password\">Password:</label> \
             <input id=\"password\" name=\"password\" type=\"password\" />\
             <input type=\"hidden\" name=\"action\" value=\"add\" />\
             <input type=\"submit\" value=\"Add User\" /></form></div>\n"
        ),
    );
}

fn put_mount(body: &mut String, report: &MountReport, stats: &Stats) {
    let name = report.mount.as_str();
    let path = escaped(&path_of(name));
    push(
        body,
        format_args!(
            "<div class=\"roundbox\"><div class=\"mounthead\">\
             <h3 class=\"mount\">Mount Point {}</h3><div class=\"right\">\
             <ul class=\"mountlist\"><li><a class=\"play\" href=\"{path}.m3u\">M3U</a></li>\
             <li><a class=\"play\" href=\"{path}.xspf\">XSPF</a></li></ul></div></div>\
             <div class=\"mountcont\">",
            escaped(name)
        ),
    );
    open_table(body);
    for (label, name) in ROWS {
        if let Some(text) = text_of(stats, name) {
            row(body, label, &text);
        }
    }
    if let Some(url) = text_of(stats, "server_url") {
        put_url(body, &url);
    }
    let title = text_of(stats, "title").unwrap_or_default();
    let playing = match text_of(stats, "artist") {
        Some(artist) => format!("{artist} - {title}"),
        None => title,
    };
    row(body, "Currently playing:", &playing);
    close_table(body);
    body.push_str("</div></div>\n");
}

/// A link, where following it does no harm.
fn put_url(body: &mut String, url: &str) {
    if url.starts_with("http://") || url.starts_with("https://") {
        let url = escaped(url);
        push(
            body,
            format_args!(
                "<tr><td>Stream URL:</td><td class=\"streamstats\">\
                 <a rel=\"noreferrer\" href=\"{url}\">{url}</a></td></tr>"
            ),
        );
    } else {
        row(body, "Stream URL:", url);
    }
}

fn text_of(stats: &Stats, name: &str) -> Option<String> {
    let (_, value) = stats.0.iter().find(|(found, _)| found == name)?;
    Some(match value {
        Value::Number(number) => number.to_string(),
        Value::Said(text) | Value::Text(text) => text.clone(),
    })
}

fn put_source(body: &mut String, mount: &str, elements: &[Element], from: Option<&Element>) {
    let query = query_of(mount);
    push(
        body,
        format_args!(
            "<div class=\"roundbox\"><h3 class=\"mount\">Mount Point {}</h3>\n",
            escaped(mount)
        ),
    );
    if let Some(Content::Text(from)) = from.map(|element| &element.content) {
        let target = format!(
            "moveclients.xsl?mount={}&destination={query}",
            query_of(from)
        );
        menu(body, &[(&target, "Move Listeners here")]);
    } else {
        let target = |command| format!("{command}.xsl?mount={query}");
        let users = target("manageauth");
        let guarded = elements.iter().any(|it| it.name == "authenticator");
        let links = [
            (&*target("listclients"), "List Clients"),
            (&*target("moveclients"), "Move Listeners"),
            (&*target("updatemetadata"), "Update Metadata"),
            (&*target("killsource"), "Kill Source"),
        ];
        let more = guarded.then_some((&*users, "Manage Authentication"));
        menu(body, &links.into_iter().chain(more).collect::<Vec<_>>());
    }
    if elements.is_empty() {
        put_title_form(body, mount);
    }
    put_table(body, elements);
    if elements.iter().any(|element| element.name == "listener") {
        put_listeners(body, &query, elements);
    }
    body.push_str("</div>\n");
}

fn put_title_form(body: &mut String, mount: &str) {
    push(
        body,
        format_args!(
            "<form method=\"get\" action=\"/admin/metadata.xsl\">\
             <label for=\"song\">Title:</label> <input id=\"song\" name=\"song\" type=\"text\" />\
             <input type=\"hidden\" name=\"mount\" value=\"{}\" />\
             <input type=\"hidden\" name=\"mode\" value=\"updinfo\" />\
             <input type=\"hidden\" name=\"charset\" value=\"UTF-8\" />\
             <input type=\"submit\" value=\"Update Metadata\" /></form>\n",
            escaped(mount)
        ),
    );
}

fn put_listeners(body: &mut String, query: &str, elements: &[Element]) {
    body.push_str(
        "<table><thead><tr><th>IP</th><th>User Agent</th><th>Connected (s)</th><th>ID</th>\
         <th>Action</th></tr></thead><tbody>\n",
    );
    for listener in elements.iter().filter(|element| element.name == "listener") {
        body.push_str("<tr>");
        let mut last = "";
        for element in listener.elements() {
            if let Content::Text(text) = &element.content {
                push(body, format_args!("<td>{}</td>", escaped(text)));
                last = text;
            }
        }
        push(
            body,
            format_args!(
                "<td><a href=\"killclient.xsl?mount={query}&amp;id={}\">Kick</a></td></tr>\n",
                escaped(last)
            ),
        );
    }
    body.push_str("</tbody></table>\n");
}

/// The texts of a document as rows.
fn put_table(body: &mut String, elements: &[Element]) {
    open_table(body);
    for element in elements {
        if let Content::Text(text) = &element.content {
            row(body, &element.name, text);
        }
    }
    close_table(body);
}

fn menu(body: &mut String, links: &[(&str, &str)]) {
    body.push_str("<ul class=\"nav\">");
    for (target, label) in links {
        push(
            body,
            format_args!("<li><a href=\"{}\">{label}</a></li>", escaped(target)),
        );
    }
    body.push_str("</ul>\n");
}

fn open_table(body: &mut String) {
    body.push_str("<table class=\"yellowkeys\"><tbody>");
}

fn close_table(body: &mut String) {
    body.push_str("</tbody></table>");
}

fn row(body: &mut String, label: &str, text: &str) {
    let (label, text) = (escaped(label), escaped(text));
    push(
        body,
        format_args!("<tr><td>{label}</td><td class=\"streamstats\">{text}</td></tr>"),
    );
}

fn query_of(mount: &str) -> String {
    utf8_percent_encode(mount, NON_ALPHANUMERIC).to_string()
}

fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text)
        .expect("writing to a String cannot fail");
}

/// A whole page, good as HTML and as XML.
fn page(title: &str, body: &str) -> Response {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"UTF-8\" />\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/web/corecast.css\" />\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" /></head>\n\
         <body>{body}</body></html>\n"
    );
    let mut response = answer(StatusCode::OK, "text/html; charset=UTF-8", text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
