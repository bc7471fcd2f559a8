//! Any bytes are settings of Icecast or a fault inside the file; what is imported passes the
//! check.
#![no_main]

use corecast_config::import::{Format, import};
use corecast_fuzz::check_import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check_import(import(Format::Icecast, "fuzz.xml", data), data);
    // The interesting part is inside the root.
    let inside = [b"<icecast>", data, b"</icecast>"].concat();
    check_import(import(Format::Icecast, "fuzz.xml", &inside), &inside);
});
