//! Any bytes are a VIBE document or an error inside it; a document is read again from its
//! canonical text, and what is imported from it passes the check.
#![no_main]

use corecast_config::import::vibe::{emit, parse};
use corecast_config::import::{Format, import};
use corecast_fuzz::check_import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(tree) => {
            let text = emit(&tree);
            let again = parse(text.as_bytes()).expect("canonical text is a document");
            assert_eq!(again, tree);
            assert_eq!(emit(&again), text);
        }
        Err(error) => {
            let position = error.position;
            assert!(position.offset <= data.len());
            assert!(position.line > 0 && position.column > 0);
        }
    }
    check_import(import(Format::GoCast, "fuzz.vibe", data), data);
});
