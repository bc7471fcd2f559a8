//! Recordings on a disk of the test's own making.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use bytes::Bytes;
use corecast_media::name::ShardId;

use super::storage::{Disk, StoredFile};
use super::*;

/// Files in memory.
#[derive(Default)]
struct Shelf {
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    full: Mutex<bool>,
    freed: Condvar,
    /// What happens while it is full: an error, or a wait until it is not.
    waits: bool,
}

#[derive(Clone)]
struct Shelved(Arc<Shelf>);

struct OnShelf(Arc<Shelf>, PathBuf);

impl Storage for Shelved {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        let mut files = self.0.files.lock().expect("sound");
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), Vec::new());
        Ok(Box::new(OnShelf(Arc::clone(&self.0), path.to_owned())))
    }
}

impl StoredFile for OnShelf {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut full = self.0.full.lock().expect("sound");
        while *full && self.0.waits {
            full = self.0.freed.wait(full).expect("sound");
        }
        if *full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut files = self.0.files.lock().expect("sound");
        let file = files.get_mut(&self.1).expect("it was made");
        parts.iter().for_each(|part| file.extend_from_slice(part));
        Ok(())
    }
}

impl Shelf {
    fn set_full(&self, full: bool) {
        *self.full.lock().expect("sound") = full;
        self.freed.notify_all();
    }

    fn contents(&self) -> Vec<(String, String)> {
        let files = self.files.lock().expect("sound");
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let shown = files
            .iter()
            .map(|(path, bytes)| (path.display().to_string(), text(bytes)));
        shown.collect()
    }
}

fn mount() -> MountName {
    MountName::parse("/live").expect("a good name")
}

fn settings() -> Mount {
    Mount {
        dump_file: "{mount}.mp3".into(),
        ..Mount::default()
    }
}

fn recording(source: u64, payload: &str, entry: bool, headers: &str) -> Recording {
    Recording {
        mount: mount(),
        session: SessionId::new(ShardId(0), source),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        entry,
        init_headers: Bytes::copy_from_slice(headers.as_bytes()),
    }
}

fn piece(payload: &str, entry: bool, headers: &str, second: u64) -> Piece {
    Piece {
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        entry,
        init_headers: Bytes::copy_from_slice(headers.as_bytes()),
        rotate: Duration::from_secs(10),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        gap: false,
    }
}

fn files(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    expected.iter().map(own).collect()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn a_new_file_begins_at_an_entry_with_the_init_headers() {
    let shelf = Arc::new(Shelf::default());
    let mut take = Take::new(
        Arc::new(Shelved(Arc::clone(&shelf))),
        "{mount}.ogg",
        &mount(),
    );
    let first = "OggS\0\x02first";
    let lost: Vec<bool> = [
        piece("tail of before", false, "", 0),
        piece(first, false, "", 1),
        piece("|a", true, "[H]", 5),
        piece("|inner", false, "[H]", 11),
        piece("|b", true, "[H]", 12),
        piece("|c", true, "[H]", 13),
    ]
    .into_iter()
    .map(|piece| take.write(piece).lost)
    .collect();
    assert_eq!(lost, [true, false, false, false, false, false]);
    let whole = format!("{first}|a|inner");
    assert_eq!(
        shelf.contents(),
        files(&[("live-2.ogg", "[H]|b|c"), ("live.ogg", &whole)])
    );
}

#[test]
fn after_a_loss_a_file_goes_on_where_a_decoder_can() {
    let shelf = Arc::new(Shelf::default());
    let mut take = Take::new(Arc::new(Shelved(Arc::clone(&shelf))), "a", &mount());
    assert!(!take.write(piece("a", true, "[H]", 0)).lost);
    shelf.set_full(true);
    let outcome = take.write(piece("b", true, "[H]", 1));
    assert!(outcome.lost && outcome.fault.is_some() && outcome.bytes == 0);
    shelf.set_full(false);
    assert!(
        take.write(piece("c", false, "[H]", 2)).lost,
        "b is missing before it"
    );
    assert!(!take.write(piece("d", true, "[H]", 3)).lost);
    let queue_was_full = Piece {
        gap: true,
        ..piece("e", true, "[I]", 4)
    };
    assert!(!take.write(queue_was_full).lost);
    assert_eq!(shelf.contents(), files(&[("a", "[H]ad[I]e")]));
}

#[test]
fn each_source_has_its_own_file_and_an_end() {
    run(async {
        let shelf = Arc::new(Shelf::default());
        let probe = Arc::new(ControlProbe::new());
        let storage = Arc::new(Shelved(Arc::clone(&shelf)));
        let mut recorder = Recorder::new(storage, Arc::clone(&probe));
        recorder.handle_recording(&settings(), recording(1, "a", true, ""));
        recorder.handle_recording(&settings(), recording(1, "b", true, ""));
        while probe.recorded_bytes.total() < 2 {
            tokio::task::yield_now().await;
        }
        recorder.handle_recording(&settings(), recording(2, "c", true, ""));
        recorder.handle_recording(&settings(), recording(2, "", false, ""));
        assert!(recorder.running.is_empty());
        recorder.handle_recording(&Mount::default(), recording(3, "d", true, ""));
        recorder.close().await;
        assert_eq!(
            shelf.contents(),
            files(&[("live-2.mp3", "c"), ("live.mp3", "ab")])
        );
        assert_eq!(probe.recorded_files.total(), 2);
        assert_eq!(probe.recording_lost.total(), 0);
    });
}

#[test]
fn a_disk_that_hangs_costs_pieces_and_no_time() {
    run(async {
        let shelf = Arc::new(Shelf {
            waits: true,
            ..Shelf::default()
        });
        shelf.set_full(true);
        let probe = Arc::new(ControlProbe::new());
        let storage = Arc::new(Shelved(Arc::clone(&shelf)));
        let mut recorder = Recorder::new(storage, Arc::clone(&probe));
        let payload = "x".repeat(BYTES_WAITING_MAX / 4);
        let began = Instant::now();
        for _ in 0..10 {
            recorder.handle_recording(&settings(), recording(1, &payload, true, ""));
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(probe.recording_lost.total(), 6, "four quarters wait");
        shelf.set_full(false);
        recorder.close().await;
        assert_eq!(probe.recorded_bytes.total(), BYTES_WAITING_MAX as u64);
    });
}

#[test]
fn a_full_device_takes_no_part_of_a_piece() {
    let full = Path::new("/dev/full");
    let mut file = Disk.create(full).expect("every Linux has it");
    let fault = file.append(&[b"a"]).expect_err("it is full");
    assert_eq!(fault.kind(), io::ErrorKind::StorageFull);
    let dir = std::env::temp_dir().join(format!("corecast-record-{}", std::process::id()));
    let path = dir.join("deep/down.mp3");
    let mut file = Disk.create(&path).expect("the directories are made");
    file.append(&[b"a", b"b"]).expect("room");
    let again = Disk.create(&path).map(drop).expect_err("it is there");
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).expect("a file"), b"ab");
    std::fs::remove_dir_all(&dir).expect("removed");
}
