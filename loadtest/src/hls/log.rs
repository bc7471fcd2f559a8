//! What the samplers write down together, until it becomes a history.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client::Answer;
use super::history::{Ask, Digest, Exchange, History, Purpose, Rendition, Sample};
use super::media;
use super::playlist::Playlist;

/// Shared by all samplers of a run.
pub(super) struct Log {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    history: History,
    /// Every text once: lists come many times.
    lists: HashMap<String, Arc<Playlist>>,
}

impl Log {
    /// An empty log of renditions with these addresses.
    pub(super) fn new(uris: &[String], slack_ns: u64) -> Log {
        let rendition = |uri: &String| Rendition {
            uri: uri.clone(),
            ..Rendition::default()
        };
        let history = History {
            renditions: uris.iter().map(rendition).collect(),
            slack_ns,
            ..History::default()
        };
        Log {
            inside: Mutex::new(Inside {
                history,
                lists: HashMap::new(),
            }),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an exchange down. A fault of the connection has status 0.
    pub(super) fn write(
        &self,
        rendition: usize,
        purpose: Purpose,
        target: &str,
        answer: &io::Result<Answer>,
    ) {
        let fault;
        let (answer, broken) = match answer {
            Ok(answer) => (answer, None),
            Err(error) => {
                fault = Answer::default();
                (&fault, Some(error.to_string()))
            }
        };
        let text = (purpose == Purpose::Token).then(|| answer.text());
        let exchange = Exchange {
            rendition,
            purpose,
            target: match &broken {
                Some(broken) => format!("{target}: {broken}"),
                None => target.to_owned(),
            },
            sent_ns: answer.sent_ns,
            first_ns: answer.first_ns,
            done_ns: answer.done_ns,
            status: answer.status,
            headers: answer.headers.clone(),
            body: Digest::of(&answer.body),
            text,
            wall_s: answer.wall_s,
            broken,
        };
        self.inside().history.exchanges.push(exchange);
    }

    /// Writes a list down, with its exchange; gives it out where one came.
    pub(super) fn write_list(
        &self,
        rendition: usize,
        ask: Ask,
        target: &str,
        answer: &io::Result<Answer>,
    ) -> Option<Arc<Playlist>> {
        self.write(rendition, Purpose::Playlist(ask), target, answer);
        let answer = answer.as_ref().ok().filter(|answer| answer.status == 200)?;
        let text = answer.text();
        let mut inside = self.inside();
        let list = match inside.lists.get(&text) {
            Some(list) => Arc::clone(list),
            None => {
                let list = Arc::new(Playlist::parse(&text));
                inside.lists.insert(text, Arc::clone(&list));
                list
            }
        };
        let sample = Sample {
            ask,
            sent_ns: answer.sent_ns,
            done_ns: answer.done_ns,
            list: Arc::clone(&list),
        };
        if let Some(rendition) = inside.history.renditions.get_mut(rendition) {
            rendition.samples.push(sample);
        }
        Some(list)
    }

    /// Writes down what a listed address led to.
    pub(super) fn write_media(&self, rendition: usize, uri: &str, answer: &io::Result<Answer>) {
        let Ok(answer) = answer else { return };
        if answer.status == 200 {
            let media = media::read(&answer.body);
            if let Some(rendition) = self.inside().history.renditions.get_mut(rendition) {
                rendition.media.insert(uri.to_owned(), media);
            }
        }
    }

    /// The history of all that was written.
    pub(super) fn into_history(self) -> History {
        let inside = self.inside.into_inner();
        inside.unwrap_or_else(PoisonError::into_inner).history
    }
}
