//! AMF0; sections are those of its specification.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::{BadAmf, CUT_SHORT, Input, Value, amf3, deeper};
use crate::text;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;
const AVMPLUS: u8 = 0x11;

/// Takes a sequence of values apart.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    input: Input<'a>,
}

impl<'a> Decoder<'a> {
    /// Of `bytes`, which come to `values_max` values at most, keys of objects included.
    pub fn new(bytes: &'a [u8], values_max: usize) -> Self {
        let input = Input {
            rest: bytes,
            values_left: values_max,
        };
        Decoder { input }
    }

    /// The next value; `None` at the end.
    ///
    /// # Errors
    /// [`BadAmf`] where there is none, or where it goes beyond what is taken.
    pub fn decode(&mut self) -> Result<Option<Value>, BadAmf> {
        if self.input.rest.is_empty() {
            return Ok(None);
        }
        value(&mut self.input, 0).map(Some)
    }

    /// What is not yet decoded.
    pub fn rest(&self) -> &'a [u8] {
        self.input.rest
    }
}

fn value(input: &mut Input<'_>, depth: usize) -> Result<Value, BadAmf> {
    input.count()?;
    Ok(match input.u8()? {
        NUMBER => Value::Number(input.f64()?),
        BOOLEAN => Value::Boolean(input.u8()? != 0),
        STRING => Value::String(short(input)?),
        LONG_STRING | XML_DOCUMENT => Value::String(long(input)?),
        OBJECT => Value::Object(fields(input, deeper(depth)?)?),
        TYPED_OBJECT => {
            short(input)?;
            Value::Object(fields(input, deeper(depth)?)?)
        }
        ECMA_ARRAY => {
            // Section 2.10: a count that says nothing certain; the end is marked.
            input.u32()?;
            Value::EcmaArray(fields(input, deeper(depth)?)?)
        }
        STRICT_ARRAY => {
            let count = input.u32()?;
            let depth = deeper(depth)?;
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(value(input, depth)?);
            }
            Value::StrictArray(values)
        }
        DATE => {
            let date = input.f64()?;
            // Section 2.13: a time zone that is not used.
            input.u16()?;
            Value::Date(date)
        }
        REFERENCE => {
            input.u16()?;
            Value::Undefined
        }
        NULL => Value::Null,
        UNDEFINED | UNSUPPORTED => Value::Undefined,
        AVMPLUS => amf3::value(input, depth)?,
        _ => return Err(BadAmf("unknown marker")),
    })
}

/// Names and values up to the mark of their end (section 2.5). Some encoders leave that mark out
/// behind the last array of a message.
fn fields(input: &mut Input<'_>, depth: usize) -> Result<Vec<(Arc<str>, Value)>, BadAmf> {
    let mut fields = Vec::new();
    while !input.rest.is_empty() {
        input.count()?;
        let name = short(input)?;
        if name.is_empty() && input.rest.first() == Some(&OBJECT_END) {
            input.u8()?;
            break;
        }
        fields.push((name, value(input, depth)?));
    }
    Ok(fields)
}

fn short(input: &mut Input<'_>) -> Result<Arc<str>, BadAmf> {
    let length = input.u16()?;
    let bytes = input.take(usize::from(length))?;
    Ok(text::decode(bytes).into())
}

fn long(input: &mut Input<'_>) -> Result<Arc<str>, BadAmf> {
    let length = usize::try_from(input.u32()?).map_err(|_| CUT_SHORT)?;
    let bytes = input.take(length)?;
    Ok(text::decode(bytes).into())
}

/// Appends values to what it was made of.
#[derive(Debug)]
pub struct Writer<'a>(
    /// Where to.
    pub &'a mut BytesMut,
);

impl Writer<'_> {
    /// A number.
    pub fn number(&mut self, number: f64) -> &mut Self {
        self.0.put_u8(NUMBER);
        self.0.put_f64(number);
        self
    }

    /// True or false.
    pub fn boolean(&mut self, truth: bool) -> &mut Self {
        self.0.put_u8(BOOLEAN);
        self.0.put_u8(u8::from(truth));
        self
    }

    /// A text of less than 4 GiB.
    pub fn string(&mut self, text: &str) -> &mut Self {
        if let Ok(length) = u16::try_from(text.len()) {
            self.0.put_u8(STRING);
            self.0.put_u16(length);
        } else {
            self.0.put_u8(LONG_STRING);
            self.0
                .put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        self.0.put_slice(text.as_bytes());
        self
    }

    /// Nothing.
    pub fn null(&mut self) -> &mut Self {
        self.0.put_u8(NULL);
        self
    }

    /// The beginning of an object; pairs of [`Writer::key`] and a value follow, then
    /// [`Writer::end`].
    pub fn object(&mut self) -> &mut Self {
        self.0.put_u8(OBJECT);
        self
    }

    /// The beginning of an array of `count` named values, in the same way.
    pub fn ecma_array(&mut self, count: u32) -> &mut Self {
        self.0.put_u8(ECMA_ARRAY);
        self.0.put_u32(count);
        self
    }

    /// The beginning of an array: `count` values follow, and no end.
    pub fn strict_array(&mut self, count: u32) -> &mut Self {
        self.0.put_u8(STRICT_ARRAY);
        self.0.put_u32(count);
        self
    }

    /// The name of the value that follows; cut where it is longer than a name can be.
    pub fn key(&mut self, name: &str) -> &mut Self {
        let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
        self.0.put_u16(name.len() as u16);
        self.0.put_slice(name.as_bytes());
        self
    }

    /// The end of an object or of an array of named values.
    pub fn end(&mut self) -> &mut Self {
        self.0.put_slice(&[0, 0, OBJECT_END]);
        self
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Number(number) => self.number(*number),
            Value::Boolean(truth) => self.boolean(*truth),
            Value::String(text) => self.string(text),
            Value::Null => self.null(),
            Value::Undefined => {
                self.0.put_u8(UNDEFINED);
                self
            }
            Value::Date(date) => {
                self.0.put_u8(DATE);
                self.0.put_f64(*date);
                self.0.put_u16(0);
                self
            }
            Value::StrictArray(values) => {
                self.strict_array(values.len() as u32);
                values.iter().for_each(|value| {
                    self.value(value);
                });
                self
            }
            Value::Object(fields) => self.object().pairs(fields),
            Value::EcmaArray(fields) => self.ecma_array(fields.len() as u32).pairs(fields),
        }
    }

    fn pairs(&mut self, fields: &[(Arc<str>, Value)]) -> &mut Self {
        for (name, value) in fields {
            self.key(name).value(value);
        }
        self.end()
    }
}
