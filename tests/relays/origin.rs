//! A server that answers every request with the same head and then plays numbered MP3 frames in
//! real time, until it is dropped. Asked for the list of its mounts it says whatever it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::harness::mpeg;

/// The head of a stream without titles.
pub(crate) const STREAM: &str = "ICY 200 OK\r\nicy-name:Far away\r\nicy-br:128\r\n\
                                 content-type:audio/mpeg\r\n\r\n";

/// Frames that a listener gets at once.
const BURST_FRAMES: u64 = 40;

pub(crate) struct Origin {
    state: Arc<State>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

/// How a request for the list of mounts begins.
const LIST_REQUEST: &str = "GET /admin/streamlist.txt ";

struct State {
    head: String,
    first_frame: u64,
    /// The whole answer to a request for the list; none hangs.
    list: Mutex<Option<Vec<u8>>>,
    stop: AtomicBool,
    requests: Mutex<Vec<String>>,
    streams: Mutex<Vec<TcpStream>>,
}

impl Origin {
    /// Answers at `address` with `head`; a stream begins with frame `first_frame`.
    pub(crate) fn serve(address: SocketAddr, head: &str, first_frame: u64) -> Self {
        let listener = TcpListener::bind(address).expect("the port is ours");
        let state = Arc::new(State {
            head: head.to_owned(),
            first_frame,
            list: Mutex::default(),
            stop: AtomicBool::new(false),
            requests: Mutex::default(),
            streams: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || {
            let mut players = Vec::new();
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&shared);
                players.push(std::thread::spawn(move || play(&state, stream)));
            }
            for player in players {
                let _ = player.join();
            }
        });
        Origin {
            state,
            address,
            acceptor: Some(acceptor),
        }
    }

    /// Answers requests for the list with `list`, which is a whole answer, from now on; with
    /// nothing it takes them and is silent.
    pub(crate) fn set_list(&self, list: Option<&[u8]>) {
        let mut kept = lock(&self.state.list);
        *kept = list.map(<[u8]>::to_vec);
    }

    /// The heads of all requests for the list so far.
    pub(crate) fn list_requests(&self) -> Vec<String> {
        let mut requests = self.requests();
        requests.retain(|request| request.starts_with(LIST_REQUEST));
        requests
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        lock(&self.state.requests).clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        for stream in lock(&self.state.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn play(state: &State, mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let shared = stream.try_clone().expect("a socket can be shared");
    lock(&state.streams).push(shared);
    let request = String::from_utf8_lossy(&request).into_owned();
    let is_list = request.starts_with(LIST_REQUEST);
    lock(&state.requests).push(request);
    if is_list {
        return tell_list(state, stream);
    }
    if stream.write_all(state.head.as_bytes()).is_err() || !state.head.contains(" 200 ") {
        return;
    }
    let began = Instant::now();
    let mut next = state.first_frame;
    while !state.stop.load(Ordering::Relaxed) {
        let played = (began.elapsed().as_secs_f64() * mpeg::FRAMES_PER_S) as u64;
        let until = state.first_frame + BURST_FRAMES + played;
        if stream.write_all(&mpeg::frames(next..until)).is_err() {
            return;
        }
        next = until;
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tell_list(state: &State, mut stream: TcpStream) {
    let list = lock(&state.list).clone();
    match list {
        Some(list) => {
            // The other side may have enough before it has all.
            let _ = stream.write_all(&list);
            let _ = stream.shutdown(Shutdown::Write);
        }
        // Until it gives up, or we are dropped.
        None => drop(stream.read(&mut [0])),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
