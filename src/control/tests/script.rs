//! A script of an operator: an HTTP server of our own, well behaved or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use crate::form::Form;

/// What the script does with a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// Says these bytes and closes.
    Says(&'static str),
    /// Says nothing for as long as the test lasts.
    Hangs,
    /// Says header lines without end.
    Babbles,
    /// Closes at once.
    Closes,
}

/// One call as the script got it.
#[derive(Debug)]
pub(super) struct Call {
    /// Request line and headers.
    pub(super) head: String,
    /// The body as it came.
    pub(super) body: String,
}

impl Call {
    /// A field of the form.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let form = Form::parse(self.body.as_bytes());
        form.text(name).map(|text| text.into_owned())
    }
}

/// A running script.
pub(super) struct Script {
    address: SocketAddr,
    calls: Receiver<Call>,
}

impl Script {
    /// Starts one that answers each call as `manner` says of it.
    pub(super) fn start(manner: impl Fn(&Call) -> Manner + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, calls) = channel();
        let manner = std::sync::Arc::new(manner);
        // It ends with the test's process; a test waits for no script.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, manner) = (sender.clone(), manner.clone());
                thread::spawn(move || serve(stream, &sender, &*manner));
            }
        });
        Script { address, calls }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next call.
    pub(super) fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }

    /// The next call, if it comes within `wait`.
    pub(super) fn call_within(&self, wait: Duration) -> Option<Call> {
        self.calls.recv_timeout(wait).ok()
    }

    /// Whether nobody calls within `wait`.
    pub(super) fn is_quiet(&self, wait: Duration) -> bool {
        self.call_within(wait).is_none()
    }
}

fn serve(mut stream: TcpStream, calls: &Sender<Call>, manner: &dyn Fn(&Call) -> Manner) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if !matches!(reader.read_line(&mut head), Ok(1..)) {
            return;
        }
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body = String::from_utf8(body).expect("a form is ASCII");
    let call = Call { head, body };
    let manner = manner(&call);
    let _ = calls.send(call);
    match manner {
        Manner::Says(answer) => {
            let _ = stream.write_all(answer.as_bytes());
        }
        Manner::Hangs => thread::sleep(PATIENCE),
        Manner::Babbles => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"x-more: and more\r\n").is_ok() {}
        }
        Manner::Closes => {}
    }
}
