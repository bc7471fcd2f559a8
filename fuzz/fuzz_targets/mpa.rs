//! MPEG audio in any split: every byte is in one frame or dropped, and no more is
//! held than allowed.
#![no_main]

use corecast_protocol::mpa::demux::BUFFER_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    corecast_fuzz::check_framer("audio/mpeg", BUFFER_BYTES_MAX, stream, lengths);
});
