//! Mounts whose media goes to files.
//!
//! Each source that is recorded has a task and a bounded queue; the task writes on the blocking
//! pool. A disk that is full, slow or gone costs pieces, which are counted, and one warning a
//! minute; nobody waits for it. What is in a file is whole frames, always.

pub(crate) mod name;
pub(crate) mod storage;
mod take;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use corecast_config::Mount;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::Recording;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::probe::ControlProbe;
use storage::Storage;
use take::{Piece, Take};

/// Sources that are recorded at a time, at most.
const RECORDINGS_MAX: usize = 256;

/// Pieces of one recording that wait for the disk.
const PIECES_WAITING_MAX: usize = 256;

/// Bytes of one recording that wait for the disk.
const BYTES_WAITING_MAX: usize = 4 * 1024 * 1024;

/// How often a failing disk is told of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How long the end of the program waits for the disk.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// The recordings. Lives on: the control plane.
pub(crate) struct Recorder {
    storage: Arc<dyn Storage>,
    running: HashMap<MountName, Running>,
    tasks: JoinSet<()>,
    complaints: Arc<Complaints>,
    probe: Arc<ControlProbe>,
}

/// One source that is recorded.
struct Running {
    session: SessionId,
    pieces: mpsc::Sender<Piece>,
    waiting: Arc<AtomicUsize>,
    /// The piece before this one was lost.
    gap: bool,
}

impl Recorder {
    pub(crate) fn new(storage: Arc<dyn Storage>, probe: Arc<ControlProbe>) -> Self {
        Recorder {
            storage,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            complaints: Arc::default(),
            probe,
        }
    }

    /// Puts a piece on its way to the disk, or counts it as lost. `settings` are the mount's.
    pub(crate) fn handle_recording(&mut self, settings: &Mount, recording: Recording) {
        let Recording {
            mount,
            session,
            payload,
            entry,
            init_headers,
        } = recording;
        let known = self.running.get(&mount).map(|running| running.session);
        let ended = payload.is_empty() || settings.dump_file.is_empty();
        if ended || known.is_some_and(|known| known != session) {
            self.running.remove(&mount);
        }
        if ended {
            return;
        }
        if !self.running.contains_key(&mount) {
            if self.tasks.len() >= RECORDINGS_MAX {
                self.probe.recording_lost.add(1);
                self.complaints.tell(&mount, 1, "too many recordings");
                return;
            }
            let take = Take::new(Arc::clone(&self.storage), &settings.dump_file, &mount);
            let running = self.start(mount.clone(), session, take);
            self.running.insert(mount.clone(), running);
        }
        let Some(running) = self.running.get_mut(&mount) else {
            return;
        };
        let piece = Piece {
            payload,
            entry,
            init_headers,
            rotate: settings.dump_rotate,
            at: SystemTime::now(),
            gap: running.gap,
        };
        running.gap = !running.push(piece);
        if running.gap {
            self.probe.recording_lost.add(1);
            self.complaints.tell(&mount, 1, "the disk is too slow");
        }
    }

    /// Forgets the tasks that are done.
    pub(crate) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let recordings = i64::try_from(self.tasks.len()).unwrap_or(i64::MAX);
        self.probe.recordings.set(recordings);
    }

    /// Waits, within bounds, until everything is in the files.
    pub(crate) async fn close(mut self) {
        self.running.clear();
        let written = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_WAIT_MAX, written).await.is_err() {
            tracing::warn!("the disk of recordings is slow: their ends may be lost");
        }
    }

    fn start(&mut self, mount: MountName, session: SessionId, take: Take) -> Running {
        let (pieces, incoming) = mpsc::channel(PIECES_WAITING_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            mount,
            waiting: Arc::clone(&waiting),
            complaints: Arc::clone(&self.complaints),
            probe: Arc::clone(&self.probe),
        };
        self.tasks.spawn(writer.run(take, incoming));
        Running {
            session,
            pieces,
            waiting,
            gap: false,
        }
    }
}

impl Running {
    /// Queues a piece where there is room.
    fn push(&self, piece: Piece) -> bool {
        let bytes = piece.payload.len();
        if self.waiting.load(Ordering::Relaxed) + bytes > BYTES_WAITING_MAX {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let sent = self.pieces.try_send(piece).is_ok();
        if !sent {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }
}

/// The task of one recording.
struct Writer {
    mount: MountName,
    waiting: Arc<AtomicUsize>,
    complaints: Arc<Complaints>,
    probe: Arc<ControlProbe>,
}

impl Writer {
    async fn run(self, mut take: Take, mut pieces: mpsc::Receiver<Piece>) {
        while let Some(piece) = pieces.recv().await {
            let bytes = piece.payload.len();
            let written = tokio::task::spawn_blocking(move || {
                let outcome = take.write(piece);
                (take, outcome)
            });
            // A writer that panicked has told so; its recording ends here.
            let Ok((back, outcome)) = written.await else {
                return;
            };
            take = back;
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.probe.recorded_bytes.add(outcome.bytes);
            self.probe.recorded_files.add(u64::from(outcome.began));
            if outcome.lost {
                self.probe.recording_lost.add(1);
            }
            match outcome.fault {
                Some(fault) => self.complaints.tell(&self.mount, 1, &fault),
                None => self.complaints.add(u64::from(outcome.lost)),
            }
        }
        // Closing may wait for the disk too.
        let _ = tokio::task::spawn_blocking(move || drop(take)).await;
    }
}

/// One warning a minute about lost pieces, whatever the number of recordings.
#[derive(Debug, Default)]
struct Complaints(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    told: Option<Instant>,
    lost: u64,
}

impl Complaints {
    /// Counts lost pieces for the next warning.
    fn add(&self, lost: u64) {
        if let Ok(mut untold) = self.0.lock() {
            untold.lost += lost;
        }
    }

    /// Counts lost pieces, and warns where it is time.
    fn tell(&self, mount: &MountName, lost: u64, fault: &str) {
        let Ok(mut untold) = self.0.lock() else {
            return;
        };
        untold.lost += lost;
        if untold.told.is_some_and(|told| told.elapsed() < WARN_EVERY) {
            return;
        }
        untold.told = Some(Instant::now());
        let pieces = std::mem::take(&mut untold.lost);
        tracing::warn!(%mount, pieces, reason = fault, "pieces of recordings are lost");
    }
}
