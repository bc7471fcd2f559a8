//! What a client says of itself when it connects (section 7.2.1.1), and what it is told.

use super::amf::{Value, Writer};
use super::server::StreamRequest;
use super::{address, limits};

/// The bits of `capsEx` (Enhanced RTMP v2, Enhancing NetConnection connect Command).
const CAPS_RECONNECT: u32 = 0x01;
const CAPS_MULTITRACK: u32 = 0x02;
const CAPS_MODEX: u32 = 0x04;
const CAPS_NANO_OFFSET: u32 = 0x08;
/// What our side does of these.
const CAPS_OURS: u32 = CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX | CAPS_NANO_OFFSET;

/// "Can forward", a flag of a coding in `videoFourCcInfoMap` and `audioFourCcInfoMap`.
const CAN_FORWARD: f64 = 4.0;
/// Pictures that we take and give.
const VIDEO: [&str; 4] = ["avc1", "hvc1", "av01", "vp09"];
/// Sound that we take and give.
const AUDIO: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

/// What `connect` said.
#[derive(Clone, Debug)]
pub(super) struct Connect {
    app: String,
    query: String,
    tc_url: String,
    agent: String,
    page_url: String,
    /// 0 or 3: which AMF the client speaks.
    object_encoding: f64,
    /// Whether it speaks of Enhanced RTMP.
    enhanced: bool,
    caps: u32,
}

impl Connect {
    /// Of the command's object; `None` where the application is none.
    pub(super) fn from_object(object: &Value) -> Option<Self> {
        let text = |name| {
            object
                .field(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let number = |name| object.field(name).and_then(Value::as_number);
        let (app, query) = address::split_query(text("app"));
        let tc_url = text("tcUrl");
        // Some leave the query out of the application.
        let query = if query.is_empty() {
            address::split_query(tc_url).1
        } else {
            query
        };
        let enhanced = [
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ];
        Some(Connect {
            app: address::name(app)?.to_owned(),
            query: address::joined_query(&[query])?,
            tc_url: address::text(tc_url),
            agent: address::text(text("flashVer")),
            page_url: address::text(text("pageUrl")),
            object_encoding: if number("objectEncoding") == Some(3.0) {
                3.0
            } else {
                0.0
            },
            enhanced: enhanced.iter().any(|name| object.field(name).is_some()),
            // Saturates; a wrong number has wrong bits and no more.
            caps: number("capsEx").unwrap_or_default() as u32,
        })
    }

    /// Whether the client understands a request to reconnect.
    pub(super) fn reconnects(&self) -> bool {
        self.caps & CAPS_RECONNECT != 0
    }

    /// What `publish` or `play` with this name asks for; `None` where the name is none.
    pub(super) fn request(&self, name: &str) -> Option<StreamRequest> {
        let (stream, query) = address::split_query(name);
        let query = address::joined_query(&[query, &self.query])?;
        let vhost = address::parameter(&query, "vhost");
        let vhost = vhost.unwrap_or_else(|| address::host(&self.tc_url).to_owned());
        Some(StreamRequest {
            app: self.app.clone(),
            stream: address::stream(stream)?.to_owned(),
            vhost: address::name(&vhost)?.to_owned(),
            query,
            tc_url: self.tc_url.clone(),
            agent: self.agent.clone(),
            page_url: self.page_url.clone(),
            purpose: String::new(),
            reconnects: self.reconnects(),
        })
    }

    /// The answer that lets the client in.
    pub(super) fn write_result(&self, writer: &mut Writer<'_>, transaction: f64) {
        writer.string("_result").number(transaction);
        writer.object();
        writer.key("fmsVer").string("FMS/3,5,3,888");
        writer.key("capabilities").number(127.0);
        writer.key("mode").number(1.0);
        if self.enhanced {
            write_enhanced(writer);
        }
        writer.end();
        writer.object();
        writer.key("level").string("status");
        writer.key("code").string("NetConnection.Connect.Success");
        writer.key("description").string("Connection succeeded.");
        writer.key("objectEncoding").number(self.object_encoding);
        writer.end();
    }
}

/// What we can, to those who ask for it.
pub(super) fn write_enhanced(writer: &mut Writer<'_>) {
    writer
        .key("fourCcList")
        .strict_array((VIDEO.len() + AUDIO.len()) as u32);
    for code in VIDEO.into_iter().chain(AUDIO) {
        writer.string(code);
    }
    for (name, codes) in [
        ("videoFourCcInfoMap", &VIDEO[..]),
        ("audioFourCcInfoMap", &AUDIO),
    ] {
        writer.key(name).object();
        for code in codes {
            writer.key(code).number(CAN_FORWARD);
        }
        writer.end();
    }
    writer.key("capsEx").number(f64::from(CAPS_OURS));
}

const _: () = assert!(limits::TEXT_BYTES_MAX >= limits::NAME_BYTES_MAX);
