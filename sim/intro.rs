//! Intros whose frames tell where they come from, as an origin's do: a listener that hears one a
//! second time, or a part of one in the middle of the stream, finds its numbers wrong.

use std::path::PathBuf;
use std::sync::Arc;

use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::MediaEvent;
use corecast_media::intro::{Intro, Intros};
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::time::Time;

use crate::dice::Dice;
use crate::origin::Origin;

/// Intros by their file: whether they have a set-up, how long they last, and an id that no origin
/// has. The last one is longer than most listeners stay.
const FILES: [(&str, bool, u64, u32); 4] = [
    ("short.mp3", false, 300, u32::MAX),
    ("good.mp3", false, 5_000, u32::MAX - 1),
    ("good.ogg", true, 5_000, u32::MAX - 2),
    ("long.ogg", true, 30_000, u32::MAX - 3),
];

/// Whether the frames of this origin are those of an intro.
pub(crate) fn is_intro(origin: u32) -> bool {
    FILES.iter().any(|(.., id)| *id == origin)
}

/// The intros that settings may name.
pub(crate) fn intros(dice: &mut Dice) -> Intros {
    let (session, mount) = (SessionId::new(ShardId(0), 0), MountName::parse("/intro"));
    let mount = mount.ok().into_iter().cycle();
    let files = FILES.into_iter().zip(mount);
    let intros = files.filter_map(|((file, has_setup, lasts_ms, id), mount)| {
        let mut origin = Origin::new(session, mount, has_setup, id, Time::ZERO);
        let codec = if has_setup { Codec::Vorbis } else { Codec::Mp3 };
        let format = MediaEvent::Format(AudioFormat {
            codec,
            ..AudioFormat::default()
        });
        let said = origin.speak(Time::from_millis(lasts_ms), dice);
        let intro = Intro::gather(std::iter::once(format).chain(said))?;
        Some((PathBuf::from(file), Arc::new(intro)))
    });
    intros.collect()
}

/// One of the files, which may not be of a mount's kind, or none.
pub(crate) fn some_file(dice: &mut Dice) -> PathBuf {
    let chosen = FILES.get(dice.below(7) as usize);
    chosen.map_or_else(PathBuf::new, |(file, ..)| PathBuf::from(file))
}
