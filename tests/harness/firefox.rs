//! Firefox, driven through Marionette: JSON messages behind their length, on a port that it writes
//! down in its profile.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::desktop::SoundCard;
use super::{Client, Scratch, http, program, wait_for};

/// How long Firefox may take for one answer, on a machine that compiles beside the test.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

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

/// A Firefox without a window. Dropped, it is killed.
pub(crate) struct Firefox {
    marionette: TcpStream,
    last_id: u64,
    _client: Client,
    _profile: Scratch,
}

impl Firefox {
    /// Starts one with an empty page; its sound goes to `card`.
    pub(crate) fn start(card: &SoundCard) -> Self {
        Firefox::start_with(card, "")
    }

    /// As [`Firefox::start`], with more preferences; it trusts every certificate.
    pub(crate) fn start_with(card: &SoundCard, preferences: &str) -> Self {
        let profile = Scratch::new("firefox");
        let preferences = format!("{PREFERENCES}{preferences}");
        fs::write(profile.file("user.js"), preferences).expect("a scratch folder takes files");
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
        let session = json!({"acceptInsecureCerts": true});
        firefox.call("WebDriver:NewSession", session);
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
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let arguments = json!({"script": script, "args": []});
        self.call("WebDriver:ExecuteScript", arguments)["value"].take()
    }

    /// Goes to `url`; gives back once the page is loaded.
    pub(crate) fn navigate(&mut self, url: &str) {
        self.call("WebDriver:Navigate", json!({ "url": url }));
    }
}
