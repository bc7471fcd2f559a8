//! Requests of HTTP/2 and 3 from any fields, and frames of HTTP/2 in any split.
#![no_main]

use corecast_protocol::http::frames::FrameMeter;
use corecast_protocol::http::{Limits, Method, Request, RequestFields, Version};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    head_bytes_max: 4_096,
    request_line_bytes_max: 1_024,
    header_count_max: 32,
};

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let whole = FrameMeter::default().take(stream);
    let mut meter = FrameMeter::default();
    let pieces = corecast_fuzz::pieces(stream, lengths);
    let cost: u32 = pieces.iter().map(|piece| meter.take(piece)).sum();
    assert_eq!(whole, cost);

    let ends = lengths.first().is_some_and(|byte| byte % 2 == 0);
    match read(stream, ends) {
        Ok(request) => check(&request, ends),
        Err(bad) => assert!(matches!(bad.status, 400 | 403 | 413 | 414 | 431 | 501)),
    }
});

/// Lines of `name=value`, the pseudo fields among them.
fn read(text: &[u8], ends: bool) -> Result<Request, corecast_protocol::http::BadRequest> {
    let lines = text.split(|&byte| byte == b'\n');
    let pairs = lines.map(|line| {
        let at = line.iter().position(|&byte| byte == b'=');
        let (name, value) = line.split_at(at.unwrap_or(line.len()));
        (name, value.get(1..).unwrap_or_default())
    });
    let pairs: Vec<(&[u8], &[u8])> = pairs.collect();
    let pseudo = |wanted: &[u8]| {
        let mut found = pairs.iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, value)| *value)
    };
    let mut fields = pairs
        .iter()
        .filter(|(name, _)| !name.starts_with(b":"))
        .copied();
    let given = RequestFields {
        version: Version::Http2,
        method: pseudo(b":method").unwrap_or(b"GET"),
        scheme: pseudo(b":scheme"),
        authority: pseudo(b":authority"),
        path: pseudo(b":path"),
        protocol: pseudo(b":protocol"),
        fields: &mut fields,
        ends,
    };
    Request::from_fields(given, &LIMITS)
}

fn check(request: &Request, ends: bool) {
    assert!(request.path() == "*" || request.path().starts_with('/'));
    assert!(!request.path().chars().any(char::is_control));
    assert!(
        !request
            .target()
            .contains(|at: char| at.is_control() || at == ' ')
    );
    assert!(!request.host().is_empty());
    assert_eq!(
        request.method() == Method::Connect,
        request.protocol().is_some()
    );
    // Crumbs of cookies are one more.
    assert!(request.headers().len() <= LIMITS.header_count_max + 1);
    for (name, value) in request.headers().iter() {
        assert!(!name.is_empty() && !name.contains(|at: char| at.is_ascii_uppercase()));
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
        assert!(!matches!(
            name,
            "connection" | "transfer-encoding" | "upgrade" | "keep-alive"
        ));
    }
    for once in ["content-length", "host", "cookie"] {
        assert!(request.headers().find_all(once).count() <= 1, "{once}");
    }
    let framing = request.body_framing();
    assert!(!ends || framing == corecast_protocol::http::BodyFraming::None);
}
