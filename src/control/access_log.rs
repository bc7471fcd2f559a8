//! The access log, as Icecast writes it: the combined form with the seconds of listening last.
//!
//! A thread of its own writes, so that a slow disk costs lines (counted), never control's turn.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};
use std::{io, thread};

use corecast_config::{Log, shown_ip};
use corecast_mesh::message::AccessRecord;

use crate::clock;

/// Lines that wait for the disk.
const LINES_WAITING_MAX: usize = 8_192;

/// How long the end of the program waits for the disk.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

enum Order {
    Write(Box<AccessRecord>, SystemTime),
    Reopen(Log),
}

/// The way to the thread that writes. Lives on: the control plane.
pub(crate) struct AccessLog {
    orders: SyncSender<Order>,
    done: Receiver<()>,
    wanted: bool,
    /// A reload met a full queue; it is passed on with the next line.
    reopen: Option<Log>,
}

impl AccessLog {
    /// Starts the thread; it opens the file.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(log: &Log) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(LINES_WAITING_MAX);
        let (alive, done) = sync_channel::<()>(0);
        let log = log.clone();
        let wanted = is_wanted(&log);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                Writer::open(log).run(&waiting);
                drop(alive);
            })?;
        Ok(AccessLog {
            orders,
            done,
            wanted,
            reopen: None,
        })
    }

    /// Passes on a line; false where it is lost.
    pub(crate) fn write(&mut self, record: Box<AccessRecord>, now: SystemTime) -> bool {
        self.pass_reopen();
        !self.wanted || self.orders.try_send(Order::Write(record, now)).is_ok()
    }

    /// Opens the file anew (it may have been moved away), under these settings.
    pub(crate) fn reopen(&mut self, log: &Log) {
        self.wanted = is_wanted(log);
        self.reopen = Some(log.clone());
        self.pass_reopen();
    }

    fn pass_reopen(&mut self) {
        if let Some(log) = self.reopen.take()
            && self.orders.try_send(Order::Reopen(log.clone())).is_err()
        {
            self.reopen = Some(log);
        }
    }

    /// Waits, within bounds, until every line is in the file.
    pub(crate) fn close(self) {
        drop(self.orders);
        if self.done.recv_timeout(CLOSE_WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log's disk is slow: its last lines may be lost");
        }
    }
}

fn is_wanted(log: &Log) -> bool {
    !log.access_path.as_os_str().is_empty()
}

/// Lives on: its own thread.
struct Writer {
    file: Option<BufWriter<File>>,
    path: PathBuf,
    redact: bool,
    /// A failure was told; the next is told only after a success.
    failed: bool,
}

impl Writer {
    fn open(log: Log) -> Self {
        let mut writer = Writer {
            file: None,
            path: log.access_path,
            redact: log.redact_ip,
            failed: false,
        };
        if !writer.path.as_os_str().is_empty() {
            match open(&writer.path) {
                Ok(file) => writer.file = Some(file),
                Err(error) => writer.complain("open", &error),
            }
        }
        writer
    }

    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match orders.try_recv() {
                Ok(order) => order,
                Err(TryRecvError::Disconnected) => return self.flush(),
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match orders.recv() {
                        Ok(order) => order,
                        Err(_) => return,
                    }
                }
            };
            match order {
                Order::Write(record, time) => self.write(&record, time),
                Order::Reopen(log) => {
                    self.flush();
                    self = Writer::open(log);
                }
            }
        }
    }

    fn write(&mut self, record: &AccessRecord, time: SystemTime) {
        let Some(file) = &mut self.file else { return };
        match file.write_all(line(record, time, self.redact).as_bytes()) {
            Ok(()) => {}
            Err(error) => self.complain("write", &error),
        }
    }

    fn flush(&mut self) {
        match self.file.as_mut().map(Write::flush) {
            None => {}
            Some(Ok(())) => self.failed = false,
            Some(Err(error)) => self.complain("write", &error),
        }
    }

    fn complain(&mut self, verb: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.failed, true) {
            let path = self.path.display();
            tracing::error!(%path, %error, "cannot {verb} the access log");
        }
    }
}

fn open(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::new(
        OpenOptions::new().create(true).append(true).open(path)?,
    ))
}

