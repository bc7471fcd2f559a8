//! Commands (section 7.2): a name, a number that its answer repeats, an object, arguments.

use std::sync::Arc;

use super::amf::{COMMAND_VALUES_MAX, Decoder, Value};
use super::{BadPeer, Message};

/// What a publisher puts before its metadata.
pub(super) const SET_DATA_FRAME: &str = "@setDataFrame";

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: Arc<str>,
    /// 0 where no answer is wanted.
    pub(super) transaction: f64,
    /// The command object, mostly null.
    pub(super) object: Value,
    pub(super) arguments: Vec<Value>,
}

impl Command {
    /// Of a command message in AMF0 or AMF3.
    ///
    /// What may be left out may be missing; what is there must be right.
    pub(super) fn parse(message: &Message) -> Result<Self, BadPeer> {
        let values = message.values();
        let mut decoder = Decoder::new(&values, COMMAND_VALUES_MAX);
        let mut next = || decoder.decode().map_err(|_| BadPeer("bad command"));
        let Some(Value::String(name)) = next()? else {
            return Err(BadPeer("command without a name"));
        };
        let transaction = match next()? {
            Some(Value::Number(number)) => number,
            _ => 0.0,
        };
        let object = next()?.unwrap_or(Value::Null);
        let mut arguments = Vec::new();
        while let Some(argument) = next()? {
            arguments.push(argument);
        }
        Ok(Command {
            name,
            transaction,
            object,
            arguments,
        })
    }

    /// The text at a place among the arguments.
    pub(super) fn text(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).and_then(Value::as_str)
    }

    /// The number at a place among the arguments.
    pub(super) fn number(&self, at: usize) -> Option<f64> {
        self.arguments.get(at).and_then(Value::as_number)
    }

    /// The truth at a place among the arguments.
    pub(super) fn boolean(&self, at: usize) -> Option<bool> {
        self.arguments.get(at).and_then(Value::as_bool)
    }
}
