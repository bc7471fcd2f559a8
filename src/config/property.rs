//! One declaration per setting: what it is called, means, takes and defaults to.
//!
//! `section!` writes the struct that the planes read and the table of its [`Property`]s from
//! the same lines. Parsing, overriding, comparing and rendering all walk that table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::network::Network;

/// What is known of a setting apart from its place in a struct.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Its key in the section's table.
    pub key: &'static str,
    /// Its meaning, one line of the source each.
    pub doc: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// When a new value works.
    pub takes_effect: TakesEffect,
}

/// When a changed setting works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// After SIGHUP.
    Reload,
    /// After the next start.
    Restart,
}

/// What a setting takes, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int(Bounds),
    /// One line of text: no control characters.
    Text {
        /// The longest text in bytes.
        bytes_max: usize,
    },
    /// A secret: a text that is never shown; well-known ones are refused.
    Secret,
    /// `rtmp://` URLs with spaces between them, or empty. They hold stream keys, so they are
    /// never shown.
    Pushes,
    /// A path.
    Path,
    /// The name of a mount, or empty.
    MountName,
    /// An `http://` URL, or empty.
    Url,
    /// A list of `http://` URLs.
    Urls,
    /// An `http://` or `https://` URL that clients are sent to, or empty.
    Link,
    /// A list of addresses and networks.
    Networks,
    /// A list of short texts.
    Words,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address and a port.
    Address,
    /// `"auto"`, a count, or a list of CPUs.
    Shards,
}

/// The bounds of a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least value.
    pub min: u32,
    /// The greatest value.
    pub max: u32,
    /// The unit as people write it; empty for a plain count.
    pub unit: &'static str,
    /// Whether 0 is good too, though it is less than `min`.
    pub or_zero: bool,
}

impl Bounds {
    /// Whether `value` is inside.
    pub const fn allow(&self, value: i64) -> bool {
        let inside = value >= self.min as i64 && value <= self.max as i64;
        inside || (self.or_zero && value == 0)
    }
}

/// The longest text of [`Kind::Pushes`] in bytes.
pub const PUSHES_BYTES_MAX: usize = 4_096;

/// The longest secret in bytes.
pub const SECRET_BYTES_MAX: usize = 128;

/// The longest path in bytes.
pub const PATH_BYTES_MAX: usize = 4_096;

/// A plain count.
pub(crate) const fn count(min: u32, max: u32) -> Kind {
    Kind::Int(Bounds {
        min,
        max,
        unit: "",
        or_zero: false,
    })
}

/// Milliseconds.
pub(crate) const fn millis(min: u32, max: u32) -> Kind {
    Kind::Int(Bounds {
        min,
        max,
        unit: "ms",
        or_zero: false,
    })
}

/// Bytes.
pub(crate) const fn bytes(min: u32, max: u32) -> Kind {
    Kind::Int(Bounds {
        min,
        max,
        unit: "bytes",
        or_zero: false,
    })
}

/// Bytes, or 0.
pub(crate) const fn bytes_or_zero(min: u32, max: u32) -> Kind {
    Kind::Int(Bounds {
        min,
        max,
        unit: "bytes",
        or_zero: true,
    })
}

/// A text.
pub(crate) const fn text(bytes_max: usize) -> Kind {
    Kind::Text { bytes_max }
}

/// A setting's value before it is put into its struct, and after it is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// A list of whole numbers.
    Ints(Vec<i64>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A setting of the section `S`.
pub struct Property<S: 'static> {
    /// What is known of it.
    pub declaration: Declaration,
    /// Takes the value out of its section.
    pub read: fn(&S) -> Value,
    /// Puts a value that [`Kind`] allows into its section; `false` where it has the wrong type.
    pub write: fn(&mut S, Value) -> bool,
}

/// A struct made by `section!`.
pub trait Section: Default + Sized + 'static {
    /// The name of its table.
    const NAME: &'static str;
    /// What the table is for, one line of the source each.
    const DOC: &'static [&'static str];
    /// Its settings, in the order of the source.
    const PROPERTIES: &'static [Property<Self>];

    /// The setting called `key`.
    fn property(key: &str) -> Option<&'static Property<Self>> {
        Self::PROPERTIES
            .iter()
            .find(|property| property.declaration.key == key)
    }
}

/// A section that stands in the file as often as wanted, each with another name.
pub(crate) trait Named: Section {
    /// The key of the name.
    const KEY: &'static str;
    /// The keys that have no default: the name and what else it needs.
    const NEEDED: &'static [&'static str];
    /// What stands for what has no default in the sample file.
    fn example() -> Self;

    /// The name.
    fn called(&self) -> &str;

    /// How a setting of the one called `name` is called in faults, changes and `--set`.
    fn path_of(name: &str, key: &str) -> String {
        format!("{}.{name}.{key}", Self::NAME)
    }
}

