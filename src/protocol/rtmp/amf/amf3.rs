//! AMF3, read only; sections are those of its specification.

use std::sync::Arc;

use super::{BadAmf, Input, Value, deeper};
use crate::text;

/// What later values of the same tree refer to (section 2.2).
#[derive(Debug, Default)]
struct Tables {
    strings: Vec<Arc<str>>,
    traits: Vec<Arc<Traits>>,
}

/// How objects of one class are written.
#[derive(Debug)]
struct Traits {
    names: Vec<Arc<str>>,
    dynamic: bool,
    /// Written in a way of the class's own; of these only the wrapper of arrays is known.
    array_collection: bool,
}

/// One value, with all that lies in it.
pub(super) fn value(input: &mut Input<'_>, depth: usize) -> Result<Value, BadAmf> {
    any(input, &mut Tables::default(), depth)
}

fn any(input: &mut Input<'_>, tables: &mut Tables, depth: usize) -> Result<Value, BadAmf> {
    input.count()?;
    Ok(match input.u8()? {
        0x00 => Value::Undefined,
        0x01 => Value::Null,
        0x02 => Value::Boolean(false),
        0x03 => Value::Boolean(true),
        0x04 => {
            // Section 3.6: 29 bits, signed.
            let bits = u29(input)?;
            let signed = (bits << 3).cast_signed() >> 3;
            Value::Number(f64::from(signed))
        }
        0x05 => Value::Number(input.f64()?),
        0x06 => Value::String(string(input, tables)?),
        // XML, in both kinds.
        0x07 | 0x0B => blob(input)?.map_or(Value::Undefined, |bytes| {
            Value::String(text::decode(bytes).into())
        }),
        0x08 => match u29(input)? & 1 {
            1 => Value::Date(input.f64()?),
            _ => Value::Undefined,
        },
        0x09 => array(input, tables, deeper(depth)?)?,
        0x0A => object(input, tables, deeper(depth)?)?,
        // Bytes.
        0x0C => {
            blob(input)?;
            Value::Undefined
        }
        _ => return Err(BadAmf("unknown AMF3 marker")),
    })
}

/// A number of up to 29 bits in one to four bytes (section 1.3.1).
fn u29(input: &mut Input<'_>) -> Result<u32, BadAmf> {
    let mut number = 0;
    for _ in 0..3 {
        let byte = input.u8()?;
        number = number << 7 | u32::from(byte & 0x7F);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Ok(number << 8 | u32::from(input.u8()?))
}

/// What has a length and bytes, or refers to an earlier one (`None`).
fn blob<'a>(input: &mut Input<'a>) -> Result<Option<&'a [u8]>, BadAmf> {
    let head = u29(input)?;
    if head & 1 == 0 {
        return Ok(None);
    }
    input.take((head >> 1) as usize).map(Some)
}

fn string(input: &mut Input<'_>, tables: &mut Tables) -> Result<Arc<str>, BadAmf> {
    let head = u29(input)?;
    if head & 1 == 0 {
        let earlier = tables.strings.get((head >> 1) as usize);
        return earlier.cloned().ok_or(BadAmf("no such string"));
    }
    let bytes = input.take((head >> 1) as usize)?;
    let text: Arc<str> = text::decode(bytes).into();
    // Section 1.3.2: the empty string is never referred to.
    if !text.is_empty() {
        tables.strings.push(Arc::clone(&text));
    }
    Ok(text)
}

/// Names and values up to an empty name (sections 3.11 and 3.12).
fn pairs(
    input: &mut Input<'_>,
    tables: &mut Tables,
    depth: usize,
) -> Result<Vec<(Arc<str>, Value)>, BadAmf> {
    let mut fields = Vec::new();
    loop {
        input.count()?;
        let name = string(input, tables)?;
        if name.is_empty() {
            return Ok(fields);
        }
        fields.push((name, any(input, tables, depth)?));
    }
}

fn array(input: &mut Input<'_>, tables: &mut Tables, depth: usize) -> Result<Value, BadAmf> {
    let head = u29(input)?;
    if head & 1 == 0 {
        return Ok(Value::Undefined);
    }
    let mut named = pairs(input, tables, depth)?;
    let mut values = Vec::new();
    for _ in 0..head >> 1 {
        values.push(any(input, tables, depth)?);
    }
    if named.is_empty() {
        return Ok(Value::StrictArray(values));
    }
    for (at, value) in values.into_iter().enumerate() {
        named.push((at.to_string().into(), value));
    }
    Ok(Value::EcmaArray(named))
}

fn object(input: &mut Input<'_>, tables: &mut Tables, depth: usize) -> Result<Value, BadAmf> {
    let head = u29(input)?;
    if head & 1 == 0 {
        return Ok(Value::Undefined);
    }
    let traits = traits(input, tables, head)?;
    if traits.array_collection {
        return any(input, tables, depth);
    }
    let mut fields = Vec::new();
    for name in &traits.names {
        fields.push((Arc::clone(name), any(input, tables, depth)?));
    }
    if traits.dynamic {
        fields.extend(pairs(input, tables, depth)?);
    }
    Ok(Value::Object(fields))
}

/// The traits that an object's head gives or refers to (section 3.12).
fn traits(input: &mut Input<'_>, tables: &mut Tables, head: u32) -> Result<Arc<Traits>, BadAmf> {
    if head & 2 == 0 {
        let earlier = tables.traits.get((head >> 2) as usize);
        return earlier.cloned().ok_or(BadAmf("no such traits"));
    }
    let class = string(input, tables)?;
    let external = head & 4 != 0;
    if external && *class != *"flex.messaging.io.ArrayCollection" {
        return Err(BadAmf("class of unknown form"));
    }
    let mut names = Vec::new();
    if !external {
        for _ in 0..head >> 4 {
            input.count()?;
            names.push(string(input, tables)?);
        }
    }
    let traits = Arc::new(Traits {
        names,
        dynamic: head & 8 != 0,
        array_collection: external,
    });
    tables.traits.push(Arc::clone(&traits));
    Ok(traits)
}
