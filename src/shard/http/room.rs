//! Memory that the requests of a shard share, so that many peers together hold no more than one
//! may expect of a node.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes of the bodies of all requests whose answer control has not begun.
const BODIES_BYTES_MAX: usize = if cfg!(test) { 1 } else { 64 } * 1024 * 1024;

/// So many bytes for all who take some. Lives on: its shard.
#[derive(Debug)]
pub(crate) struct Room {
    left: Cell<usize>,
}

impl Room {
    /// That for bodies of requests.
    pub(crate) fn for_bodies() -> Rc<Self> {
        Room::new(BODIES_BYTES_MAX)
    }

    fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Room {
            left: Cell::new(bytes),
        })
    }
}

/// What one of them has taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Rc<Room>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub(crate) fn of(room: &Rc<Room>) -> Self {
        Share {
            room: Rc::clone(room),
            bytes: 0,
        }
    }

    /// Takes `bytes` more; false, and nothing taken, where there are not as many.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Some(left) = self.room.left.get().checked_sub(bytes) else {
            return false;
        };
        self.room.left.set(left);
        self.bytes += bytes;
        true
    }

    /// Gives up to `bytes` back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.room.left.set(self.room.left.get() + bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_what_others_have_and_all_is_given_back() {
        let room = Room::new(10);
        let (mut one, mut other) = (Share::of(&room), Share::of(&room));
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        one.shrink(2);
        assert!(other.grow(2) && !other.grow(1));
        drop(other);
        one.shrink(100);
        assert_eq!(room.left.get(), 10);
    }
}
