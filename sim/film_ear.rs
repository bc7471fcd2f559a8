//! What a player of FLV or WebSocket-FLV checks of the bytes that it gets.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use corecast_media::name::Output;
use corecast_protocol::flv::{Tag, TagReader};
use corecast_protocol::rtmp::MediaKind;

use crate::film::{Told, mount_of, picture_config, sound_config};

/// The file header of FLV, with the length of the tag before the first.
const FILE_HEADER_BYTES: u64 = 13;
/// What stands around the body of a tag.
const TAG_AROUND_BYTES: u64 = 15;
/// More than the longest tag of a film.
const TAG_BYTES_MAX: u64 = 8_192;

/// The state of one player.
#[derive(Debug)]
pub struct FilmEar {
    /// The start of a WebSocket message; unused for plain FLV.
    messages: Option<Messages>,
    reader: TagReader,
    /// Bytes of FLV got, and how many of them are the file header and whole tags.
    got: u64,
    whole: u64,
    configs: [Option<Bytes>; 2],
    /// What the newest set-up holds, before a unit follows it.
    set_up: Option<[bool; 2]>,
    has_pictures: bool,
    /// The film that was shown last, and the last number of each.
    film: Option<u32>,
    last: BTreeMap<u32, u32>,
    times_ms: [i64; 2],
    /// Whether full rings lost media: then a group may have a hole.
    lossy: Rc<Cell<bool>>,
    /// Units got.
    pub units: u64,
    /// Units that did not follow on the one before.
    pub gaps: u32,
}

impl FilmEar {
    /// A player of `output`, which is one of the two; `lossy` says whether full rings lost media.
    pub fn new(output: Output, lossy: Rc<Cell<bool>>) -> Self {
        FilmEar {
            messages: (output == Output::WsFlv).then(Messages::default),
            reader: TagReader::new(),
            got: 0,
            whole: 0,
            configs: [None, None],
            set_up: None,
            has_pictures: false,
            film: None,
            last: BTreeMap::new(),
            times_ms: [i64::MIN; 2],
            lossy,
            units: 0,
            gaps: 0,
        }
    }

    /// Takes bytes, or says what is wrong with them.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.messages {
            None => {
                self.got += bytes.len() as u64;
                self.reader.push(bytes);
            }
            Some(messages) => {
                let opened = messages.open(bytes)?;
                self.got += opened.len() as u64;
                self.reader.push(&opened);
            }
        }
        while let Some(tag) = self.reader.poll().map_err(|fault| fault.to_string())? {
            if self.whole == 0 {
                self.whole = FILE_HEADER_BYTES;
            }
            self.whole += TAG_AROUND_BYTES + tag.payload.len() as u64;
            self.note(&tag)?;
        }
        // The reader passes over what it takes for tags of unknown kinds.
        match self.got > self.whole + TAG_BYTES_MAX {
            true => Err(format!("no tag at byte {}", self.whole)),
            false => Ok(()),
        }
    }

    /// Whether no tag is torn.
    pub fn is_at_border(&self) -> bool {
        let within = self.messages.as_ref().is_some_and(Messages::is_within);
        !within && self.got == self.whole
    }

    fn note(&mut self, tag: &Tag) -> Result<(), String> {
        let body = &tag.payload;
        let (kind, config, unit, keyframe) = match tag.kind {
            MediaKind::Script => {
                self.set_up = Some([false; 2]);
                return Ok(());
            }
            MediaKind::Video => {
                let keyframe = body.first() == Some(&0x17);
                let head = body.get(1).copied();
                let config = keyframe && head == Some(0);
                let unit = head == Some(1) && matches!(body.first(), Some(0x17 | 0x27));
                (0, config, unit, keyframe)
            }
            MediaKind::Audio => {
                let head = body.first_chunk::<2>();
                (1, head == Some(&[0xaf, 0]), head == Some(&[0xaf, 1]), true)
            }
        };
        let payload = body.slice(body.len().min([5, 2][kind])..);
        if config {
            self.configs[kind] = Some(payload);
            self.set_up.get_or_insert_default()[kind] = true;
            return Ok(());
        }
        if !unit {
            return Err(format!("a tag of unknown kind: {tag:?}"));
        }
        let told = Told::read(kind == 0, &payload).ok_or("a unit is not what was sent")?;
        self.note_unit(kind, told, keyframe, tag.timestamp_ms)
            .map_err(|what| format!("{told:?} (kind {kind}, {} ms): {what}", tag.timestamp_ms))
    }

    fn note_unit(
        &mut self,
        kind: usize,
        told: Told,
        keyframe: bool,
        time_ms: i64,
    ) -> Result<(), String> {
        let set_up = self.set_up.take().filter(|set_up| *set_up != [false; 2]);
        if let Some(set_up) = set_up {
            self.has_pictures = set_up[0];
        }
        let expected = [picture_config, sound_config][kind](told.set);
        if self.configs[kind].as_ref() != Some(&expected) {
            return Err(format!("its headers are {:?}", self.configs[kind]));
        }
        let entry = keyframe && (kind == 0 || !self.has_pictures);
        let before = self.film.replace(told.id);
        let last = self.last.insert(told.id, told.number);
        if last.is_some_and(|last| told.number <= last) {
            return Err(format!("it comes after {last:?}"));
        }
        let follows = match before {
            Some(id) if id == told.id => last.map(|last| last + 1) == Some(told.number),
            // Who is there already gets all of the next source of its mount.
            Some(_) => told.number == 1,
            None => false,
        };
        self.gaps += u32::from(!follows);
        if !follows && !entry && !self.lossy.get() {
            return Err(format!("a start within a group after {before:?} {last:?}"));
        }
        let moved = before.is_none_or(|before| mount_of(before) != mount_of(told.id));
        // One who was elsewhere meanwhile may find the mount made anew, with another clock.
        let returned = before != Some(told.id) && !follows && set_up.is_some();
        if moved || returned {
            self.times_ms = [i64::MIN; 2];
        }
        if time_ms < self.times_ms[kind] {
            return Err(format!("its time falls from {}", self.times_ms[kind]));
        }
        self.times_ms[kind] = time_ms;
        self.units += 1;
        Ok(())
    }
}

