//! The reader names what is wrong with a stream, however it is cut.

use corecast_media::track::TrackCodec;

use super::Writer;
use super::demux::{Fault, Reader};
use super::packet::PACKET_BYTES;
use super::tests::{faults, frames, program, read, stream, write};

#[test]
fn the_reader_says_the_same_in_every_split() {
    let sent = program(TrackCodec::H264, TrackCodec::Opus, 0, 500);
    let mut bytes = stream(&frames(&write(&mut Writer::new(), &sent)));
    bytes.splice(PACKET_BYTES * 7..PACKET_BYTES * 7 + 30, [1, 2, 3]);
    let whole = read(&bytes);
    for split in [1, 7, 187, 188, 189, 5_000] {
        let (mut reader, mut events) = (Reader::new(), Vec::new());
        for piece in bytes.chunks(split) {
            reader.push(piece, &mut events);
        }
        reader.finish(&mut events);
        assert!(events == whole, "pushes of {split} bytes");
    }
}

#[test]
fn the_reader_names_every_fault() {
    let sent = program(TrackCodec::H264, TrackCodec::Aac, 0, 1_000);
    let good = stream(&frames(&write(&mut Writer::new(), &sent)));
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &dyn Fn(&Fault) -> bool| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let found = faults(&read(&bytes));
        assert!(found.iter().any(expected), "{found:?}");
    };
    // The third packet is the first of the first picture.
    let third = 2 * PACKET_BYTES;
    check(&|b| b[third] = 0, &|f| {
        *f == Fault::Sync {
            bytes: PACKET_BYTES,
        }
    });
    check(&|b| b.truncate(third + 9), &|f| {
        *f == Fault::Sync { bytes: 9 }
    });
    check(&|b| b[third + 1] |= 0x80, &|f| {
        *f == Fault::Damaged { pid: 0x100 }
    });
    check(&|b| b[third + 4] = 200, &|f| *f == Fault::Packet);
    check(&|b| b[third + 4 + 8] ^= 1, &|f| {
        *f == Fault::Pes { pid: 0x100 }
    });
    check(&|b| b[12] ^= 1, &|f| *f == Fault::Table { pid: 0 });
    check(
        &|b| {
            b.drain(third + PACKET_BYTES..third + 2 * PACKET_BYTES);
        },
        &|f| matches!(f, Fault::Continuity { pid: 0x100, .. }),
    );
    // A packet that is there twice is none (section 2.4.3.3), three times is one.
    let repeat = |times| {
        let mut bytes = good.clone();
        let packet = bytes[third..third + PACKET_BYTES].to_vec();
        for _ in 0..times {
            bytes.splice(third..third, packet.iter().copied());
        }
        faults(&read(&bytes)).len()
    };
    assert_eq!(repeat(1), 0);
    assert!(repeat(2) > 0);
}
