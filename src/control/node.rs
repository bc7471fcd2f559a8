//! What request handlers share, and the orders by which they reach the plane's loop.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use corecast_config::{Config, Master, Relay};
use corecast_media::intro::Intros;
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{FromControl, Question};
use corecast_mesh::seats::NodeSeats;
use corecast_mesh::topology::Topology;
use corecast_telemetry::registry::Registry;
use corecast_tls::Credentials;
use corecast_tls::acme::Proof;
use tokio::sync::{mpsc, oneshot, watch};

use crate::acme::AcmeState;
use crate::audience::Audience;
use crate::certificates::Look;
use crate::feed::Feed;
use crate::masters::MasterState;
use crate::probe::ControlProbe;
use crate::problem::Problem;
use crate::query::NodeSnapshot;
use crate::titles::Titles;
use crate::users::Editor;

/// What the loop is asked to do, in order. The queue has no bound of its own: a request has one
/// query and, by its credits, a few chunks in it, and requests are bounded.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this to a shard.
    Send(ShardId, FromControl),
    /// Gather the node's state.
    Ask {
        /// Whether every session is wanted too.
        sessions: bool,
        /// Who waits for it.
        waiter: oneshot::Sender<Arc<NodeSnapshot>>,
    },
    /// Give nobody an answer from before.
    Refresh,
    /// This listener is in its mount's file of users.
    Welcome(Box<Question>),
    /// This request is answered.
    Answered(SessionId),
    /// New settings.
    Reload(Arc<Config>),
    /// New intros; the settings that name them come next.
    Intros(Arc<Intros>),
    /// What a look at the files of certificates came to.
    Certificates(Box<Look>),
    /// A certificate lies in its file that came from an authority.
    Renewed,
    /// What authorities that ask by TLS are shown from now on, instead of what they were shown.
    Proofs(Vec<Proof>),
    /// Where the mount's listeners go when its source is gone, until the next reload.
    SetFallback {
        /// The mount.
        mount: MountName,
        /// The mount that takes them, if one does.
        fallback: Option<MountName>,
    },
    /// The list of a master has come.
    Listed {
        /// The master, as it was asked.
        master: Box<Master>,
        /// What follows from the list.
        relays: Vec<Relay>,
    },
    /// Take no more sessions and end those that are there within this time.
    Drain(Duration),
    /// End at once.
    Stop,
}

/// What request handlers share. Lives on: the control plane.
pub(crate) struct Node {
    /// By what other nodes know this one, until it ends.
    pub(crate) id: String,
    pub(crate) topology: Topology,
    pub(crate) seats: Arc<NodeSeats>,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    pub(crate) draining: AtomicBool,
    pub(crate) started: Instant,
    pub(crate) started_unix: SystemTime,
    pub(crate) registry: Registry,
    pub(crate) probe: Arc<ControlProbe>,
    /// Never held across a wait; only control's thread takes it.
    pub(crate) audience: Mutex<Audience>,
    /// As above.
    pub(crate) titles: Mutex<Titles>,
    /// As above; by the masters' names.
    pub(crate) masters: Mutex<BTreeMap<String, MasterState>>,
    /// As above; what TLS is spoken with.
    pub(crate) credentials: Mutex<Option<Arc<Credentials>>>,
    /// As above; what came of asking for each certificate, by its name.
    pub(crate) acme: Mutex<BTreeMap<String, AcmeState>>,
    /// As above; what authorities that ask by HTTP are answered, by their tokens.
    pub(crate) challenges: Mutex<HashMap<String, String>>,
    pub(crate) feed: Feed,
    pub(crate) users: Editor,
}

impl Node {
    /// The settings as they are now.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The state of every shard that answers in time.
    pub(crate) async fn snapshot(&self) -> Result<Arc<NodeSnapshot>, Problem> {
        self.ask(true).await
    }

    /// As [`Node::snapshot`], without sessions: what pages ask for again and again.
    pub(crate) async fn overview(&self) -> Result<Arc<NodeSnapshot>, Problem> {
        self.ask(false).await
    }

    /// As [`Node::overview`], with what changed a moment ago: an answer that is given again may be
    /// older than a source that was just taken.
    pub(crate) async fn overview_of_now(&self) -> Result<Arc<NodeSnapshot>, Problem> {
        self.order(Order::Refresh);
        self.ask(false).await
    }

    async fn ask(&self, sessions: bool) -> Result<Arc<NodeSnapshot>, Problem> {
        let (waiter, answer) = oneshot::channel();
        let gone = || Problem::unavailable("the server is stopping");
        let order = Order::Ask { sessions, waiter };
        self.orders.send(order).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    /// The count of listeners.
    pub(crate) fn audience(&self) -> MutexGuard<'_, Audience> {
        // Nothing panics half-way through a count.
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The titles that were.
    pub(crate) fn titles(&self) -> MutexGuard<'_, Titles> {
        self.titles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of each master.
    pub(crate) fn masters(&self) -> MutexGuard<'_, BTreeMap<String, MasterState>> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What TLS is spoken with; none where no acceptor needs it.
    pub(crate) fn credentials(&self) -> Option<Arc<Credentials>> {
        let credentials = self.credentials.lock();
        credentials.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// TLS is spoken with these from now on.
    pub(crate) fn set_credentials(&self, fresh: Arc<Credentials>) {
        let credentials = self.credentials.lock();
        *credentials.unwrap_or_else(PoisonError::into_inner) = Some(fresh);
    }

    /// What came of asking for each certificate.
    pub(crate) fn acme(&self) -> MutexGuard<'_, BTreeMap<String, AcmeState>> {
        self.acme.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What authorities that ask by HTTP are answered.
    pub(crate) fn challenges(&self) -> MutexGuard<'_, HashMap<String, String>> {
        let challenges = self.challenges.lock();
        challenges.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `message` to `shard`, after everything that was ordered before.
    pub(crate) fn send(&self, shard: ShardId, message: FromControl) {
        self.order(Order::Send(shard, message));
    }

    /// Has the loop do something, after everything that was ordered before.
    pub(crate) fn order(&self, order: Order) {
        // A loop that has ended does nothing more, and nobody waits for it.
        let _ = self.orders.send(order);
    }

    /// Whether the node takes no more sessions.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The node's clock.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// `time` of the node's clock on the wall's.
    pub(crate) fn wall(&self, time: Time) -> SystemTime {
        self.started_unix + Duration::from_micros(time.as_micros())
    }
}
