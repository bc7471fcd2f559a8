//! HTTP/2 over TLS, several streams at once on each connection.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use h2::client::SendRequest;
use http::Request;
use rustls::ClientConfig;
use tokio::task::JoinSet;

use super::{Drained, Order, Progress, measure};
use crate::http::fault;
use crate::secure::{self, Stream, Tickets};

/// Flow control windows of a stream and of a connection: as wide as browsers have them, so that
/// no server waits for them.
const STREAM_WINDOW_BYTES: u32 = 6 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 15 << 20;

/// What speaks HTTP/2 on a connection; it ends when the connection does.
pub(in super::super) type Connection = h2::client::Connection<Stream, bytes::Bytes>;

/// Asks by HTTP/2 over TLS.
pub(in super::super) fn drain(order: &Order) -> io::Result<Drained> {
    let tickets = Arc::new(Tickets::new(false));
    let config = Arc::new(secure::client_config(b"h2", &tickets)?);
    let shared = Rc::new(order.clone());
    measure(order, |progress| {
        fetcher(Rc::clone(&shared), Arc::clone(&config), progress)
    })
}

/// Connects and says hello.
pub(in super::super) async fn connect(
    order_address: std::net::SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<(SendRequest<bytes::Bytes>, Connection)> {
    let stream = secure::connect(order_address, config).await?;
    let connected = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .enable_push(false)
        .handshake(stream)
        .await;
    connected.map_err(broken)
}

/// A GET request.
pub(in super::super) fn get(host: &str, path: &str) -> io::Result<Request<()>> {
    Request::get(format!("https://{host}{path}"))
        .header("user-agent", "loadtest")
        .body(())
        .map_err(|error| fault(error.to_string()))
}

/// An error of HTTP/2.
pub(in super::super) fn broken(error: h2::Error) -> io::Error {
    fault(format!("HTTP/2: {error}"))
}

async fn fetcher(
    order: Rc<Order>,
    config: Arc<ClientConfig>,
    progress: Rc<Progress>,
) -> io::Result<()> {
    let (requests, connection) = connect(order.target.address, &config).await?;
    let mut streams = JoinSet::new();
    for _ in 0..order.streams {
        let (order, progress) = (Rc::clone(&order), Rc::clone(&progress));
        streams.spawn_local(ask(order, requests.clone(), progress));
    }
    drop(requests);
    tokio::select! {
        ended = connection => ended.map_err(broken),
        Some(ended) = streams.join_next() => ended.map_err(|error| fault(error.to_string()))?,
    }
}

/// Asks again and again, one request at a time.
async fn ask(
    order: Rc<Order>,
    mut requests: SendRequest<bytes::Bytes>,
    progress: Rc<Progress>,
) -> io::Result<()> {
    loop {
        let file = progress.next_file(&order)?;
        requests = requests.ready().await.map_err(broken)?;
        let request = get(&order.target.host, &file.path)?;
        let (response, _) = requests.send_request(request, true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        if response.status() != 200 {
            return Err(fault(format!("the server answers {}", response.status())));
        }
        let mut body = response.into_body();
        let mut at = 0;
        while let Some(came) = body.data().await {
            let came = came.map_err(broken)?;
            at = progress.compare(file, at, &came)?;
            let credit = body.flow_control().release_capacity(came.len());
            credit.map_err(broken)?;
        }
        if at != file.body.len() {
            return Err(fault(format!("{} ends at {at}", file.path)));
        }
    }
}
