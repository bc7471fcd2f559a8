//! A player of HLS: what it knows and what it asks for next.

use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_protocol::hls::{Directives, Request, Resource, WaiterId};

use crate::dice::Dice;
use crate::playlist::List;

/// One player.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) mount: MountName,
    /// Its media playlist, once it knows one.
    pub(crate) name: Option<String>,
    pub(crate) list: Option<List>,
    pub(crate) list_at: Time,
    pub(crate) ask: Option<Ask>,
    /// It asks for nothing before.
    pub(crate) next_at: Time,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    pub(crate) outside: bool,
    pub(crate) query: String,
    pub(crate) arrived: Time,
    /// How long its shard had been stalled in all when it came, in milliseconds.
    pub(crate) stalled_ms: u64,
    pub(crate) waiter: Option<WaiterId>,
    /// It was told to ask again.
    pub(crate) again: bool,
    /// Whether it asks for what its list says is there or comes next.
    pub(crate) honest: bool,
}

impl Ask {
    pub(crate) fn new(name: &str, query: String, now: Time, honest: bool) -> Self {
        Ask {
            name: name.to_owned(),
            outside: false,
            query,
            arrived: now,
            stalled_ms: 0,
            waiter: None,
            again: false,
            honest,
        }
    }

    /// The same with the whole list as its answer.
    pub(crate) fn without_skip(&self) -> Self {
        let kept = self
            .query
            .split('&')
            .filter(|pair| !pair.starts_with("_HLS_skip"));
        Ask {
            query: kept.collect::<Vec<_>>().join("&"),
            ..self.clone()
        }
    }

    pub(crate) fn directives(&self) -> Directives {
        Directives::parse(&self.query).unwrap_or_default()
    }

    /// What the hub is asked; none for what is no name of ours.
    pub(crate) fn request<'r>(&'r self, directives: &'r Directives) -> Option<Request<'r>> {
        Some(Request {
            resource: Resource::parse(&self.name)?,
            outside: self.outside,
            directives,
            gzip: false,
            arrived: self.arrived,
        })
    }
}

impl Player {
    pub(crate) fn new(mount: MountName, now: Time) -> Self {
        Player {
            mount,
            name: None,
            list: None,
            list_at: now,
            ask: None,
            next_at: now,
        }
    }

    /// Starts again from the multivariant playlist.
    pub(crate) fn forget(&mut self) {
        (self.name, self.list) = (None, None);
    }

    /// What it asks for now.
    pub(crate) fn wish(&self, now: Time, dice: &mut Dice) -> Ask {
        let Some(name) = &self.name else {
            let mut ask = Ask::new("main.m3u8", String::new(), now, true);
            ask.outside = dice.chance(50);
            return ask;
        };
        let Some(list) = &self.list else {
            return Ask::new(name, String::new(), now, true);
        };
        let (msn, parts) = list.edge();
        match dice.below(100) {
            0..=49 => {
                let mut query = format!("_HLS_msn={msn}");
                if dice.chance(80) {
                    query.push_str(&format!("&_HLS_part={parts}"));
                }
                let fresh = now.since(self.list_at).as_secs() < list.target_s;
                if fresh && dice.chance(50) {
                    let skip: &&str = dice.pick(&["&_HLS_skip=YES", "&_HLS_skip=v2"]);
                    query.push_str(skip);
                }
                Ask::new(name, query, now, true)
            }
            50..=79 => {
                let hint = list.hint.as_deref().unwrap_or(name);
                Ask::new(hint, String::new(), now, true)
            }
            80..=87 => {
                let count = list.files().count() as u64;
                let at = dice.below(count.max(1)) as usize;
                let file = list.files().nth(at).unwrap_or(name);
                Ask::new(file, String::new(), now, true)
            }
            88..=92 => Ask::new(name, String::new(), now, true),
            93..=95 => Ask::new("main.m3u8", String::new(), now, true),
            _ => {
                let off = dice.below(6);
                let query = format!("_HLS_msn={}&_HLS_part={off}", (msn + off).saturating_sub(3));
                Ask::new(name, query, now, false)
            }
        }
    }
}
