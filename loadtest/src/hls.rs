//! A checker of low-latency HLS: it samples the playlists of a mount in every way that players
//! ask for them, fetches what they name, and applies the rules to what it saw.
//!
//! Reading order: [`history`] (what was seen, as plain data), [`playlist`] and [`multivariant`]
//! (the texts), [`rules`] (what must hold), [`findings`] (the report), [`collect`] (who looks),
//! [`probe`] (who asks oddly), [`log`] (what they write down).

mod attributes;
pub(crate) mod client;
mod collect;
mod findings;
mod history;
mod log;
mod media;
pub(crate) mod multivariant;
mod packed;
pub(crate) mod playlist;
mod probe;
mod rules;

use std::io;
use std::time::Duration;

use crate::clock::now_ns;
use crate::http::{Target, fault};

use client::Client;
pub(crate) use collect::resolve;
use collect::{Place, Run};
use findings::{judge, report};
use history::{MS, Purpose};
use log::Log;
use multivariant::Multivariant;
use rules::RULES;

/// What is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A multivariant or a media playlist.
    pub(crate) target: Target,
    /// For how long.
    pub(crate) length: Duration,
    /// How much later than the rules say something may come.
    pub(crate) slack: Duration,
}

/// Samples, judges and prints; true where no rule is broken.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let target = &settings.target;
    let first = Client::new(target).get(&target.path)?;
    if first.status != 200 {
        return Err(fault(format!(
            "{} has status {}",
            target.path, first.status
        )));
    }
    let list = Multivariant::parse(&first.text());
    let (uris, multivariant) = if list.variants.is_empty() {
        let name = target.path.rsplit('/').next().unwrap_or_default();
        (vec![name.to_owned()], None)
    } else {
        let uris = list.uris().into_iter().map(str::to_owned).collect();
        (uris, Some(target.path.clone()))
    };
    let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let log = Log::new(&uris, nanos(settings.slack));
    let place = |uri: &String| Place::new(collect::resolve(&target.path, uri));
    let run = Run {
        target,
        log: &log,
        places: uris.iter().map(place).collect(),
        multivariant: multivariant.clone(),
        end_ns: now_ns().saturating_add(nanos(settings.length)),
    };
    run.sample();
    if let Some(path) = &multivariant {
        let answer = Client::new(target).get(path);
        log.write(0, Purpose::Multivariant, path, &answer);
        let mut history = log.into_history();
        history.multivariant = Some(Multivariant::parse(&answer?.text()));
        return Ok(conclude(&history));
    }
    Ok(conclude(&log.into_history()))
}

fn conclude(history: &history::History) -> bool {
    for rendition in &history.renditions {
        let lists = rendition.samples.len();
        let states = rendition.states().len();
        let media = rendition.media.len();
        println!(
            "{}: {lists} lists of {states} states, {media} files",
            rendition.uri
        );
    }
    let slack_ms = history.slack_ns / MS;
    println!(
        "{} exchanges, {slack_ms} ms of slack",
        history.exchanges.len()
    );
    let verdicts = judge(RULES, history);
    print!("{}", report(&verdicts));
    !verdicts.iter().any(findings::Verdict::is_broken)
}

#[cfg(test)]
mod tests;
