//! `bench flv`: many players of HTTP-FLV, beside a bare `send()` loop of the same rate and sizes.

use std::io;

use super::SEED;
use super::rows::{Board, Line};
use super::server::Kind;
use super::video::Stand;
use crate::crowd::Plan;
use crate::http::Target;
use crate::report::Report;
use crate::run;
use crate::video::film::Film;
use crate::video::player::Player;

/// Joins per second.
const RAMP_PER_S: u32 = 800;
/// Time for all joins.
const JOIN_MS_MAX: u64 = 40_000;
/// Time between the joins and the window.
const WARM_MS: u64 = 3_000;
/// Viewers that compare every byte, besides the players.
const CHECKED: usize = 2;
/// CPU seconds per GB of SRS 7.0.18 at 650 kbit/s to 2,000 players, measured on such a machine by
/// this method: 1.4 to 1.5.
const SRS_CPU_S_PER_GB: f64 = 1.4;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    RTMP in at 30 pictures per second with sound, default settings. The bare loop sends what \
    one look at a socket found, at the same rate. SRS's 1.4 CPU-s per GB is an earlier \
    figure of this method. Two more players compare every byte of each of corecast's trials.";

/// The table.
pub(super) const LINES: &[Line] = &[
    Line::target(
        "cpu_srs",
        "CPU per GB at 650 kbit/s, corecast / SRS's 1.4 CPU-s",
        3,
        (0.40, 0.25),
    ),
    Line::target(
        "memory_kb",
        "kB of its own memory per player at 650 kbit/s",
        2,
        (4.0, 2.0),
    ),
    Line::target(
        "wrong",
        "wrong or missing units at the players",
        0,
        (0.0, 0.0),
    ),
    Line::target(
        "lost",
        "players lost or not served, up to 500 at 4 Mbit/s",
        0,
        (0.0, 0.0),
    ),
    Line::known(
        "cpu_bare",
        "CPU per GB at 650 kbit/s, corecast / bare loop",
        3,
    ),
    Line::known(
        "cpu_bare_fast",
        "CPU per GB at 4 Mbit/s, corecast / bare loop",
        3,
    ),
    Line::known("cpu", "CPU-s per GB at 650 kbit/s, corecast", 3),
    Line::known("cpu_of_bare", "CPU-s per GB at 650 kbit/s, bare loop", 3),
    Line::known("cpu_fast", "CPU-s per GB at 4 Mbit/s, corecast", 3),
    Line::known("cpu_of_bare_fast", "CPU-s per GB at 4 Mbit/s, bare loop", 3),
    Line::known(
        "rss_kb",
        "kB resident per player at 650 kbit/s, everything",
        2,
    ),
    Line::known("send", "bytes at once at 650 kbit/s", 0),
    Line::known("send_fast", "bytes at once at 4 Mbit/s", 0),
    Line::known("gap_ms", "longest silence p99 in ms at 650 kbit/s", 0),
    Line::known(
        "join_ms",
        "ms from connect to first byte p99 at 650 kbit/s",
        1,
    ),
    Line::known("real", "% of real time at 650 kbit/s", 1),
    Line::known("real_fast", "% of real time at 4 Mbit/s", 1),
    Line::known("real_wide", "% of real time, the many at 4 Mbit/s", 1),
    Line::known("gbit_wide", "Gbit/s to the many at 4 Mbit/s", 2),
    Line::known("cpu_wide", "CPU-s per GB, the many at 4 Mbit/s", 3),
    Line::known("lost_wide", "players lost of the many at 4 Mbit/s", 0),
];

/// One size of audience.
struct Audience {
    name: &'static str,
    bits: u64,
    players: u32,
    /// Time between two looks at a socket: buffers must not fill meanwhile.
    scan_ms: u64,
}

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    let settings = stand.settings;
    let audience = |name, bits, players, scan_ms| Audience {
        name,
        bits,
        players,
        scan_ms,
    };
    let usual = audience("650 kbit/s", 650_000, settings.players, 100);
    let fast = audience("4 Mbit/s", 4_000_000, settings.fast, 40);
    let wide = audience("4 Mbit/s", 4_000_000, settings.wide, 40);
    for round in 0..settings.rounds {
        pair(stand, board, round, &usual, USUAL)?;
        pair(stand, board, round, &fast, FAST)?;
    }
    if wide.players > 0 {
        let report = corecast(stand, board, 0, &wide)?;
        board.note("real_wide", report.of_real_time * 100.0);
        let gbit = report.window_bytes as f64 * 8.0 / report.window_s / 1e9;
        board.note("gbit_wide", gbit);
        board.note("cpu_wide", report.cpu_s_per_gb.unwrap_or(f64::NAN));
        board.note("lost_wide", lost(&report));
    }
    Ok(())
}

