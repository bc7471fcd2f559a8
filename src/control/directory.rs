//! Directories of stations (YP): told of public mounts, what they play and how many listen.
//!
//! Each directory has a task of its own that compares what it was told with what is on air, now
//! and then and when something changed. So nothing is told that is not true any more, and a
//! directory that hangs delays no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use corecast_config::Config;
use corecast_media::codec::Codec;
use corecast_media::name::MountName;
use corecast_mesh::message::{Event, MountReport, SourceState};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::api::mounts::laid_over;
use crate::api::path_of;
use crate::client::{Client, form, shown};
use crate::node::Node;
use crate::query::NodeSnapshot;

/// The least time between two looks at what is on air; a new source's format is known by then.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);

/// The least time after which a directory hears of a mount again, whatever it says itself.
const TOUCH_EVERY_MIN: Duration = Duration::from_secs(5);

/// The greatest.
const TOUCH_EVERY_MAX: Duration = Duration::from_secs(86_400);

/// How long a directory that has forgotten a mount is left alone, at most.
const FORGOTTEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest id that a directory may give, in bytes.
const ID_BYTES_MAX: usize = 256;

/// The most letters of a directory's message that are logged.
const MESSAGE_CHARS_MAX: usize = 200;

/// How long the end of the program waits for mounts to be taken out.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

/// The tasks, by the URLs of their directories. Lives on: the control plane.
pub(crate) struct Directories {
    client: Client,
    node: Arc<Node>,
    news: watch::Sender<()>,
    tasks: HashMap<String, Task>,
}

struct Task {
    /// Dropped, the task takes its mounts out and ends.
    _stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Directories {
    pub(crate) fn new(client: Client, node: Arc<Node>) -> Self {
        let config = node.config();
        let mut directories = Directories {
            client,
            node,
            news: watch::Sender::new(()),
            tasks: HashMap::new(),
        };
        directories.handle_reload(&config);
        directories
    }

    /// Begins with new directories and takes every mount out of those that are gone.
    pub(crate) fn handle_reload(&mut self, config: &Config) {
        let urls = &config.directory.urls;
        self.tasks.retain(|url, _| urls.contains(url));
        for url in urls {
            if self.tasks.contains_key(url) {
                continue;
            }
            let (stop, stopped) = oneshot::channel();
            let desk = Desk {
                url: url.clone(),
                client: self.client.clone(),
                node: Arc::clone(&self.node),
                listings: HashMap::new(),
            };
            let handle = tokio::spawn(desk.run(self.news.subscribe(), stopped));
            let task = Task {
                _stop: stop,
                handle,
            };
            self.tasks.insert(url.clone(), task);
        }
        self.news.send_replace(());
    }

    /// Looks again where what is on air changed.
    pub(crate) fn handle_event(&self, event: &Event) {
        let changed = matches!(
            event,
            Event::SourceStarted { .. } | Event::SourceEnded { .. } | Event::Metadata { .. }
        );
        if changed && !self.tasks.is_empty() {
            self.news.send_replace(());
        }
    }

    /// Takes every mount out of every directory, within bounds.
    pub(crate) async fn close(self) {
        let handles: Vec<_> = self.tasks.into_values().map(|task| task.handle).collect();
        let all = async {
            for handle in handles {
                // One that panicked has nothing to say any more.
                let _ = handle.await;
            }
        };
        let _ = timeout(END_WAIT_MAX, all).await;
    }
}

/// One directory as its task sees it.
struct Desk {
    url: String,
    client: Client,
    node: Arc<Node>,
    listings: HashMap<MountName, Listing>,
}

/// What one directory knows of one mount.
enum Listing {
    /// It refused or failed; it is asked again then.
    Refused {
        until: Instant,
    },
    Listed(Listed),
}

struct Listed {
    /// What it was told when the mount was added.
    card: String,
    /// The directory's name for it.
    id: String,
    /// The title that it was told last, and when.
    title: Arc<str>,
    told: Instant,
    /// How often it wants to be told.
    every: Duration,
}

/// What a directory answered.
struct Reply {
    accepted: bool,
    id: String,
    message: String,
    every: Duration,
}

impl Desk {
    async fn run(mut self, mut news: watch::Receiver<()>, mut stop: oneshot::Receiver<()>) {
        // Told to stop only between looks: a mount that is being added is known, and is taken out.
        loop {
            news.mark_unchanged();
            tokio::select! {
                () = sleep(LOOK_EVERY_MIN) => {}
                _ = &mut stop => break,
            }
            let next = self.look().await;
            tokio::select! {
                changed = news.changed() => if changed.is_err() {
                    break;
                },
                () = sleep_until(next) => {}
                _ = &mut stop => break,
            }
        }
        for mount in self.listings.keys().cloned().collect::<Vec<_>>() {
            self.remove(&mount).await;
        }
    }

