//! Where the task of a control request waits for its answer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

use crate::task::Signal;

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

/// Where a request's task waits; control's credit bounds it.
#[derive(Debug, Default)]
pub(crate) struct ResponseInbox {
    parts: RefCell<VecDeque<ResponsePart>>,
    complete: Cell<bool>,
    news: Signal,
}

impl ResponseInbox {
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
        self.parts.borrow_mut().pop_front()
    }

    /// Whether control has sent the last piece.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    /// The next piece came.
    pub(crate) fn push(&self, part: ResponsePart) {
        if matches!(part, ResponsePart::End) {
            self.complete.set(true);
        }
        self.parts.borrow_mut().push_back(part);
        self.news.set();
    }
}
