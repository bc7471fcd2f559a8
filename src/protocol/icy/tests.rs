use std::num::NonZeroU32;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use proptest::prelude::*;

use super::listener::{ListenerHead, wants_metadata};
use super::metadata::{self, BLOCK_BYTES_MAX, EMPTY_BLOCK, UNIT_BYTES, block};
use super::source::{SourceRequest, audio_info_pairs};
use super::{Deinterleaver, Piece};
use crate::http::{BodyFraming, Limits, Request, Version};
use crate::http1::{Parse, parse_request};

fn request(head: &str) -> Request {
    let head = Bytes::from(head.replace('\n', "\r\n"));
    match parse_request(&head, &Limits::default()) {
        Ok(Parse::Done { request, .. }) => *request,
        other => panic!("{other:?}"),
    }
}

/// What a player makes of the block's title, after the block's own form was checked.
fn title_of(block: &Bytes) -> String {
    let units = usize::from(*block.first().expect("a length byte"));
    assert_eq!(block.len(), 1 + units * UNIT_BYTES);
    let metadata = metadata::parse(block.get(1..).expect("fields")).expect("a title");
    metadata.title.to_string()
}

#[test]
fn blocks_are_rendered_to_the_byte() {
    let plain = Metadata::from_title("A - B");
    assert_eq!(
        block(&plain),
        &b"\x02StreamTitle='A - B';\0\0\0\0\0\0\0\0\0\0\0\0"[..]
    );
    let none = Metadata::default();
    assert_eq!(block(&none), &b"\x01StreamTitle='';\0"[..]);
    let linked = Metadata::from_title("x").with_url("http://h/");
    assert_eq!(
        block(&linked),
        &b"\x03StreamTitle='x';StreamUrl='http://h/';\0\0\0\0\0\0\0\0\0\0"[..]
    );
    assert_eq!(EMPTY_BLOCK, &[0][..]);
}

#[test]
fn a_title_stays_one_field() {
    for (title, expected) in [
        ("Rock 'n' Roll", "Rock 'n' Roll"),
        ("don't stop;", "don't stop;"),
        ("'quoted'", "'quoted'"),
        ("x';StreamUrl='http://evil/", "x' ;StreamUrl= 'http://evil/"),
        ("';';';", "' ;' ;' ;"),
        ("a';", "a' ;"),
    ] {
        let rendered = block(&Metadata::from_title(title));
        assert_eq!(title_of(&rendered), expected);
        let fields = metadata::parse(rendered.get(1..).expect("fields")).expect("a title");
        assert_eq!(fields.url, None, "{title}");
    }
}

#[test]
fn long_titles_are_cut_at_a_code_point_and_long_links_left_out() {
    let wide = Metadata {
        title: "\u{20ac}".repeat(3_000).into(),
        ..Metadata::default()
    };
    let rendered = block(&wide);
    assert_eq!(rendered.len(), 1 + BLOCK_BYTES_MAX);
    let fields = std::str::from_utf8(rendered.get(1..).expect("fields")).expect("UTF-8");
    assert!(fields.trim_end_matches('\0').ends_with("\u{20ac}';"));
    let quotes = Metadata {
        title: "';".repeat(3_000).into(),
        ..Metadata::default()
    };
    assert!(block(&quotes).len() <= 1 + BLOCK_BYTES_MAX);

    let long = "u".repeat(2_040);
    for (title_bytes, has_link) in [(2_000, true), (2_040, false)] {
        let both = Metadata::from_title(&"t".repeat(title_bytes)).with_url(&long);
        let rendered = block(&both);
        let fields = metadata::parse(rendered.get(1..).expect("fields")).expect("a title");
        assert_eq!(
            (fields.title.len(), fields.url.is_some()),
            (title_bytes, has_link)
        );
    }
}

/// Cuts `stream` at `cuts` and takes it apart; returns the audio and the blocks.
fn taken_apart(stream: &[u8], metaint: NonZeroU32, cuts: &[usize]) -> (Vec<u8>, Vec<Bytes>) {
    let mut reader = Deinterleaver::new(metaint);
    let (mut audio, mut blocks) = (Vec::new(), Vec::new());
    let mut rest = Bytes::copy_from_slice(stream);
    let mut cuts = cuts.iter();
    while !rest.is_empty() {
        let here = cuts
            .next()
            .map_or(rest.len(), |&cut| cut.clamp(1, rest.len()));
        let mut input = rest.split_to(here);
        while let Some(piece) = reader.decode(&mut input) {
            match piece {
                Piece::Audio(bytes) => audio.extend_from_slice(&bytes),
                Piece::Block(fields) => blocks.push(fields),
            }
        }
    }
    (audio, blocks)
}

proptest! {
    #[test]
    fn any_text_makes_one_readable_block(title in "\\PC{0,600}", url in "\\PC{0,600}") {
        let metadata = Metadata::from_title(&title).with_url(&url);
        let rendered = block(&metadata);
        prop_assert!(rendered.len() <= 1 + BLOCK_BYTES_MAX);
        let fields = rendered.get(1..).expect("fields");
        prop_assert!(std::str::from_utf8(fields).is_ok());
        let shown = metadata.title.replace("';", "' ;").replace("='", "= '");
        prop_assert_eq!(title_of(&rendered), shown);
    }

    #[test]
    fn interleaving_comes_apart_again(
        audio in proptest::collection::vec(any::<u8>(), 1..400),
        titles in proptest::collection::vec("[a-z';]{0,80}", 1..4),
        metaint in 1_u32..60,
        cuts in proptest::collection::vec(1_usize..50, 0..60),
    ) {
        let metaint = NonZeroU32::new(metaint).expect("not zero");
        let (mut stream, mut sent) = (Vec::new(), Vec::new());
        for (index, part) in audio.chunks(metaint.get() as usize).enumerate() {
            stream.extend_from_slice(part);
            if part.len() == metaint.get() as usize {
                let title = titles.get(index).map(|title| Metadata::from_title(title));
                let block = title.as_ref().map_or(EMPTY_BLOCK, block);
                stream.extend_from_slice(&block);
                sent.push(block.slice(1..));
            }
        }
        let (got_audio, got_blocks) = taken_apart(&stream, metaint, &cuts);
        prop_assert_eq!(got_audio, audio);
        prop_assert_eq!(got_blocks, sent);
    }
}

