//! AMF0 and AMF3: what is read is bounded, and what is read can be written and read again.
#![no_main]

use bytes::BytesMut;
use corecast_protocol::rtmp::amf::{COMMAND_VALUES_MAX, Decoder, Value, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let values = decode(data, COMMAND_VALUES_MAX);
    assert!(values.iter().map(count).sum::<usize>() <= COMMAND_VALUES_MAX);
    let mut out = BytesMut::new();
    values.iter().for_each(|value| {
        Writer(&mut out).value(value);
    });
    let mut again = BytesMut::new();
    // AMF0 has names where AMF3 has none or does not repeat them, and marks of ends.
    decode(&out, 4 * COMMAND_VALUES_MAX)
        .iter()
        .for_each(|value| {
            Writer(&mut again).value(value);
        });
    // Numbers may be none, so the bytes are compared.
    assert_eq!(out, again);
});

fn decode(bytes: &[u8], values_max: usize) -> Vec<Value> {
    let mut decoder = Decoder::new(bytes, values_max);
    let mut values = Vec::new();
    while let Ok(Some(value)) = decoder.decode() {
        values.push(value);
    }
    values
}

fn count(value: &Value) -> usize {
    let inner: usize = match value {
        Value::StrictArray(values) => values.iter().map(count).sum(),
        value => value.fields().iter().map(|(_, value)| count(value)).sum(),
    };
    inner + 1
}
