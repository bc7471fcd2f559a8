//! `bench h3`: segments and a long body over HTTP/3 beside Caddy and a bare loop of QUIC, and what
//! idle connections hold.

use std::io;

use super::drain;
use super::hls;
use super::rows::{Board, Line};
use super::server::{Kind, Server};
use super::turns::{Load, Side, Turns, noise, segments};
use super::video::Stand;
use crate::clock::{SECOND_NS, now_ns};
use crate::http::fault;
use crate::proc;
use crate::quic::{Pool, Wanted};

/// Connections that ask for segments, and requests at once on each.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 4;
/// Time of one server's turn.
const TURN_MS: u64 = 1_000;
/// The long body.
const BULK_BYTES: usize = 200_000_000;
/// corecast has no body that long: it is asked for so many segments of 4 MB (two seconds) at once.
const BULK_SEGMENTS: usize = 8;
const BULK_BITS: u64 = 16_000_000;
/// Time for all idle connections to get their answers: Caddy loses the first packet of some, and
/// their clients wait longer each time.
const ANSWERS_NS_MAX: u64 = 60 * SECOND_NS;
/// Time for them to forget what they needed to come up.
const SETTLE_NS: u64 = 2 * SECOND_NS;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    AES-128-GCM and packets of 1,350 bytes at most everywhere. Segments: about 200 kB, 8 \
    connections with 4 requests each that ask again at once. The long body: one connection that \
    asks for 200 MB, again and again; of corecast for segments of 4 MB, 8 at once. Every byte is \
    compared. Servers take turns of a second: corecast, Caddy (file on tmpfs) and a loop around \
    quiche that sends from memory by GSO and does nothing else. An idle connection has had \
    one answer.";

/// The table.
pub(super) const LINES: &[Line] = &[
    Line::target(
        "segment_cpu",
        "CPU per GB of segments, corecast / Caddy",
        3,
        (0.20, 0.12),
    ),
    Line::target(
        "segment_bare",
        "CPU per GB of segments, corecast / bare loop",
        3,
        (1.15, 1.0),
    ),
    Line::target(
        "bulk_cpu",
        "CPU per GB of a long body, corecast / Caddy",
        3,
        (0.20, 0.12),
    ),
    Line::target(
        "bulk_bare",
        "CPU per GB of a long body, corecast / bare loop",
        3,
        (1.15, 1.0),
    ),
    Line::target(
        "idle_kb",
        "kB resident per idle connection, corecast",
        1,
        (64.0, 32.0),
    ),
    Line::known("cpu", "CPU-s per GB of segments, corecast", 3),
    Line::known("cpu_caddy", "CPU-s per GB of segments, Caddy", 3),
    Line::known("cpu_of_bare", "CPU-s per GB of segments, bare loop", 3),
    Line::known("rate", "GB per second of segments, corecast", 3),
    Line::known("rate_caddy", "GB per second of segments, Caddy", 3),
    Line::known("rate_bare", "GB per second of segments, bare loop", 3),
    Line::known("packet", "bytes of a packet, corecast", 0),
    Line::known("packet_caddy", "bytes of a packet, Caddy", 0),
    Line::known("packet_bare", "bytes of a packet, bare loop", 0),
    Line::known("bytes", "bytes of a segment", 0),
    Line::known("bulk", "CPU-s per GB of a long body, corecast", 3),
    Line::known("bulk_caddy", "CPU-s per GB of a long body, Caddy", 3),
    Line::known("bulk_of_bare", "CPU-s per GB of a long body, bare loop", 3),
    Line::known("bulk_rate", "GB per second of a long body, corecast", 3),
    Line::known("bulk_rate_caddy", "GB per second of a long body, Caddy", 3),
    Line::known(
        "bulk_rate_bare",
        "GB per second of a long body, bare loop",
        3,
    ),
    Line::known(
        "idle_own_kb",
        "kB of its own memory per idle connection, corecast",
        1,
    ),
    Line::known("idle_caddy_kb", "kB resident per idle connection, Caddy", 1),
    Line::known(
        "idle_bare_kb",
        "kB resident per idle connection, bare loop",
        1,
    ),
];

