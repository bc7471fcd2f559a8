//! The fields of an answer, before any version of HTTP frames it.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

/// Fields in their order, kept as the lines of HTTP/1.1: that version sends them as they are, the
/// others take them apart again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    lines: BytesMut,
}

impl Fields {
    /// No fields yet; there is room for `bytes` of lines.
    pub fn with_capacity(bytes: usize) -> Self {
        Fields {
            lines: BytesMut::with_capacity(bytes),
        }
    }

    /// Adds one. Bytes of `name` that are no token characters are left out; control characters of
    /// `value` become spaces (RFC 9110 section 5.5).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds one unless `value` is empty.
    #[must_use]
    pub fn with_unless_empty(self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            self
        } else {
            self.with(name, value)
        }
    }

    /// Adds one with a number.
    #[must_use]
    pub fn with_number(mut self, name: &str, value: u64) -> Self {
        self.push_number(name, value);
        self
    }

    /// As [`Fields::with`].
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        push_line(&mut self.lines, name, value.as_ref());
    }

    /// As [`Fields::with_number`].
    pub fn push_number(&mut self, name: &str, value: u64) {
        let digits = itoa(value);
        push_line(&mut self.lines, name, digits.text());
    }

    /// Whether there is a field of this name (any case).
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(at, _)| at.eq_ignore_ascii_case(name))
    }

    /// The lines of HTTP/1.1, each with its end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Names as they were added, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self.lines.split_inclusive(|&byte| byte == b'\n');
        lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let name = std::str::from_utf8(line.get(..colon)?).ok()?;
            let value = line.get(colon + 2..line.len().checked_sub(2)?)?;
            Some((name, value))
        })
    }
}

/// The digits of a number, without a text of its own on the heap.
struct Digits {
    bytes: [u8; 20],
    from: usize,
}

impl Digits {
    fn text(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

fn itoa(mut value: u64) -> Digits {
    let mut digits = Digits {
        bytes: [b'0'; 20],
        from: 20,
    };
    for (at, byte) in digits.bytes.iter_mut().enumerate().rev() {
        *byte = b'0' + (value % 10) as u8;
        digits.from = at;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    digits
}

/// Writes one line, which stays one whatever it is made of.
pub(crate) fn push_line(out: &mut BytesMut, name: &str, value: &[u8]) {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if name.bytes().all(|byte| token(&byte)) {
        out.put_slice(name.as_bytes());
    } else {
        out.extend(name.as_bytes().iter().copied().filter(token));
    }
    out.put_slice(b": ");
    let value = trimmed(value);
    if value.iter().any(u8::is_ascii_control) {
        let shown = |byte: &u8| if byte.is_ascii_control() { b' ' } else { *byte };
        out.extend(value.iter().map(shown));
    } else {
        out.put_slice(value);
    }
    out.put_slice(b"\r\n");
}

/// A value without blanks around it: HTTP/2 and 3 forbid them (RFC 9113 section 8.2.1), and to
/// HTTP/1.1 they are none of it.
fn trimmed(value: &[u8]) -> &[u8] {
    let shows = |byte: &u8| !byte.is_ascii_control() && *byte != b' ';
    let from = value.iter().position(shows).unwrap_or(value.len());
    let to = value.iter().rposition(shows).map_or(from, |last| last + 1);
    value.get(from..to).unwrap_or_default()
}

/// The seconds since 1970 as an IMF-fixdate (RFC 9110 section 5.6.7). Times after the year 9999
/// are shown as its end.
#[expect(
    clippy::disallowed_types,
    reason = "a fixed point in time; no clock is read"
)]
pub fn http_date(unix_seconds: u64) -> String {
    const YEAR_9999_END_S: u64 = 253_402_300_799;
    let since = Duration::from_secs(unix_seconds.min(YEAR_9999_END_S));
    httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_and_stays_in_its_line() {
        let fields = Fields::default()
            .with("Content-Type", "text/plain")
            .with("X-\r\nA: b", "1\r\n\r\n<script>")
            .with_unless_empty("Empty", "")
            .with("ETag", "\"a:b\"")
            .with("Name", " \t my\tradio \r\n\0")
            .with("Blank", "")
            .with_number("Age", u64::MAX)
            .with_number("Zero", 0);
        let shown: Vec<(&str, &[u8])> = fields.iter().collect();
        let expected: [(&str, &[u8]); 7] = [
            ("Content-Type", b"text/plain"),
            ("X-Ab", b"1    <script>"),
            ("ETag", b"\"a:b\""),
            ("Name", b"my radio"),
            ("Blank", b""),
            ("Age", b"18446744073709551615"),
            ("Zero", b"0"),
        ];
        assert_eq!(shown, expected);
        assert!(fields.has("etag") && !fields.has("etags"));
        let lines = b"Content-Type: text/plain\r\nX-Ab: 1    <script>\r\n";
        assert!(fields.lines().starts_with(lines));
    }

    #[test]
    fn dates_are_those_of_the_rfc() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
