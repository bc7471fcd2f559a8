//! What a client says of the order of its streams: the `Priority` field and the frame
//! PRIORITY_UPDATE (RFC 9218 section 4).

/// The lowest urgency.
pub const URGENCY_MAX: u8 = 7;

/// The urgency of who says nothing.
const URGENCY: u8 = 3;

/// The longest text that is looked at; longer ones say nothing.
const TEXT_BYTES_MAX: usize = 256;

/// How urgent a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// From 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether streams of the same urgency share what there is to send.
    pub incremental: bool,
}

impl Priority {
    /// Reads the value of the field. What is unknown is passed over, and what has the wrong form
    /// is as good as not said; nothing where it says nothing at all.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut said = None;
        for member in text.split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            let priority = said.unwrap_or(Priority {
                urgency: URGENCY,
                incremental: false,
            });
            // Parameters behind a value mean nothing to us.
            let value = member.split(|byte| *byte == b';').next();
            said = match value.unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => Some(Priority {
                    urgency: digit - b'0',
                    ..priority
                }),
                b"i" | b"i=?1" => Some(Priority {
                    incremental: true,
                    ..priority
                }),
                b"i=?0" => Some(Priority {
                    incremental: false,
                    ..priority
                }),
                _ => said,
            };
        }
        said
    }
}
