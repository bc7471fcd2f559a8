use std::fmt::Write;

use super::*;
use crate::Fault;

fn fault(bytes: &[u8]) -> Fault {
    import(Format::Icecast, "i.xml", bytes).expect_err("no settings of Icecast")
}

#[test]
fn what_is_no_xml_is_told_with_line_and_column() {
    for (text, place, word) in [
        ("", "i.xml:1:1", "there is no <icecast>"),
        ("<!-- only this -->", "i.xml:1:1", "there is no <icecast>"),
        ("<server/>", "i.xml:1:1", "the root must be <icecast>"),
        (
            "\n <shoutcast></shoutcast>",
            "i.xml:2:2",
            "the root must be <icecast>",
        ),
        ("<icecast>\n  <limits>\n</icecast>", "i.xml:3:1", "limits"),
        (
            "<icecast>\n  <limits>",
            "i.xml:2:11",
            "<limits> is never closed",
        ),
        ("<icecast/>\n<icecast/>", "i.xml:2:1", "second root"),
        ("<icecast/> x", "i.xml:1:11", "outside the root"),
        ("x <icecast/>", "i.xml:1:1", "outside the root"),
        ("<icecast>\n&nbsp;</icecast>", "i.xml:2:1", "XML itself"),
        ("<icecast>&#0;</icecast>", "i.xml:1:10", "XML itself"),
        (
            "<icecast>&#xFFFFFFFF;</icecast>",
            "i.xml:1:10",
            "XML itself",
        ),
        ("<icecast>a & b</icecast>", "i.xml:1:12", ""),
        ("<icecast a='&x;'/>", "i.xml:1:1", ""),
        ("<icecast a='1' a='2'/>", "i.xml:1:1", ""),
        ("<icecast a=1/>", "i.xml:1:1", ""),
        ("<icecast", "i.xml:1:1", ""),
        ("<icecast><!-- ", "i.xml:1:10", ""),
        ("<icecast><![CDATA[ ", "i.xml:1:10", ""),
        ("<icecast></icecast", "i.xml:1:10", ""),
        (
            "<!DOCTYPE icecast SYSTEM 'file:///etc/passwd'>",
            "i.xml:1:1",
            "document type",
        ),
    ] {
        let fault = fault(text.as_bytes());
        let shown = fault.to_string();
        assert!(
            shown.starts_with(&format!("{place}: ")),
            "{text:?}: {shown}"
        );
        assert!(shown.contains(word), "{text:?}: {shown}");
    }
}

#[test]
fn entities_of_a_file_are_never_expanded() {
    let mut bomb = "<?xml version='1.0'?>\n<!DOCTYPE icecast [\n<!ENTITY a0 'ha'>\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        writeln!(
            bomb,
            "<!ENTITY a{level} '&a{before};&a{before};&a{before};'>"
        )
        .expect("a string");
    }
    bomb.push_str("]>\n<icecast><location>&a39;</location></icecast>");
    let fault = fault(bomb.as_bytes());
    assert_eq!((fault.line, fault.column), (2, 1));
    assert!(fault.message.contains("document type"), "{fault}");
}

#[test]
fn depth_width_and_length_are_bounded() {
    let deep = |depth: usize| {
        let (open, close) = ("<a>".repeat(depth), "</a>".repeat(depth));
        format!("<icecast>{open}{close}</icecast>")
    };
    assert!(import(Format::Icecast, "i.xml", deep(31).as_bytes()).is_ok());
    for depth in [32, 100_000] {
        let fault = fault(deep(depth).as_bytes());
        assert!(fault.message.contains("nested deeper than 32"), "{fault}");
    }
    let attributes = |count: usize| {
        let attributes: String = (0..count).map(|at| format!(" a{at}='1'")).collect();
        format!("<icecast><limits{attributes}/></icecast>")
    };
    assert!(import(Format::Icecast, "i.xml", attributes(32).as_bytes()).is_ok());
    for count in [33, 100_000] {
        let fault = fault(attributes(count).as_bytes());
        assert!(fault.message.contains("more than 32 attributes"), "{fault}");
    }
    let wide = format!("<icecast>{}</icecast>", "<b/>".repeat(250_000));
    let message = fault(wide.as_bytes()).message;
    assert!(message.contains("more than 200000 elements"), "{message}");
    let long = format!(
        "<icecast><location>{}</location></icecast>",
        "x".repeat(10_000_000)
    );
    let message = fault(long.as_bytes()).message;
    assert!(message.contains("larger than 4194304 bytes"), "{message}");
}

#[test]
fn a_long_text_is_cut_and_not_in_the_middle_of_a_character() {
    let text = format!(
        "<icecast><location>{}</location></icecast>",
        "é".repeat(1_000_000)
    );
    let (config, imported) = imported("i.xml", &text);
    assert_eq!(config.server.location, "é".repeat(128));
    assert_eq!(
        note(&imported, "icecast/location").outcome,
        Outcome::Changed
    );
}

#[test]
fn encodings_that_files_have_are_read() {
    let head = "<?xml version='1.0' encoding='ISO-8859-1'?>";
    let latin = [
        head.as_bytes(),
        b"<icecast><location>K\xf6ln</location></icecast>",
    ]
    .concat();
    let utf8 = "\u{feff}<icecast><location>Köln</location></icecast>";
    for bytes in [latin.as_slice(), utf8.as_bytes()] {
        let imported = import(Format::of("", bytes), "i.xml", bytes).expect("XML");
        assert_eq!(loaded(&imported.toml).server.location, "Köln");
    }
    let fault = fault(b"<icecast><location>K\xf6ln</location></icecast>");
    assert!(fault.message.contains("neither UTF-8"), "{fault}");
}

#[test]
fn control_characters_and_quotation_marks_stay_inside_their_value() {
    let (config, _) = imported(
        "i.xml",
        "<icecast><location>a\"\"\"\n[limits]&#1;\nsources_max = 1 # '</location>\
         <mount><mount-name>/a&quot;b</mount-name></mount>\
         <x&#10;y/><relay a='&#10;[limits]'/></icecast>",
    );
    assert_eq!(
        config.server.location,
        "a\"\"\" [limits] sources_max = 1 # '"
    );
    assert_eq!(config.limits, Config::default().limits);
    assert!(config.mounts.is_empty());
}