#[test]
fn sources_of_all_kinds_are_understood() {
    let ffmpeg = request(
        "PUT /live.mp3 HTTP/1.1\nUser-Agent: Lavf/60\nAccept: */*\nExpect: 100-continue\n\
         Connection: close\nHost: h:8000\nContent-Type: audio/mpeg\nIcy-MetaData: 1\n\
         Ice-Name: N\nIce-Public: 1\nAuthorization: Basic c291cmNlOmhhY2s=\n\n",
    );
    let source = SourceRequest::from_request(&ffmpeg).expect("a source");
    assert_eq!(source.mount.as_str(), "/live.mp3");
    assert_eq!(
        (source.framing, source.expects_continue),
        (BodyFraming::UntilClose, true)
    );
    let said = &source.info;
    assert_eq!(
        (&*said.content_type, &*said.name, said.public),
        ("audio/mpeg", "N", true)
    );
    assert_eq!(&*said.user_agent, "Lavf/60");
    assert_eq!(source.credentials.expect("credentials").password, "hack");

    let libshout = request(
        "SOURCE /m HTTP/1.0\nContent-Length: 0\nConnection: Keep-Alive\n\
         Content-Type: application/ogg\n\
         ice-audio-info: samplerate=44100;channels=2;quality=3%2e00\n\n",
    );
    let source = SourceRequest::from_request(&libshout).expect("a source");
    assert_eq!(
        (source.credentials, source.framing),
        (None, BodyFraming::UntilClose)
    );
    assert_eq!(
        &*source.info.audio_info,
        "samplerate=44100;channels=2;quality=3%2e00"
    );

    let old = request(
        "SOURCE /old ICE/1.0\nice-password: p\nicy-name: Caf\u{e9}\nicy-br: 128\nicy-pub: 0\n\n",
    );
    let source = SourceRequest::from_request(&old).expect("a source");
    let credentials = source.credentials.expect("credentials");
    assert_eq!(
        (credentials.user.as_str(), credentials.password.as_str()),
        ("source", "p")
    );
    assert_eq!(source.version, Version::Ice10);
    let said = &source.info;
    assert_eq!(
        (&*said.name, &*said.bitrate, said.public),
        ("Caf\u{e9}", "128", false)
    );
    assert_eq!(&*said.content_type, "audio/mpeg");
}

#[test]
fn a_source_needs_a_mount_and_a_body() {
    for (head, reason) in [
        ("PUT / HTTP/1.1\nHost: h\n\n", "path is no mount name"),
        ("PUT /a/../b HTTP/1.1\nHost: h\n\n", "path is no mount name"),
        ("PUT /a/ HTTP/1.1\nHost: h\n\n", "path is no mount name"),
        (
            "PUT /m HTTP/1.1\nHost: h\nContent-Length: 0\n\n",
            "source without a body",
        ),
    ] {
        let fault = SourceRequest::from_request(&request(head)).expect_err("refused");
        assert_eq!((fault.status, fault.reason), (400, reason));
    }
}

#[test]
fn source_texts_are_cleaned_and_bounded() {
    let head = format!(
        "SOURCE /m HTTP/1.0\nice-name: a\tb {}\n\n",
        "\u{e9}".repeat(2_000)
    );
    let source = SourceRequest::from_request(&request(&head)).expect("a source");
    assert!(source.info.name.starts_with("a b \u{e9}"));
    assert_eq!(source.info.name.len(), super::source::SOURCE_TEXT_BYTES_MAX);
}

#[test]
fn audio_info_is_decoded_pair_by_pair() {
    let pairs: Vec<_> = audio_info_pairs("ice-samplerate=44100; quality=3%2e00;junk").collect();
    assert_eq!(
        pairs,
        [
            ("ice-samplerate", "44100".into()),
            ("quality", "3.00".into())
        ]
    );
}

#[test]
fn the_listener_head_says_what_players_need() {
    let head = ListenerHead {
        content_type: "audio/mpeg",
        name: "N\r\nX-Evil: 1",
        bitrate: "128",
        metaint: NonZeroU32::new(16_000),
        ..ListenerHead::default()
    };
    let fields = head.fields();
    let text = std::str::from_utf8(fields.lines()).expect("UTF-8");
    let expected = "Content-Type: audio/mpeg\r\nicy-br: 128\r\n\
                    icy-name: N  X-Evil: 1\r\nicy-pub: 0\r\nicy-metaint: 16000\r\n\
                    Access-Control-Allow-Origin: *\r\n";
    assert_eq!(text.get(..expected.len()), Some(expected));
    let bare = ListenerHead::default().fields();
    assert!(bare.lines().starts_with(b"icy-pub: 0\r\nAccess-Control-"));
}

#[test]
fn titles_are_sent_only_to_those_who_ask() {
    for (value, expected) in [("1", true), ("0", false), ("", false), ("1, 1", false)] {
        let head = format!("GET /m HTTP/1.0\nicy-metadata: {value}\n\n");
        assert_eq!(wants_metadata(&request(&head)), expected, "{value}");
    }
}
