//! Whole connections: our server against our client, and against peers that do it in their own
//! way or wrong.

use bytes::{Bytes, BytesMut};

use super::amf::{COMMAND_VALUES_MAX, Decoder, Value, Writer};
use super::chunk::ChunkReader;
use super::limits::WAITING_BYTES_MAX;
use super::*;

mod peers;
mod requests;

/// A client whose words are chosen one by one.
struct Script {
    server: ServerSession,
    reader: ChunkReader,
    heard: Vec<Message>,
}

impl Script {
    /// Behind the handshake.
    fn new() -> Self {
        let mut server = ServerSession::new([1; 32]);
        let hello = [&[3], &[0; 8][..], &[9; 1_528], &[0; 1_536]].concat();
        assert_eq!(server.handle_input(hello.into()), Ok(()));
        let answer = server.poll_transmit().expect("the server answers");
        assert_eq!(answer.len(), 1 + 2 * 1_536);
        let mut reader = ChunkReader::default();
        reader.set_trusted(true);
        Script {
            server,
            reader,
            heard: Vec::new(),
        }
    }

    /// Behind `connect` to this application.
    fn connected(app: &str) -> Self {
        let mut script = Script::new();
        script.call("connect", 1.0, |writer| {
            writer.object().key("app").string(app);
            writer.key("tcUrl").string("rtmp://a.example/live").end();
        });
        assert_eq!(
            script.results(),
            ["_result 1 NetConnection.Connect.Success"]
        );
        script
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), BadPeer> {
        let taken = self.server.handle_input(Bytes::copy_from_slice(bytes));
        self.hear();
        taken
    }

    fn hear(&mut self) {
        while let Some(mut bytes) = self.server.poll_transmit() {
            while let Some(message) = self.reader.read(&mut bytes).expect("our chunks are good") {
                self.heard.push(message);
            }
        }
    }

    fn message(&mut self, kind: MessageType, time: u32, body: &[u8]) -> Result<(), BadPeer> {
        let mut out = BytesMut::new();
        write_message(&mut out, 3, kind, time, 1, &[body], 128);
        self.bytes(&out)
    }

    fn try_call(
        &mut self,
        name: &str,
        number: f64,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), BadPeer> {
        let mut body = BytesMut::new();
        let mut writer = Writer(&mut body);
        write(writer.string(name).number(number));
        self.message(MessageType::COMMAND, 0, &body)
    }

    fn call(&mut self, name: &str, number: f64, write: impl FnOnce(&mut Writer<'_>)) {
        let taken = self.try_call(name, number, write);
        assert_eq!(taken, Ok(()), "{name}");
    }

    /// Calls with a null object and one text.
    fn call_with(&mut self, name: &str, number: f64, text: &str) {
        self.call(name, number, |writer| {
            writer.null().string(text);
        });
    }

    /// What the server called since, in a few words: name, number, code or first value.
    fn results(&mut self) -> Vec<String> {
        self.hear();
        let commands = self
            .heard
            .drain(..)
            .filter(|message| matches!(message.kind, MessageType::COMMAND | MessageType::DATA));
        commands.map(|message| in_words(&message)).collect()
    }

    fn event(&mut self) -> Option<Event> {
        self.server.poll_event()
    }
}

fn in_words(message: &Message) -> String {
    let mut decoder = Decoder::new(&message.payload, COMMAND_VALUES_MAX);
    let mut values = Vec::new();
    while let Some(value) = decoder.decode().expect("our values are good") {
        values.push(value);
    }
    let words = values.iter().filter_map(|value| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::String(text) => Some(text.to_string()),
        value => value.field("code")?.as_str().map(str::to_owned),
    });
    words.collect::<Vec<_>>().join(" ")
}
