//! A transport stream in any split: the same events, and never more held than a PES packet. Half
//! of the inputs are given sync bytes where packets start, so that they are read far.
#![no_main]

use corecast_protocol::mpegts::demux::{Event, PES_BYTES_MAX, Reader};
use corecast_protocol::mpegts::packet::{PACKET_BYTES, SYNC};
use corecast_protocol::mpegts::{PCR_WRAP, TICKS_MASK};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let mut stream = stream.to_vec();
    if data.first().is_some_and(|first| first & 0x80 != 0) {
        for packet in stream.chunks_mut(PACKET_BYTES) {
            packet[0] = SYNC;
        }
    }
    let run = |lengths: &[u8]| {
        let (mut reader, mut events) = (Reader::new(), Vec::new());
        for piece in corecast_fuzz::pieces(&stream, lengths) {
            reader.push(&piece, &mut events);
        }
        reader.finish(&mut events);
        (events, reader.packets())
    };
    let whole = run(&[]);
    assert!(whole == run(lengths), "the split changes what is said");
    assert!(whole == run(&[0]), "single bytes change what is said");
    assert!(whole.1 <= (stream.len() / PACKET_BYTES) as u64);
    for event in &whole.0 {
        match event {
            Event::Pes(pes) => {
                assert!(pes.payload.len() <= PES_BYTES_MAX);
                assert!(pes.pts.is_none_or(|pts| pts <= TICKS_MASK));
                assert!(pes.dts.is_none_or(|dts| dts <= TICKS_MASK));
            }
            // The extension has 9 bits and may say more than 299.
            Event::Pcr(pcr) => assert!(pcr.ticks < PCR_WRAP + 512),
            Event::Program(_) | Event::Fault(_) => {}
        }
    }
});
