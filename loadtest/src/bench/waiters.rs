//! Those who wait for parts over TLS: many on each connection by HTTP/2, and one on each by
//! HTTP/1.1 and by HTTP/3. Each kind has a thread of its own.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::blocked::{Answers, Waiters, request};
use super::drain::{block_on, h2 as http2};
use super::exchange::parse_head;
use crate::clock::now_ns;
use crate::http::{Target, fault};
use crate::quic::{Pool, Wanted};
use crate::secure::{self, Stream, Tickets};

/// Time for a whole group to be answered.
const WAIT: Duration = Duration::from_secs(30);
/// Bytes of a playlist, at most.
const BODY_BYTES_MAX: usize = 64 * 1_024;

/// A group on a thread: it is told paths and tells what became of them.
pub(super) struct Remote {
    paths: Option<UnboundedSender<String>>,
    answers: mpsc::Receiver<io::Result<Answers>>,
    thread: Option<JoinHandle<()>>,
}

/// What a thread tells.
type Tell = mpsc::Sender<io::Result<Answers>>;

impl Remote {
    /// Starts a thread and waits until its connections are there.
    fn start(
        work: impl FnOnce(UnboundedReceiver<String>, &Tell) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Remote> {
        let (paths, told) = unbounded_channel();
        let (tell, answers) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            if let Err(error) = work(told, &tell) {
                // Nobody listens when the measurement has failed already.
                let _ = tell.send(Err(error));
            }
        });
        let mut remote = Remote {
            paths: Some(paths),
            answers,
            thread: Some(thread),
        };
        remote.answers()?;
        Ok(remote)
    }

    /// So many connections by HTTP/2 over TLS, on each of them so many.
    pub(super) fn http2(target: &Target, connections: u32, each: u32) -> io::Result<Remote> {
        let target = target.clone();
        Remote::start(move |paths, tell| {
            block_on(wait_http2(target, connections, each, paths, tell))
        })
    }

    /// So many connections by HTTP/1.1 over TLS.
    pub(super) fn http1(target: &Target, connections: u32) -> io::Result<Remote> {
        let target = target.clone();
        Remote::start(move |paths, tell| block_on(wait_http1(target, connections, paths, tell)))
    }

    /// So many connections by HTTP/3.
    pub(super) fn http3(target: &Target, connections: u32) -> io::Result<Remote> {
        let target = target.clone();
        Remote::start(move |paths, tell| wait_http3(&target, connections, paths, tell))
    }
}

impl Waiters for Remote {
    fn ask(&mut self, path: &str) -> io::Result<()> {
        let paths = self.paths.as_ref().ok_or_else(|| fault("it has ended"))?;
        // If the thread has ended, it has told why.
        let _ = paths.send(path.to_owned());
        Ok(())
    }