/// A section behind one face, whatever its struct.
pub(crate) trait Table {
    fn name(&self) -> &'static str;
    fn doc(&self) -> String;
    fn declarations(&self) -> Vec<&'static Declaration>;
    /// The value of `key`; nothing where there is no such setting.
    fn value(&self, key: &str) -> Option<Value>;
    /// Sets `key` to a value that its [`Kind`] allows; `false` where there is no such setting.
    fn set(&mut self, key: &str, value: Value) -> bool;
}

impl<S: Section> Table for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn doc(&self) -> String {
        one_line(S::DOC)
    }

    fn declarations(&self) -> Vec<&'static Declaration> {
        S::PROPERTIES
            .iter()
            .map(|property| &property.declaration)
            .collect()
    }

    fn value(&self, key: &str) -> Option<Value> {
        S::property(key).map(|property| (property.read)(self))
    }

    fn set(&mut self, key: &str, value: Value) -> bool {
        S::property(key).is_some_and(|property| (property.write)(self, value))
    }
}

/// A doc comment as one line.
pub(crate) fn one_line(doc: &[&str]) -> String {
    let lines: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// A Rust type that a setting may have.
pub(crate) trait Setting: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! setting {
    ($($type:ty: |$this:ident| $to:expr, |$value:ident| $from:expr;)*) => {
        $(impl Setting for $type {
            fn to_value(&self) -> Value {
                let $this = self;
                $to
            }

            fn from_value($value: Value) -> Option<Self> {
                $from
            }
        })*
    };
}

fn int<T: TryFrom<i64>>(value: Value) -> Option<T> {
    match value {
        Value::Int(int) => T::try_from(int).ok(),
        _ => None,
    }
}

fn word(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

setting! {
    bool: |this| Value::Bool(*this), |value| match value {
        Value::Bool(bool) => Some(bool),
        _ => None,
    };
    u16: |this| Value::Int(i64::from(*this)), |value| int(value);
    u32: |this| Value::Int(i64::from(*this)), |value| int(value);
    Duration: |this| Value::Int(i64::try_from(this.as_millis()).unwrap_or(i64::MAX)),
        |value| int(value).map(Duration::from_millis);
    String: |this| Value::Text(this.clone()), |value| word(value);
    Vec<String>: |this| Value::Texts(this.clone()), |value| match value {
        Value::Texts(texts) => Some(texts),
        // An empty list does not say what it is a list of.
        Value::Ints(ints) if ints.is_empty() => Some(Vec::new()),
        _ => None,
    };
    Vec<Network>: |this| Value::Texts(this.iter().map(Network::to_string).collect()),
        |value| {
            let texts: Vec<String> = Setting::from_value(value)?;
            texts.iter().map(|text| text.parse().ok()).collect()
        };
    PathBuf: |this| Value::Text(this.to_string_lossy().into_owned()),
        |value| word(value).map(PathBuf::from);
    SocketAddr: |this| Value::Text(this.to_string()), |value| word(value)?.parse().ok();
}

/// Declares a section: its struct, its defaults and its table of settings.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        pub struct $section:ident in $name:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $key:literal)?: $type:ty = $default:expr, $kind:expr, $when:ident;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Default for $section {
            fn default() -> Self {
                $section { $($field: $default,)* }
            }
        }

        impl $crate::property::Section for $section {
            const NAME: &'static str = $name;
            const DOC: &'static [&'static str] = &[$($section_doc),*];
            const PROPERTIES: &'static [$crate::property::Property<Self>] = &[$(
                $crate::property::Property {
                    declaration: $crate::property::Declaration {
                        key: section!(@key $field $($key)?),
                        doc: &[$($doc),*],
                        kind: $kind,
                        takes_effect: $crate::property::TakesEffect::$when,
                    },
                    read: |section| $crate::property::Setting::to_value(&section.$field),
                    write: |section, value| {
                        let value = $crate::property::Setting::from_value(value);
                        value.map(|value| section.$field = value).is_some()
                    },
                },
            )*];
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

/// Declares a setting that takes one of a few words.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $choice:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum $choice {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $choice {
            /// The words that name the variants, in their order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word that names this variant.
            pub const fn word(self) -> &'static str {
                match self {
                    $($choice::$variant => $word,)*
                }
            }
        }

        impl $crate::property::Setting for $choice {
            fn to_value(&self) -> $crate::property::Value {
                $crate::property::Value::Text(self.word().to_owned())
            }

            fn from_value(value: $crate::property::Value) -> Option<Self> {
                match value {
                    $crate::property::Value::Text(word) => match word.as_str() {
                        $($word => Some($choice::$variant),)*
                        _ => None,
                    },
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {choice, section};