    /// Tells what changed, and says when to look again.
    async fn look(&mut self) -> Instant {
        let config = self.node.config();
        let again = Instant::now() + config.directory.interval;
        let Ok(snapshot) = self.node.overview().await else {
            return again;
        };
        for mount in self.gone(&config, &snapshot) {
            self.remove(&mount).await;
        }
        let public = snapshot
            .mounts
            .iter()
            .filter(|report| is_public(&config, report));
        for report in public {
            self.tell(&config, report).await;
        }
        let next = self.listings.values().map(|listing| match listing {
            Listing::Refused { until } => *until,
            Listing::Listed(listed) => listed.told + listed.every,
        });
        next.min().unwrap_or(again)
    }

    /// Mounts that the directory knows and should not.
    fn gone(&self, config: &Config, snapshot: &NodeSnapshot) -> Vec<MountName> {
        let stays = |mount: &MountName| match snapshot.mount(mount.as_str()) {
            Some(report) => is_public(config, report),
            // It may be on a shard that did not answer.
            None => !snapshot.missing.is_empty(),
        };
        let gone = self.listings.keys().filter(|mount| !stays(mount));
        gone.cloned().collect()
    }

    async fn tell(&mut self, config: &Config, report: &MountReport) {
        let now = Instant::now();
        let card = card(config, report);
        match self.listings.get_mut(&report.mount) {
            None => self.add(config, report, card).await,
            Some(Listing::Refused { until }) if now < *until => {}
            Some(Listing::Refused { .. }) => self.add(config, report, card).await,
            Some(Listing::Listed(listed)) if listed.card != card => {
                self.remove(&report.mount).await;
                self.add(config, report, card).await;
            }
            Some(Listing::Listed(listed)) => {
                if listed.title != report.metadata.title {
                    listed.every = listed.every.min(TOUCH_EVERY_MIN);
                }
                if now >= listed.told + listed.every {
                    self.touch(config, report).await;
                }
            }
        }
    }

    async fn add(&mut self, config: &Config, report: &MountReport, card: String) {
        let bitrate = bitrate(report);
        let rest = form(&[("stype", subtype(report)), ("b", &bitrate)]);
        let reply = self.post(config, "added", format!("{card}&{rest}")).await;
        let now = Instant::now();
        let mount = report.mount.as_str();
        let directory = shown(&self.url);
        let listing = match reply {
            Some(reply) if reply.accepted => {
                info!(mount, directory, "listed in the directory");
                Listing::Listed(Listed {
                    card,
                    id: reply.id,
                    // The first touch tells the title and the listeners.
                    title: "".into(),
                    told: now,
                    every: reply.every.min(TOUCH_EVERY_MIN),
                })
            }
            refused => {
                if let Some(Reply { message, .. }) = refused {
                    warn!(mount, directory, message, "the directory refuses the mount");
                }
                Listing::Refused {
                    until: now + config.directory.interval,
                }
            }
        };
        self.listings.insert(report.mount.clone(), listing);
    }

    async fn touch(&mut self, config: &Config, report: &MountReport) {
        let Some(Listing::Listed(listed)) = self.listings.get(&report.mount) else {
            return;
        };
        let settings = config.mount(report.mount.as_str());
        let max = match settings.listeners_max {
            0 => config.limits.listeners_max,
            own => own,
        };
        let form = form(&[
            ("action", "touch"),
            ("sid", &listed.id),
            ("st", &report.metadata.title),
            ("listeners", &report.listeners.to_string()),
            ("max_listeners", &max.to_string()),
            ("stype", subtype(report)),
        ]);
        let reply = self.post(config, "touched", form).await;
        let now = Instant::now();
        let Some(listing) = self.listings.get_mut(&report.mount) else {
            return;
        };
        match (listing, reply) {
            (Listing::Listed(listed), None) => {
                listed.told = now;
                listed.every = config.directory.interval;
            }
            (Listing::Listed(listed), Some(reply)) if reply.accepted => {
                listed.told = now;
                listed.every = reply.every;
                listed.title = Arc::clone(&report.metadata.title);
            }
            (listing, _) => {
                let wait = config.directory.interval.min(FORGOTTEN_WAIT_MAX);
                *listing = Listing::Refused { until: now + wait };
            }
        }
    }