/// One line with its end.
fn line(record: &AccessRecord, time: SystemTime, redact: bool) -> String {
    let ip = shown_ip(record.peer.ip(), redact);
    let user = quoted(record.user.as_deref().unwrap_or_default()).replace(' ', "+");
    let date = clock::common_log(time);
    let request = quoted(&without_query(&record.request));
    let (status, bytes) = (record.status, record.bytes);
    let (referer, agent) = (quoted(&record.referer), quoted(&record.user_agent));
    let seconds = record.duration.as_secs();
    format!(
        "{ip} - {user} [{date}] \"{request}\" {status} {bytes} \
         \"{referer}\" \"{agent}\" {seconds}\n"
    )
}

/// As Icecast does: a query may hold a password or a token.
fn without_query(request: &str) -> String {
    match request.split_once('?') {
        None => request.to_owned(),
        Some((before, after)) => {
            let version = after.rsplit_once(' ').map_or("", |(_, version)| version);
            format!("{before} {version}").trim_end().to_owned()
        }
    }
}

/// A text that ends no field: `-` for none.
fn quoted(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => kept.extend(['\\', c]),
            c if c.is_control() => kept.extend(c.escape_default()),
            c => kept.push(c),
        }
    }
    if kept.is_empty() {
        "-".to_owned()
    } else {
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_media::name::SessionId;
    use corecast_mesh::message::EndReason;

    fn record() -> AccessRecord {
        AccessRecord {
            session: SessionId::default(),
            peer: "[::ffff:192.0.2.77]:4000".parse().expect("an address"),
            user: None,
            request: "GET /live?token=secret HTTP/1.1".into(),
            status: 200,
            bytes: 4_711,
            referer: "".into(),
            user_agent: "evil\" \\ agent\n".into(),
            duration: Duration::from_millis(61_900),
            reason: EndReason::PeerClosed,
            mount: None,
        }
    }

    fn rest(line: &str) -> &str {
        line.split_once("] ").map_or("", |(_, rest)| rest)
    }

    #[test]
    fn a_line_has_icecasts_fields_and_no_peer_can_forge_one() {
        let line = line(&record(), SystemTime::UNIX_EPOCH, false);
        assert!(line.starts_with("192.0.2.77 - - ["), "{line}");
        let expected = r#""GET /live HTTP/1.1" 200 4711 "-" "evil\" \\ agent\n" 61"#;
        assert_eq!(rest(&line), format!("{expected}\n"));
    }

    #[test]
    fn addresses_are_cut_where_the_settings_say_so() {
        let mut record = record();
        record.user = Some("a b".into());
        assert!(line(&record, SystemTime::UNIX_EPOCH, true).starts_with("192.0.2.0 - a+b ["));
        record.peer = "[2001:db8:1:2:3:4:5:6]:1".parse().expect("an address");
        assert!(line(&record, SystemTime::UNIX_EPOCH, true).starts_with("2001:db8:1:: - "));
    }

    #[test]
    fn a_request_without_a_query_stays_as_it_is() {
        assert_eq!(without_query("GET /live HTTP/1.0"), "GET /live HTTP/1.0");
        assert_eq!(
            without_query("GET /live?a b HTTP/1.0"),
            "GET /live HTTP/1.0"
        );
        assert_eq!(without_query("/live?a"), "/live");
    }

    #[test]
    fn a_moved_file_is_opened_anew() {
        let dir = std::env::temp_dir().join(format!("corecast-access-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let (path, moved) = (dir.join("access.log"), dir.join("access.log.1"));
        let settings = Log {
            access_path: path.clone(),
            ..Log::default()
        };
        let mut log = AccessLog::start(&settings).expect("a thread");
        assert!(log.write(Box::new(record()), SystemTime::UNIX_EPOCH));
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while std::fs::read(&path).unwrap_or_default().is_empty() {
            assert!(
                std::time::Instant::now() < deadline,
                "the line is written at once"
            );
            thread::yield_now();
        }
        std::fs::rename(&path, &moved).expect("moved");
        log.reopen(&settings);
        for _ in 0..2 {
            assert!(log.write(Box::new(record()), SystemTime::UNIX_EPOCH));
        }
        log.close();
        let lines = |path| {
            std::fs::read_to_string(path)
                .expect("a file")
                .lines()
                .count()
        };
        assert_eq!((lines(&moved), lines(&path)), (1, 2));
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
