//! Attribute lists and numbers of playlists (draft-pantos-hls-rfc8216bis section 4.2).

/// One attribute list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<Attribute>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    name: String,
    value: String,
    quoted: bool,
}

impl Attributes {
    /// Reads `NAME=value,NAME="value"`; says what is wrong with it otherwise.
    pub(crate) fn parse(text: &str) -> Result<Attributes, String> {
        let mut found: Vec<Attribute> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, behind) = rest
                .split_once('=')
                .ok_or_else(|| format!("`{rest}` is no attribute"))?;
            let letters = |letter: char| {
                letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '-'
            };
            if name.is_empty() || !name.chars().all(letters) {
                return Err(format!("`{name}` is no name of an attribute"));
            }
            let (value, quoted, behind) = match behind.strip_prefix('"') {
                Some(inside) => {
                    let (value, behind) = inside
                        .split_once('"')
                        .ok_or_else(|| format!("{name} has no closing quote"))?;
                    (value, true, behind)
                }
                None => {
                    let (value, behind) = behind.split_at(behind.find(',').unwrap_or(behind.len()));
                    if value.is_empty() || value.contains(['"', ' ']) {
                        return Err(format!("{name} has the value `{value}`"));
                    }
                    (value, false, behind)
                }
            };
            if found.iter().any(|attribute| attribute.name == name) {
                return Err(format!("{name} stands twice"));
            }
            found.push(Attribute {
                name: name.to_owned(),
                value: value.to_owned(),
                quoted,
            });
            rest = match behind.strip_prefix(',') {
                Some("") => return Err("a comma at the end".to_owned()),
                Some(behind) => behind,
                None if behind.is_empty() => behind,
                None => return Err(format!("`{behind}` behind {name}")),
            };
        }
        Ok(Attributes(found))
    }

    fn find(&self, name: &str, quoted: bool) -> Option<&str> {
        let mut found = self.0.iter();
        found
            .find(|attribute| attribute.name == name && attribute.quoted == quoted)
            .map(|attribute| attribute.value.as_str())
    }

    /// The value of a quoted string.
    pub(crate) fn quoted(&self, name: &str) -> Option<&str> {
        self.find(name, true)
    }

    /// The value of anything but a quoted string.
    pub(crate) fn plain(&self, name: &str) -> Option<&str> {
        self.find(name, false)
    }

    /// A decimal integer.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        self.plain(name).and_then(integer)
    }

    /// A number of seconds, in microseconds.
    pub(crate) fn seconds_us(&self, name: &str) -> Option<u64> {
        self.plain(name).and_then(seconds_us)
    }

    /// Whether an enumerated string says YES.
    pub(crate) fn is_yes(&self, name: &str) -> bool {
        self.plain(name) == Some("YES")
    }
}

/// A decimal integer from 0 to 2^64 - 1.
pub(crate) fn integer(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A decimal number of seconds in microseconds; what is finer is rounded.
pub(crate) fn seconds_us(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds = integer(whole)?.checked_mul(1_000_000)?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digit = |at: usize| {
        fraction
            .as_bytes()
            .get(at)
            .map_or(0, |byte| u64::from(byte - b'0'))
    };
    let micros = (0..6).fold(0, |micros, at| micros * 10 + digit(at));
    seconds.checked_add(micros + u64::from(digit(6) >= 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_to_the_letter() {
        let list = Attributes::parse("A=1,B=\"x,y=z\",C-2=YES,D=0.25").expect("a list");
        assert_eq!(list.integer("A"), Some(1));
        assert_eq!(list.quoted("B"), Some("x,y=z"));
        assert_eq!(list.plain("B"), None);
        assert!(list.is_yes("C-2"));
        assert_eq!(list.seconds_us("D"), Some(250_000));
        for bad in [
            "A", "A=", "a=1", "A=1,", "A=1,A=2", "A=\"x", "A=\"x\"y", "A= 1", "A=x\"y",
        ] {
            assert!(Attributes::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_exact() {
        for (text, expected) in [
            ("2", Some(2_000_000)),
            ("0.200", Some(200_000)),
            ("1.0000004", Some(1_000_000)),
            ("1.0000005", Some(1_000_001)),
            ("", None),
            (".5", None),
            ("1.", None),
            ("-1", None),
            ("1e3", None),
        ] {
            assert_eq!(seconds_us(text), expected, "{text}");
        }
    }
}
