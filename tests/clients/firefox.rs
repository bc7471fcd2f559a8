//! Firefox plays the page at `/?play=/mount`.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::browser::{SEEN, SOUND_MS_MAX};
use super::harness::desktop::SoundCard;
use super::harness::firefox::{ANSWER_LIMIT, Firefox};
use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, Client, Server, Station};
use super::harness::{fixture, program, wait_for};

/// Loads of the page of which one must be in time: other tests have the machine too.
const LOADS: usize = 4;

/// Loads `url`; answers how long after the navigation began the player played, and what the
/// page looked like then.
fn load_and_play(firefox: &mut Firefox, url: &str) -> (f64, Value) {
    firefox.navigate(url);
    let began = Instant::now();
    loop {
        let seen = firefox.evaluate(SEEN);
        if seen["href"] == url && seen["position"].as_f64().is_some_and(|at| at > 0.0) {
            let ms = seen["ms"].as_f64().expect("a clock is a number");
            return (ms, seen);
        }
        assert!(began.elapsed() < ANSWER_LIMIT, "no sound: {seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_page_plays_in_firefox() {
    let server = Server::start(Backend::IoUring, &[]);
    let _mp3 = Station::play(&server, "/live.mp3");
    let mut command = program("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-re", "-i"]);
    command.arg(fixture::opus(60));
    command.args("-c copy -content_type audio/ogg -f ogg".split(' '));
    let address = server.address();
    command.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}/live.opus"
    ));
    let _opus = Client::spawn(&mut command);
    let card = SoundCard::start();
    let mut firefox = Firefox::start(&card);
    server.wait_live("/live.opus");
    server.set_title("/live.mp3", "Ada – Première".as_bytes());

    for (mount, text) in [("/live.mp3", "Ada – Première"), ("/live.opus", "Opus")] {
        let url = server.url(&format!("/?play={mount}"));
        let mut times = Vec::new();
        while times.len() < LOADS && times.iter().all(|ms| *ms > SOUND_MS_MAX) {
            let (ms, seen) = load_and_play(&mut firefox, &url);
            let shown = seen["text"].as_str().unwrap_or_default();
            assert!(shown.contains(text), "{seen}");
            times.push(ms);
        }
        eprintln!("{mount}: sound after {times:.0?} ms");
        assert!(
            times.iter().any(|ms| *ms <= SOUND_MS_MAX),
            "{mount}: {times:?} ms"
        );
        // Its clock stands still until its buffers are full.
        wait_for("Firefox plays on", ANSWER_LIMIT, || {
            let position = firefox.evaluate("document.querySelector('audio').currentTime");
            (position.as_f64()? > 3.0).then_some(())
        });
        let error = firefox.evaluate("String(document.querySelector('audio').error)");
        assert_eq!(error, "null", "{mount}");
    }
}