/// WebSocket messages of a server, unwrapped (RFC 6455 section 5.2).
#[derive(Debug, Default)]
struct Messages {
    head: Vec<u8>,
    left: u64,
}

impl Messages {
    fn is_within(&self) -> bool {
        self.left > 0 || !self.head.is_empty()
    }

    fn open(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut opened = Vec::new();
        for byte in bytes {
            if self.left > 0 {
                opened.push(*byte);
                self.left -= 1;
                continue;
            }
            self.head.push(*byte);
            let length = match *self.head {
                [0x82] | [0x82, 126 | 127, ..] if self.head.len() < 4 => None,
                [0x82, length] if length < 126 => Some(u64::from(length)),
                [0x82, 126, a, b] => Some(u64::from(u16::from_be_bytes([a, b]))),
                [0x82, 127, a, b, c, d, e, f, g, h] => {
                    Some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
                }
                [0x82, 127, ..] if self.head.len() < 10 => None,
                _ => return Err(format!("no message starts with {:?}", self.head)),
            };
            if let Some(length) = length {
                (self.left, self.head) = (length, Vec::new());
            }
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use corecast_media::frame::MediaEvent;
    use corecast_media::name::MountName;
    use corecast_media::time::Time;
    use corecast_protocol::flv::{FlvWriter, WsFlvWriter};
    use corecast_protocol::output::StreamWriter;

    use super::*;
    use crate::dice::Dice;
    use crate::film::{FILMS, Film};

    /// What a player gets of two seconds of a film: headers, then every tag.
    fn written(writer: &mut dyn StreamWriter) -> Vec<Vec<u8>> {
        let mut dice = Dice::new(4);
        let mount = MountName::parse(FILMS[0]).expect("a name");
        let mut film = Film::new(&mount, 1, &mut dice);
        let mut out = Vec::new();
        for ms in 0..2_000 {
            for event in film.speak(Time::from_millis(ms), &mut dice) {
                writer.write(&event, &mut out);
            }
        }
        let bytes = out.into_iter().filter_map(|event| match event {
            MediaEvent::InitHeaders(bytes) => Some(bytes.to_vec()),
            MediaEvent::Frame(frame) => Some(frame.payload.to_vec()),
            _ => None,
        });
        bytes.collect()
    }

    fn fault(output: Output, bytes: &[u8]) -> Option<String> {
        let mut ear = FilmEar::new(output, Rc::default());
        let taken = bytes.chunks(7).try_for_each(|chunk| ear.take(chunk));
        let torn = (!ear.is_at_border()).then(|| "torn".to_owned());
        taken.err().or(torn)
    }

    #[test]
    fn whole_films_are_fine_and_every_damage_is_seen() {
        let flv = written(&mut FlvWriter::new());
        let ws = written(&mut WsFlvWriter::new());
        assert_eq!(fault(Output::Flv, &flv.concat()), None);
        assert_eq!(fault(Output::WsFlv, &ws.concat()), None);
        assert!(fault(Output::Flv, &ws.concat()).is_some());
        let whole = flv.concat();
        assert_eq!(
            fault(Output::Flv, &whole[..whole.len() - 1]).as_deref(),
            Some("torn")
        );
        let without = |gone: usize| {
            let kept = flv.iter().enumerate().filter(|(at, _)| *at != gone);
            kept.flat_map(|(_, tag)| tag.clone()).collect::<Vec<u8>>()
        };
        assert!(fault(Output::Flv, &without(0)).is_some(), "no headers");
        assert!(fault(Output::Flv, &without(1)).is_some(), "no keyframe");
        let mut twice = flv.clone();
        twice.insert(5, flv[4].clone());
        assert!(fault(Output::Flv, &twice.concat()).is_some(), "twice");
        let mut flipped = whole.clone();
        let at = flv[0].len() + 60;
        flipped[at] ^= 1;
        assert!(fault(Output::Flv, &flipped).is_some(), "flipped");
    }
}
