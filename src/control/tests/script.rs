//! A script of an operator: an HTTP server of our own, well behaved or not. The tests that run the
//! whole program use it too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the script does with a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Says these bytes and closes.
    Says(&'static str),
    /// Says nothing for as long as the test lasts.
    Hangs,
    /// Says header lines without end.
    Babbles,
    /// Closes at once.
    Closes,
    /// Resets the connection.
    Resets,
}

/// One call as the script got it.
#[derive(Debug)]
pub(crate) struct Call {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body as it came.
    pub(crate) body: String,
}

impl Call {
    /// A field of the form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut form = form_urlencoded::parse(self.body.as_bytes());
        let (_, value) = form.find(|(key, _)| key == name)?;
        Some(value.into_owned())
    }
}

/// A running script.
pub(crate) struct Script {
    address: SocketAddr,
    calls: Receiver<Call>,
}

impl Script {
    /// Starts one that answers each call as `manner` says of it.
    pub(crate) fn start(manner: impl Fn(&Call) -> Manner + Send + Sync + 'static) -> Self {
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

    /// The URL of `path` on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next call.
    pub(crate) fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }

    /// The next call, if it comes within `wait`.
    pub(crate) fn call_within(&self, wait: Duration) -> Option<Call> {
        self.calls.recv_timeout(wait).ok()
    }

    /// Whether nobody calls within `wait`.
    pub(crate) fn is_quiet(&self, wait: Duration) -> bool {
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
        Manner::Resets => {
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        }
    }
}
