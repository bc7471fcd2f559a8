//! AMF, Adobe's Action Message Format: AMF0 (2007) both ways, and of AMF3 (2013) what commands
//! hold. Commands and metadata are sequences of its values.

use std::fmt;
use std::sync::Arc;

mod amf0;
mod amf3;
#[cfg(test)]
mod tests;

pub use amf0::{Decoder, Writer};

/// How deep objects and arrays may lie in one another.
pub const DEPTH_MAX: usize = 32;

/// The most values of one command, keys of objects included.
pub const COMMAND_VALUES_MAX: usize = 1_024;

/// The most values of one piece of metadata: recorded files bring their index of keyframes along.
pub const METADATA_VALUES_MAX: usize = 65_536;

/// One value. What neither commands nor metadata use loses its name: an object its class, an XML
/// document that it is one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A text.
    String(Arc<str>),
    /// Named values, in their order; a name may be there twice.
    Object(Vec<(Arc<str>, Value)>),
    /// Nothing.
    Null,
    /// Nothing either; also what is skipped: references, arrays of bytes.
    Undefined,
    /// Named values of an array.
    EcmaArray(Vec<(Arc<str>, Value)>),
    /// Values without names.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970, UTC.
    Date(f64),
}

impl Value {
    /// The text, of a text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, of a number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth, of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The named values of an object or array; none for anything else.
    pub fn fields(&self) -> &[(Arc<str>, Value)] {
        match self {
            Value::Object(fields) | Value::EcmaArray(fields) => fields,
            _ => &[],
        }
    }

    /// The first value of this name.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let mut fields = self.fields().iter();
        fields
            .find(|(key, _)| **key == *name)
            .map(|(_, value)| value)
    }
}

/// Bytes that are no AMF, or more of it than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAmf(
    /// What was wrong, in a few words.
    pub &'static str,
);

impl fmt::Display for BadAmf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadAmf {}

/// The bytes not yet read, and how many values they may still come to.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    rest: &'a [u8],
    values_left: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadAmf> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadAmf> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, BadAmf> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, BadAmf> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadAmf> {
        self.array().map(u32::from_be_bytes)
    }

    fn f64(&mut self) -> Result<f64, BadAmf> {
        self.array().map(f64::from_be_bytes)
    }

    /// Counts one value or key.
    fn count(&mut self) -> Result<(), BadAmf> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or(BadAmf("too many values"))?;
        Ok(())
    }
}

const CUT_SHORT: BadAmf = BadAmf("cut short");

/// One level further down.
fn deeper(depth: usize) -> Result<usize, BadAmf> {
    if depth >= DEPTH_MAX {
        return Err(BadAmf("too deep"));
    }
    Ok(depth + 1)
}
