//! `bench h2`: segments over HTTP/2 beside nginx, and thousands who wait for parts on few
//! connections.

use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::beside;
use super::blocked::Crowd;
use super::drain::{self, block_on, h2 as http2};
use super::hls::{self, quantile_ms};
use super::playlist::Watched;
use super::release::{self, Release};
use super::rows::{Board, Line};
use super::server::Wire;
use super::turns::Load;
use super::video::{Stage, Stand};
use super::waiters::{Remote, ask_http2};
use crate::clock::{MS_NS, now_ns};
use crate::hls::client::Client;
use crate::http::{Target, fault};
use crate::proc;
use crate::secure::{self, Tickets};

/// Connections that ask for segments, and requests at once on each.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 4;
/// Time of one server's turn.
const TURN_MS: u64 = 500;
/// Who waits: connections by HTTP/2 and requests on each, by HTTP/1.1 and by HTTP/3.
const WAITING_HTTP2: (u32, u32) = (30, 100);
const WAITING_HTTP1: u32 = 1_000;
const WAITING_HTTP3: u32 = 200;
/// Requests that wait on the connection on which segments are fetched.
const WAITING_BESIDE: usize = 100;
/// Time in which segments are fetched beside them: they all wait for the segment after the next.
const BESIDE_NS: u64 = 1_000 * MS_NS;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    TLS 1.3 with AES-128-GCM everywhere. Segments: about 200 kB, 8 connections with 4 requests \
    each that ask again at once, every byte compared, in turns of half a second with nginx as \
    one process (file on tmpfs). Waiting: 3,000 requests on 30 connections of HTTP/2, 1,000 of \
    HTTP/1.1 and 200 of HTTP/3, all over TLS, ask for the playlist with the next part.";

/// The table.
pub(super) const LINES: &[Line] = &[
    beside::SEGMENT_CPU,
    Line::target(
        "release_p99_ms",
        "ms from part complete to last byte, p99 of all answers",
        1,
        (100.0, 50.0),
    ),
    release::BODIES,
    Line::target(
        "beside",
        "time of a segment with 100 requests that wait on its connection / without",
        2,
        (1.5, 1.1),
    ),
    beside::CPU,
    beside::CPU_NGINX,
    beside::RATE,
    beside::RATE_NGINX,
    beside::BYTES,
    release::P50,
    release::MAX,
    release::PARTS,
    release::LATE,
    release::ANSWER_CPU,
    release::WAITER_KB,
    release::RESIDENT,
    Line::known(
        "beside_p50_ms",
        "ms of a segment with 100 that wait, p50",
        2,
    ),
    Line::known(
        "beside_p99_ms",
        "ms of a segment with 100 that wait, p99",
        2,
    ),
    Line::known(
        "alone_p50_ms",
        "ms of a segment on a connection of its own, p50",
        2,
    ),
    release::SOURCE_LATE,
];

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    for round in 0..stand.settings.rounds {
        segments_beside_nginx(stand, board, round)?;
        if !stand.settings.peers_only {
            blocked(stand, board, round)?;
        }
    }
    Ok(())
}

fn segments_beside_nginx(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let load = Load {
        drain: drain::h2::drain,
        connections: CONNECTIONS,
        streams: STREAMS,
        turn_ms: TURN_MS,
        window_ms: stand.settings.window_ms,
    };
    let measured = beside::nginx(stand, board, round, Wire::Http2, load)?;
    let Some(stage) = measured.stage else {
        return Ok(());
    };
    let beside = beside(&stage).map_err(|error| stage.server.explain(&error))?;
    for (key, figure) in beside {
        board.note(key, figure);
    }
    stage.end().map(drop)
}

fn blocked(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let stage = stand.secure_stage(hls::BLOCKED_BITS, true)?;
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let rss_before = proc::memory(stage.server.pid())?.rss_bytes;
    let secure = stage.server.secure("/");
    let (connections, each) = WAITING_HTTP2;
    let explain = |error: io::Error| stage.server.explain(&error);
    let crowd = Crowd::new(
        &watched,
        vec![
            Box::new(Remote::http2(&secure, connections, each).map_err(explain)?),
            Box::new(Remote::http1(&secure, WAITING_HTTP1).map_err(explain)?),
            Box::new(Remote::http3(&secure, WAITING_HTTP3).map_err(explain)?),
        ],
    )?;
    let parts = stand.settings.parts;
    let mut release = Release::watch(crowd, &stage.server, parts, rss_before)?;
    let waiting = f64::from(connections * each + WAITING_HTTP1 + WAITING_HTTP3);
    let p99_ms = release.note(board, waiting)?;
    board.note("parts", release.delays_ns.len() as f64 / waiting);
    board.note("source_late_ms", stage.end()?);
    eprintln!("round {} blocked, p99 {p99_ms:.1} ms", round + 1);
    Ok(())
}

/// How long a segment takes on one connection, alone and beside requests that wait.
fn beside(stage: &Stage) -> io::Result<[(&'static str, f64); 4]> {
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let list = watched.now(&mut Client::new(&watched.target))?;
    let newest = list.segments.last().ok_or_else(|| fault("no segment"))?;
    let segment = watched.resolve(&newest.uri);
    let target = stage.server.secure("/");
    let mut alone = block_on(fetch(target.clone(), segment.clone(), None))?;
    // A whole segment more than the one that is being made: it is there in two seconds at least.
    let edge = watched.now(&mut Client::new(&watched.target))?.edge();
    let path = format!("{}?_HLS_msn={}", watched.target.path, edge.msn + 1);
    let mut beside = block_on(fetch(target, segment, Some(path)))?;
    let (alone_ms, beside_ms) = (
        quantile_ms(&mut alone, 0.5)?,
        quantile_ms(&mut beside, 0.5)?,
    );
    Ok([
        ("beside", beside_ms / alone_ms),
        ("beside_p50_ms", beside_ms),
        ("beside_p99_ms", quantile_ms(&mut beside, 0.99)?),
        ("alone_p50_ms", alone_ms),
    ])
}

/// Fetches a segment again and again for a while on one connection; how long it took each time.
/// `waiting` is asked for before, so often that all of it waits.
async fn fetch(target: Target, segment: String, waiting: Option<String>) -> io::Result<Vec<u64>> {
    let config = Arc::new(secure::client_config(
        b"h2",
        &Arc::new(Tickets::new(false)),
    )?);
    let (requests, connection) = http2::connect(target.address, &config).await?;
    // How it ends is seen by its requests.
    tokio::task::spawn_local(async { drop(connection.await) });
    let mut waiters = JoinSet::new();
    for _ in 0..waiting.as_ref().map_or(0, |_| WAITING_BESIDE) {
        let path = waiting.clone().unwrap_or_default();
        waiters.spawn_local(ask_http2(requests.clone(), target.host.clone(), path));
    }
    let end_ns = now_ns() + BESIDE_NS;
    let mut took = Vec::new();
    while now_ns() < end_ns {
        let asked = ask_http2(requests.clone(), target.host.clone(), segment.clone());
        let (asked_ns, done_ns, _) = asked.await?;
        took.push(done_ns - asked_ns);
    }
    if waiters.len() != waiting.map_or(0, |_| WAITING_BESIDE) || waiters.try_join_next().is_some() {
        return Err(fault("what should wait was answered at once"));
    }
    Ok(took)
}
