//! Text that comes in pieces.

/// Checks that a text is UTF-8, whatever the pieces: a character may be torn between two of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// The start of a character, good so far.
    torn: [u8; 4],
    count: u8,
}

/// No text begins like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// Takes the next piece.
    ///
    /// # Errors
    /// Where no text begins with all that came: at the first byte that cannot be.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.count > 0
            && let Some((&byte, rest)) = piece.split_first()
        {
            let at = usize::from(self.count);
            *self.torn.get_mut(at).ok_or(NotUtf8)? = byte;
            piece = rest;
            let character = self.torn.get(..=at).unwrap_or_default();
            self.count = match std::str::from_utf8(character) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() => self.count + 1,
                Err(_) => return Err(NotUtf8),
            };
        }
        let Err(error) = std::str::from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        let rest = piece.get(error.valid_up_to()..).unwrap_or_default();
        let room = self.torn.get_mut(..rest.len()).ok_or(NotUtf8)?;
        room.copy_from_slice(rest);
        self.count = rest.len() as u8;
        Ok(())
    }

    /// Whether no character is torn.
    pub(super) fn is_whole(&self) -> bool {
        self.count == 0
    }
}
