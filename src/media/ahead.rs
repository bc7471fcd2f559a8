//! What a reader gets before it goes on in its mount's window.

use bytes::{Buf, Bytes};

use crate::intro::Playing;

/// Bytes that are framed already, then an intro. Most readers have neither, and it is a word.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Option<Box<Things>>);

#[derive(Debug, Default)]
struct Things {
    /// A response head, the rest of a block, the rest of a frame of the mount it came from.
    pending: Bytes,
    intro: Option<Playing>,
}

impl Ahead {
    /// The framed bytes, if there are any.
    pub(crate) fn pending(&self) -> Option<&Bytes> {
        let things = self.0.as_ref()?;
        Some(&things.pending).filter(|pending| !pending.is_empty())
    }

    /// Appends framed bytes.
    pub(crate) fn add_pending(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let things = self.0.get_or_insert_default();
            let mut all = things.pending.to_vec();
            all.extend_from_slice(bytes);
            things.pending = all.into();
        }
    }

    /// The first `taken` of the framed bytes are sent.
    pub(crate) fn advance_pending(&mut self, taken: usize) {
        if let Some(things) = &mut self.0 {
            things.pending.advance(taken.min(things.pending.len()));
        }
        self.forget_if_empty();
    }

    /// The intro, while it is not over.
    pub(crate) fn intro(&self) -> Option<&Playing> {
        self.0.as_ref()?.intro.as_ref()
    }

    /// The same, to move on in it.
    pub(crate) fn intro_mut(&mut self) -> Option<&mut Playing> {
        self.0.as_mut()?.intro.as_mut()
    }

    /// An intro is to come.
    pub(crate) fn set_intro(&mut self, intro: Playing) {
        self.0.get_or_insert_default().intro = Some(intro);
    }

    /// The intro is over.
    pub(crate) fn take_intro(&mut self) -> Option<Playing> {
        let intro = self.0.as_mut()?.intro.take();
        self.forget_if_empty();
        intro
    }

    fn forget_if_empty(&mut self) {
        self.0
            .take_if(|things| things.pending.is_empty() && things.intro.is_none());
    }
}
