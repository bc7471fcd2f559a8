//! What a byte costs in the protocols: request heads, framing of MPEG audio, ADTS and Ogg, and ICY
//! metadata.

use std::hint::black_box;
use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};
use corecast_media::metadata::Metadata;
use corecast_protocol::audio::Framer;
use corecast_protocol::http::Limits;
use corecast_protocol::http1::RequestParser;
use corecast_protocol::icy::{Deinterleaver, block};
use corecast_protocol::ogg::page;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// The bytes of one read of a source's socket.
const READ_BYTES: usize = 16 * 1024;
/// The length of the streams that are framed.
const STREAM_BYTES: usize = 4 * 1024 * 1024;
const METAINT: NonZeroU32 = NonZeroU32::new(16_000).expect("not zero");

/// What mpv sends.
const LISTEN: &[u8] = b"GET /radio.mp3 HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\n\
    Range: bytes=0-\r\nConnection: close\r\nHost: 127.0.0.1:8000\r\nIcy-MetaData: 1\r\n\r\n";

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("http1_head");
    group.throughput(Throughput::Bytes(LISTEN.len() as u64));
    let parse = |mut buffer: BytesMut| {
        let mut parser = RequestParser::new(Limits::default());
        let request = parser.parse(&mut buffer).expect("good").expect("whole");
        black_box(request.headers().find("icy-metadata").is_some())
    };
    group.bench_function("whole", |b| {
        b.iter_batched(|| BytesMut::from(LISTEN), parse, BatchSize::SmallInput);
    });
    group.bench_function("byte_by_byte", |b| {
        b.iter(|| {
            let mut parser = RequestParser::new(Limits::default());
            let mut buffer = BytesMut::with_capacity(LISTEN.len());
            let mut request = None;
            for &byte in LISTEN {
                buffer.extend_from_slice(&[byte]);
                request = parser.parse(&mut buffer).expect("good");
            }
            black_box(request.expect("whole"))
        });
    });
    group.finish();
}

/// Frames of 128 kbit/s at 44.1 kHz.
fn mpa_stream() -> Vec<u8> {
    let mut frame = vec![0x55; 417];
    frame.splice(..4, [0xff, 0xfb, 0x90, 0x00]);
    repeated(&frame)
}

/// Frames of 371 bytes, about 128 kbit/s at 44.1 kHz.
fn adts_stream() -> Vec<u8> {
    let mut frame = vec![0x55; 371];
    frame.splice(..7, [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]);
    repeated(&frame)
}

/// Opus pages of about 4,000 bytes, one second at 32 kbit/s.
fn ogg_stream() -> Vec<u8> {
    let head = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\0\0\0\0\0\0\0\0";
    let mut stream = [ogg_page(2, &[&head[..]]), ogg_page(0, &[&tags[..]])].concat();
    let packets = [&[0x55; 80][..]; 50];
    stream.extend(repeated(&ogg_page(0, &packets)));
    stream
}

fn ogg_page(flags: u8, packets: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"OggS\0".to_vec();
    bytes.push(flags);
    bytes.extend([0; 20]);
    bytes.push(packets.len() as u8);
    bytes.extend(packets.iter().map(|packet| packet.len() as u8));
    bytes.extend(packets.concat());
    let sum = page::checksum(&bytes).expect("a header");
    bytes.splice(22..26, sum.to_le_bytes());
    bytes
}

fn repeated(piece: &[u8]) -> Vec<u8> {
    piece.repeat(STREAM_BYTES / piece.len())
}

fn framers(c: &mut Criterion) {
    let mut group = c.benchmark_group("framing");
    for (name, content_type, stream) in [
        ("mpa", "audio/mpeg", mpa_stream()),
        ("adts", "audio/aac", adts_stream()),
        ("ogg", "application/ogg", ogg_stream()),
    ] {
        let stream = Bytes::from(stream);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut framer = Framer::for_content_type(content_type);
                let mut rest = stream.clone();
                let mut events = 0_u64;
                while !rest.is_empty() {
                    framer.push(rest.split_to(READ_BYTES.min(rest.len())));
                    while let Some(event) = framer.poll() {
                        black_box(&event);
                        events += 1;
                    }
                }
                assert_eq!(framer.discarded_bytes(), 0);
                black_box(events)
            });
        });
    }
    group.finish();
}

fn metadata(c: &mut Criterion) {
    let title = Metadata::from_title("An artist of some renown - A title with an apostrophe's");
    c.bench_function("icy_block", |b| {
        b.iter(|| black_box(block(black_box(&title))))
    });

    let mut stream = Vec::new();
    for part in mpa_stream().chunks_exact(METAINT.get() as usize) {
        stream.extend_from_slice(part);
        stream.extend_from_slice(&block(&title));
    }
    let stream = Bytes::from(stream);
    let mut group = c.benchmark_group("icy_deinterleave");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("stream", |b| {
        b.iter(|| {
            let mut reader = Deinterleaver::new(METAINT);
            let mut rest = stream.clone();
            while !rest.is_empty() {
                let mut input = rest.split_to(READ_BYTES.min(rest.len()));
                while let Some(piece) = reader.decode(&mut input) {
                    black_box(&piece);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, heads, framers, metadata);
criterion_main!(benches);
