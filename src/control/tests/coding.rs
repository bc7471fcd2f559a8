//! Compression, validators and HEAD, as shards see them.

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;

/// Text that is worth it, and how one asks for it.
const PAGES: [&str; 8] = [
    "/",
    "/web/corecast.css",
    "/web/corecast.js",
    "/web/watch.js",
    "/watch/live",
    "/embed/live",
    "/metrics",
    "/status-json.xsl",
];

/// What is asked and which coding it gets.
const ASKED: [(&str, Option<&str>); 12] = [
    ("gzip", Some("gzip")),
    ("br", Some("br")),
    ("zstd", Some("zstd")),
    ("GZIP;q=0.5, br;q=0.1", Some("gzip")),
    ("gzip;q=0, br", Some("br")),
    ("identity;q=0, zstd", Some("zstd")),
    ("identity", None),
    ("deflate", None),
    ("", None),
    // What nobody here can do is no reason to refuse.
    ("identity;q=0", None),
    ("compress, identity;q=0", None),
    ("*;q=0", None),
];

fn busy() -> Rig {
    let names = (0..8).map(|n| format!("/station/{n}"));
    names.fold(Rig::new(2, config()), |rig, name| {
        rig.with_mount(report(&name))
    })
}

fn ask(rig: &mut Rig, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    rig.ask(Ask {
        method,
        target,
        headers,
        ..Ask::default()
    })
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = GzDecoder::new(bytes).read_to_end(&mut text);
    read.expect("gzip");
    text
}

#[test]
fn text_is_compressed_as_asked() {
    let mut rig = busy();
    for page in PAGES {
        let plain = rig.get(page);
        assert_eq!(plain.status, 200, "{page}");
        assert!(plain.header("content-encoding").is_none(), "{page}");
        assert_eq!(plain.header("vary"), Some("accept-encoding"), "{page}");
        for (asked, coding) in ASKED {
            let answer = ask(&mut rig, "GET", page, &[("accept-encoding", asked)]);
            let case = format!("{page} {asked:?}");
            assert_eq!(answer.status, 200, "{case}");
            assert_eq!(answer.header("content-encoding"), coding, "{case}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{case}");
            assert_eq!(answer.length, Some(answer.body.len() as u64), "{case}");
            match coding {
                Some("gzip") if page != "/metrics" => {
                    assert_eq!(unzip(&answer.body), plain.body, "{case}");
                }
                Some(_) => assert!(answer.body.len() < plain.body.len() * 2 / 3, "{case}"),
                None if page != "/metrics" => assert_eq!(answer.body, plain.body, "{case}"),
                None => assert!(answer.text().starts_with("# "), "{case}"),
            }
        }
    }
}

#[test]
fn short_answers_and_streams_stay_as_they_are() {
    let mut rig = Rig::new(1, config());
    let asked = ("accept-encoding", "gzip, br, zstd");
    for target in ["/health", "/robots.txt", "/web/icon.svg", "/nothing"] {
        let answer = ask(&mut rig, "GET", target, &[asked]);
        assert!(answer.header("content-encoding").is_none(), "{target}");
    }
    let admin = basic("admin:adm");
    let headers = [asked, ("authorization", admin.as_str())];
    let session = rig.send(Ask {
        target: "/api/v1/events",
        headers: &headers,
        ..Ask::default()
    });
    let mut answer = Answer::default();
    let deadline = Instant::now() + PATIENCE;
    while answer.status == 0 {
        assert!(Instant::now() < deadline, "the feed begins");
        rig.pump(session, &mut answer);
        thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.header("content-encoding").is_none());
    assert_eq!(answer.length, None, "it has no end");
    rig.tell(ToControl::RequestEnded(session));
    let head = ask(&mut rig, "HEAD", "/api/v1/events", &headers);
    assert_eq!((head.status, head.length), (200, None), "nor has its head");
}

