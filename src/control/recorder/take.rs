//! One source's recording: its files, one after another.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use corecast_media::name::MountName;
use jiff::tz::TimeZone;

use super::name;
use super::storage::{Storage, StoredFile};

/// Files of one name, at most; then the recording fails instead of looking further.
const COPIES_MAX: u32 = 10_000;

/// Whole frames on their way to a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) payload: Bytes,
    /// Whether a decoder may begin here, after the init headers.
    pub(crate) entry: bool,
    pub(crate) init_headers: Bytes,
    /// After how long a new file begins; zero for never.
    pub(crate) rotate: Duration,
    /// When it came.
    pub(crate) at: SystemTime,
    /// Something before it was lost.
    pub(crate) gap: bool,
}

/// What became of a piece.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Written, init headers included.
    pub(crate) bytes: u64,
    /// Whether a file began.
    pub(crate) began: bool,
    /// Whether the piece is lost.
    pub(crate) lost: bool,
    /// Why, where something failed.
    pub(crate) fault: Option<String>,
}

/// One source's recording.
pub(crate) struct Take {
    storage: Arc<dyn Storage>,
    pattern: String,
    mount: MountName,
    open: Option<Open>,
    /// The last copy that was made: the next search begins after it.
    last: Option<(PathBuf, u32)>,
    gap: bool,
}

struct Open {
    file: Box<dyn StoredFile>,
    began: SystemTime,
    /// The init headers that what is in the file was made for.
    headers: Option<Bytes>,
}

impl Take {
    pub(crate) fn new(storage: Arc<dyn Storage>, pattern: &str, mount: &MountName) -> Self {
        Take {
            storage,
            pattern: pattern.to_owned(),
            mount: mount.clone(),
            open: None,
            last: None,
            gap: false,
        }
    }

    /// Writes a piece, in a new file where it is time for one. Blocks.
    pub(crate) fn write(&mut self, piece: Piece) -> Outcome {
        self.gap |= piece.gap;
        let alone = begins_itself(&piece.payload);
        let may_begin = piece.entry || alone;
        if may_begin && self.open.as_ref().is_some_and(|open| open.is_due(&piece)) {
            self.open = None;
        }
        if !may_begin && (self.gap || self.open.is_none()) {
            return Outcome {
                lost: true,
                ..Outcome::default()
            };
        }
        let mut outcome = Outcome::default();
        let written = self.append(&piece, alone, &mut outcome);
        self.gap = written.is_err();
        if let Err(fault) = written {
            outcome.lost = true;
            outcome.fault = Some(fault);
        }
        outcome
    }

    fn append(&mut self, piece: &Piece, alone: bool, outcome: &mut Outcome) -> Result<(), String> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let file = self.create(piece.at)?;
                outcome.began = true;
                Open {
                    file,
                    began: piece.at,
                    headers: None,
                }
            }
        };
        let same = open.headers.as_ref() == Some(&piece.init_headers);
        let broken = self.gap || open.headers.is_none();
        let headers: &[u8] = if broken && !same && !alone {
            &piece.init_headers
        } else {
            &[]
        };
        let added = open.file.append(&[headers, &piece.payload]);
        if added.is_ok() {
            outcome.bytes = (headers.len() + piece.payload.len()) as u64;
            open.headers = Some(piece.init_headers.clone());
        }
        self.open = Some(open);
        added.map_err(|error| error.to_string())
    }

    fn create(&mut self, at: SystemTime) -> Result<Box<dyn StoredFile>, String> {
        let path = name::path_of(&self.pattern, &self.mount, at, TimeZone::system())?;
        let first = match &self.last {
            Some((last, copy)) if *last == path => copy + 1,
            _ => 1,
        };
        for copy in first..=COPIES_MAX {
            let numbered = name::numbered(&path, copy);
            match self.storage.create(&numbered) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Ok(file) => {
                    tracing::info!(mount = %self.mount, path = %numbered.display(), "recording");
                    self.last = Some((path, copy));
                    return Ok(file);
                }
                Err(error) => return Err(format!("{}: {error}", numbered.display())),
            }
        }
        Err(format!("{}: too many files of this name", path.display()))
    }
}

impl Open {
    /// Whether a new file should begin with `piece`.
    fn is_due(&self, piece: &Piece) -> bool {
        let age = piece.at.duration_since(self.began).unwrap_or_default();
        !piece.rotate.is_zero() && age >= piece.rotate
    }
}

/// Whether the payload brings its own init headers: the first page of an Ogg chain link.
fn begins_itself(payload: &[u8]) -> bool {
    payload.starts_with(b"OggS") && payload.get(5).is_some_and(|flags| flags & 0x02 != 0)
}
