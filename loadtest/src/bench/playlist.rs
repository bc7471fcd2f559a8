//! The media playlist of the benchmark's mount, as one who waits for parts sees it.

use std::io;
use std::time::Duration;

use crate::clock::{SECOND_NS, now_ns};
use crate::hls::client::{Answer, Client};
use crate::hls::multivariant::Multivariant;
use crate::hls::playlist::{Edge, Playlist};
use crate::hls::resolve;
use crate::http::{Target, fault};

/// Time for a mount to have its first segment.
const READY_NS_MAX: u64 = 20 * SECOND_NS;

/// One rendition of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Its playlist.
    pub(super) target: Target,
}

impl Watched {
    /// The first rendition of the mount's multivariant playlist, once it has a complete segment.
    pub(super) fn find(multivariant: &Target) -> io::Result<Watched> {
        let deadline_ns = now_ns() + READY_NS_MAX;
        let mut client = Client::new(multivariant);
        loop {
            let found = Watched::look(&mut client, multivariant);
            match found {
                Ok(Some(found)) => return Ok(found),
                Err(error) if now_ns() > deadline_ns => return Err(error),
                Ok(None) if now_ns() > deadline_ns => return Err(fault("no segment came")),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn look(client: &mut Client, multivariant: &Target) -> io::Result<Option<Watched>> {
        let list = Multivariant::parse(&good(client.get(&multivariant.path)?)?.text());
        let first = list.variants.first().ok_or_else(|| fault("no variant"))?;
        let path = resolve(&multivariant.path, &first.uri);
        let list = Playlist::parse(&good(client.get(&path)?)?.text());
        let target = Target {
            path,
            ..multivariant.clone()
        };
        Ok((!list.segments.is_empty()).then_some(Watched { target }))
    }

    /// The playlist as it is now.
    pub(super) fn now(&self, client: &mut Client) -> io::Result<Playlist> {
        let answer = good(client.get(&self.target.path)?)?;
        Ok(Playlist::parse(&answer.text()))
    }

    /// What asks for the playlist that has the next part after `edge`.
    pub(super) fn path_after(&self, edge: Edge) -> String {
        let Edge { msn, parts } = edge;
        format!("{}?_HLS_msn={msn}&_HLS_part={parts}", self.target.path)
    }

    /// The path of what the playlist names.
    pub(super) fn resolve(&self, uri: &str) -> String {
        resolve(&self.target.path, uri)
    }
}

/// The last part of a playlist.
pub(super) fn last_part(list: &Playlist) -> Option<&str> {
    list.all_parts().last().map(|(_, part)| part.uri.as_str())
}

/// An answer with status 200.
pub(super) fn good(answer: Answer) -> io::Result<Answer> {
    match answer.status {
        200 => Ok(answer),
        status => Err(fault(format!("the server answers with status {status}"))),
    }
}
