//! The player's page in Chromium, in every way that it can play.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{publish, wait_tracks};
use crate::harness::chromium::{ANSWER_LIMIT, Browser};
use crate::harness::{Backend, Server, fixture, wait_for};

/// What the page says of its player.
const SEEN: &str = "(() => { const page = window.corecast; return { ms: performance.now(), \
     position: page ? page.video.currentTime : 0, stats: page ? page.stats() : null, \
     error: page && page.video.error ? page.video.error.message : null, \
     notice: document.getElementById('notice')?.innerText ?? '', href: location.href }; })()";

/// From the start of the navigation to moving pictures, of which one load must be in time: other
/// tests have the machine too.
const START_MS_MAX: f64 = 3_000.0;
const LOADS: usize = 3;

/// How far behind the source the player may be; what the page says of itself.
const LATENCY_S_MAX: f64 = 1.5;
const CATCH_UP_MAX: Duration = Duration::from_secs(12);

#[test]
fn the_player_plays_in_every_way_within_three_seconds() {
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let server = Server::start(Backend::IoUring, &[]);
    let _source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let mut browser = Browser::start();
    for way in ["hls", "flv", "ts", "ws"] {
        let url = server.url(&format!("/watch/live/cam?way={way}"));
        let mut times = Vec::new();
        while times.len() < LOADS && times.iter().all(|ms| *ms > START_MS_MAX) {
            times.push(load(&mut browser, &url));
        }
        eprintln!("{way}: pictures after {times:.0?} ms");
        assert!(
            times.iter().any(|ms| *ms <= START_MS_MAX),
            "{way}: {times:?} ms"
        );
        let before = browser.evaluate(SEEN);
        std::thread::sleep(Duration::from_secs(3));
        let after = browser.evaluate(SEEN);
        let played = number(&after["position"]) - number(&before["position"]);
        assert!(played > 2.0, "{way}: {played} s in 3 s: {after}");
        assert_eq!(after["error"], Value::Null, "{way}");
        let stats = &after["stats"];
        assert_eq!((&stats["width"], &stats["way"]), (&json!(320), &json!(way)));
        eprintln!("{way}: {} frames dropped", stats["dropped"]);
        // Who was late at first, on a machine that compiles beside the test, catches up.
        let what = format!("{way} is at most {LATENCY_S_MAX} s behind");
        let latency = wait_for(&what, CATCH_UP_MAX, || {
            let latency = number(&browser.evaluate(SEEN)["stats"]["latency"]);
            (latency <= LATENCY_S_MAX).then_some(latency)
        });
        eprintln!("{way}: {latency:.2} s behind");
    }
    let viewers = server
        .mount("/live/cam")
        .map(|report| report["viewers"].clone());
    assert_eq!(viewers, Some(json!(1)), "by its requests for playlists");
}

/// How long the page is watched while nothing is on air: some of its looks for the source.
const SILENCE: Duration = Duration::from_secs(5);

#[test]
fn the_page_shows_nothing_twice_and_goes_on_when_a_source_is_back() {
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let server = Server::start(Backend::Epoll, &["mount_defaults.source_timeout_ms=500"]);
    let source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let mut browser = Browser::start();
    load(&mut browser, &server.url("/watch/live/cam?way=hls"));
    let position = |browser: &mut Browser| number(&browser.evaluate(SEEN)["position"]);
    wait_for("there is something to repeat", ANSWER_LIMIT, || {
        (position(&mut browser) > 3.0).then_some(())
    });
    drop(source);
    wait_for("the page says that it is gone", ANSWER_LIMIT, || {
        let seen = browser.evaluate(SEEN);
        let is_told = seen["notice"] == "Nothing is on air here now.";
        (is_told && seen["position"] == 0).then_some(())
    });
    let began = Instant::now();
    while began.elapsed() < SILENCE {
        assert_eq!(position(&mut browser), 0.0);
        std::thread::sleep(Duration::from_millis(50));
    }
    let _source = publish(&server, &film, "/live/cam");
    wait_for("it plays what is new", ANSWER_LIMIT, || {
        let seen = browser.evaluate(SEEN);
        (number(&seen["position"]) > 0.0 && seen["notice"] == "").then_some(())
    });
}

/// Loads `url`; answers how long after the navigation began pictures moved.
fn load(browser: &mut Browser, url: &str) -> f64 {
    browser.call("Page.navigate", json!({ "url": url }));
    let began = Instant::now();
    loop {
        let seen = browser.evaluate(SEEN);
        if seen["href"] == url && number(&seen["position"]) > 0.0 {
            return number(&seen["ms"]);
        }
        assert!(began.elapsed() < ANSWER_LIMIT, "no pictures: {seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