    fn answers(&mut self) -> io::Result<Answers> {
        let told = self.answers.recv_timeout(WAIT);
        told.map_err(|_| fault("requests are not answered"))?
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It ends when nobody tells it paths any more.
        self.paths = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One answer: asked, there, and its body.
type Timed = (u64, u64, Vec<u8>);

async fn wait_http2(
    target: Target,
    connections: u32,
    each: u32,
    mut paths: UnboundedReceiver<String>,
    tell: &Tell,
) -> io::Result<()> {
    let config = Arc::new(secure::client_config(
        b"h2",
        &Arc::new(Tickets::new(false)),
    )?);
    let mut senders = Vec::new();
    for _ in 0..connections {
        let (requests, connection) = http2::connect(target.address, &config).await?;
        // How it ends is seen by its requests.
        tokio::task::spawn_local(async { drop(connection.await) });
        senders.push(requests);
    }
    let _ = tell.send(Ok(Answers::default()));
    while let Some(path) = paths.recv().await {
        let mut asked = JoinSet::new();
        for requests in &senders {
            for _ in 0..each {
                asked.spawn_local(ask_http2(
                    requests.clone(),
                    target.host.clone(),
                    path.clone(),
                ));
            }
        }
        let _ = tell.send(gather(asked).await);
    }
    Ok(())
}

/// Asks once.
pub(super) async fn ask_http2(
    requests: SendRequest<Bytes>,
    host: String,
    path: String,
) -> io::Result<Timed> {
    let mut requests = requests.ready().await.map_err(http2::broken)?;
    let mut request = http2::get(&host, &path)?;
    let gzip = http::HeaderValue::from_static("gzip");
    request.headers_mut().insert("accept-encoding", gzip);
    let (response, _) = requests
        .send_request(request, true)
        .map_err(http2::broken)?;
    let asked_ns = now_ns();
    let response = response.await.map_err(http2::broken)?;
    if response.status() != 200 {
        return Err(fault(format!("the server answers {}", response.status())));
    }
    let mut body = response.into_body();
    let mut whole = Vec::new();
    while let Some(came) = body.data().await {
        let came = came.map_err(http2::broken)?;
        whole.extend_from_slice(&came);
        let credit = body.flow_control().release_capacity(came.len());
        credit.map_err(http2::broken)?;
    }
    Ok((asked_ns, now_ns(), whole))
}

async fn gather(mut asked: JoinSet<io::Result<Timed>>) -> io::Result<Answers> {
    let mut answers = Answers::default();
    while let Some(ended) = asked.join_next().await {
        let (asked_ns, done_ns, body) = ended.map_err(|error| fault(error.to_string()))??;
        answers.push(asked_ns, done_ns, &body);
    }
    Ok(answers)
}

async fn wait_http1(
    target: Target,
    connections: u32,
    mut paths: UnboundedReceiver<String>,
    tell: &Tell,
) -> io::Result<()> {
    let tickets = Arc::new(Tickets::new(false));
    let config = Arc::new(secure::client_config(b"http/1.1", &tickets)?);
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(secure::connect(target.address, &config).await?);
    }
    let _ = tell.send(Ok(Answers::default()));
    while let Some(path) = paths.recv().await {
        let request: Rc<str> = request(&target.host, &path).into();
        let mut asked = JoinSet::new();
        for stream in streams.drain(..) {
            asked.spawn_local(ask_http1(stream, Rc::clone(&request)));
        }
        let mut answers = Answers::default();
        while let Some(ended) = asked.join_next().await {
            let ended = ended.map_err(|error| fault(error.to_string()))?;
            let (stream, (asked_ns, done_ns, body)) = ended?;
            answers.push(asked_ns, done_ns, &body);
            streams.push(stream);
        }
        let _ = tell.send(Ok(answers));
    }
    Ok(())
}

async fn ask_http1(mut stream: Stream, request: Rc<str>) -> io::Result<(Stream, Timed)> {
    stream.write_all(request.as_bytes()).await?;
    let asked_ns = now_ns();
    let mut whole = Vec::new();
    loop {
        if stream.read_buf(&mut whole).await? == 0 || whole.len() > BODY_BYTES_MAX {
            return Err(fault("the server hung up, or says too much"));
        }
        let Some(head) = parse_head(&whole)? else {
            continue;
        };
        if head.status != 200 {
            return Err(fault(format!("the server answers {head:?}")));
        }
        if (whole.len() - head.bytes) as u64 >= head.length {
            let body = whole.split_off(head.bytes);
            return Ok((stream, (asked_ns, now_ns(), body)));
        }
    }
}

fn wait_http3(
    target: &Target,
    connections: u32,
    mut paths: UnboundedReceiver<String>,
    tell: &Tell,
) -> io::Result<()> {
    use tokio::sync::mpsc::error::TryRecvError;

    let mut pool = Pool::connect(target.address, connections as usize)?;
    let _ = tell.send(Ok(Answers::default()));
    loop {
        match paths.try_recv() {
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => pool.turn(|_, _| Ok(()))?,
            Ok(path) => {
                let mut asked_ns = HashMap::new();
                pool.each(|index, client| {
                    client.ask(&target.host, &path, true, Wanted::Kept)?;
                    asked_ns.insert(index, now_ns());
                    Ok(())
                })?;
                let mut answers = Answers::default();
                let deadline_ns = now_ns() + WAIT.as_nanos() as u64;
                while answers.len() < asked_ns.len() {
                    if now_ns() > deadline_ns {
                        return Err(fault("requests by HTTP/3 are not answered"));
                    }
                    pool.turn(|index, client| {
                        while let Some(done) = client.take_done() {
                            let asked_ns = asked_ns.get(&index).copied().unwrap_or_default();
                            answers.push(asked_ns, now_ns(), &done.body);
                        }
                        Ok(())
                    })?;
                }
                let _ = tell.send(Ok(answers));
            }
        }
    }
}
