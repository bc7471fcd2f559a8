//! ADTS in any split: every byte is in one frame or dropped, and no more is
//! held than allowed.
#![no_main]

use corecast_protocol::adts::demux::BUFFER_BYTES_MAX;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    corecast_fuzz::check_framer("audio/aac", BUFFER_BYTES_MAX, stream, lengths);
});
