//! HTTP/1.1 over TLS on connections that are kept.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::exchange::parse_head;
use super::{Drained, File, Order, Progress, measure};
use crate::http::fault;
use crate::secure::{self, Stream, Tickets};

/// Room for what one read brings.
const SCRATCH_BYTES: usize = 64 * 1_024;

/// Asks by HTTP/1.1 over TLS.
pub(in super::super) fn drain(order: &Order) -> io::Result<Drained> {
    let tickets = Arc::new(Tickets::new(false));
    let config = Arc::new(secure::client_config(b"http/1.1", &tickets)?);
    let shared = Rc::new(order.clone());
    measure(order, |progress| {
        fetcher(Rc::clone(&shared), Arc::clone(&config), progress)
    })
}

async fn fetcher(
    order: Rc<Order>,
    config: Arc<ClientConfig>,
    progress: Rc<Progress>,
) -> io::Result<()> {
    let mut stream = secure::connect(order.target.address, &config).await?;
    let mut scratch = vec![0; SCRATCH_BYTES];
    loop {
        let file = progress.next_file(&order)?;
        let (path, host) = (&file.path, &order.target.host);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        take(&mut stream, file, &progress, &mut scratch).await?;
    }
}

/// Reads one answer.
async fn take(
    stream: &mut Stream,
    file: &File,
    progress: &Progress,
    scratch: &mut [u8],
) -> io::Result<()> {
    let mut len = 0;
    let head = loop {
        let room = scratch.get_mut(len..).unwrap_or_default();
        let count = stream.read(room).await?;
        if count == 0 {
            return Err(fault("the server hung up, or its head is too long"));
        }
        len += count;
        if let Some(head) = parse_head(scratch.get(..len).unwrap_or_default())? {
            break head;
        }
    };
    if (head.status, head.length) != (200, file.body.len() as u64) {
        return Err(fault(format!("the server answers {head:?}")));
    }
    let begin = scratch.get(head.bytes..len).unwrap_or_default();
    let mut at = progress.compare(file, 0, begin)?;
    while at < file.body.len() {
        let count = stream.read(scratch).await?;
        if count == 0 {
            return Err(fault("the server hung up"));
        }
        at = progress.compare(file, at, scratch.get(..count).unwrap_or_default())?;
    }
    Ok(())
}