#[test]
fn each_coding_of_a_page_has_a_validator_of_its_own() {
    let mut rig = Rig::new(1, config());
    let mut seen = Vec::new();
    for page in ["/", "/web/corecast.js", "/watch/live", "/web/icon.svg"] {
        for asked in ["identity", "gzip", "br", "zstd"] {
            let asked = ("accept-encoding", asked);
            let whole = ask(&mut rig, "GET", page, &[asked]);
            let etag = whole.header("etag").expect("a validator").to_owned();
            assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
            if whole.header("content-encoding").is_some() {
                assert!(!seen.contains(&etag), "{page} {etag}");
                seen.push(etag.clone());
            }
            let list = format!("\"other\", W/{etag}");
            for known in [etag.as_str(), list.as_str(), "*"] {
                for method in ["GET", "HEAD"] {
                    let headers = [asked, ("if-none-match", known)];
                    let answer = ask(&mut rig, method, page, &headers);
                    assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
                    for name in ["etag", "vary", "cache-control"] {
                        assert_eq!(answer.header(name), whole.header(name), "{page} {name}");
                    }
                    assert!(answer.header("content-type").is_none());
                }
            }
            let headers = [asked, ("if-none-match", "\"other\", other")];
            assert_eq!(ask(&mut rig, "GET", page, &headers).status, 200);
        }
    }
    let headers = [("if-none-match", "*")];
    let answer = ask(&mut rig, "GET", "/health", &headers);
    assert_eq!(answer.status, 200, "what has no validator is sent");
}

#[test]
fn head_says_what_get_says() {
    let mut rig = busy();
    let admin = basic("admin:adm");
    let targets = PAGES.into_iter().chain([
        "/api/v1/mounts",
        "/api/v1/server",
        "/api/v1/sessions",
        "/admin/stats",
        "/health",
        "/nothing",
        "/station/1.m3u",
    ]);
    for target in targets {
        for asked in ["identity", "gzip", "br", "zstd"] {
            let headers = [
                ("accept-encoding", asked),
                ("authorization", admin.as_str()),
            ];
            let get = ask(&mut rig, "GET", target, &headers);
            let head = ask(&mut rig, "HEAD", target, &headers);
            let case = format!("{target} {asked}");
            assert_eq!(head.body.len(), 0, "{case}");
            assert_eq!(head.status, get.status, "{case}");
            assert_eq!(head.headers, get.headers, "{case}");
            if target != "/metrics" {
                assert_eq!(head.length, get.length, "{case}");
            }
        }
    }
}

#[test]
fn scripts_that_are_stored_pressed_are_for_everybody() {
    let mut rig = Rig::new(1, config());
    let plain = rig.get("/web/hls.js");
    // A build without npm has none, and says so to everybody alike.
    let status = plain.status;
    assert!(status == 200 || plain.text().contains("npm"), "{status}");
    let asked = [
        ("gzip", "gzip"),
        ("br, gzip", "gzip"),
        ("br;q=1, zstd, gzip;q=0.1", "gzip"),
        ("*", "gzip"),
        ("br", "br"),
        ("gzip;q=0, zstd", "zstd"),
        ("identity", ""),
        ("gzip;q=0", ""),
    ];
    for (asked, coding) in asked {
        let headers = [("accept-encoding", asked)];
        let answer = ask(&mut rig, "GET", "/web/hls.js", &headers);
        assert_eq!(answer.status, status, "{asked}");
        if status != 200 {
            assert_eq!(answer.body, plain.body, "{asked}");
            continue;
        }
        let said = answer.header("content-encoding").unwrap_or_default();
        assert_eq!(said, coding, "{asked}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{asked}");
        match coding {
            "" => assert_eq!(answer.body, plain.body, "{asked}"),
            "gzip" => assert_eq!(unzip(&answer.body), plain.body, "{asked}"),
            _ => assert!(answer.body.len() < plain.body.len() / 2, "{asked}"),
        }
        let etag = answer.header("etag").expect("a validator");
        let headers = [headers[0], ("if-none-match", etag)];
        let again = ask(&mut rig, "GET", "/web/hls.js", &headers);
        assert_eq!((again.status, again.body.len()), (304, 0), "{asked}");
    }
}
