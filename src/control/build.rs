//! Puts the player's scripts into the program, pressed, where `./x` has fetched them.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The scripts, as they are called in `.x/web` and at `/web/`.
const SCRIPTS: [&str; 2] = ["hls.js", "mpegts.js"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::var("OUT_DIR")?;
    let root = std::env::var("CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&root).join("../../.x/web");
    // `./x` touches this file when it has fetched them: a folder that is not there cannot be
    // watched without building anew each time.
    println!("cargo:rerun-if-changed=build.rs");
    let mut table = String::from("&[");
    for name in SCRIPTS {
        let (script, licence) = (folder.join(name), folder.join(format!("{name}.license")));
        let (Ok(text), Ok(licence_text)) = (fs::read(&script), fs::read(&licence)) else {
            continue;
        };
        println!("cargo:rerun-if-changed={}", script.display());
        for (suffix, text) in [("", text), (".license", licence_text)] {
            let file = format!("{name}{suffix}");
            let pressed = Path::new(&out).join(format!("{file}.gz"));
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&text)?;
            fs::write(&pressed, encoder.finish()?)?;
            write!(table, "({file:?}, include_bytes!({pressed:?})), ")?;
        }
    }
    table.push(']');
    fs::write(Path::new(&out).join("scripts.rs"), table)?;
    Ok(())
}
