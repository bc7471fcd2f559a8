//! Chromium plays the page at `/?play=/mount`, driven through its DevTools pipe: JSON messages that
//! end in NUL on descriptors 3 and 4.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Backend, Scratch, Server, Station, fixture, program, station};

super::on_both_backends!(the_page_plays_within_two_seconds);

/// How long Chromium may take for one answer, on a machine that compiles beside the test.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
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

/// A Chromium without a window. Dropped, it is killed.
struct Browser {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    _profile: Scratch,
}

impl Browser {
    fn start() -> Self {
        let profile = Scratch::new("chromium");
        let chromium = program("chromium").get_program().to_owned();
        // The shell turns stdin and stdout into the descriptors of the pipe.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"]);
        command.arg(chromium);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--mute-audio",
            "--autoplay-policy=no-user-gesture-required",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let requests = child.stdin.take().expect("it was asked for");
        let stdout = child.stdout.take().expect("it was asked for");
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            for message in messages(stdout) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            requests,
            answers,
            last_id: 0,
            session: None,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Calls a method of the DevTools protocol; answers its result.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = Value::from(session.as_str());
        }
        let text = format!("{request}\0");
        let sent = self.requests.write_all(text.as_bytes());
        sent.expect("Chromium takes requests");
        loop {
            let mut answer = self
                .answers
                .recv_timeout(ANSWER_LIMIT)
                .unwrap_or_else(|error| panic!("Chromium does not answer {method}: {error}"));
            if answer["id"] == id {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
        }
    }

    /// The value of `expression` in the page.
    fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// Loads `url`; answers how long after the navigation began the player played, and what the
    /// page looked like then.
    fn load_and_play(&mut self, url: &str) -> (f64, Value) {
        self.call("Page.navigate", json!({ "url": url }));
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

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The messages on the pipe, until it ends.
fn messages(mut pipe: ChildStdout) -> impl Iterator<Item = Value> {
    let mut pending = Vec::new();
    let mut piece = vec![0; 65_536];
    std::iter::from_fn(move || {
        loop {
            if let Some(end) = pending.iter().position(|byte| *byte == 0) {
                let rest = pending.split_off(end + 1);
                let message = std::mem::replace(&mut pending, rest);
                let message = serde_json::from_slice(message.get(..end)?);
                return Some(message.expect("the protocol is JSON"));
            }
            match pipe.read(&mut piece) {
                Ok(n @ 1..) => pending.extend_from_slice(&piece[..n]),
                _ => return None,
            }
        }
    })
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
            let (ms, seen) = browser.load_and_play(&url);
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
