//! Values there and back, and what must not be taken.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{COMMAND_VALUES_MAX, DEPTH_MAX, Decoder, Value, Writer};

/// All values of `bytes`, or what is wrong with them.
fn decode(bytes: &[u8]) -> Result<Vec<Value>, &'static str> {
    let mut decoder = Decoder::new(bytes, COMMAND_VALUES_MAX);
    let mut values = Vec::new();
    while let Some(value) = decoder.decode().map_err(|bad| bad.0)? {
        values.push(value);
    }
    assert!(decoder.rest().is_empty());
    Ok(values)
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn object(fields: &[(&str, Value)]) -> Value {
    let fields = fields.iter().cloned();
    Value::Object(fields.map(|(name, value)| (name.into(), value)).collect())
}

#[test]
fn amf0_values_are_read() {
    for (bytes, expected) in [
        (&b"\x00\x3f\xf0\0\0\0\0\0\0"[..], Value::Number(1.0)),
        (b"\x01\x02", Value::Boolean(true)),
        (b"\x02\x00\x02ab", text("ab")),
        (b"\x02\x00\x01\xe9", text("\u{e9}")),
        (b"\x0c\x00\x00\x00\x02ab", text("ab")),
        (b"\x0f\x00\x00\x00\x02ab", text("ab")),
        (b"\x05", Value::Null),
        (b"\x06", Value::Undefined),
        (b"\x0d", Value::Undefined),
        (b"\x07\x00\x01", Value::Undefined),
        (
            b"\x03\x00\x01a\x05\x00\x00\x09",
            object(&[("a", Value::Null)]),
        ),
        (
            b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09",
            object(&[("a", Value::Null)]),
        ),
        // An empty name is a name where no end follows it.
        (
            b"\x03\x00\x00\x05\x00\x00\x09",
            object(&[("", Value::Null)]),
        ),
        // The mark of the end is missing.
        (b"\x03\x00\x01a\x05", object(&[("a", Value::Null)])),
        // The count is wrong.
        (
            b"\x08\xff\xff\xff\xff\x00\x01a\x05\x00\x00\x09",
            Value::EcmaArray(vec![("a".into(), Value::Null)]),
        ),
        (
            b"\x0a\x00\x00\x00\x02\x05\x06",
            Value::StrictArray(vec![Value::Null, Value::Undefined]),
        ),
        (b"\x0b\x3f\xf0\0\0\0\0\0\0\x12\x34", Value::Date(1.0)),
        (b"\x11\x06\x05ab", text("ab")),
    ] {
        assert_eq!(decode(bytes), Ok(vec![expected]), "{bytes:?}");
    }
}

#[test]
fn amf3_values_are_read() {
    for (bytes, expected) in [
        (&b"\x00"[..], Value::Undefined),
        (b"\x01", Value::Null),
        (b"\x02", Value::Boolean(false)),
        (b"\x03", Value::Boolean(true)),
        (b"\x04\x7f", Value::Number(127.0)),
        (b"\x04\x81\x00", Value::Number(128.0)),
        (b"\x04\xff\xff\xff\xff", Value::Number(-1.0)),
        (b"\x04\xc0\x80\x80\x00", Value::Number(-268_435_456.0)),
        (b"\x05\x3f\xf0\0\0\0\0\0\0", Value::Number(1.0)),
        (b"\x06\x01", text("")),
        (b"\x07\x05ab", text("ab")),
        (b"\x08\x01\x3f\xf0\0\0\0\0\0\0", Value::Date(1.0)),
        (b"\x0c\x05ab", Value::Undefined),
        // A reference to a string.
        (
            b"\x09\x05\x01\x06\x03a\x06\x00",
            Value::StrictArray(vec![text("a"), text("a")]),
        ),
        (
            b"\x09\x03\x03a\x01\x01\x03",
            Value::EcmaArray(vec![
                ("a".into(), Value::Null),
                ("0".into(), Value::Boolean(true)),
            ]),
        ),
        // A dynamic object without a class.
        (
            b"\x0a\x0b\x01\x03a\x04\x01\x01",
            object(&[("a", Value::Number(1.0))]),
        ),
        // Two objects of one class, of which the second refers to the first one's traits.
        (
            b"\x09\x05\x01\x0a\x13\x03C\x03a\x04\x01\x0a\x01\x04\x02",
            Value::StrictArray(vec![
                object(&[("a", Value::Number(1.0))]),
                object(&[("a", Value::Number(2.0))]),
            ]),
        ),
        (
            b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x01",
            Value::StrictArray(vec![Value::Null]),
        ),
    ] {
        let bytes = [b"\x11", bytes].concat();
        assert_eq!(decode(&bytes), Ok(vec![expected]), "{bytes:?}");
    }
}

