//! Servers all of whose mounts are relayed: their lists, fetched again and again.
//!
//! Each master has a task of its own. What a list says holds until the next one: a master that
//! hangs, fails or says nonsense takes no relay away, and delays no other master. The loop makes
//! the relays part of the settings ([`Config::relays_listed`]), which shards follow as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use corecast_config::{Config, LISTED_MAX, Listed, Master, Relay};
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::client::{Client, Login};
use crate::node::{Node, Order};

/// The longest list, in bytes.
const LIST_BYTES_MAX: usize = 256 * 1_024;

/// The longest status document that is read for its mounts, in bytes.
const STATUS_BYTES_MAX: usize = 1_024 * 1_024;

/// The longest name of a node that is kept, in bytes.
const NODE_BYTES_MAX: usize = 64;

/// How long a master is left alone after its first failure in a row; after each further one twice
/// as long, up to its interval.
const FAILED_WAIT_MIN: Duration = Duration::from_secs(1);

/// The header by which two nodes know each other, in the question for a list and in the answer.
pub(crate) const NODE_HEADER: &str = "corecast-node";

/// What is known of a master.
#[derive(Clone, Debug, Default)]
pub(crate) struct MasterState {
    /// The node that it is, where it is one of us.
    node: Option<String>,
    /// When its list was taken over last.
    pub(crate) listed_at: Option<SystemTime>,
    /// Mounts of that list that are relayed.
    pub(crate) mounts: usize,
    /// Why the last try failed; empty where it did not.
    pub(crate) error: String,
}

/// Another name for each node that starts.
pub(crate) fn node_id() -> String {
    let id = RandomState::new().hash_one(std::process::id());
    format!("{id:016x}")
}

/// The mounts that we take from the node that asks with `headers`. It is not told of them: two
/// nodes that are masters of each other would keep a mount alive that has no source any more.
pub(crate) fn taken_from_asker(
    node: &Node,
    config: &Config,
    headers: &HeaderMap,
) -> BTreeSet<String> {
    let Some(asker) = headers.get(NODE_HEADER).map(HeaderValue::as_bytes) else {
        return BTreeSet::new();
    };
    let states = node.masters();
    let is_asker = |master: &&Master| {
        let known = states
            .get(&master.name)
            .and_then(|state| state.node.as_ref());
        known.is_some_and(|known| known.as_bytes() == asker)
    };
    let roots = config.masters.iter().filter(is_asker);
    let roots: Vec<String> = roots.filter_map(|master| master.at("/")).collect();
    let from_asker = |relay: &&Relay| roots.iter().any(|root| relay.url.starts_with(root));
    let taken = config.relays_listed.iter().filter(from_asker);
    taken.map(|relay| relay.mount.clone()).collect()
}

/// The tasks, and the relays that follow from their lists. Lives on: the control plane.
pub(crate) struct Masters {
    client: Client,
    node: Arc<Node>,
    desks: BTreeMap<String, Desk>,
}

