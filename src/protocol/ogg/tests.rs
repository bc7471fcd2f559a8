use std::io::Cursor;

use bytes::Bytes;
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::{FrameKind, MediaEvent};
use corecast_media::metadata::Metadata;
use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use super::demux::{BUFFER_BYTES_MAX, Framer};
use super::page::{self, PAGE_BYTES_MAX, Page};
use crate::framing::testing::{Splits, payloads, run};

const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
const NO_GRANULE: u64 = u64::MAX;

/// One page of whole packets, after what `flags` say; a packet of a multiple of 255 bytes that is
/// the last goes on in the next page if `goes_on`.
fn page(flags: u8, granule: u64, serial: u32, packets: &[&[u8]], goes_on: bool) -> Vec<u8> {
    let mut lacing = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        lacing.resize(lacing.len() + packet.len() / 255, 255);
        if !(goes_on && index + 1 == packets.len()) {
            lacing.push((packet.len() % 255) as u8);
        }
    }
    let mut bytes = b"OggS\0".to_vec();
    bytes.push(flags);
    bytes.extend(granule.to_le_bytes());
    bytes.extend(serial.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.push(lacing.len() as u8);
    bytes.extend(&lacing);
    bytes.extend(packets.concat());
    let sum = page::checksum(&bytes).expect("a header");
    bytes.splice(22..26, sum.to_le_bytes());
    bytes
}

fn tags(pairs: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut block = text("vendor");
    block.extend((pairs.len() as u32).to_le_bytes());
    block.extend(pairs.iter().flat_map(|pair| text(pair)));
    block
}

fn vorbis_head(rate: u32) -> Vec<u8> {
    let [r0, r1, r2, r3] = rate.to_le_bytes();
    let mut packet = b"\x01vorbis\0\0\0\0\x02".to_vec();
    packet.extend([
        r0, r1, r2, r3, 0, 0, 0, 0, 0, 0xee, 2, 0, 0, 0, 0, 0, 0xb8, 1,
    ]);
    packet
}

fn vorbis_tags(pairs: &[&str]) -> Vec<u8> {
    [b"\x03vorbis", &tags(pairs)[..], &[1]].concat()
}

fn opus_head(pre_skip: u16) -> Vec<u8> {
    let [low, high] = pre_skip.to_le_bytes();
    [
        &b"OpusHead\x01\x02"[..],
        &[low, high],
        &48_000_u32.to_le_bytes(),
        &[0, 0, 0],
    ]
    .concat()
}

fn opus_tags(pairs: &[&str]) -> Vec<u8> {
    [b"OpusTags", &tags(pairs)[..]].concat()
}

/// Runs `pages` in every split; all must say the same.
fn events(pages: &[Vec<u8>]) -> (Vec<MediaEvent>, u64) {
    let fresh = || (Framer::new(), BUFFER_BYTES_MAX);
    run(&pages.concat(), fresh, Splits::all())
}

