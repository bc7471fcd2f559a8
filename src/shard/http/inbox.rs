//! Where the task of a control request waits for its answer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use corecast_media::name::SessionId;
use rustc_hash::FxHashMap;

use crate::task::Signal;

/// Requests of one shard that control may be at.
const UNANSWERED_MAX: usize = 256;

/// Bytes of one shard's answers that may wait for their readers.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where all tasks of a shard wait that asked control something. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    open: RefCell<FxHashMap<SessionId, Rc<ResponseInbox>>>,
    load: Rc<Load>,
}

impl Inboxes {
    /// Whether control is to be asked nothing more now. A reader that does not take its answer
    /// keeps the bytes of it, but none of control's places.
    pub(crate) fn are_full(&self) -> bool {
        let Load {
            unanswered,
            waiting_bytes,
        } = &*self.load;
        unanswered.get() >= UNANSWERED_MAX || waiting_bytes.get() >= WAITING_BYTES_MAX
    }

    /// Whether no task waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Registers a request's task; to be called before control is asked.
    pub(crate) fn open(&self, session: SessionId) -> Rc<ResponseInbox> {
        let inbox = ResponseInbox::new(&self.load);
        let mut open = self.open.borrow_mut();
        open.insert(session, Rc::clone(&inbox));
        inbox
    }

    /// Forgets a request's task.
    pub(crate) fn forget(&self, session: SessionId) {
        self.open.borrow_mut().remove(&session);
    }

    /// A piece of an answer came.
    pub(crate) fn push(&self, session: SessionId, part: ResponsePart) {
        // Not there: the requester went while the answer was on its way.
        if let Some(inbox) = self.open.borrow().get(&session) {
            inbox.push(part);
        }
    }
}

/// What the answers of a shard come to.
#[derive(Debug, Default)]
struct Load {
    /// Those whose end has not come.
    unanswered: Cell<usize>,
    waiting_bytes: Cell<usize>,
}

impl Load {
    fn end_one(&self) {
        self.unanswered.set(self.unanswered.get() - 1);
    }

    fn take(&self, part: &ResponsePart) {
        let left = self.waiting_bytes.get() - part.bytes();
        self.waiting_bytes.set(left);
    }
}

/// One piece of control's answer to a request.
#[derive(Debug)]
pub(crate) enum ResponsePart {
    Head {
        status: u16,
        headers: Vec<(Box<str>, Bytes)>,
        length: Option<u64>,
    },
    Body(Bytes),
    End,
}

impl ResponsePart {
    fn bytes(&self) -> usize {
        match self {
            ResponsePart::Body(data) => data.len(),
            ResponsePart::Head { .. } | ResponsePart::End => 0,
        }
    }
}

/// Where a request's task waits; control's credit bounds it.
#[derive(Debug)]
pub(crate) struct ResponseInbox {
    load: Rc<Load>,
    parts: RefCell<VecDeque<ResponsePart>>,
    complete: Cell<bool>,
    news: Signal,
}

impl ResponseInbox {
    fn new(load: &Rc<Load>) -> Rc<Self> {
        load.unanswered.set(load.unanswered.get() + 1);
        Rc::new(ResponseInbox {
            load: Rc::clone(load),
            parts: RefCell::default(),
            complete: Cell::new(false),
            news: Signal::default(),
        })
    }

    /// The next piece of the answer.
    pub(crate) async fn next(&self) -> ResponsePart {
        loop {
            if let Some(part) = self.try_next() {
                return part;
            }
            self.news.wait().await;
        }
    }

    /// The next piece, if it is there.
    pub(crate) fn try_next(&self) -> Option<ResponsePart> {
        let part = self.parts.borrow_mut().pop_front()?;
        self.load.take(&part);
        Some(part)
    }

    /// Whether control has sent the last piece.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    fn push(&self, part: ResponsePart) {
        if matches!(part, ResponsePart::End) && !self.complete.replace(true) {
            self.load.end_one();
        }
        let waiting = &self.load.waiting_bytes;
        waiting.set(waiting.get() + part.bytes());
        self.parts.borrow_mut().push_back(part);
        self.news.set();
    }
}

impl Drop for ResponseInbox {
    fn drop(&mut self) {
        if !self.complete.get() {
            self.load.end_one();
        }
        for part in self.parts.get_mut() {
            self.load.take(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use corecast_media::name::ShardId;

    use super::*;

    #[test]
    fn an_answer_that_has_come_leaves_its_place_and_keeps_its_bytes() {
        let inboxes = Inboxes::default();
        let ids = (1..).map(|number| SessionId::new(ShardId(0), number));
        let ids: Vec<_> = ids.take(UNANSWERED_MAX).collect();
        let opened: Vec<_> = ids.iter().map(|id| inboxes.open(*id)).collect();
        assert!(inboxes.are_full());
        for id in &ids {
            inboxes.push(*id, ResponsePart::Body(Bytes::from_static(b"page")));
            inboxes.push(*id, ResponsePart::End);
        }
        assert!(!inboxes.are_full());
        assert_eq!(inboxes.load.waiting_bytes.get(), 4 * UNANSWERED_MAX);
        assert!(matches!(
            opened[0].try_next(),
            Some(ResponsePart::Body(data)) if data == "page"
        ));
        assert_eq!(inboxes.load.waiting_bytes.get(), 4 * (UNANSWERED_MAX - 1));
        ids.iter().for_each(|id| inboxes.forget(*id));
        drop((opened, inboxes.open(ids[0])));
        inboxes.forget(ids[0]);
        let load = &inboxes.load;
        assert_eq!((load.unanswered.get(), load.waiting_bytes.get()), (0, 0));
        assert!(inboxes.is_empty());
    }
}
