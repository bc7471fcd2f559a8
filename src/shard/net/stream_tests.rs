//! The stream under the crate that it is for, and under writers that fill it.

use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response};
use monoio::time::Instant;
use tokio_rustls::TlsConnector;

use super::*;
use crate::net::backend::ResolvedBackend;
use crate::net::tcp::TcpConnection;
use crate::net::tls::TlsConnection;
use crate::net::tls::tests::{Pair, ends, noise, run, spawn};
use crate::testing::BACKENDS;

/// How long a step may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

const BODY_BYTES: usize = 300_000;
const REQUESTS: usize = 8;

async fn link(accepted: TcpStream, pair: Option<&Pair>) -> Link {
    let tcp = TcpConnection::new(accepted.into());
    let Some(pair) = pair else {
        return Link::from(tcp);
    };
    let deadline = Instant::now() + PATIENCE;
    let tls = TlsConnection::accept(tcp, Arc::clone(&pair.server), deadline).await;
    Link::from(tls.expect("hands are shaken"))
}

/// Runs `future`, which writes to `stream`, and sends at the end of each of its turns.
async fn flushing<F: Future>(stream: &Stream, future: F) -> io::Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        match stream.flush_now(cx) {
            Ok(()) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await
}

/// Asks for bodies, all at once, and gives what came.
async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Vec<Vec<u8>> {
    let (client, connection) = h2::client::handshake(stream).await.expect("a greeting");
    let driven = tokio::spawn(connection);
    let mut client = client.ready().await.expect("there is room");
    let answers: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let request = Request::builder().uri("https://localhost/").body(());
            let request = request.expect("a request");
            let (answer, _) = client.send_request(request, true).expect("there is room");
            // All at once: the windows are shared.
            tokio::spawn(async {
                let mut body = answer.await.expect("an answer").into_body();
                let mut bytes = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.expect("the body goes on");
                    let released = body.flow_control().release_capacity(data.len());
                    released.expect("it was taken");
                    bytes.extend_from_slice(&data);
                }
                bytes
            })
        })
        .collect();
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(answer.await.expect("it did not panic"));
    }
    drop(client);
    driven
        .await
        .expect("it did not panic")
        .expect("an orderly end");
    bodies
}

/// Answers [`REQUESTS`] requests with `body`.
async fn answer(stream: &Stream, body: &Bytes) {
    let greeting = flushing(stream, h2::server::handshake(stream.clone()));
    let mut connection: h2::server::Connection<Stream, Bytes> =
        greeting.await.expect("it is open").expect("a greeting");
    let served = flushing(stream, async {
        while let Some(request) = connection.accept().await {
            let (_, mut respond) = request.expect("a request");
            let head = Response::builder().status(200).body(()).expect("a head");
            let mut sending = respond.send_response(head, false).expect("it waits");
            sending.send_data(body.clone(), true).expect("it waits");
        }
    });
    served.await.expect("it is open");
}

#[test]
fn http2_speaks_through_it_in_plain_and_over_tls() {
    let body = Bytes::from(noise(BODY_BYTES));
    for (backend, secure) in BACKENDS.into_iter().flat_map(|b| [(b, false), (b, true)]) {
        let pair = Pair::new(rustls::ALL_VERSIONS, &["h2"]);
        let config = Arc::clone(&pair.client);
        let (peer, accepted) = ends();
        peer.set_nonblocking(true).expect("a socket can be so");
        let client = spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let tcp = tokio::net::TcpStream::from_std(peer).expect("it is watched");
                if !secure {
                    return ask(tcp).await;
                }
                let name = "localhost".try_into().expect("a name");
                let tls = TlsConnector::from(config).connect(name, tcp).await;
                ask(tls.expect("hands are shaken")).await
            })
        });
        run(backend, async {
            let link = link(accepted, secure.then_some(&pair)).await;
            let stream = Stream::new(link, Bytes::new());
            answer(&stream, &body).await;
            assert!(stream.sent_bytes() > (REQUESTS * BODY_BYTES) as u64);
            stream.close_in_order(PATIENCE, &Scratch::new()).await;
        });
        let bodies = client.join().expect("the client is well");
        assert_eq!(bodies.len(), REQUESTS);
        assert!(bodies.iter().all(|came| *came == body));
    }
}

#[test]
fn writers_wait_for_a_peer_that_takes_nothing() {
    for secure in [false, true] {
        let pair = Pair::new(rustls::ALL_VERSIONS, &[]);
        let (peer, accepted) = ends();
        let said = noise(8_000_000);
        let mut client = pair.client(peer);
        let (waits, full) = std::sync::mpsc::channel();
        let heard = spawn(move || {
            use std::io::Read;
            let mut heard = Vec::new();
            let mut hello = [0; 5];
            match secure {
                true => client.read_exact(&mut hello).expect("it is open"),
                false => client.sock.read_exact(&mut hello).expect("it is open"),
            }
            full.recv_timeout(PATIENCE).expect("the windows get full");
            match secure {
                true => client.read_to_end(&mut heard).expect("an orderly end"),
                false => client.sock.read_to_end(&mut heard).expect("an orderly end"),
            };
            heard
        });
        run(ResolvedBackend::IoUring, async {
            let link = link(accepted, secure.then_some(&pair)).await;
            let stream = Stream::new(link, Bytes::new());
            let mut writing = stream.clone();
            let mut write = async |mut rest: &[u8]| {
                while !rest.is_empty() {
                    // Odd sizes, in two slices: as h2 does, and one that is more than may wait.
                    let size = if rest.len() > 4_000_000 {
                        16_393
                    } else {
                        300_007
                    };
                    let part = rest.get(..rest.len().min(size)).unwrap_or_default();
                    let (head, tail) = part.split_at(part.len().min(9));
                    let slices = [IoSlice::new(head), IoSlice::new(tail)];
                    let written = poll_fn(|cx| {
                        let state = Pin::new(&mut writing).poll_write_vectored(cx, &slices);
                        if state.is_pending() {
                            waits.send(()).expect("the client listens");
                        }
                        let polled = writing.0.borrow();
                        assert!(polled.waiting_bytes() <= OUTGOING_BYTES_MAX);
                        state
                    });
                    rest = rest
                        .get(written.await.expect("it is open")..)
                        .unwrap_or_default();
                }
            };
            flushing(&stream, write(b"hello"))
                .await
                .expect("it is open");
            write(&said).await;
            drop(writing);
            stream.close_in_order(PATIENCE, &Scratch::new()).await;
        });
        let heard = heard.join().expect("the client is well");
        assert!(heard == noise(8_000_000), "{} bytes", heard.len());
    }
}

#[test]
fn what_was_received_before_is_read_first() {
    let (mut peer, accepted) = ends();
    std::io::Write::write_all(&mut peer, b"later").expect("it is open");
    let read = run(ResolvedBackend::Epoll, async {
        let link = link(accepted, None).await;
        let mut stream = Stream::new(link, Bytes::from_static(b"before, "));
        let mut read = Vec::new();
        while read.len() < 13 {
            let mut room = [0; 5];
            let mut buf = ReadBuf::new(&mut room);
            poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf))
                .await
                .expect("it is open");
            read.extend_from_slice(buf.filled());
        }
        read
    });
    assert_eq!(read, b"before, later");
}
