//! Names and passwords of listeners who were asked about, for the news of their end.

use std::collections::{BTreeMap, HashMap};

use corecast_media::name::SessionId;

/// A name and a password.
pub(crate) type Login = (Box<str>, Box<str>);

/// The most that are kept.
pub(crate) const KEPT_MAX: usize = if cfg!(test) { 8 } else { 100_000 };

/// Those that are kept; where there is no more room, the oldest go: nobody tells of who left
/// before there was an answer. Lives on: the control plane.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    of: HashMap<SessionId, (u64, Login)>,
    /// Sessions in the order in which they came.
    order: BTreeMap<u64, SessionId>,
    next: u64,
}

impl Kept {
    /// Keeps what `session` showed.
    pub(crate) fn keep(&mut self, session: SessionId, login: Login) {
        self.take(session);
        while self.of.len() >= KEPT_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.of.remove(&oldest);
        }
        self.of.insert(session, (self.next, login));
        self.order.insert(self.next, session);
        self.next += 1;
    }

    /// What `session` showed, which is not needed any more.
    pub(crate) fn take(&mut self, session: SessionId) -> Option<Login> {
        let (number, login) = self.of.remove(&session)?;
        self.order.remove(&number);
        Some(login)
    }
}

#[cfg(test)]
mod tests {
    use corecast_media::name::ShardId;

    use super::*;

    #[test]
    fn the_oldest_go_where_there_is_no_more_room() {
        let mut kept = Kept::default();
        let session = |number| SessionId::new(ShardId(0), number);
        let login = |number: u64| (number.to_string().into(), "".into());
        for number in 0..KEPT_MAX as u64 + 3 {
            kept.keep(session(number), login(number));
        }
        assert_eq!((kept.of.len(), kept.order.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!(kept.take(session(2)), None);
        assert_eq!(kept.take(session(3)), Some(login(3)));
        // Asked about once more.
        kept.keep(session(4), login(7));
        kept.keep(session(50), login(50));
        assert_eq!(kept.take(session(4)), Some(login(7)));
        (0..100).for_each(|number| drop(kept.take(session(number))));
        assert!(kept.of.is_empty() && kept.order.is_empty());
    }
}
