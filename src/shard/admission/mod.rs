//! Who may come in: what is decided about a peer before it becomes a source or a listener.
//!
//! Reading order: this file (what a refused peer is told), [`client`] (who it is), [`bars`] (lists
//! of addresses and agents), [`guessing`] (wrong passwords).

pub(crate) mod bars;
pub(crate) mod client;
pub(crate) mod guessing;

use std::borrow::Cow;

use crate::probe::Refusal;

/// What somebody who got no leave is told.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) text: Cow<'static, str>,
    /// One more header line.
    pub(crate) extra: Option<(&'static str, Cow<'static, str>)>,
    pub(crate) counted: Refusal,
}

impl Refused {
    /// A refusal without a header line of its own.
    pub(crate) const fn new(status: u16, text: &'static str, counted: Refusal) -> Self {
        Refused {
            status,
            text: Cow::Borrowed(text),
            extra: None,
            counted,
        }
    }

    /// For now; the peer may come again soon.
    pub(crate) const fn busy(text: &'static str, counted: Refusal) -> Self {
        Refused {
            status: 503,
            text: Cow::Borrowed(text),
            extra: Some(("Retry-After", Cow::Borrowed("5"))),
            counted,
        }
    }

    /// The peer should say who it is.
    pub(crate) fn unauthorized(text: impl Into<Cow<'static, str>>) -> Self {
        Refused {
            status: 401,
            text: text.into(),
            extra: Some((
                "WWW-Authenticate",
                Cow::Borrowed("Basic realm=\"corecast\""),
            )),
            counted: Refusal::Unauthorized,
        }
    }
}
