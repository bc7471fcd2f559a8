//! Chromium plays the page at `/?play=/mount`.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::chromium::{ANSWER_LIMIT, Browser};
use super::harness::{Backend, Server, Station, fixture, station};

super::on_both_backends!(the_page_plays_within_two_seconds);

/// From the start of the navigation to sound; what the page says of itself.
pub(super) const SOUND_MS_MAX: f64 = 2_000.0;
/// What a page looks like, as an expression in it.
pub(super) const SEEN: &str = "(() => { const audio = document.querySelector('audio'); return { \
     href: location.href, ms: performance.now(), \
     position: audio ? audio.currentTime : 0, \
     error: audio && audio.error ? audio.error.message : null, \
     title: document.title, text: document.body ? document.body.innerText : '' }; })()";
/// Loads of the page of which one must be in time: other tests have the machine too.
const LOADS: usize = 4;

/// Loads `url`; answers how long after the navigation began the player played, and what the
/// page looked like then.
fn load_and_play(browser: &mut Browser, url: &str) -> (f64, Value) {
    browser.call("Page.navigate", json!({ "url": url }));
    let began = Instant::now();
    loop {
        let seen = browser.evaluate(SEEN);
        if seen["href"] == url && seen["position"].as_f64().is_some_and(|at| at > 0.0) {
            let ms = seen["ms"].as_f64().expect("a clock is a number");
            return (ms, seen);
        }
        assert!(began.elapsed() < ANSWER_LIMIT, "no sound: {seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn the_page_plays_within_two_seconds(backend: Backend) {
    // The defaults, with their latency of a second.
    let server = Server::start(backend, &[]);
    let _mp3 = Station::play(&server, "/live.mp3");
    let vorbis = std::fs::read(fixture::vorbis(20, "Ada", "One")).expect("the fixture stays");
    let headers = "Content-Type: application/ogg\r\n";
    let (mut ogg, answer) = station::open(server.address(), "/live.ogg", headers);
    assert_eq!(answer.status, 200);
    ogg.write_all(&vorbis).expect("the server takes pages");
    let mut browser = Browser::start();
    server.wait_live("/live.mp3");
    server.set_title("/live.mp3", "Ada – Première".as_bytes());
    // Until there is a whole burst.
    std::thread::sleep(Duration::from_secs(2));

    for (mount, title) in [("/live.mp3", "Ada – Première"), ("/live.ogg", "Ada - One")] {
        let url = server.url(&format!("/?play={mount}"));
        let mut times = Vec::new();
        while times.len() < LOADS && times.iter().all(|ms| *ms > SOUND_MS_MAX) {
            let (ms, seen) = load_and_play(&mut browser, &url);
            let text = seen["text"].as_str().unwrap_or_default();
            assert!(text.contains(title), "{seen}");
            times.push(ms);
        }
        eprintln!("{mount}: sound after {times:.0?} ms");
        assert!(
            times.iter().any(|ms| *ms <= SOUND_MS_MAX),
            "{mount}: {times:?} ms"
        );
        // It goes on.
        let before = browser.evaluate("document.querySelector('audio').currentTime");
        std::thread::sleep(Duration::from_secs(1));
        let after = browser.evaluate("document.querySelector('audio').currentTime");
        let heard = after.as_f64().unwrap_or_default() - before.as_f64().unwrap_or_default();
        assert!(heard > 0.5, "{mount}: {heard} s of sound in a second");
        let error = browser.evaluate("String(document.querySelector('audio').error)");
        assert_eq!(error, "null", "{mount}");
    }
}