    /// Takes a mount out; what comes of it changes nothing.
    async fn remove(&mut self, mount: &MountName) {
        if let Some(Listing::Listed(listed)) = self.listings.remove(mount) {
            let form = form(&[("action", "remove"), ("sid", &listed.id)]);
            let config = self.node.config();
            self.post(&config, "removed", form).await;
        }
    }

    /// Sends a form and counts what came of it; nothing where the directory failed.
    async fn post(&self, config: &Config, good: &str, form: String) -> Option<Reply> {
        let settings = &config.directory;
        let answer = self
            .client
            .post(&self.url, None, form, settings.timeout)
            .await;
        let calls = &self.node.probe.directory_calls;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                calls.of(failure.name()).add(1);
                warn!(directory = shown(&self.url), error = %failure, "directory failed");
                return None;
            }
        };
        let text = |name| answer.text(name).unwrap_or_default();
        let id = text("sid");
        let seconds: Option<u32> = text("touchfreq").parse().ok();
        let every = seconds.map_or(settings.interval, |seconds| {
            let every = Duration::from_secs(u64::from(seconds));
            every.clamp(TOUCH_EVERY_MIN, TOUCH_EVERY_MAX)
        });
        // Only the answer to an addition has to say the mount's id, one that fits.
        let fits = id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
        let is_id = fits && (good != "added" || !id.is_empty());
        let plain = text("ypmessage");
        let plain = plain.chars().filter(|letter| !letter.is_control());
        let reply = Reply {
            accepted: text("ypresponse") == "1" && is_id,
            id,
            message: plain.take(MESSAGE_CHARS_MAX).collect(),
            every,
        };
        calls
            .of(if reply.accepted { good } else { "refused" })
            .add(1);
        debug!(
            directory = shown(&self.url),
            good, reply.accepted, reply.message
        );
        answer.finish().await;
        Some(reply)
    }
}

/// Whether directories may know of the mount now. One that waits for its source stays listed.
fn is_public(config: &Config, report: &MountReport) -> bool {
    let on_air = !matches!(report.state, SourceState::Gone { .. });
    on_air && report.info.public && !config.mount(report.mount.as_str()).hidden
}

/// The form that adds a mount, but for what is measured and may change.
fn card(config: &Config, report: &MountReport) -> String {
    let name = report.mount.as_str();
    let settings = config.mount(name);
    let info = &report.info;
    let (scheme, port) = config.site();
    let host = match config.server.hostname.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => config.server.hostname.clone(),
    };
    let listen_url = format!("{scheme}://{host}:{port}{}", path_of(name));
    form(&[
        ("action", "add"),
        ("sn", laid_over(&settings.stream_name, &info.name)),
        ("genre", laid_over(&settings.genre, &info.genre)),
        ("cpswd", ""),
        ("desc", laid_over(&settings.description, &info.description)),
        ("url", laid_over(&settings.url, &info.url)),
        ("listenurl", &listen_url),
        ("type", &info.content_type),
    ])
}

/// What the source says of its rate, else what is measured, in kbit/s.
fn bitrate(report: &MountReport) -> String {
    match (&*report.info.bitrate, report.format.bitrate_bps) {
        ("", 0) => (report.bitrate_bps / 1_000).to_string(),
        ("", measured) => (measured / 1_000).to_string(),
        (said, _) => said.to_owned(),
    }
}

/// The codec inside an Ogg stream, as Icecast tells it.
fn subtype(report: &MountReport) -> &'static str {
    match report.format.codec {
        Codec::Vorbis => "Vorbis",
        Codec::Opus => "Opus",
        Codec::Flac => "FLAC",
        Codec::Speex => "Speex",
        _ => "",
    }
}