/// Names of an audience's lines.
struct Keys {
    cpu: &'static str,
    bare: &'static str,
    ratio: &'static str,
    send: &'static str,
    real: &'static str,
}

const USUAL: Keys = Keys {
    cpu: "cpu",
    bare: "cpu_of_bare",
    ratio: "cpu_bare",
    send: "send",
    real: "real",
};
const FAST: Keys = Keys {
    cpu: "cpu_fast",
    bare: "cpu_of_bare_fast",
    ratio: "cpu_bare_fast",
    send: "send_fast",
    real: "real_fast",
};

/// corecast and the bare loop, one after the other.
fn pair(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    audience: &Audience,
    keys: Keys,
) -> io::Result<()> {
    let ours = corecast(stand, board, round, audience)?;
    let cpu = ours.cpu_s_per_gb.unwrap_or(f64::NAN);
    board.note(keys.cpu, cpu);
    board.note(keys.send, ours.bytes_per_receipt);
    board.note(keys.real, ours.of_real_time * 100.0);
    board.note("lost", lost(&ours));
    if keys.cpu == USUAL.cpu {
        board.note("cpu_srs", cpu / SRS_CPU_S_PER_GB);
        let memory = ours.server.map(|usage| usage.memory).unwrap_or_default();
        let per_player = |bytes: u64| bytes as f64 / 1e3 / f64::from(audience.players);
        board.note("memory_kb", per_player(memory.anon_bytes));
        board.note("rss_kb", per_player(memory.rss_bytes));
        board.note("gap_ms", ours.gap.p99_ms);
        board.note("join_ms", ours.join.p99_ms);
    }
    let send_bytes = (ours.bytes_per_receipt as u64).max(1);
    let bare = bare(stand, round, audience, send_bytes)?;
    let bare = bare.cpu_s_per_gb.unwrap_or(f64::NAN);
    board.note(keys.bare, bare);
    board.note(keys.ratio, cpu / bare);
    Ok(())
}

fn corecast(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    audience: &Audience,
) -> io::Result<Report> {
    let stage = stand.stage(audience.bits, true, &[])?;
    let target = stage.target(".flv");
    let players: Vec<Player> = (0..CHECKED)
        .map(|_| Player::start(&target, stage.film))
        .collect::<io::Result<_>>()?;
    let outcome = run::conduct(&plan(stand, audience, &target, stage.server.pid()));
    let outcome = outcome.map_err(|error| stage.server.explain(&error))?;
    let report = Report::new(&outcome, stage.film.flv_bytes_per_s());
    for player in players {
        let seen = player
            .stop()
            .map_err(|error| stage.server.explain(&error))?;
        board.note("wrong", seen.faults() as f64);
    }
    stage.end()?;
    say(round, "corecast", audience, &report);
    Ok(report)
}

fn bare(
    stand: &Stand<'_>,
    round: usize,
    audience: &Audience,
    send_bytes: u64,
) -> io::Result<Report> {
    let film = Film::new(SEED, audience.bits, 30, 60, true);
    let server = stand.server(&Kind::Bare {
        listeners: audience.players,
        send_bytes,
        rate_bytes: film.flv_bytes_per_s(),
    })?;
    let outcome = run::conduct(&plan(stand, audience, server.target(), server.pid()));
    let outcome = outcome.map_err(|error| server.explain(&error))?;
    let report = Report::new(&outcome, film.flv_bytes_per_s());
    say(round, "bare loop", audience, &report);
    Ok(report)
}

fn plan(stand: &Stand<'_>, audience: &Audience, target: &Target, pid: u32) -> run::Settings {
    let plan = Plan {
        seed: SEED,
        listeners: audience.players,
        ramp_per_s: RAMP_PER_S,
        join_ms_max: JOIN_MS_MAX,
        scan_ms: audience.scan_ms,
        icy_percent: 0,
        sample: 0,
        ..Plan::plain(target)
    };
    run::Settings {
        plan,
        processes: 0,
        lead_ms: 0,
        warm_ms: WARM_MS,
        window_ms: stand.settings.window_ms,
        source: None,
        server_pid: Some(pid),
    }
}

fn lost(report: &Report) -> f64 {
    (report.hung_up + report.failed + report.refused) as f64 + f64::from(report.unserved)
}

fn say(round: usize, name: &str, audience: &Audience, report: &Report) {
    eprintln!(
        "round {} {name:<9} {} to {:4}: {:.3} CPU-s/GB, {:5.1} % of real time, {} lost, {:.2} \
         processors busy with other work",
        round + 1,
        audience.name,
        audience.players,
        report.cpu_s_per_gb.unwrap_or_default(),
        report.of_real_time * 100.0,
        lost(report),
        report.others_cpus
    );
}
