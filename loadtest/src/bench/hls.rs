//! `bench hls`: thousands of requests that wait for the next part, and segments from memory
//! beside nginx with `sendfile`.

use std::io;

use bytes::Bytes;

use super::blocked::{Crowd, Plain};
use super::playlist::{Watched, good};
use super::release::{self, Release};
use super::rows::{Board, Line, spread};
use super::segments::{Drained, drain};
use super::server::{FILE, Kind, Server, Wire};
use super::video::Stand;
use crate::clock::MS_NS;
use crate::hls::client::Client;
use crate::http::{Target, fault};
use crate::proc;

/// How the source is while requests wait: 1 Mbit/s with sound.
pub(super) const BLOCKED_BITS: u64 = 1_000_000;
/// Segments of two seconds have 200 kB at this rate.
pub(super) const SEGMENT_BITS: u64 = 800_000;
/// About as many.
pub(super) const SEGMENT_BYTES: usize = 200_000;

/// Where nginx has the file: in memory, as live segments are kept, and on a disk.
pub(super) const MEMORY: &str = "/dev/shm";
const DISK: &str = "/var/tmp";
/// Time of one server's turn.
const TURN_MS: u64 = 500;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    1 Mbit/s at 30 pictures per second, default parts of 200 ms. Every connection asks for \
    the playlist with the next part, in gzip, once all have the one before. A part is \
    complete when the picture after it is sent (each picture carries the machine's clock); \
    an answer is there with its last byte. Segments: about 200 kB, 32 connections that ask \
    again at once, in turns of half a second with nginx as one process.";

/// The table.
pub(super) const LINES: &[Line] = &[
    Line::target(
        "release_p99_ms",
        "ms from part complete to last byte, p99 of all answers",
        1,
        (80.0, 40.0),
    ),
    release::BODIES,
    Line::target(
        "segment_cpu",
        "CPU per request of a segment, corecast / nginx, sendfile from tmpfs",
        3,
        (0.80, 0.72),
    ),
    Line::known(
        "release_first_ms",
        "ms to the first of all answers, median",
        1,
    ),
    release::P50,
    release::MAX,
    Line::known(
        "picture_p99_ms",
        "ms from the part's last picture sent to last byte, p99",
        1,
    ),
    release::PARTS,
    release::LATE,
    release::ANSWER_CPU,
    release::WAITER_KB,
    release::RESIDENT,
    release::SOURCE_LATE,
    Line::known("segment_bytes", "bytes of a segment", 0),
    Line::known("segment_us", "CPU us per segment, corecast", 1),
    Line::known(
        "segment_nginx_us",
        "CPU us per segment, nginx from tmpfs",
        1,
    ),
    Line::known(
        "segment_disk",
        "the same, nginx from a disk's page cache",
        3,
    ),
    Line::known(
        "segment_nginx_disk_us",
        "CPU us per segment, nginx from a disk's page cache",
        1,
    ),
    Line::known("segment_rate", "segments per second, corecast", 0),
    Line::known(
        "segment_nginx_rate",
        "segments per second, nginx from tmpfs",
        0,
    ),
];

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    for round in 0..stand.settings.rounds {
        blocked(stand, board, round)?;
        segments(stand, board, round)?;
    }
    Ok(())
}

fn blocked(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let connections = stand.settings.connections;
    let stage = stand.stage(BLOCKED_BITS, true, &[])?;
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let rss_before = proc::memory(stage.server.pid())?.rss_bytes;
    let plain = Plain::connect(&watched.target, connections)?;
    let crowd = Crowd::new(&watched, vec![Box::new(plain)])?;
    let parts = stand.settings.parts;
    let mut release = Release::watch(crowd, &stage.server, parts, rss_before)?;
    // Before they are sorted.
    let per_part = release.delays_ns.chunks(connections as usize);
    let mut firsts: Vec<u64> = per_part
        .filter_map(|part| part.iter().min().copied())
        .collect();
    let parts = firsts.len();
    let p99_ms = release.note(board, f64::from(connections))?;
    board.note("release_first_ms", quantile_ms(&mut firsts, 0.5)?);
    board.note("parts", parts as f64);
    let mut since_picture: Vec<u64> = Vec::new();
    for round in &release.rounds {
        if let Some((_, last)) = round.pictures {
            let done = round.answers.iter().map(|answer| answer.done_ns);
            since_picture.extend(done.map(|done_ns| done_ns.saturating_sub(last.sent_ns)));
        }
    }
    board.note("picture_p99_ms", quantile_ms(&mut since_picture, 0.99)?);
    board.note("source_late_ms", stage.end()?);
    eprintln!(
        "round {} blocked {parts} parts, p99 {p99_ms:.1} ms",
        round + 1
    );
    Ok(())
}

