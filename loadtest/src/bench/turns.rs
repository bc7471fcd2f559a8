//! Servers that send the same in turns: what else happens on the machine hits all of them alike.

use std::io;

use bytes::Bytes;

use super::drain::{Drained, File, Order};
use super::playlist::{Watched, good};
use super::rows::spread;
use super::server::{FILE, Server};
use super::video::Stage;
use crate::clock::{MS_NS, SECOND_NS, now_ns, sleep_until};
use crate::hls::client::Client;
use crate::http::fault;
use crate::stream::mix;

/// Time for a stage to have as many segments as are wanted.
const SEGMENTS_NS_MAX: u64 = 90 * SECOND_NS;

/// One server, and what it is asked for.
pub(super) struct Side<'a> {
    server: &'a Server,
    files: Vec<File>,
    /// Requests at once where the load says one.
    at_once: usize,
}

impl<'a> Side<'a> {
    /// corecast with segments of its stage.
    pub(super) fn ours(stage: &'a Stage, files: Vec<File>) -> Side<'a> {
        Side {
            server: &stage.server,
            files,
            at_once: 1,
        }
    }

    /// Asked for so many files at once where others are asked for one.
    pub(super) fn at_once(self, at_once: usize) -> Side<'a> {
        Side { at_once, ..self }
    }

    /// A peer with one file.
    pub(super) fn peer(server: &'a Server, body: &Bytes) -> Side<'a> {
        let path = format!("/{FILE}");
        let files = vec![File {
            path,
            body: body.clone(),
        }];
        Side {
            server,
            files,
            at_once: 1,
        }
    }
}

/// How they are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) drain: fn(&Order) -> io::Result<Drained>,
    pub(super) connections: usize,
    pub(super) streams: usize,
    /// Time of one turn, and of all turns of one server.
    pub(super) turn_ms: u64,
    pub(super) window_ms: u64,
}

/// What came of it: each server's figures, turn by turn.
#[derive(Debug)]
pub(super) struct Turns(Vec<Vec<Drained>>);

impl Turns {
    /// Lets the servers take turns, in an order that alternates.
    pub(super) fn take(sides: &[Side<'_>], load: Load) -> io::Result<Turns> {
        let mut turns: Vec<Vec<Drained>> = sides.iter().map(|_| Vec::new()).collect();
        for turn in 0..(load.window_ms / load.turn_ms).max(1) {
            let mut order: Vec<usize> = (0..sides.len()).collect();
            if turn % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let (Some(side), Some(figures)) = (sides.get(index), turns.get_mut(index)) else {
                    continue;
                };
                let drained = (load.drain)(&Order {
                    target: side.server.secure("/"),
                    files: side.files.clone(),
                    connections: load.connections,
                    streams: load.streams * side.at_once,
                    pid: side.server.pid(),
                    window_ns: load.turn_ms * MS_NS,
                });
                figures.push(drained.map_err(|error| side.server.explain(&error))?);
            }
        }
        Ok(Turns(turns))
    }

    /// The median of one server's figures.
    pub(super) fn median(&self, side: usize, of: fn(&Drained) -> f64) -> f64 {
        let figures = self.0.get(side).into_iter().flatten();
        median(figures.map(of).collect())
    }

    /// CPU per GB of one server over another's, median over the turns.
    pub(super) fn ratio(&self, side: usize, peer: usize) -> f64 {
        let of = |side: usize| self.0.get(side).into_iter().flatten();
        let pairs = of(side).zip(of(peer));
        median(
            pairs
                .map(|(side, peer)| side.cpu_s_per_gb / peer.cpu_s_per_gb)
                .collect(),
        )
    }
}

fn median(values: Vec<f64>) -> f64 {
    spread(values).map_or(f64::NAN, |(_, median, _)| median)
}

/// The newest segments of a stage, once there are so many.
pub(super) fn segments(stage: &Stage, count: usize) -> io::Result<Vec<File>> {
    let watched = Watched::find(&stage.target(".m3u8"))?;
    let mut client = Client::new(&watched.target);
    let deadline_ns = now_ns() + SEGMENTS_NS_MAX;
    let list = loop {
        let list = watched.now(&mut client)?;
        if list.segments.len() >= count {
            break list;
        }
        if now_ns() > deadline_ns {
            return Err(fault(format!("only {} segments", list.segments.len())));
        }
        sleep_until(now_ns() + SECOND_NS / 4);
    };
    let newest = list.segments.iter().rev().take(count);
    let file = newest.map(|segment| {
        let path = watched.resolve(&segment.uri);
        let body = good(client.get(&path)?)?.body.into();
        Ok(File { path, body })
    });
    file.collect()
}

/// So many bytes that nobody can press.
pub(super) fn noise(bytes: usize) -> Bytes {
    let words = (0..bytes.div_ceil(8) as u64).map(mix);
    let mut noise: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    noise.truncate(bytes);
    noise.into()
}