/// What was said, in short: `H`, `E` and `I` for frames with their durations in milliseconds, `f`
/// for a format, `i` with the pages in the init headers, `m` with the title.
fn told(events: &[MediaEvent]) -> String {
    let word = |event: &MediaEvent| match event {
        MediaEvent::Frame(frame) => {
            let kind = match frame.kind {
                FrameKind::Header => "H",
                FrameKind::Entry => "E",
                FrameKind::Inner => "I",
            };
            match frame.duration_us / 1_000 {
                0 => kind.to_owned(),
                millis => format!("{kind}{millis}"),
            }
        }
        MediaEvent::Format(format) => format!("f{}", format.codec),
        MediaEvent::InitHeaders(bytes) => {
            format!(
                "i{}",
                bytes.windows(4).filter(|word| *word == b"OggS").count()
            )
        }
        MediaEvent::Metadata(metadata) => format!("m({})", metadata.title),
        MediaEvent::Tracks(_) | MediaEvent::Unit(_) => panic!("no framer says {event:?}"),
    };
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn check(pages: &[Vec<u8>], expected: &str, discarded: usize) {
    let (events, dropped) = events(pages);
    assert_eq!(
        (told(&events).as_str(), dropped),
        (expected, discarded as u64)
    );
}

fn vorbis_link(serial: u32, title: &str) -> Vec<Vec<u8>> {
    let title = format!("title={title}");
    let (comment, setup) = (
        vorbis_tags(&["ARTIST=A", &title]),
        [&b"\x05vorbis"[..], &[7; 900]],
    );
    vec![
        page(FIRST, 0, serial, &[&vorbis_head(48_000)], false),
        page(0, 0, serial, &[&comment, &setup.concat()], false),
        page(0, 4_800, serial, &[&[1; 300], &[2; 255]], false),
        page(0, NO_GRANULE, serial, &[&[3; 510]], true),
        page(CONTINUED, 14_400, serial, &[&[3; 4], &[4; 9]], false),
        page(LAST, 19_200, serial, &[&[5; 20]], false),
    ]
}

#[test]
fn a_vorbis_chain_says_each_links_set_up() {
    let chain = [vorbis_link(1, "one"), vorbis_link(2, "two")].concat();
    check(
        &chain,
        "fvorbis H H i2 m(A - one) E100 E I200 E100 H H i2 m(A - two) E100 E I200 E100",
        0,
    );
    let (events, _) = events(&chain);
    assert!(payloads(&events) == chain.concat());
    let format = AudioFormat {
        codec: Codec::Vorbis,
        sample_rate_hz: 48_000,
        channels: 2,
        bitrate_bps: 192_000,
    };
    assert_eq!(events.first(), Some(&MediaEvent::Format(format)));
    let init = chain.get(..2).expect("two pages").concat();
    assert_eq!(
        events.get(3),
        Some(&MediaEvent::InitHeaders(Bytes::from(init)))
    );
}

#[test]
fn opus_counts_from_its_pre_skip_and_may_change_the_title() {
    let link = |serial, pairs: &[&str]| {
        vec![
            page(FIRST, 0, serial, &[&opus_head(312)], false),
            page(0, 0, serial, &[&opus_tags(pairs)], false),
            page(0, 48_312, serial, &[&[1; 100]], false),
        ]
    };
    let chain = [
        link(1, &["TITLE=x"]),
        link(1, &["NOTE=", "broken", "ARTIST=B", "TITLE="]),
        link(9, &[]),
    ];
    check(
        &chain.concat(),
        "fopus H H i2 m(x) E1000 H H i2 m(B) E1000 H H i2 m() E1000",
        0,
    );
    check(&link(3, &[]), "fopus H H i2 E1000", 0);
}

#[test]
fn flac_and_speex_are_set_up_by_their_own_count() {
    let mut flac = b"\x7fFLAC\x01\0\0\x02fLaC\0\0\0\x22".to_vec();
    flac.extend([0; 10]);
    flac.extend(((44_100_u32 << 12) | (1 << 9)).to_be_bytes());
    flac.extend([0; 20]);
    let mut comment = b"\x04\0\0\0".to_vec();
    comment.extend(tags(&["TITLE=F"]));
    let mut unknown = flac.clone();
    unknown.splice(7..9, [0, 0]);
    for (head, last) in [(&flac, 0x01), (&unknown, 0x81)] {
        let pages = [
            page(FIRST, 0, 5, &[head], false),
            page(0, 0, 5, &[&comment], false),
            page(0, 0, 5, &[&[last, 0, 0, 1, 0]], false),
            page(0, 4_410, 5, &[&[0xff, 0xf8, 1]], false),
        ];
        check(&pages, "fflac H H H i3 m(F) E100", 0);
    }

    let mut speex = b"Speex   1.2".to_vec();
    speex.resize(80, 0);
    for (at, value) in [(36, 16_000_u32), (48, 1), (52, u32::MAX), (68, 1)] {
        speex.splice(at..at + 4, value.to_le_bytes());
    }
    let pages = [
        page(FIRST, 0, 6, &[&speex], false),
        page(0, 0, 6, &[&tags(&["TITLE=S"])], false),
        page(0, 0, 6, &[b"extra"], false),
        page(0, 1_600, 6, &[&[1; 40]], false),
    ];
    check(&pages, "fspeex H H H i3 m(S) E100", 0);
}

#[test]
fn what_is_not_known_is_passed_on() {
    let pages = [
        page(FIRST, 0, 1, &[b"mystery"], false),
        page(0, 7, 1, &[&[1; 255]], true),
        page(CONTINUED, 8, 1, &[&[1; 5]], false),
    ];
    check(&pages, "H i1 E I", 0);
}

#[test]
fn streams_that_begin_together_are_one_link() {
    let theora = |packet: &[u8]| [b"\x80theora", packet].concat();
    let pages = [
        page(FIRST, 0, 1, &[&theora(b"id")], false),
        page(FIRST, 0, 2, &[&opus_head(0)], false),
        page(FIRST, 0, 3, &[b"fishead\0"], false),
        page(0, 0, 1, &[b"\x81theora", b"\x82theora"], false),
        page(0, 0, 3, &[b"fisbone\0"], false),
        page(0, 0, 2, &[&opus_tags(&["TITLE=t"])], false),
        page(LAST, 0, 3, &[], false),
        page(0, 99, 1, &[b"video"], false),
        page(0, 48_000, 2, &[b"sound"], false),
        page(0, 1, 4, &[b"stray"], false),
    ];
    let stray = pages.last().expect("pages").len();
    check(&pages, "H fopus H H H H H i6 m(t) I E E1000", stray);
}

#[test]
fn pages_without_a_beginning_and_damaged_pages_are_dropped() {
    let link = vorbis_link(1, "one");
    let [first, second, third, rest @ ..] = link.as_slice() else {
        panic!("six pages")
    };
    let mut damaged = third.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    let junk = b"OggOggS\0OggS\x01 and more".to_vec();
    let lost = third.len() + junk.len() + damaged.len();
    let pages = [
        &[third.clone(), first.clone(), junk, second.clone(), damaged],
        rest,
    ]
    .concat();
    // The time of the damaged page counts with the next one that tells its position.
    check(&pages, "fvorbis H H i2 m(A - one) E I300 E100", lost);
}

#[test]
fn a_page_that_is_cut_short_by_the_end_is_dropped() {
    let link = vorbis_link(1, "one");
    let whole = link.concat();
    let cut = whole.get(..whole.len() - 7).expect("a prefix").to_vec();
    let last = link.last().expect("pages").len();
    check(&[cut], "fvorbis H H i2 m(A - one) E100 E I200", last - 7);
}

#[test]
fn a_set_up_without_end_is_given_up() {
    let mut pages = vec![page(FIRST, 0, 1, &[&vorbis_head(48_000)], false)];
    let full = vec![3; 255 * 255];
    pages.push(page(0, NO_GRANULE, 1, &[&full], true));
    for _ in 0..17 {
        pages.push(page(CONTINUED, NO_GRANULE, 1, &[&full], true));
    }
    let link = vorbis_link(2, "next");
    pages.extend(link);
    let fresh = || (Framer::new(), BUFFER_BYTES_MAX);
    let (events, discarded) = run(&pages.concat(), fresh, Splits::coarse());
    let said = told(&events);
    assert!(
        said.ends_with(" H H i2 m(A - next) E100 E I200 E100"),
        "{said}"
    );
    assert_eq!(
        payloads(&events).len() as u64 + discarded,
        pages.concat().len() as u64
    );
    // 17 pages are past the bound of the set-up, and so is the one behind them.
    assert_eq!(discarded, 2 * (27 + 255 + 255 * 255));
}

#[test]
fn lengths_in_tags_are_not_believed() {
    for (block, expected) in [
        (tags(&["artist=A", "TITLE=B"]), "A - B"),
        (tags(&["TITLE=B", "TITLE=C"]), "B"),
        (Vec::new(), ""),
        (u32::MAX.to_le_bytes().to_vec(), ""),
        (
            [&[0; 4][..], &u32::MAX.to_le_bytes(), &[2, 0, 0, 0], b"a="].concat(),
            "",
        ),
    ] {
        assert_eq!(&*super::comment::parse(&block).title, expected);
    }
    let mut cut = tags(&["TITLE=B", "ARTIST=A"]);
    cut.truncate(cut.len() - 1);
    assert_eq!(super::comment::parse(&cut), Metadata::from_parts("", "B"));
}

#[test]
fn pages_that_claim_to_overlap_cost_no_more_than_the_rest() {
    // Every 282 bytes a page of the greatest length is announced.
    let claim = page(0, 0, 1, &[&[255; 255 * 254]], true);
    let head = claim.get(..27 + 254).expect("a header").to_vec();
    let input: Vec<u8> = (0..600).flat_map(|_| head.clone()).collect();
    let (events, discarded) = {
        let fresh = || (Framer::new(), BUFFER_BYTES_MAX);
        run(&input, fresh, Splits::coarse())
    };
    assert_eq!((events.len(), discarded), (0, input.len() as u64));
}

#[test]
fn the_longest_page_is_the_bound() {
    let longest = page(FIRST, 0, 1, &[&[9; 255 * 255]], true);
    assert_eq!(longest.len(), PAGE_BYTES_MAX);
    let parsed = Page::parse(Bytes::from(longest)).expect("a page");
    assert_eq!(
        parsed
            .pieces()
            .map(|(piece, end)| (piece.len(), end))
            .collect::<Vec<_>>(),
        [(255 * 255, false)]
    );
}

/// Streams of another writer, and another reader on what comes out.
#[test]
fn another_implementation_agrees() {
    let mut writer = PacketWriter::new(Cursor::new(Vec::new()));
    let mut packets = vec![opus_head(0), opus_tags(&["TITLE=oracle"])];
    packets.extend((0..200_usize).map(|index| vec![index as u8; index * index % 3_001]));
    let last = packets.len() - 1;
    for (index, packet) in packets.iter().enumerate() {
        let end = match index {
            0 | 1 => PacketWriteEndInfo::EndPage,
            _ if index == last => PacketWriteEndInfo::EndStream,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        let granule = index.saturating_sub(1) as u64 * 960;
        writer
            .write_packet(packet.clone(), 77, end, granule)
            .expect("a buffer takes all");
    }
    let stream = writer.into_inner().into_inner();
    let (events, discarded) = events(std::slice::from_ref(&stream));
    let passed = payloads(&events);
    assert!(passed == stream);
    assert_eq!(discarded, 0);
    let duration_us: u64 = events
        .iter()
        .map(|event| match event {
            MediaEvent::Frame(frame) => u64::from(frame.duration_us),
            _ => 0,
        })
        .sum();
    assert_eq!(duration_us, 200 * 20_000);

    let mut reader = ogg::PacketReader::new(Cursor::new(passed));
    let mut read = Vec::new();
    while let Some(packet) = reader.read_packet().expect("good pages") {
        read.push(packet.data);
    }
    assert!(read == packets);
}