#[test]
fn what_is_cut_short_or_wrong_is_refused() {
    for (bytes, expected) in [
        (&b"\x00\x3f"[..], "cut short"),
        (b"\x01", "cut short"),
        (b"\x02\xff\xffab", "cut short"),
        (b"\x0c\xff\xff\xff\xffab", "cut short"),
        (b"\x0a\xff\xff\xff\xff\x05", "cut short"),
        (b"\x03\x00\x01", "cut short"),
        (b"\x03\x00\x01a", "cut short"),
        (b"\x04", "unknown marker"),
        (b"\x09", "unknown marker"),
        (b"\xff", "unknown marker"),
        (b"\x11", "cut short"),
        (b"\x11\x0d", "unknown AMF3 marker"),
        (b"\x11\x04\xff\xff", "cut short"),
        (b"\x11\x06\xff\xff\xff\xffab", "cut short"),
        (b"\x11\x06\x04", "no such string"),
        (b"\x11\x0a\x05", "no such traits"),
        (b"\x11\x0a\x07\x03C", "class of unknown form"),
        (b"\x11\x09\xff\xff\xff\xff\x01\x01", "cut short"),
        (b"\x11\x0a\xff\xff\xff\xfb\x01", "cut short"),
    ] {
        assert_eq!(decode(bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn bombs_are_refused() {
    for level in [
        &b"\x03\x00\x01a"[..],
        b"\x08\0\0\0\0\x00\x01a",
        b"\x0a\0\0\0\x01",
        b"\x10\0\0\0\x01a",
    ] {
        let nested = |count: usize| [level.repeat(count), b"\x05".to_vec()].concat();
        assert!(decode(&nested(DEPTH_MAX)).is_ok(), "{level:?}");
        assert_eq!(decode(&nested(DEPTH_MAX + 1)), Err("too deep"), "{level:?}");
        assert_eq!(decode(&nested(100_000)), Err("too deep"), "{level:?}");
    }
    // AMF3: arrays in arrays, and a name without end of them.
    let nested = [b"\x11".to_vec(), b"\x09\x03\x01".repeat(100_000)].concat();
    assert_eq!(decode(&nested), Err("too deep"));
    // Each byte a value.
    let many = [&b"\x0a\xff\xff\xff\xff"[..], &[5; 100_000]].concat();
    assert_eq!(decode(&many), Err("too many values"));
    let many = [&b"\x11\x09\xff\xff\xff\xff\x01"[..], &[1; 100_000]].concat();
    assert_eq!(decode(&many), Err("too many values"));
    // Names of a class, and nothing else.
    let many = [&b"\x11\x0a\xff\xff\xff\xf3\x01"[..], &[1; 100_000]].concat();
    assert_eq!(decode(&many), Err("too many values"));
    assert_eq!(decode(&[5; 100_000]), Err("too many values"));
}

#[test]
fn long_texts_are_written_as_such() {
    for length in [65_535, 65_536, 100_000] {
        let long = text(&"x".repeat(length));
        let mut out = BytesMut::new();
        Writer(&mut out).value(&long);
        assert_eq!(decode(&out), Ok(vec![long]));
    }
    let mut out = BytesMut::new();
    Writer(&mut out)
        .object()
        .key(&"\u{e9}".repeat(40_000))
        .null()
        .end();
    let values = decode(&out).expect("the name was cut");
    assert_eq!(values[0].fields()[0].0.len(), 65_534);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (-1e9_f64..1e9).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,8}".prop_map(|found| text(&found)),
        Just(Value::Null),
        Just(Value::Undefined),
        (0.0_f64..1e15).prop_map(Value::Date),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let fields = prop::collection::vec(("[a-z]{1,4}", inner.clone()), 0..4);
        let named = fields.prop_map(|fields| {
            let fields = fields.into_iter();
            fields
                .map(|(name, value)| (name.into(), value))
                .collect::<Vec<_>>()
        });
        prop_oneof![
            named.clone().prop_map(Value::Object),
            named.prop_map(Value::EcmaArray),
            prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(any_value(), 0..4)) {
        let mut out = BytesMut::new();
        values.iter().for_each(|value| {
            Writer(&mut out).value(value);
        });
        prop_assert_eq!(decode(&out), Ok(values));
    }

    #[test]
    fn bytes_without_sense_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode(&[b"\x11", &bytes[..]].concat());
    }
}
