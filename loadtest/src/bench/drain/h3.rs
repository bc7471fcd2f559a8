//! HTTP/3, several streams at once on each connection.

use std::io;

use super::{Drained, File, Meter, Order, Progress, WARM_BYTES, WARM_NS_MAX};
use crate::clock::now_ns;
use crate::http::fault;
use crate::quic::{Client, Pool, Wanted};

/// Asks by HTTP/3.
pub(in super::super) fn drain(order: &Order) -> io::Result<Drained> {
    let mut pool = Pool::connect(order.target.address, order.connections)?;
    let progress: Vec<Progress> = (0..order.connections)
        .map(|_| Progress::default())
        .collect();
    let mut ask = |index: usize, client: &mut Client| -> io::Result<()> {
        while client.take_done().is_some() {}
        let progress = progress.get(index).ok_or_else(|| fault("no connection"))?;
        while client.open() < order.streams {
            let File { path, body } = progress.next_file(order)?;
            let wanted = Wanted::Same(body.clone());
            client.ask(&order.target.host, path, false, wanted)?;
        }
        Ok(())
    };
    pool.each(&mut ask)?;
    let deadline_ns = now_ns() + WARM_NS_MAX;
    while pool
        .clients()
        .iter()
        .any(|client| client.bytes() < WARM_BYTES)
    {
        if now_ns() > deadline_ns {
            return Err(fault("the server does not serve all connections"));
        }
        pool.turn(&mut ask)?;
    }
    let before = packets(&mut pool);
    let meter = Meter::start(order, bytes(&mut pool))?;
    let end_ns = now_ns() + order.window_ns;
    while now_ns() < end_ns {
        pool.turn(&mut ask)?;
    }
    let drained = meter.stop(order, bytes(&mut pool))?;
    let after = packets(&mut pool);
    let (count, bytes) = (after.0 - before.0, after.1 - before.1);
    Ok(Drained {
        packet_bytes: bytes as f64 / count.max(1) as f64,
        ..drained
    })
}

/// Bytes of all bodies so far.
fn bytes(pool: &mut Pool) -> u64 {
    pool.clients().iter().map(Client::bytes).sum()
}

/// Packets that came so far, and their bytes.
fn packets(pool: &mut Pool) -> (u64, u64) {
    let sum = |sum: (u64, u64), one: (u64, u64)| (sum.0 + one.0, sum.1 + one.1);
    pool.clients().iter().map(Client::packets).fold((0, 0), sum)
}