/// Both servers are up, and asked in turns that are short: what else happens on the machine hits
/// both alike.
fn segments(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let stage = stand.stage(SEGMENT_BITS, false, &[])?;
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let mut client = Client::new(&watched.target);
    let list = watched.now(&mut client)?;
    let newest = list.segments.last().ok_or_else(|| fault("no segment"))?;
    let path = watched.resolve(&newest.uri);
    let body = Bytes::from(good(client.get(&path)?)?.body);
    let length = body.len() as u64;
    let ours = Target {
        path,
        ..watched.target.clone()
    };
    let nginx = |place: &str| {
        let (file, place) = (body.clone(), place.into());
        let wire = Wire::Plain;
        stand.server(&Kind::Nginx { file, place, wire })
    };
    let peers = [nginx(MEMORY)?, nginx(DISK)?];
    let mut turns = Vec::new();
    for _ in 0..(stand.settings.window_ms / TURN_MS).max(1) {
        let turn = |target: &Target, server: &Server| {
            let drained = drain(target, length, server.pid(), TURN_MS * MS_NS);
            drained.map_err(|error| server.explain(&error))
        };
        let theirs = |peer: &Server| {
            let path = format!("/{FILE}");
            let target = Target {
                path,
                ..peer.target().clone()
            };
            turn(&target, peer)
        };
        let [memory, disk] = &peers;
        turns.push([turn(&ours, &stage.server)?, theirs(memory)?, theirs(disk)?]);
    }
    stage.end()?;
    let median = |of: fn(&[Drained; 3]) -> f64| {
        let (_, median, _) = spread(turns.iter().map(of).collect()).unwrap_or_default();
        median
    };
    let ratio = median(|[ours, memory, _]| ours.cpu_us / memory.cpu_us);
    let of_disk = median(|[ours, _, disk]| ours.cpu_us / disk.cpu_us);
    board.note("segment_cpu", ratio);
    board.note("segment_disk", of_disk);
    board.note("segment_bytes", length as f64);
    board.note("segment_us", median(|[ours, ..]| ours.cpu_us));
    board.note("segment_nginx_us", median(|[_, memory, _]| memory.cpu_us));
    board.note("segment_nginx_disk_us", median(|[_, _, disk]| disk.cpu_us));
    board.note("segment_rate", median(|[ours, ..]| ours.rate));
    board.note("segment_nginx_rate", median(|[_, memory, _]| memory.rate));
    eprintln!(
        "round {} segments of {length} bytes in {} turns: {ratio:.3}, of a disk {of_disk:.3}",
        round + 1,
        turns.len()
    );
    Ok(())
}

/// The value below which this share of all is, in milliseconds; all are sorted.
pub(super) fn quantile_ms(all_ns: &mut [u64], share: f64) -> io::Result<f64> {
    all_ns.sort_unstable();
    let rank = (all_ns.len() as f64 * share).ceil() as usize;
    let value = all_ns.get(rank.saturating_sub(1));
    let value = value.ok_or_else(|| fault("nothing could be timed"))?;
    Ok(*value as f64 / MS_NS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let mut all: Vec<u64> = (1..=200).rev().map(|ms| ms * MS_NS).collect();
        let mut at = |share| quantile_ms(&mut all, share).expect("there are values");
        assert_eq!((at(0.5), at(0.99), at(1.0)), (100.0, 198.0, 200.0));
        assert!(quantile_ms(&mut [], 0.5).is_err());
    }
}
