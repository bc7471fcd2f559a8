//! Pages over every version of HTTP without TLS and in every coding: curl unpacks them to the same
//! bytes, HEAD says what GET says, and who has a page is told so.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::harness::{Backend, Client, Scratch, Server, http, program};

crate::clients::on_both_backends!(every_page_is_the_same_in_every_coding);

const LIMIT: Duration = Duration::from_secs(60);

/// A page that control makes.
#[derive(Clone, Copy)]
struct Page {
    path: &'static str,
    /// Long enough to be compressed.
    is_long: bool,
    /// A file in the program: it has a validator.
    is_file: bool,
}

const fn page(path: &'static str, is_long: bool, is_file: bool) -> Page {
    Page {
        path,
        is_long,
        is_file,
    }
}

const PAGES: [Page; 12] = [
    page("/", true, true),
    page("/web/corecast.css", true, true),
    page("/web/corecast.js", true, true),
    page("/web/watch.js", true, true),
    page("/watch/live", true, true),
    page("/embed/live", true, true),
    page("/web/icon.svg", false, true),
    page("/robots.txt", false, true),
    page(METRICS, true, false),
    page("/health", false, false),
    page("/api/v1/mounts", false, false),
    page("/nothing/here", false, false),
];

/// The page that is another one each time.
const METRICS: &str = "/metrics";

/// What curl got.
struct Got {
    status: String,
    /// Names in lower case, without `date`.
    head: BTreeMap<String, String>,
    /// Unpacked.
    body: Vec<u8>,
}

impl Got {
    fn of(head: &str, body: Vec<u8>) -> Self {
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let mut head: BTreeMap<String, String> = fields
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        assert!(head.remove("date").is_some(), "each has its date: {head:?}");
        assert!(head.contains_key("server"), "and its maker: {head:?}");
        Got { status, head, body }
    }

    fn field(&self, name: &str) -> &str {
        self.head.get(name).map_or("", String::as_str)
    }
}

/// One curl for each page: some break a connection of HTTP/2 without TLS when they use it again.
/// `more` is what each is asked with beside `options`.
fn ask(server: &Server, options: &[&str], more: impl Fn(usize) -> Option<String>) -> Vec<Got> {
    let scratch = Scratch::new("coding");
    let file = |at: usize, what: &str| scratch.file(&format!("{at}.{what}"));
    let start = |(at, page): (usize, &Page)| {
        let mut curl = program("curl");
        curl.args(["-sS", "--max-time", "20", "--compressed"])
            .args(options);
        if let Some(more) = more(at) {
            curl.arg("-H").arg(more);
        }
        curl.arg("-D").arg(file(at, "head"));
        curl.arg("-o").arg(file(at, "body"));
        Client::spawn(curl.arg(server.url(page.path)))
    };
    let curls: Vec<Client> = PAGES.iter().enumerate().map(start).collect();
    let read = |(at, curl): (usize, Client)| {
        curl.succeed(LIMIT);
        let head = fs::read_to_string(file(at, "head")).expect("curl wrote a head");
        Got::of(&head, fs::read(file(at, "body")).unwrap_or_default())
    };
    curls.into_iter().enumerate().map(read).collect()
}

/// What of a page does not change while it is looked at.
fn lasting(page: Page, body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).expect("pages are text");
    if page.path != METRICS {
        return text;
    }
    let lines = text.lines().filter(|line| line.starts_with("# "));
    lines.map(|line| format!("{line}\n")).collect()
}

fn every_page_is_the_same_in_every_coding(backend: Backend) {
    let server = Server::start(backend, &[]);
    let plain = PAGES.map(|page| http::try_get(server.address(), page.path).expect("an answer"));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["identity", "gzip", "br", "zstd"] {
            let asked = format!("Accept-Encoding: {coding}");
            let options = [version, "-H", &asked];
            let whole = ask(&server, &options, |_| None);
            for ((page, got), plain) in PAGES.iter().zip(&whole).zip(&plain) {
                let case = format!("{} {version} {coding}", page.path);
                assert_eq!(got.status, plain.status.to_string(), "{case}");
                assert_eq!(
                    lasting(*page, &got.body),
                    lasting(*page, &plain.body),
                    "{case}"
                );
                let is_coded = page.is_long && coding != "identity";
                let said = if is_coded { coding } else { "" };
                assert_eq!(got.field("content-encoding"), said, "{case}");
                let varies = got.field("vary") == "accept-encoding";
                assert_eq!(varies, page.is_long, "{case}");
                assert_eq!(!got.field("etag").is_empty(), page.is_file, "{case}");
            }
            assert_heads(
                &whole,
                &ask(&server, &[&options[..], &["-I"]].concat(), |_| None),
            );
            let known = ask(&server, &options, |at| {
                let etag = whole[at].field("etag");
                (!etag.is_empty()).then(|| format!("If-None-Match: {etag}"))
            });
            assert_unchanged(&whole, &known);
        }
    }
}

/// `heads` are those of `whole`.
fn assert_heads(whole: &[Got], heads: &[Got]) {
    for ((page, got), head) in PAGES.iter().zip(whole).zip(heads) {
        assert_eq!(head.status, got.status, "{}", page.path);
        let [mut wanted, mut found] = [&got.head, &head.head].map(Clone::clone);
        if page.path == METRICS {
            let lengths = [&mut wanted, &mut found].map(|head| head.remove("content-length"));
            assert!(lengths.iter().all(Option::is_some), "{lengths:?}");
        }
        assert_eq!(found, wanted, "HEAD {}", page.path);
    }
}

/// Where `whole` has a validator, `known` are without a body.
fn assert_unchanged(whole: &[Got], known: &[Got]) {
    for ((page, got), known) in PAGES.iter().zip(whole).zip(known) {
        if !page.is_file {
            assert_eq!(known.status, got.status, "{}", page.path);
            continue;
        }
        assert_eq!(known.status, "304", "{}", page.path);
        assert!(known.body.is_empty(), "{}", page.path);
        for name in ["etag", "vary", "cache-control"] {
            assert_eq!(known.field(name), got.field(name), "{} {name}", page.path);
        }
    }
}
