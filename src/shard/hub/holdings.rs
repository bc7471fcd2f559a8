//! What a hub holds, for who checks that nothing is left behind.

use corecast_media::fanout::Socket;

use super::Hub;

/// How many of each thing a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Mounts whose home it is, their outputs not counted.
    pub mounts: usize,
    /// Outputs that are written at their mounts' home.
    pub outputs: usize,
    /// Mounts that it packages as HLS.
    pub packagers: usize,
    /// Mounts of its own with an HLS origin that some shard watches.
    pub watched: usize,
    /// Mounts that it has readers of.
    pub replicas: usize,
    /// Mounts that are watched as HLS here.
    pub watches: usize,
    /// Requests for HLS that wait.
    pub waiting: usize,
}

impl<S: Socket> Hub<S> {
    /// What is held now.
    pub fn holdings(&self) -> Holdings {
        let homes = || self.homes.iter().map(|(_, home)| home);
        let outputs = homes().filter(|home| home.name.output().is_some()).count();
        let watches = self.watches.iter();
        Holdings {
            mounts: self.homes.len() - outputs,
            outputs,
            packagers: homes().filter(|home| home.hls.runs()).count(),
            watched: homes().filter(|home| !home.hls.is_unused()).count(),
            replicas: self.replicas.len(),
            watches: self.watches.len(),
            waiting: watches.map(|(_, watch)| watch.waiting()).sum(),
        }
    }
}
