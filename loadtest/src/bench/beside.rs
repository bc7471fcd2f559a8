//! Segments of a stage over TLS, in turns with nginx and the same bytes in its file.

use std::io;

use super::hls;
use super::rows::{Board, Line};
use super::server::{Kind, Server, Wire};
use super::turns::{Load, Side, Turns, noise, segments};
use super::video::{Stage, Stand};

// What each such table has of segments.

pub(super) const SEGMENT_CPU: Line = Line::target(
    "segment_cpu",
    "CPU per GB of segments, corecast / nginx",
    3,
    (0.50, 0.40),
);
pub(super) const CPU: Line = Line::known("cpu", "CPU-s per GB of segments, corecast", 3);
pub(super) const CPU_NGINX: Line = Line::known("cpu_nginx", "CPU-s per GB of segments, nginx", 3);
pub(super) const RATE: Line = Line::known("rate", "GB per second of segments, corecast", 2);
pub(super) const RATE_NGINX: Line =
    Line::known("rate_nginx", "GB per second of segments, nginx", 2);
pub(super) const BYTES: Line = Line::known("bytes", "bytes of a segment", 0);

/// The two servers, still up.
pub(super) struct Beside {
    /// None where only the peer is measured.
    pub(super) stage: Option<Stage>,
    pub(super) nginx: Server,
}

/// Measures both, and notes what every such table has of segments.
pub(super) fn nginx(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    wire: Wire,
    load: Load,
) -> io::Result<Beside> {
    let stage = match stand.settings.peers_only {
        false => Some(stand.secure_stage(hls::SEGMENT_BITS, false)?),
        true => None,
    };
    let files = match &stage {
        Some(stage) => segments(stage, 1)?,
        None => Vec::new(),
    };
    let body = files.first().map(|file| file.body.clone());
    let body = body.unwrap_or_else(|| noise(hls::SEGMENT_BYTES));
    let nginx = stand.server(&Kind::Nginx {
        file: body.clone(),
        place: hls::MEMORY.into(),
        wire,
    })?;
    let mut sides = vec![Side::peer(&nginx, &body)];
    sides.extend(stage.as_ref().map(|stage| Side::ours(stage, files)));
    let turns = Turns::take(&sides, load)?;
    board.note("bytes", body.len() as f64);
    board.note("cpu_nginx", turns.median(0, |turn| turn.cpu_s_per_gb));
    board.note("rate_nginx", turns.median(0, |turn| turn.gb_per_s));
    if stage.is_some() {
        board.note("segment_cpu", turns.ratio(1, 0));
        board.note("cpu", turns.median(1, |turn| turn.cpu_s_per_gb));
        board.note("rate", turns.median(1, |turn| turn.gb_per_s));
    }
    eprintln!(
        "round {} segments: corecast {:.3}, nginx {:.3} CPU-s/GB",
        round + 1,
        turns.median(1, |turn| turn.cpu_s_per_gb),
        turns.median(0, |turn| turn.cpu_s_per_gb),
    );
    drop(sides);
    Ok(Beside { stage, nginx })
}
