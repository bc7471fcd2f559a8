//! Any bytes are settings of Icecast or a fault inside the file; what is imported passes the
//! check, whatever is in the files that it names.
#![no_main]

use corecast_config::import::{Files, Format, import, import_with};
use corecast_fuzz::check_import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    check_import(import(Format::Icecast, "fuzz.xml", data), data);
    // The interesting part is inside the root.
    let inside = [b"<icecast>", data, b"</icecast>"].concat();
    let imported = import(Format::Icecast, "fuzz.xml", &inside);
    let wants = imported
        .as_ref()
        .ok()
        .map(|imported| imported.wants.clone());
    check_import(imported, &inside);
    let files: Files = wants
        .into_iter()
        .flatten()
        .map(|name| (name, data.to_vec()))
        .collect();
    if !files.is_empty() {
        let imported = import_with(Format::Icecast, "fuzz.xml", &inside, files);
        check_import(imported, &inside);
    }
});
