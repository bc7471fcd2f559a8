//! Firefox plays the page at `/?play=/mount`, driven through Marionette: JSON messages behind their
//! length, on a port that it writes down in its profile.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::{SEEN, SOUND_MS_MAX};
use super::harness::desktop::SoundCard;
use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, Client, Scratch, Server, Station};
use super::harness::{fixture, http, program, wait_for};

/// How long Firefox may take for one answer, on a machine that compiles beside the test.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Loads of the page of which one must be in time: other tests have the machine too.
const LOADS: usize = 4;

/// What keeps it from asking people, and from asking the network for anything.
const PREFERENCES: &str = r#"
user_pref("marionette.port", 0);
user_pref("media.autoplay.default", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.server", "data:,");
"#;

/// A Firefox without a window.
struct Firefox {
    marionette: TcpStream,
    last_id: u64,
    _client: Client,
    _profile: Scratch,
}

impl Firefox {
    fn start(card: &SoundCard) -> Self {
        let profile = Scratch::new("firefox");
        fs::write(profile.file("user.js"), PREFERENCES).expect("a scratch folder takes files");
        let mut command = program("firefox-esr");
        command.args(["--headless", "--marionette", "--no-remote", "--profile"]);
        let client = Client::spawn(card.lend(command.arg(profile.path())));
        let port: u16 = wait_for("Firefox says its port", ANSWER_LIMIT, || {
            let text = fs::read_to_string(profile.file("MarionetteActivePort")).ok()?;
            text.trim().parse().ok()
        });
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let marionette = http::connect(address).expect("Firefox takes connections");
        let limit = marionette.set_read_timeout(Some(ANSWER_LIMIT));
        limit.expect("never zero");
        let mut firefox = Firefox {
            marionette,
            last_id: 0,
            _client: client,
            _profile: profile,
        };
        assert_eq!(firefox.read()["marionetteProtocol"], 3);
        firefox.call("WebDriver:NewSession", json!({}));
        firefox
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut byte = [0];
            let read = self.marionette.read_exact(&mut byte);
            read.expect("Firefox answers in time");
            match byte[0] {
                b':' => break,
                digit => length = length * 10 + u64::from(digit - b'0'),
            }
        }
        let mut message = Vec::new();
        let read = (&self.marionette).take(length).read_to_end(&mut message);
        read.expect("Firefox answers in time");
        serde_json::from_slice(&message).expect("the protocol is JSON")
    }

    /// Calls a command of Marionette; answers its result.
    fn call(&mut self, command: &str, arguments: Value) -> Value {
        self.last_id += 1;
        let message = json!([0, self.last_id, command, arguments]).to_string();
        let message = format!("{}:{message}", message.len());
        let sent = self.marionette.write_all(message.as_bytes());
        sent.expect("Firefox takes commands");
        let mut answer = self.read();
        assert_eq!(answer[1], self.last_id, "{command}: {answer}");
        assert_eq!(answer[2], Value::Null, "{command}");
        answer[3].take()
    }

    /// The value of `expression` in the page.
    fn evaluate(&mut self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let arguments = json!({"script": script, "args": []});
        self.call("WebDriver:ExecuteScript", arguments)["value"].take()
    }

    /// Loads `url`; answers how long after the navigation began the player played, and what the
    /// page looked like then.
    fn load_and_play(&mut self, url: &str) -> (f64, Value) {
        self.call("WebDriver:Navigate", json!({ "url": url }));
        let began = Instant::now();
        loop {
            let seen = self.evaluate(SEEN);
            if seen["href"] == url && seen["position"].as_f64().is_some_and(|at| at > 0.0) {
                let ms = seen["ms"].as_f64().expect("a clock is a number");
                return (ms, seen);
            }
            assert!(began.elapsed() < ANSWER_LIMIT, "no sound: {seen}");
            std::thread::sleep(Duration::from_millis(20));
        }
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
            let (ms, seen) = firefox.load_and_play(&url);
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
