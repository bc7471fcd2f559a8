//! What an encoder says when it starts to publish: `PUT` or `SOURCE` with `ice-*` headers (Icecast
//! 2.4 documentation, section "Icecast protocol"), or the `icy-*` and `x-audiocast-*` names before.

use std::sync::Arc;

use corecast_media::mount::SourceInfo;
use corecast_media::name::MountName;

use crate::http::{BadRequest, BodyFraming, Credentials, Headers, Method, Request, Version};
use crate::text;

/// The longest text of a source that is kept, in bytes.
pub const SOURCE_TEXT_BYTES_MAX: usize = 1_024;

/// The longest content type of a source that is kept, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// What Icecast takes a source for that names no type.
const CONTENT_TYPE_UNSAID: &str = "audio/mpeg";

/// The wish to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRequest {
    /// Where to.
    pub mount: MountName,
    /// By whom; `None` asks for a 401 (libshout's first try has none on purpose).
    pub credentials: Option<Credentials>,
    /// What it says about its stream.
    pub info: SourceInfo,
    /// Whether it waits for `100 Continue`.
    pub expects_continue: bool,
    /// Where its body ends.
    pub framing: BodyFraming,
    /// The version that the answer should have: HTTP/1.0 for all but HTTP/1.1.
    pub version: Version,
}

impl SourceRequest {
    /// Whether `request` wants to publish.
    pub fn is_source(request: &Request) -> bool {
        matches!(request.method(), Method::Put | Method::Source)
    }

    /// Reads the wish to publish out of `request`.
    ///
    /// # Errors
    /// [`BadRequest`] where the path is no mount's name, or the body is empty by its framing.
    pub fn from_request(request: &Request) -> Result<Self, BadRequest> {
        let mount = MountName::parse(request.path())
            .map_err(|_| BadRequest::new(400, "path is no mount name"))?;
        if request.body_framing() == BodyFraming::None {
            return Err(BadRequest::new(400, "source without a body"));
        }
        Ok(SourceRequest {
            mount,
            credentials: credentials(request.headers()),
            info: source_info(request.headers()),
            expects_continue: request.expects_continue(),
            framing: request.body_framing(),
            version: request.version(),
        })
    }
}

/// What the source's headers say about its stream, empty where they say nothing. The escapes of
/// `ice-audio-info` stay as they were sent; see [`audio_info_pairs`].
pub(super) fn source_info(headers: &Headers) -> SourceInfo {
    let of = |names: &[&str]| Arc::from(find_text(headers, names, SOURCE_TEXT_BYTES_MAX));
    let content_type = find_text(headers, &["content-type"], CONTENT_TYPE_BYTES_MAX);
    let said = |names: &[&str]| find_text(headers, names, SOURCE_TEXT_BYTES_MAX);
    let public = said(&["ice-public", "icy-pub", "icy-public", "x-audiocast-public"]);
    let unsaid = content_type.is_empty();
    SourceInfo {
        content_type: if unsaid {
            CONTENT_TYPE_UNSAID.into()
        } else {
            content_type.into()
        },
        name: of(&["ice-name", "icy-name", "x-audiocast-name"]),
        description: of(&[
            "ice-description",
            "icy-description",
            "x-audiocast-description",
        ]),
        genre: of(&["ice-genre", "icy-genre", "x-audiocast-genre"]),
        url: of(&["ice-url", "icy-url", "x-audiocast-url"]),
        bitrate: of(&["ice-bitrate", "icy-br", "x-audiocast-bitrate"]),
        audio_info: of(&["ice-audio-info", "audio-info"]),
        public: public == "1" || public.eq_ignore_ascii_case("true"),
        user_agent: of(&["user-agent"]),
        address: None,
    }
}

/// The value of the first of `names` that is there, cleaned and bounded.
fn find_text(headers: &Headers, names: &[&str], bytes_max: usize) -> String {
    let value = names
        .iter()
        .find_map(|name| headers.find(name))
        .unwrap_or_default();
    text::clean(&text::decode(value), bytes_max)
}

/// The credentials of any request: HTTP Basic (RFC 7617), or the `ice-username` and
/// `ice-password` of encoders that cannot do that. Without `ice-username` the user is `source`.
pub fn credentials(headers: &Headers) -> Option<Credentials> {
    if let Some(value) = headers.find("authorization") {
        return Credentials::from_basic(value);
    }
    let password = headers.find("ice-password")?;
    let user = headers.find("ice-username").unwrap_or(b"source");
    Some(Credentials {
        user: text::decode(user).into_owned(),
        password: text::decode(password).into_owned(),
    })
}

/// The pairs of an `ice-audio-info` value (`samplerate=44100;quality=3%2e00`), decoded: the form in
/// which Icecast shows each of them.
pub fn audio_info_pairs(audio_info: &str) -> impl Iterator<Item = (&str, String)> {
    audio_info.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((
            name,
            text::clean(&text::percent_decode(value, false), SOURCE_TEXT_BYTES_MAX),
        ))
    })
}
