//! Players of HLS in browsers, for as long as it takes to see whether they keep up: hls.js by our
//! page and Shaka, in Firefox and Chromium, and the radio in all its codings.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{publish, wait_tracks};
use crate::harness::chromium::{ANSWER_LIMIT, Browser};
use crate::harness::client::script_of_npm;
use crate::harness::desktop::SoundCard;
use crate::harness::firefox::Firefox;
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Server, Station, fixture, program, wait_for};

/// What the page says of hls.js, whose errors are noted from the first look on.
pub(crate) const HLS: &str = "(() => { const page = window.corecast; \
    const hls = page?.player?.hls; \
     if (hls && hls.faults === undefined) { hls.faults = []; \
         hls.on('hlsError', (_, error) => hls.faults.push(error.details)); } \
     const list = hls?.latestLevelDetails; \
     return { ms: performance.now(), position: page?.video.currentTime ?? 0, \
         blocks: list?.canBlockReload ?? false, \
         latency: hls?.latency ?? null, allowed: (list?.partHoldBack ?? 0) + 1.0, \
         faults: hls?.faults ?? [], broken: page?.video.error?.message ?? null, \
         sound: page?.video.webkitAudioDecodedByteCount ?? null, href: location.href }; })()";

/// As [`HLS`], of a Shaka that [`start_shaka`] began.
const SHAKA: &str = "(() => { const { player, video, faults } = window.shown ?? {}; \
     const stats = player?.getStats() ?? {}; \
     return { ms: performance.now(), position: video?.currentTime ?? 0, \
         blocks: true, latency: stats.liveLatency ?? null, allowed: 1.6, \
         faults: faults ?? [], broken: video?.error?.message ?? null, href: location.href }; })()";

/// How many seconds a player is watched, where [`SECONDS`] does not say another number.
const WATCHED_S: u32 = 10;

/// The variable by which `./x load players` asks for a longer look.
const SECONDS: &str = "CORECAST_PLAYERS_S";

/// Who was held up may go faster than the clock.
const PACE_MAX: f64 = 1.15;

/// Looks of which one must be without fault: other tests have the machine too.
const LOOKS: usize = 4;

