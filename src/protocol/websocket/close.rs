//! Why a talk ends (RFC 6455 section 7.4).

use std::fmt;

/// The status of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All was said.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The server, or what it sends, goes away.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// A message that is too long.
    pub const TOO_BIG: CloseCode = CloseCode(1009);

    /// The code `number`, where a Close frame may carry it: registered ones, but for those that
    /// only say what happened on one side (1005, 1006, 1015), and those of libraries and
    /// applications.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(number)),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What a peer did that ends the talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is told.
    pub code: CloseCode,
    /// For logs.
    pub reason: &'static str,
}

impl Fault {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Fault {
            code: CloseCode::PROTOCOL_ERROR,
            reason,
        }
    }

    pub(super) const NOT_TEXT: Fault = Fault {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "text that is not UTF-8",
    };

    pub(super) const TOO_LONG: Fault = Fault {
        code: CloseCode::TOO_BIG,
        reason: "a message that is too long",
    };
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Fault {}

/// What the payload of a Close frame says (section 5.5.1): nothing, or a code and a reason, which
/// is only checked.
pub(super) fn parse(payload: &[u8]) -> Result<Option<CloseCode>, Fault> {
    let Some((number, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Fault::protocol("half a close code")),
        };
    };
    let code = CloseCode::from_number(u16::from_be_bytes(*number))
        .ok_or(Fault::protocol("a close code that nobody may send"))?;
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Fault::NOT_TEXT),
    }
}
