//! Browsers over HTTP/2 and HTTP/3: the player's page with hls.js keeps up, and every request that
//! it makes goes by the version that is meant.

use serde_json::{Value, json};

use crate::harness::chromium::{ANSWER_LIMIT, Browser};
use crate::harness::desktop::SoundCard;
use crate::harness::firefox::Firefox;
use crate::harness::server::Tls;
use crate::harness::{Backend, Server, wait_for};
use crate::video::browsers::{HLS, assert_keeps_up, start_film, watch};

/// The versions by which the page and all that it asked for came, each once.
const VERSIONS: &str = "(() => { const all = performance.getEntriesByType('resource') \
     .concat(performance.getEntriesByType('navigation')); \
     return [...new Set(all.filter((entry) => entry.responseStatus !== 0) \
         .map((entry) => entry.nextHopProtocol))].sort(); })()";

/// A Chromium that knows the server's name and takes its certificate; `arguments` say what it
/// speaks.
fn chromium(tls: &Tls, arguments: &[&str]) -> Browser {
    let mut all = vec![
        "--host-resolver-rules=MAP cc.test 127.0.0.1".to_owned(),
        format!(
            "--ignore-certificate-errors-spki-list={}",
            tls.certificate.fingerprint
        ),
    ];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    Browser::start_with(&all)
}

/// The same server by the name that Chromium is told to look up itself.
fn named(tls: &Tls, path: &str) -> String {
    tls.url(path).replace("localhost", "cc.test")
}

fn keeps_up_in_chromium(backend: Backend, version: &str) {
    let server = Server::start_tls(backend, &[]);
    let _source = start_film(&server);
    let tls = server.tls();
    let forced = format!("--origin-to-force-quic-on=cc.test:{}", tls.address().port());
    let mut browser = match version {
        "h3" => chromium(tls, &["--enable-quic", &forced]),
        _ => chromium(tls, &["--disable-quic"]),
    };
    let url = named(tls, "/watch/live/cam?way=hls");
    let what = format!("hls.js in Chromium over {version}");
    assert_keeps_up(&what, || {
        browser.call("Page.navigate", json!({ "url": url }));
        watch(|| browser.evaluate(HLS), &what)
    });
    assert_eq!(browser.evaluate(VERSIONS), json!([version]));
}

#[test]
fn hls_js_keeps_up_in_chromium_over_http2() {
    keeps_up_in_chromium(Backend::IoUring, "h2");
}

#[test]
fn hls_js_keeps_up_in_chromium_over_http3() {
    keeps_up_in_chromium(Backend::IoUring, "h3");
}

fn keeps_up_in_firefox(backend: Backend, version: &str) {
    let server = Server::start_tls(backend, &[]);
    let _source = start_film(&server);
    let card = SoundCard::start();
    let tls = server.tls();
    let mut preferences = "user_pref(\"network.dns.disableIPv6\", true);\n".to_owned();
    if version == "h3" {
        preferences.push_str(&format!(
            "user_pref(\"network.http.http3.alt-svc-mapping-for-testing\", \
             \"localhost;h3=:{}\");\n\
             user_pref(\"network.http.http3.disable_when_third_party_roots_found\", false);\n",
            tls.address().port()
        ));
    } else {
        preferences.push_str("user_pref(\"network.http.http3.enable\", false);\n");
    }
    let mut firefox = Firefox::start_with(&card, &preferences);
    let url = tls.url("/watch/live/cam?way=hls");
    let what = format!("hls.js in Firefox over {version}");
    assert_keeps_up(&what, || {
        firefox.navigate(&url);
        watch(|| firefox.evaluate(HLS), &what)
    });
    assert_eq!(firefox.evaluate(VERSIONS), json!([version]));
}

#[test]
fn hls_js_keeps_up_in_firefox_over_http2() {
    keeps_up_in_firefox(Backend::Epoll, "h2");
}

#[test]
fn hls_js_keeps_up_in_firefox_over_http3() {
    keeps_up_in_firefox(Backend::Epoll, "h3");
}

/// A WebSocket of the page: how many bytes of FLV came, and how they begin.
const SOCKET: &str = "(() => { if (!window.wire) { \
         const wire = window.wire = { bytes: 0, first: '', error: null }; \
         const at = location.href.replace('https', 'wss').replace('/health', '/live/cam.flv'); \
         const socket = new WebSocket(at); socket.binaryType = 'arraybuffer'; \
         socket.onerror = () => { wire.error = 'failed'; }; \
         socket.onmessage = ({ data }) => { wire.bytes += data.byteLength; \
             wire.first = wire.first || String.fromCharCode(...new Uint8Array(data, 0, 3)); }; } \
     return window.wire; })()";

#[test]
fn chromium_plays_by_websocket_over_http2() {
    let server = Server::start_tls(Backend::Epoll, &[]);
    let _source = start_film(&server);
    let tls = server.tls();
    let mut browser = chromium(tls, &["--disable-quic"]);
    browser.call("Page.navigate", json!({ "url": named(tls, "/health") }));
    wait_for("the page is there", ANSWER_LIMIT, || {
        (browser.evaluate("document.readyState") == "complete").then_some(())
    });
    let seen = wait_for("FLV came", ANSWER_LIMIT, || {
        let seen = browser.evaluate(SOCKET);
        assert_eq!(seen["error"], Value::Null, "{seen}");
        (seen["bytes"].as_u64()? > 100_000).then_some(seen)
    });
    assert_eq!(seen["first"], "FLV");
}
