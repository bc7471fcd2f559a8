//! `bench tls`: segments, handshakes and radio over TLS, beside nginx.

use std::io;

use super::SEED;
use super::beside::{self, Beside};
use super::drain;
use super::handshakes::{Shaken, shake};
use super::listeners::hold;
use super::rows::{Board, Line, spread};
use super::server::{Server, Wire};
use super::turns::Load;
use super::video::Stand;
use crate::clock::MS_NS;
use crate::source::{self, Method, Source};

/// Connections that ask at once.
const CONNECTIONS: usize = 32;
/// Time of one server's turn.
const TURN_MS: u64 = 500;
/// Time that the source plays before anybody comes.
const LEAD_NS: u64 = 3_000 * MS_NS;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    TLS 1.3 with AES-128-GCM, X25519 and a certificate on P-256 everywhere. Segments: about 200 \
    kB, 32 connections of HTTP/1.1 that ask again at once, every byte compared, in turns of half \
    a second with nginx as one process (file on tmpfs, records of 16 KiB). A handshake is over \
    when its ticket is there; no request follows. Listeners: ICY at 128 kbit/s.";

/// The table.
pub(super) const LINES: &[Line] = &[
    beside::SEGMENT_CPU,
    Line::target(
        "handshake_us",
        "CPU us per full handshake, corecast",
        0,
        (500.0, 250.0),
    ),
    Line::target(
        "listener_kb",
        "kB resident per listener of ICY, corecast",
        2,
        (12.0, 8.0),
    ),
    Line::target("wrong", "listeners lost or with wrong bytes", 0, (0.0, 0.0)),
    beside::CPU,
    beside::CPU_NGINX,
    beside::RATE,
    beside::RATE_NGINX,
    beside::BYTES,
    Line::known(
        "handshake_ratio",
        "CPU per full handshake, corecast / nginx",
        3,
    ),
    Line::known("handshake_nginx_us", "CPU us per full handshake, nginx", 0),
    Line::known("handshakes", "full handshakes per CPU-second, corecast", 0),
    Line::known(
        "handshakes_nginx",
        "full handshakes per CPU-second, nginx",
        0,
    ),
    Line::known(
        "resumed_ratio",
        "CPU per resumed handshake, corecast / nginx",
        3,
    ),
    Line::known("resumed", "resumed handshakes per CPU-second, corecast", 0),
    Line::known(
        "resumed_nginx",
        "resumed handshakes per CPU-second, nginx",
        0,
    ),
    Line::known("shaken", "full handshakes per second, corecast", 0),
    Line::known("own_kb", "kB of its own memory per listener of ICY", 2),
    Line::known("listener_cpu", "CPU-s per GB of ICY over TLS, corecast", 3),
    Line::known("real", "% of real time at the listeners", 1),
];

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    for round in 0..stand.settings.rounds {
        segments_and_handshakes(stand, board, round)?;
        if !stand.settings.peers_only {
            listeners(stand, board, round)?;
        }
    }
    Ok(())
}

fn segments_and_handshakes(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let load = Load {
        drain: drain::tls::drain,
        connections: CONNECTIONS,
        streams: 1,
        turn_ms: TURN_MS,
        window_ms: stand.settings.window_ms,
    };
    let Beside { stage, nginx } = beside::nginx(stand, board, round, Wire::Tls, load)?;
    let servers: Vec<&Server> = [&nginx]
        .into_iter()
        .chain(stage.as_ref().map(|stage| &stage.server))
        .collect();
    handshakes(stand, board, round, &servers)?;
    match stage {
        Some(stage) => stage.end().map(drop),
        None => Ok(()),
    }
}

/// Full and resumed ones, with nginx and, behind it, corecast in turns.
fn handshakes(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    servers: &[&Server],
) -> io::Result<()> {
    for resumes in [false, true] {
        let mut turns = Vec::new();
        for _ in 0..(stand.settings.window_ms / 2 / TURN_MS).max(1) {
            let turn = servers.iter().map(|server| {
                let target = server.secure("/");
                let shaken = shake(&target, server.pid(), TURN_MS * MS_NS, resumes);
                shaken.map_err(|error| server.explain(&error))
            });
            turns.push(turn.collect::<io::Result<Vec<Shaken>>>()?);
        }
        let median = |of: &dyn Fn(&[Shaken]) -> Option<f64>| {
            let values = turns.iter().filter_map(|turn| of(turn)).collect();
            spread(values).map(|(_, median, _)| median)
        };
        let theirs = median(&|turn| turn.first().map(|turn| turn.cpu_us));
        let ours = median(&|turn| turn.get(1).map(|turn| turn.cpu_us));
        let ratio = median(&|turn| Some(turn.get(1)?.cpu_us / turn.first()?.cpu_us));
        let rate = median(&|turn| turn.get(1).map(|turn| turn.rate));
        let figures = match resumes {
            false => [
                ("handshake_us", ours),
                ("handshake_ratio", ratio),
                ("handshakes", ours.map(|us| 1e6 / us)),
                ("handshake_nginx_us", theirs),
                ("handshakes_nginx", theirs.map(|us| 1e6 / us)),
                ("shaken", rate),
            ]
            .to_vec(),
            true => [
                ("resumed_ratio", ratio),
                ("resumed", ours.map(|us| 1e6 / us)),
                ("resumed_nginx", theirs.map(|us| 1e6 / us)),
            ]
            .to_vec(),
        };
        for (key, figure) in figures {
            if let Some(figure) = figure {
                board.note(key, figure);
            }
        }
        eprintln!(
            "round {} handshakes (resumed: {resumes}): corecast {:.0} us, nginx {:.0} us",
            round + 1,
            ours.unwrap_or(f64::NAN),
            theirs.unwrap_or(f64::NAN),
        );
    }
    Ok(())
}

fn listeners(stand: &Stand<'_>, board: &mut Board, round: usize) -> io::Result<()> {
    let server = stand.secure_server()?;
    let credentials = server.credentials().unwrap_or_default().to_owned();
    let source = Source::start(&source::Settings {
        target: server.target().clone(),
        credentials,
        method: Method::Source,
        seed: SEED,
        title_every: None,
    })?;
    crate::clock::sleep_until(crate::clock::now_ns() + LEAD_NS);
    let count = stand.settings.listeners;
    let target = server.secure(&server.target().path);
    let held = hold(
        &target,
        count,
        server.pid(),
        stand.settings.window_ms * MS_NS,
    );
    let held = held.map_err(|error| server.explain(&error))?;
    source.stop()?;
    let each = |bytes: u64| bytes as f64 / 1e3 / f64::from(count);
    board.note("listener_kb", each(held.rss_bytes));
    board.note("own_kb", each(held.anon_bytes));
    board.note("listener_cpu", held.cpu_s_per_gb);
    board.note("real", held.of_real_time * 100.0);
    board.note("wrong", held.faults as f64);
    eprintln!(
        "round {} {count} listeners: {:.2} kB each, {:.3} CPU-s/GB, {:.1} % of real time",
        round + 1,
        each(held.rss_bytes),
        held.cpu_s_per_gb,
        held.of_real_time * 100.0,
    );
    Ok(())
}
