//! Chromium, driven through its DevTools pipe: JSON messages that end in NUL on descriptors 3 and
//! 4.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scratch, program};

/// How long Chromium may take for one answer, on a machine that compiles beside the test.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A Chromium without a window. Dropped, it is killed.
pub(crate) struct Browser {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    _profile: Scratch,
}

impl Browser {
    /// Starts one with an empty page.
    pub(crate) fn start() -> Self {
        Browser::start_with(&[])
    }

    /// As [`Browser::start`], with more arguments.
    pub(crate) fn start_with(arguments: &[String]) -> Self {
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
        command.args(arguments);
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
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
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
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
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
