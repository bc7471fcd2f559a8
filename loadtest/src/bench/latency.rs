//! `bench latency`: how old each unit is when a player has it, for HTTP-FLV in every latency class
//! and for LL-HLS.

use std::io;

use super::blocked::pictures;
use super::hls::quantile_ms;
use super::playlist::{Watched, good, last_part};
use super::rows::{Board, Line};
use super::video::{Stage, Stand};
use crate::clock::{MS_NS, now_ns, sleep_until};
use crate::hls::client::Client;
use crate::http::fault;
use crate::video::player::Player;

/// The rate of the source, with sound.
const BITS: u64 = 2_500_000;

/// What is measured, in words.
pub(super) const NOTE: &str = "\
    RTMP in at 2.5 Mbit/s, 30 pictures per second with sound, every unit stamped with the \
    machine's clock when it is sent; its age counts when a player has all of it. LL-HLS: a \
    player waits for each playlist, then fetches the new part; at best a player shows what \
    is PART-HOLD-BACK behind a part's end.";

/// The table.
pub(super) const LINES: &[Line] = &[
    Line::target(
        "flv_max_ms",
        "ms to HTTP-FLV, default settings, max",
        1,
        (500.0, 200.0),
    ),
    Line::target(
        "flv_live_max_ms",
        "ms to HTTP-FLV, latency live, max",
        1,
        (500.0, 200.0),
    ),
    Line::target(
        "flv_instant_max_ms",
        "ms to HTTP-FLV, latency instant, max",
        1,
        (500.0, 200.0),
    ),
    Line::target("wrong", "wrong or missing units", 0, (0.0, 0.0)),
    Line::target(
        "hls_player_ms",
        "ms to an LL-HLS player at best, hold-back and p95",
        0,
        (1_500.0, 800.0),
    ),
    Line::known("flv_p50_ms", "ms to HTTP-FLV, default settings, p50", 1),
    Line::known("flv_p95_ms", "ms to HTTP-FLV, default settings, p95", 1),
    Line::known("flv_live_p50_ms", "ms to HTTP-FLV, latency live, p50", 1),
    Line::known("flv_live_p95_ms", "ms to HTTP-FLV, latency live, p95", 1),
    Line::known(
        "flv_instant_p50_ms",
        "ms to HTTP-FLV, latency instant, p50",
        1,
    ),
    Line::known(
        "flv_instant_p95_ms",
        "ms to HTTP-FLV, latency instant, p95",
        1,
    ),
    Line::known(
        "hls_first_p95_ms",
        "ms from a part's first picture to all of it there, p95",
        1,
    ),
    Line::known(
        "hls_last_p50_ms",
        "ms from a part's last picture to all of it there, p50",
        1,
    ),
    Line::known(
        "hls_last_p95_ms",
        "ms from a part's last picture to all of it there, p95",
        1,
    ),
    Line::known("hls_hold_back_ms", "PART-HOLD-BACK in ms", 0),
    Line::known("source_late_ms", "ms that the source was late, at most", 1),
];

/// Measures everything.
pub(super) fn measure(stand: &Stand<'_>, board: &mut Board) -> io::Result<()> {
    for round in 0..stand.settings.rounds {
        let stage = stand.stage(BITS, true, &[])?;
        let keys = ["flv_p50_ms", "flv_p95_ms", "flv_max_ms"];
        view(stand, board, round, &stage, "default", keys)?;
        hls(stand, board, &stage)?;
        board.note("source_late_ms", stage.end()?);
        for (class, keys) in [
            (
                "live",
                ["flv_live_p50_ms", "flv_live_p95_ms", "flv_live_max_ms"],
            ),
            (
                "instant",
                [
                    "flv_instant_p50_ms",
                    "flv_instant_p95_ms",
                    "flv_instant_max_ms",
                ],
            ),
        ] {
            let setting = format!("mount_defaults.latency={class}");
            let stage = stand.stage(BITS, true, &[&setting])?;
            view(stand, board, round, &stage, class, keys)?;
            board.note("source_late_ms", stage.end()?);
        }
    }
    Ok(())
}

/// HTTP-FLV for the window.
fn view(
    stand: &Stand<'_>,
    board: &mut Board,
    round: usize,
    stage: &Stage,
    class: &str,
    keys: [&'static str; 3],
) -> io::Result<()> {
    let player = Player::start(&stage.target(".flv"), stage.film)?;
    sleep_until(now_ns() + stand.settings.window_ms * MS_NS);
    let seen = player
        .stop()
        .map_err(|error| stage.server.explain(&error))?;
    let ms = |share| seen.age_us.value_at_quantile(share) as f64 / 1e3;
    let figures = [ms(0.5), ms(0.95), ms(1.0)];
    for (key, figure) in keys.into_iter().zip(figures) {
        board.note(key, figure);
    }
    board.note("wrong", seen.faults() as f64);
    let [p50, p95, max] = figures;
    eprintln!(
        "round {} {class:<7} {} units, p50 {p50:.1}, p95 {p95:.1}, max {max:.1} ms",
        round + 1,
        seen.units
    );
    Ok(())
}

/// LL-HLS for the window.
fn hls(stand: &Stand<'_>, board: &mut Board, stage: &Stage) -> io::Result<()> {
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let mut client = Client::new(&watched.target);
    let mut list = watched.now(&mut client)?;
    let control = list.control.as_ref();
    let hold_back_us = control.and_then(|control| control.part_hold_back_us);
    let hold_back_us = hold_back_us.ok_or_else(|| fault("no PART-HOLD-BACK"))?;
    let hold_back_ms = hold_back_us as f64 / 1e3;
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    let end_ns = now_ns() + stand.settings.window_ms * MS_NS;
    while now_ns() < end_ns {
        let answer = good(client.get(&watched.path_after(list.edge()))?)?;
        list = crate::hls::playlist::Playlist::parse(&answer.text());
        let uri = last_part(&list).ok_or_else(|| fault("a playlist has no parts"))?;
        let part = good(client.get(&watched.resolve(uri))?)?;
        let found = pictures(&part.body);
        let (first, last) = found.ok_or_else(|| fault("a part has no pictures"))?;
        firsts.push(part.done_ns.saturating_sub(first.sent_ns));
        lasts.push(part.done_ns.saturating_sub(last.sent_ns));
    }
    let last_p95_ms = quantile_ms(&mut lasts, 0.95)?;
    board.note("hls_first_p95_ms", quantile_ms(&mut firsts, 0.95)?);
    board.note("hls_last_p50_ms", quantile_ms(&mut lasts, 0.5)?);
    board.note("hls_last_p95_ms", last_p95_ms);
    board.note("hls_hold_back_ms", hold_back_ms);
    board.note("hls_player_ms", hold_back_ms + last_p95_ms);
    Ok(())
}
