//! Pushed bytes as one sequence. Frames that lie in one push are slices of it; only those that
//! lie across pushes are copied.

use bytes::{Buf, Bytes, BytesMut};

/// The bytes that a framer has not handed out yet.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// What was left when the current push came, copied together.
    carry: BytesMut,
    current: Bytes,
}

impl Input {
    /// Appends a push. What is still there is copied, so a framer is drained first.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.carry.is_empty() && self.current.is_empty() {
            self.current = bytes;
        } else {
            self.carry.extend_from_slice(&self.current);
            self.current = bytes;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.carry.len() + self.current.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `N` bytes from `at` on, where they are all there.
    pub(crate) fn peek<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if let Some(from) = at.checked_sub(self.carry.len()) {
            let bytes = self.current.get(from..from.checked_add(N)?)?;
            return bytes.try_into().ok();
        }
        let mut out = [0; N];
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = self.byte(at.checked_add(index)?)?;
        }
        Some(out)
    }

    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        match at.checked_sub(self.carry.len()) {
            Some(from) => self.current.get(from).copied(),
            None => self.carry.get(at).copied(),
        }
    }

    /// The place of the first byte at or after `from` that is `wanted`.
    pub(crate) fn find(&self, from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        let wanted = |byte: &u8| wanted(*byte);
        let carried = self
            .carry
            .get(from..)
            .and_then(|rest| rest.iter().position(&wanted));
        carried.map(|at| at + from).or_else(|| {
            let from = from.saturating_sub(self.carry.len());
            let rest = self.current.get(from..)?;
            rest.iter()
                .position(wanted)
                .map(|at| at + from + self.carry.len())
        })
    }

    /// The first `count` bytes in one piece (all, where there are fewer). Only what lies across
    /// pushes is copied for it.
    pub(crate) fn front(&mut self, count: usize) -> &[u8] {
        if self.carry.is_empty() {
            return self.current.get(..count).unwrap_or(&self.current);
        }
        let missing = count
            .saturating_sub(self.carry.len())
            .min(self.current.len());
        self.carry
            .extend_from_slice(&self.current.split_to(missing));
        self.carry.get(..count).unwrap_or(&self.carry)
    }

    /// Takes the first `count` bytes off (all, where there are fewer).
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if self.carry.is_empty() {
            return self.current.split_to(count.min(self.current.len()));
        }
        if let Some(missing) = count.checked_sub(self.carry.len()) {
            let moved = self.current.split_to(missing.min(self.current.len()));
            self.carry.extend_from_slice(&moved);
            return std::mem::take(&mut self.carry).freeze();
        }
        self.carry.split_to(count).freeze()
    }

    /// Drops the first `count` bytes (all, where there are fewer); says how many.
    pub(crate) fn skip(&mut self, count: usize) -> usize {
        let carried = count.min(self.carry.len());
        self.carry.advance(carried);
        let rest = (count - carried).min(self.current.len());
        self.current.advance(rest);
        carried + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_one_push_are_not_copied() {
        let push = Bytes::from_static(b"abcdefgh");
        let mut input = Input::default();
        input.push(push.clone());
        let first = input.take(3);
        assert_eq!(first, "abc");
        assert_eq!(first.as_ptr(), push.as_ptr());
        input.push(Bytes::from_static(b"ijklmnop"));
        assert_eq!(input.len(), 13);
        assert_eq!(input.take(6), "defghi");
        assert_eq!(input.take(99), "jklmnop");
        assert!(input.is_empty());
    }

    #[test]
    fn looking_and_skipping_cross_pushes() {
        let mut input = Input::default();
        for push in ["ab", "c", "", "def"] {
            input.push(Bytes::from_static(push.as_bytes()));
        }
        assert_eq!(input.peek::<4>(1), Some(*b"bcde"));
        assert_eq!(input.peek::<4>(3), None);
        assert_eq!(input.peek::<2>(usize::MAX), None);
        for (wanted, from, expected) in [(b'c', 0, Some(2)), (b'e', 1, Some(4)), (b'a', 1, None)] {
            assert_eq!(
                input.find(from, |byte| byte == wanted),
                expected,
                "{wanted} {from}"
            );
        }
        assert_eq!(input.front(4), b"abcd");
        assert_eq!(input.front(99), b"abcdef");
        assert_eq!(input.skip(4), 4);
        assert_eq!(input.take(1), "e");
        assert_eq!(input.skip(9), 1);
    }
}