struct Desk {
    settings: Master,
    relays: Vec<Relay>,
    task: JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Masters {
    pub(crate) fn new(client: Client, node: Arc<Node>) -> Self {
        let config = node.config();
        let mut masters = Masters {
            client,
            node,
            desks: BTreeMap::new(),
        };
        masters.handle_reload(&config);
        masters
    }

    /// Begins with new masters, and forgets what those said that are gone. Where only the manner
    /// is another, what was listed holds until the next list.
    pub(crate) fn handle_reload(&mut self, config: &Config) {
        let is_there = |name: &String| config.masters.iter().any(|master| master.name == *name);
        self.desks.retain(|name, _| is_there(name));
        self.node.masters().retain(|name, _| is_there(name));
        for settings in &config.masters {
            let before = self.desks.get_mut(&settings.name);
            if before
                .as_ref()
                .is_some_and(|desk| desk.settings == *settings)
            {
                continue;
            }
            let relays = match before {
                Some(desk) if desk.settings.url == settings.url => std::mem::take(&mut desk.relays),
                _ => Vec::new(),
            };
            let asker = Asker {
                settings: settings.clone(),
                client: self.client.clone(),
                node: Arc::clone(&self.node),
            };
            let desk = Desk {
                settings: settings.clone(),
                relays,
                task: tokio::spawn(asker.run()),
            };
            self.desks.insert(settings.name.clone(), desk);
        }
    }

    /// A list has come.
    pub(crate) fn handle_list(&mut self, master: &Master, relays: Vec<Relay>) {
        // What was asked under other settings is no answer.
        if let Some(desk) = self.desks.get_mut(&master.name)
            && desk.settings == *master
        {
            desk.relays = relays;
        }
    }

    /// The relays that follow from all lists: none to a mount that has one in the settings, and
    /// of several to one mount that of the first master.
    pub(crate) fn relays(&self, config: &Config) -> Vec<Relay> {
        let configured = config.relays.iter().map(|relay| relay.mount.as_str());
        let mut taken: BTreeSet<&str> = configured.collect();
        let desks = config.masters.iter();
        let desks = desks.filter_map(|master| self.desks.get(&master.name));
        let listed = desks.flat_map(|desk| &desk.relays);
        let first = listed.filter(|relay| taken.insert(&relay.mount));
        first.take(LISTED_MAX).cloned().collect()
    }
}

/// Fetches the list of one master.
struct Asker {
    settings: Master,
    client: Client,
    node: Arc<Node>,
}

impl Asker {
    async fn run(self) {
        let interval = self.settings.interval;
        let mut failed_wait = FAILED_WAIT_MIN;
        loop {
            let wait = match self.fetch().await {
                Ok((listed, node)) => {
                    failed_wait = FAILED_WAIT_MIN;
                    self.take_over(listed, node);
                    interval
                }
                Err((result, error)) => {
                    self.fail(result, error);
                    // Who refuses us now and then locks us out for asking again and again.
                    let wait = match result {
                        "refused" => interval,
                        _ => failed_wait.min(interval),
                    };
                    failed_wait = failed_wait.saturating_mul(2).min(interval);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// The mounts of the master, and which node it is where it is one of us; or the label of what
    /// went wrong, and what.
    async fn fetch(&self) -> Result<(Listed, Option<String>), (&'static str, String)> {
        let settings = &self.settings;
        let login = (!settings.password.is_empty()).then_some(Login {
            user: &settings.user,
            password: &settings.password,
        });
        let (target, bytes_max) = match login {
            Some(_) => ("/admin/streamlist.txt", LIST_BYTES_MAX),
            None => ("/status-json.xsl", STATUS_BYTES_MAX),
        };
        let url = settings.at(target).unwrap_or_default();
        let header = (NODE_HEADER, self.node.id.as_str());
        let answer = self
            .client
            .get(&url, login, header, bytes_max, settings.timeout);
        let answer = answer
            .await
            .map_err(|failure| (failure.name(), failure.to_string()))?;
        if answer.status != StatusCode::OK {
            return Err(("refused", format!("answered {}", answer.status.as_u16())));
        }
        let nonsense = || ("nonsense", format!("{target} is no list of mounts"));
        let listed = match login {
            Some(_) => settings.read_list(&answer.body),
            None => {
                let names = names_of_status(&answer.body).ok_or_else(nonsense)?;
                settings.read_names(names.iter().map(String::as_str))
            }
        };
        // A page of something else must not end every relay.
        if listed.bad > 0 && listed.relays.is_empty() {
            return Err(nonsense());
        }
        let node = answer.headers.get(NODE_HEADER);
        let node = node
            .and_then(|node| node.to_str().ok())
            .filter(|node| node.len() <= NODE_BYTES_MAX);
        Ok((listed, node.map(str::to_owned)))
    }

    fn take_over(&self, listed: Listed, node: Option<String>) {
        let Listed {
            relays,
            bad,
            left_over,
        } = listed;
        let (master, mounts) = (self.settings.name.as_str(), relays.len());
        self.node.probe.master_lists.of("taken").add(1);
        let before = self.node.masters().insert(
            self.settings.name.clone(),
            MasterState {
                node,
                listed_at: Some(SystemTime::now()),
                mounts,
                error: String::new(),
            },
        );
        let changed =
            before.is_none_or(|before| before.mounts != mounts || !before.error.is_empty());
        if !changed {
            debug!(master, mounts, "the master's list");
        } else if bad > 0 || left_over > 0 {
            warn!(
                master,
                mounts, bad, left_over, "the master's list names what cannot be relayed"
            );
        } else {
            info!(master, mounts, "the master's list");
        }
        let master = Box::new(self.settings.clone());
        self.node.order(Order::Listed { master, relays });
    }

    fn fail(&self, result: &'static str, error: String) {
        let master = self.settings.name.as_str();
        self.node.probe.master_lists.of(result).add(1);
        let mut states = self.node.masters();
        let state = states.entry(self.settings.name.clone()).or_default();
        if state.error == error {
            debug!(master, error, "the master has no list");
        } else {
            warn!(
                master,
                error, "the master has no list; what it listed before holds"
            );
            state.error = error;
        }
    }
}

/// The names of the mounts in Icecast's `/status-json.xsl`: the paths of their `listenurl`s.
fn names_of_status(document: &[u8]) -> Option<Vec<String>> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let sources = match document.get("icestats")?.get("source") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(sources)) => sources.as_slice(),
        Some(source) => std::slice::from_ref(source),
    };
    let name = |source: &Value| {
        let url = source.get("listenurl")?.as_str()?;
        let (_, rest) = url.split_once("://")?;
        let path = rest.get(rest.find('/')?..)?;
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned())
    };
    Some(sources.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_mounts() {
        let names = |document: &str| names_of_status(document.as_bytes());
        let one = r#"{"listenurl":"http://a:8000/b%20c.mp3","listeners":1}"#;
        let two = r#"{"listenurl":"http://[::1]/d"}"#;
        let found = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        for (sources, expected) in [
            (String::new(), found(&[])),
            (r#","source":null"#.to_owned(), found(&[])),
            (format!(r#","source":{one}"#), found(&["/b c.mp3"])),
            (
                format!(r#","source":[{one},{two}]"#),
                found(&["/b c.mp3", "/d"]),
            ),
            (
                r#","source":[1,{},{"listenurl":"x"}]"#.to_owned(),
                found(&[]),
            ),
        ] {
            let document = format!(r#"{{"icestats":{{"host":"a"{sources}}}}}"#);
            assert_eq!(names(&document), expected, "{document}");
        }
        for nonsense in ["", "<html>", "[]", "{}", "{\"icestats\":1", "\u{0}"] {
            assert_eq!(names(nonsense), None, "{nonsense}");
        }
    }
}
