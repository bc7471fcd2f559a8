//! HTTP-TS as it comes over the wire: whoever joins when, every packet is in its place.

use std::collections::HashSet;
use std::io::{Read, Write};

use corecast_protocol::mpegts::demux::{Event, Reader};
use corecast_protocol::mpegts::{PCR_PER_TICK, PCR_WRAP};

use super::{publish, wait_tracks};
use crate::harness::{Backend, Server, fixture, http};

/// About two seconds of the film.
const BYTES: u64 = 188 * 900;

#[test]
fn a_transport_stream_is_without_a_fault_whenever_one_joins() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    for backend in [Backend::IoUring, Backend::Epoll] {
        let server = Server::start(backend, &[]);
        let _source = publish(&server, &film, "/live/cam");
        wait_tracks(&server, "/live/cam", 2);
        let mut starts = HashSet::new();
        for _ in 0..3 {
            let events = read(&listen(&server, "/live/cam.ts"));
            starts.insert(check(&events));
        }
        // They did not all hear the same.
        assert!(starts.len() > 1, "{starts:?}");
    }
}

/// The first bytes of the body.
fn listen(server: &Server, path: &str) -> Vec<u8> {
    let mut stream = http::connect(server.address()).expect("the server is there");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it listens");
    let head = http::read_head(&mut stream).expect("it answers");
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("video/mp2t"))
    );
    let mut body = head.body;
    let missing = BYTES.saturating_sub(body.len() as u64);
    stream
        .take(missing)
        .read_to_end(&mut body)
        .expect("it goes on");
    assert!(body.len() as u64 >= BYTES);
    body
}

fn read(stream: &[u8]) -> Vec<Event> {
    let (mut reader, mut events) = (Reader::new(), Vec::new());
    reader.push(stream, &mut events);
    // What is gathered now is cut by us.
    events
}

/// Tables, clock and a keyframe come first, nothing is missing; says when the first picture is.
fn check(events: &[Event]) -> Option<u64> {
    assert!(matches!(events, [Event::Program(_), Event::Pcr(_), ..]));
    let mut clock: Option<u64> = None;
    let mut first = None;
    for event in events {
        match event {
            Event::Fault(fault) => panic!("{fault:?}"),
            Event::Program(program) => assert_eq!(program.streams.len(), 2),
            Event::Pcr(pcr) => {
                let step = clock.map_or(1, |last| (pcr.ticks + PCR_WRAP - last) % PCR_WRAP);
                assert!(step > 0 && step <= 40 * 90 * PCR_PER_TICK, "{step}");
                clock = Some(pcr.ticks);
            }
            Event::Pes(pes) => {
                if pes.stream_id >= 0xe0 && first.is_none() {
                    assert!(pes.random_access, "pictures start at a keyframe");
                    first = pes.pts;
                }
                let dts = pes.dts.or(pes.pts).expect("a time");
                let now = clock.expect("the clock comes first") / PCR_PER_TICK;
                assert!(dts > now, "{dts} at {now}");
            }
        }
    }
    assert!(first.is_some(), "no pictures");
    first
}
