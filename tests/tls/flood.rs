//! HTTP/2 by peers that misuse it: floods, streams that nobody reads, frames that no client says.
//! Each is ended for itself, with the error that RFC 9113 names, while others are served.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::failures::peers;
use crate::harness::http2::{END_HEADERS, END_STREAM, Http2, block, frame, kind, request};
use crate::harness::{Backend, IcyReader, Server, Station};

const SOON: Duration = Duration::from_secs(10);
/// What a flood may cost the server before it ends it.
const FLOOD_BYTES_MAX: usize = 8 << 20;
/// How much the server may grow by a flood, in KiB.
const GROWTH_KIB_MAX: u64 = 48 << 10;

crate::clients::on_both_backends!(floods_are_ended_and_others_are_served);

/// What is said again and again; the number is the turn.
type Say = fn(&mut Http2, usize) -> Vec<u8>;

/// A name, whether it must end the connection, what begins the flood, and its endless rest. What
/// costs as little as it brings may go on.
const FLOODS: &[(&str, bool, Say, Say)] = &[
    ("rapid reset", true, nothing, rapid_reset),
    ("resets by the server", true, nothing, refused_requests),
    ("a head that never ends", true, endless_head, continuation),
    (
        "an empty head that never ends",
        true,
        endless_head,
        empty_continuation,
    ),
    ("settings", false, nothing, |_, _| {
        frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])
    }),
    ("pings", false, nothing, |_, _| {
        frame(kind::PING, 0, 0, b"12345678")
    }),
    ("priorities", false, nothing, |_, turn| {
        let stream = 2 * u32::try_from(turn).expect("few turns") + 1;
        frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 9])
    }),
    ("empty bodies", false, open_body, |client, _| {
        let stream = client.next_stream() - 2;
        frame(kind::DATA, 0, stream, &[])
    }),
];

fn nothing(_: &mut Http2, _: usize) -> Vec<u8> {
    Vec::new()
}

fn rapid_reset(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream();
    let fields = block(&request("GET", "/api/v1/mounts"));
    let mut bytes = frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &fields);
    bytes.extend(frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    bytes
}

/// As a rapid reset, but the server is made to say each reset: a window may not grow by nothing.
fn refused_requests(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream();
    let fields = block(&request("GET", "/api/v1/mounts"));
    let mut bytes = frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &fields);
    bytes.extend(frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4]));
    bytes
}

fn endless_head(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream();
    frame(
        kind::HEADERS,
        END_STREAM,
        stream,
        &block(&request("GET", "/health")),
    )
}

fn continuation(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream() - 2;
    frame(
        kind::CONTINUATION,
        0,
        stream,
        &block(&[(b"x", &[b'y'; 8_000])]),
    )
}

fn empty_continuation(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream() - 2;
    frame(kind::CONTINUATION, 0, stream, &[])
}

fn open_body(client: &mut Http2, _: usize) -> Vec<u8> {
    let stream = client.next_stream();
    frame(
        kind::HEADERS,
        END_HEADERS,
        stream,
        &block(&request("POST", "/admin/metadata")),
    )
}

/// Floods until the server ends it; how many bytes that took.
fn flood(address: SocketAddr, begin: Say, say: Say) -> Option<usize> {
    let mut client = Http2::open(address, &[]);
    client.read(SOON);
    let began = begin(&mut client, 0);
    client.say(&began);
    let mut said = 0;
    let mut turn = 0;
    while said < FLOOD_BYTES_MAX {
        let mut bytes = Vec::new();
        while bytes.len() < 16_384 {
            bytes.extend(say(&mut client, turn));
            turn += 1;
        }
        said += bytes.len();
        if !client.try_say(&bytes) {
            return Some(said);
        }
    }
    client.ends(SOON).then_some(said)
}

fn floods_are_ended_and_others_are_served(backend: Backend) {
    let server = Server::start(backend, &[]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    let before = peers::memory_kib(server.pid());
    let mut faults = Vec::new();
    for (what, must_end, begin, say) in FLOODS {
        let began = Instant::now();
        let ended = flood(server.address(), *begin, *say);
        eprintln!("{what}: {ended:?} bytes, {:?}", began.elapsed());
        if *must_end && ended.is_none() {
            faults.push(*what);
        }
        assert_eq!(server.get("/health").status, 200, "{what}");
        assert!(reader.listen(Duration::from_millis(200)), "{what}");
    }
    assert!(faults.is_empty(), "not ended: {faults:?}");
    assert!(station.is_playing());
    let grown = peers::memory_kib(server.pid()).saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than before");
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}