/// Names of a comparison's lines.
struct Keys {
    to_caddy: &'static str,
    to_bare: &'static str,
    cpu: [&'static str; 3],
    rate: [&'static str; 3],
}

const SEGMENT: Keys = Keys {
    to_caddy: "segment_cpu",
    to_bare: "segment_bare",
    cpu: ["cpu_caddy", "cpu_of_bare", "cpu"],
    rate: ["rate_caddy", "rate_bare", "rate"],
};
const BULK: Keys = Keys {
    to_caddy: "bulk_cpu",
    to_bare: "bulk_bare",
    cpu: ["bulk_caddy", "bulk_of_bare", "bulk"],
    rate: ["bulk_rate_caddy", "bulk_rate_bare", "bulk_rate"],
};

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    let load = Load {
        drain: drain::h3::drain,
        connections: CONNECTIONS,
        streams: STREAMS,
        turn_ms: TURN_MS,
        window_ms: stand.settings.window_ms,
    };
    let bulk_load = Load {
        connections: 1,
        streams: 1,
        ..load
    };
    for round in 0..stand.settings.rounds {
        let bytes = hls::SEGMENT_BYTES;
        compare(
            stand,
            board,
            round,
            load,
            (hls::SEGMENT_BITS, 1, bytes),
            &SEGMENT,
        )?;
        let bulk = (BULK_BITS, BULK_SEGMENTS, BULK_BYTES);
        compare(stand, board, round, bulk_load, bulk, &BULK)?;
    }
    Ok(())
}

/// Segments of this rate and so many of them, beside one file of the peers.
fn compare(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    load: Load,
    (bits, count, bytes): (u64, usize, usize),
    keys: &Keys,
) -> io::Result<()> {
    let stage = match stand.settings.peers_only {
        false => Some(stand.secure_stage(bits, false)?),
        true => None,
    };
    let files = match &stage {
        Some(stage) => segments(stage, count)?,
        None => Vec::new(),
    };
    let is_bulk = count > 1;
    let body = match files.first() {
        Some(file) if !is_bulk => file.body.clone(),
        _ => noise(bytes),
    };
    let (file, place) = (body.clone(), hls::MEMORY.into());
    let caddy = stand.server(&Kind::Caddy { file, place })?;
    let (file, place) = (body.clone(), hls::MEMORY.into());
    let bare = stand.server(&Kind::BareQuic { file, place })?;
    let mut sides = vec![Side::peer(&caddy, &body), Side::peer(&bare, &body)];
    if let Some(stage) = &stage {
        sides.push(Side::ours(stage, files).at_once(count));
    }
    let turns = Turns::take(&sides, load)?;
    if stage.is_some() {
        board.note(keys.to_caddy, turns.ratio(2, 0));
        board.note(keys.to_bare, turns.ratio(2, 1));
    }
    for side in 0..sides.len() {
        if let (Some(cpu), Some(rate)) = (keys.cpu.get(side), keys.rate.get(side)) {
            board.note(cpu, turns.median(side, |turn| turn.cpu_s_per_gb));
            board.note(rate, turns.median(side, |turn| turn.gb_per_s));
        }
    }
    eprintln!(
        "round {} {bytes} bytes: corecast {:.3}, Caddy {:.3}, bare loop {:.3} CPU-s/GB",
        round + 1,
        turns.median(2, |turn| turn.cpu_s_per_gb),
        turns.median(0, |turn| turn.cpu_s_per_gb),
        turns.median(1, |turn| turn.cpu_s_per_gb),
    );
    if !is_bulk {
        board.note("bytes", body.len() as f64);
        let packets = ["packet_caddy", "packet_bare", "packet"];
        for (side, key) in packets.into_iter().enumerate().take(sides.len()) {
            board.note(key, turns.median(side, |turn| turn.packet_bytes));
        }
        let path = format!("/{}", super::server::FILE);
        board.note("idle_caddy_kb", idle(stand, &caddy, &path)?.0);
        board.note("idle_bare_kb", idle(stand, &bare, &path)?.0);
        if let Some(stage) = &stage {
            let path = stage.target(".m3u8").path;
            let (resident, own) = idle(stand, &stage.server, &path)?;
            board.note("idle_kb", resident);
            board.note("idle_own_kb", own);
        }
    }
    match stage {
        Some(stage) => stage.end().map(drop),
        None => Ok(()),
    }
}

/// kB that each idle connection adds to what a server has resident, and to its own memory.
fn idle(stand: &Stand<'_>, server: &Server, path: &str) -> io::Result<(f64, f64)> {
    let held = hold(stand.settings.idle, server, path);
    held.map_err(|error| server.explain(&error))
}

fn hold(count: u32, server: &Server, path: &str) -> io::Result<(f64, f64)> {
    let target = server.secure(path);
    let before = proc::memory(server.pid())?;
    let mut pool = Pool::connect(target.address, count as usize)?;
    pool.each(|_, client| client.ask(&target.host, path, false, Wanted::Kept))?;
    let deadline_ns = now_ns() + ANSWERS_NS_MAX;
    while pool.clients().iter().any(|client| client.open() > 0) {
        if now_ns() > deadline_ns {
            return Err(fault("connections are not answered"));
        }
        pool.turn(|_, _| Ok(()))?;
    }
    let settled_ns = now_ns() + SETTLE_NS;
    while now_ns() < settled_ns {
        pool.turn(|_, _| Ok(()))?;
    }
    let after = proc::memory(server.pid())?;
    let each =
        |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e3 / f64::from(count);
    Ok((
        each(before.rss_bytes, after.rss_bytes),
        each(before.anon_bytes, after.anon_bytes),
    ))
}
