//! Many connections on one thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::Scratch;
use super::client::{Client, settings};
use crate::clock::{MS_NS, SECOND_NS, now_ns};
use crate::http::fault;

/// Connections that shake hands at once.
const CONNECTING: usize = 50;
/// Time for them to do so.
const CONNECT_NS_MAX: u64 = 10 * SECOND_NS;
/// Time between two looks at the timers of all connections.
const TICK_NS: u64 = 5 * MS_NS;

/// The connections, and how far each is.
pub(crate) struct Pool {
    poll: OwnedFd,
    clients: Vec<Client>,
    scratch: Scratch,
    ticked_ns: u64,
}

impl Pool {
    /// Connects so many to one server.
    pub(crate) fn connect(peer: SocketAddr, count: usize) -> io::Result<Pool> {
        let mut pool = Pool {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: Vec::new(),
            scratch: Scratch::new(),
            ticked_ns: 0,
        };
        let mut config = settings()?;
        while pool.clients.len() < count {
            let number = pool.clients.len() as u64;
            let mut client = Client::connect(peer, number, &mut config)?;
            client.flush(&mut pool.scratch)?;
            let data = epoll::EventData::new_u64(number);
            epoll::add(&pool.poll, &client, data, epoll::EventFlags::IN)?;
            pool.clients.push(client);
            if pool.clients.len().is_multiple_of(CONNECTING) || pool.clients.len() == count {
                pool.await_ready()?;
            }
        }
        Ok(pool)
    }

    /// All connections.
    pub(crate) fn clients(&mut self) -> &mut [Client] {
        &mut self.clients
    }

    /// Does this with each connection and sends what comes of it.
    pub(crate) fn each(
        &mut self,
        mut act: impl FnMut(usize, &mut Client) -> io::Result<()>,
    ) -> io::Result<()> {
        for (index, client) in self.clients.iter_mut().enumerate() {
            act(index, client)?;
            client.flush(&mut self.scratch)?;
        }
        Ok(())
    }

    /// Waits a few milliseconds for packets at most and does `act` with each connection that got
    /// some, before it sends.
    pub(crate) fn turn(
        &mut self,
        mut act: impl FnMut(usize, &mut Client) -> io::Result<()>,
    ) -> io::Result<()> {
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: TICK_NS as i64,
        };
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let index = event.data.u64() as usize;
            if let Some(client) = self.clients.get_mut(index) {
                client.receive(&mut self.scratch)?;
                act(index, client)?;
                client.flush(&mut self.scratch)?;
            }
        }
        let now_ns = now_ns();
        if now_ns - self.ticked_ns >= TICK_NS {
            self.ticked_ns = now_ns;
            let now = Instant::now();
            for (index, client) in self.clients.iter_mut().enumerate() {
                if client.tick(now, &mut self.scratch)? {
                    act(index, client)?;
                    client.flush(&mut self.scratch)?;
                }
            }
        }
        Ok(())
    }

    fn await_ready(&mut self) -> io::Result<()> {
        let deadline_ns = now_ns() + CONNECT_NS_MAX;
        while !self.clients.iter().all(Client::is_ready) {
            if now_ns() > deadline_ns {
                return Err(fault("the server does not shake hands by QUIC"));
            }
            self.turn(|_, _| Ok(()))?;
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for client in &mut self.clients {
            // A server that hears nothing would go on asking whether somebody is there.
            let _ = client.close(&mut self.scratch);
        }
    }
}