fn watched_s() -> u32 {
    let asked = std::env::var(SECONDS).ok();
    asked.map_or(WATCHED_S, |text| {
        text.parse().expect("seconds are a number")
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

/// Watches a player that plays by `see`; answers what is wrong with it.
pub(crate) fn watch(mut see: impl FnMut() -> Value, what: &str) -> Option<String> {
    let began = Instant::now();
    while number(&see()["position"]) <= 0.0 {
        if began.elapsed() > ANSWER_LIMIT {
            return Some(format!("{what} does not play: {}", see()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // Its place is its own choice in the first moments.
    std::thread::sleep(Duration::from_secs(2));
    let before = see();
    std::thread::sleep(Duration::from_secs(watched_s().into()));
    let after = see();
    let passed = |name: &str| number(&after[name]) - number(&before[name]);
    let pace = passed("position") * 1_000.0 / passed("ms");
    eprintln!(
        "{what}: pace {pace:.3}, {:.2} s behind",
        number(&after["latency"])
    );
    let is_good = (0.95..=PACE_MAX).contains(&pace)
        && after["blocks"] == true
        && after["faults"] == json!([])
        && after["broken"] == Value::Null
        && number(&after["latency"]) > 0.0
        && number(&after["latency"]) <= number(&after["allowed"]);
    (!is_good).then(|| format!("{what}: pace {pace:.3}, {after}"))
}

/// Looks until one look is good; `load` begins again.
pub(crate) fn assert_keeps_up(what: &str, mut look: impl FnMut() -> Option<String>) {
    let mut faults = Vec::new();
    while faults.len() < LOOKS {
        match look() {
            None => return,
            Some(fault) => {
                eprintln!("{fault}");
                faults.push(fault);
            }
        }
    }
    panic!("{what}: {faults:#?}");
}

pub(crate) fn start_film(server: &Server) -> Client {
    // Long enough for every look.
    let seconds = watched_s().saturating_sub(WATCHED_S) * 3 + 90;
    let film = fixture::film("player.flv", seconds, &["-g", "30", "-bf", "0"]);
    let source = publish(server, &film, "/live/cam");
    wait_tracks(server, "/live/cam", 2);
    source
}

#[test]
fn hls_js_keeps_up_in_firefox() {
    let server = Server::start(Backend::IoUring, &[]);
    let _source = start_film(&server);
    let card = SoundCard::start();
    let mut firefox = Firefox::start(&card);
    let url = server.url("/watch/live/cam?way=hls");
    assert_keeps_up("hls.js in Firefox", || {
        firefox.navigate(&url);
        watch(|| firefox.evaluate(HLS), "hls.js in Firefox")
    });
}

#[test]
fn hls_js_keeps_up_in_chromium() {
    let server = Server::start(Backend::Epoll, &[]);
    let _source = start_film(&server);
    let mut browser = Browser::start();
    let url = server.url("/watch/live/cam?way=hls");
    assert_keeps_up("hls.js in Chromium", || {
        browser.call("Page.navigate", json!({ "url": url }));
        watch(|| browser.evaluate(HLS), "hls.js in Chromium")
    });
}

/// Goes to `page` and waits until it is there.
fn open(browser: &mut Browser, page: &str) {
    browser.call("Page.navigate", json!({ "url": page }));
    wait_for("the page is there", ANSWER_LIMIT, || {
        (browser.evaluate("location.href + document.readyState") == format!("{page}complete"))
            .then_some(())
    });
}

/// Begins a Shaka on the empty page of the server that is open. Held up once, it would by itself
/// play slower than the clock for a minute.
fn start_shaka(mut evaluate: impl FnMut(&str) -> Value, list: &str) {
    let script = std::fs::read_to_string(script_of_npm("shaka-player.compiled.js"));
    let script = Value::from(script.expect("it was just there"));
    let add = "(() => { const script = document.createElement('script'); \
        script.textContent = TEXT; \
         document.body.append(script); return 0; })()";
    evaluate(&add.replace("TEXT", &script.to_string()));
    let begin = "(() => { const video = document.createElement('video'); video.muted = true; \
         document.body.append(video); shaka.polyfill.installAll(); \
         const player = new shaka.Player(); const faults = []; \
         const note = (fault) => faults.push(String(fault.detail?.code ?? fault.stack ?? fault)); \
         player.addEventListener('error', note); \
         const liveSync = { enabled: true, panicMode: false, minPlaybackRate: 1 }; \
         player.configure({ streaming: { lowLatencyMode: true, liveSync } }); \
         window.shown = { player, video, faults }; \
         player.attach(video).then(() => player.load('LIST')) \
             .then(() => video.play()).catch(note); \
         })()";
    evaluate(&begin.replace("LIST", list));
}

#[test]
fn shaka_plays_dash_in_chromium() {
    let server = Server::start(Backend::Epoll, &["mount_defaults.hls_segment_ms=1000"]);
    let _source = start_film(&server);
    let answer = wait_for("there are four segments", ANSWER_LIMIT, || {
        let answer = server.get("/live/cam.mpd");
        let list = server.get("/live/cam/hls/v0.m3u8").text();
        (list.matches("#EXTINF:").count() >= 4).then_some(answer)
    });
    assert_eq!(answer.header("content-type"), Some("application/dash+xml"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let mut browser = Browser::start();
    let (page, manifest) = (server.url("/health"), server.url("/live/cam.mpd"));
    open(&mut browser, &page);
    start_shaka(|script| browser.evaluate(script), &manifest);
    wait_for("ten seconds are played", ANSWER_LIMIT, || {
        let seen = browser.evaluate(SHAKA);
        assert_eq!(seen["faults"], json!([]), "{seen}");
        (number(&seen["ms"]) > 0.0 && played_s(&mut browser) >= 10.0).then_some(())
    });
}

/// How much of what [`start_shaka`] began was shown.
fn played_s(browser: &mut Browser) -> f64 {
    let played = "(() => { const { video } = window.shown ?? {}; let sum = 0; \
         const played = video?.played ?? []; \
         for (let at = 0; at < played.length; at++) sum += played.end(at) - played.start(at); \
         return sum; })()";
    number(&browser.evaluate(played))
}

/// It looks into four whole segments of a list, and falls over one that has fewer.
fn wait_four_segments(server: &Server) {
    wait_for("there are four segments", ANSWER_LIMIT, || {
        let list = server.get("/live/cam/hls/v0.m3u8").text();
        (list.matches("#EXTINF:").count() >= 4).then_some(())
    });
}

#[test]
fn shaka_keeps_up_in_firefox() {
    let server = Server::start(Backend::Epoll, &["mount_defaults.hls_segment_ms=1000"]);
    let _source = start_film(&server);
    wait_four_segments(&server);
    let card = SoundCard::start();
    let mut firefox = Firefox::start(&card);
    let (page, list) = (server.url("/health"), server.url("/live/cam.m3u8"));
    assert_keeps_up("Shaka in Firefox", || {
        firefox.navigate(&page);
        start_shaka(|script| firefox.evaluate(script), &list);
        watch(|| firefox.evaluate(SHAKA), "Shaka in Firefox")
    });
}

#[test]
fn shaka_keeps_up_in_chromium() {
    let server = Server::start(Backend::IoUring, &["mount_defaults.hls_segment_ms=1000"]);
    let _source = start_film(&server);
    wait_four_segments(&server);
    let mut browser = Browser::start();
    let (page, list) = (server.url("/health"), server.url("/live/cam.m3u8"));
    assert_keeps_up("Shaka", || {
        open(&mut browser, &page);
        start_shaka(|script| browser.evaluate(script), &list);
        watch(|| browser.evaluate(SHAKA), "Shaka")
    });
}

/// A file played to `mount` at its own pace, as `content_type`.
fn play(server: &Server, mount: &str, file: &std::path::Path, to: &str) -> Client {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-v", "error", "-re", "-i"])
        .arg(file);
    ffmpeg.args(["-c", "copy"]).args(to.split(' '));
    let address = server.address();
    ffmpeg.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}{mount}"
    ));
    Client::spawn(&mut ffmpeg)
}

#[test]
fn the_radio_plays_as_hls_in_every_coding() {
    let server = Server::start(Backend::IoUring, &[]);
    let ogg = "-content_type audio/ogg -f ogg";
    let _mp3 = Station::play(&server, "/live.mp3");
    let _sources = [
        play(
            &server,
            "/live.aac",
            &fixture::adts(60),
            "-content_type audio/aac -f adts",
        ),
        play(&server, "/live.opus", &fixture::opus(60), ogg),
        play(&server, "/live.flac", &fixture::flac(60), ogg),
    ];
    let mut browser = Browser::start();
    for (mount, codec) in [
        ("/live.aac", "mp4a.40.2"),
        ("/live.mp3", "mp4a.40.34"),
        ("/live.opus", "Opus"),
        ("/live.flac", "fLaC"),
    ] {
        server.wait_live(mount);
        let url = server.url(&format!("/watch{mount}?way=hls"));
        browser.call("Page.navigate", json!({ "url": url }));
        wait_for(&format!("{mount} is heard"), ANSWER_LIMIT, || {
            let seen = browser.evaluate(HLS);
            let is_heard = number(&seen["position"]) > 2.0 && number(&seen["sound"]) > 0.0;
            (seen["href"] == url && is_heard).then_some(())
        });
        let seen = browser.evaluate(HLS);
        assert_eq!(seen["faults"], json!([]), "{mount}");
        assert_eq!(seen["broken"], Value::Null, "{mount}");
        let list = server.get(&format!("{mount}.m3u8")).text();
        assert!(
            list.contains(&format!("CODECS=\"{codec}\"")),
            "{mount}: {list}"
        );
    }
}
