use super::*;
use proptest::prelude::*;

/// A tree as text with the type of every value.
fn shown(object: &Object) -> String {
    let statements: Vec<String> = object
        .statements
        .iter()
        .map(|statement| {
            let value = match &statement.value {
                Value::Scalar(scalar) => shown_scalar(scalar),
                Value::List(elements) => {
                    let elements: Vec<String> = elements.iter().map(shown_scalar).collect();
                    format!("[{}]", elements.join(", "))
                }
                Value::Object(object) => shown(object),
            };
            format!("{}={value}", statement.key)
        })
        .collect();
    format!("{{{}}}", statements.join(", "))
}

fn shown_scalar(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Bool(bool) => format!("bool:{bool}"),
        Scalar::Int(number) => format!("int:{}", number.value),
        Scalar::Float(number) => format!("float:{:?}", number.value),
        Scalar::Text(text) => format!("text:{text:?}"),
    }
}

/// Documents and their trees.
const DOCUMENTS: &[(&str, &str)] = &[
    // Nothing.
    ("", "{}"),
    (" \t\r\n # nothing\n\n", "{}"),
    ("# ends without a line end", "{}"),
    // Types follow from the whole text.
    ("a 1", "{a=int:1}"),
    ("a -1", "{a=int:-1}"),
    ("a -0", "{a=int:0}"),
    ("a 007", "{a=int:7}"),
    ("a 9223372036854775807", "{a=int:9223372036854775807}"),
    ("a -9223372036854775808", "{a=int:-9223372036854775808}"),
    ("a 1.50", "{a=float:1.5}"),
    ("a -0.0", "{a=float:-0.0}"),
    ("a true b false", "{a=bool:true, b=bool:false}"),
    (
        "a True b no c null",
        "{a=text:\"True\", b=text:\"no\", c=text:\"null\"}",
    ),
    ("a 12abc", "{a=text:\"12abc\"}"),
    ("a 42.", "{a=text:\"42.\"}"),
    ("a .42", "{a=text:\".42\"}"),
    ("a +42", "{a=text:\"+42\"}"),
    ("a -", "{a=text:\"-\"}"),
    ("a 1,000", "{a=text:\"1,000\"}"),
    (
        "a 1e5 b NaN c 0xFF",
        "{a=text:\"1e5\", b=text:\"NaN\", c=text:\"0xFF\"}",
    ),
    ("a 1.2.3", "{a=text:\"1.2.3\"}"),
    ("a 192.168.1.*", "{a=text:\"192.168.1.*\"}"),
    (
        "a http://h.example:80/x?y=1&z=%41+~",
        "{a=text:\"http://h.example:80/x?y=1&z=%41+~\"}",
    ),
    ("a p'w\\n!@$^()<>|;`=", "{a=text:\"p'w\\\\n!@$^()<>|;`=\"}"),
    // Quotation marks.
    ("a \"\"", "{a=text:\"\"}"),
    ("a \"1\" b \"true\"", "{a=text:\"1\", b=text:\"true\"}"),
    ("a \"# { } [ ]\"", "{a=text:\"# { } [ ]\"}"),
    (
        "a \"\\\" \\\\ \\n \\t \\r\"",
        "{a=text:\"\\\" \\\\ \\n \\t \\r\"}",
    ),
    ("a \"\\u00e9\\u2764\"", "{a=text:\"é❤\"}"),
    ("a \"é 🌍\ttab\"", "{a=text:\"é 🌍\\ttab\"}"),
    ("a x\"y\" 1", "{a=text:\"x\", y=int:1}"),
    // Keys.
    ("_a-b2 1", "{_a-b2=int:1}"),
    ("\"/live\" 1 \"é\" 2", "{/live=int:1, é=int:2}"),
    ("true 1", "{true=int:1}"),
    // Objects and lists, on any lines.
    ("a {}", "{a={}}"),
    ("a{b 1}c 2", "{a={b=int:1}, c=int:2}"),
    ("a\n{\nb\n1\n}", "{a={b=int:1}}"),
    ("a { b { c 1 } }", "{a={b={c=int:1}}}"),
    ("a []", "{a=[]}"),
    (
        "a [\n\n# none\n1 two # 2\n\"3\"]",
        "{a=[int:1, text:\"two\", text:\"3\"]}",
    ),
    // Comments end a bare text.
    ("a b#c\nd e", "{a=text:\"b\", d=text:\"e\"}"),
    ("a 1 # é \u{1} anything", "{a=int:1}"),
    // The later key wins in the earlier place.
    ("a 1 b 2 a 3", "{a=int:3, b=int:2}"),
    ("a { b 1 } a { c 2 }", "{a={c=int:2}}"),
    ("a 1 \"a\" 2", "{a=int:2}"),
    // Line ends.
    ("a 1\r\nb 2\r\n", "{a=int:1, b=int:2}"),
    ("a 1\rb 2", "{a=int:1, b=int:2}"),
];

#[test]
fn documents_are_read_as_what_they_say() {
    for (document, expected) in DOCUMENTS {
        let tree = parse(document.as_bytes()).expect(document);
        assert_eq!(shown(&tree), *expected, "{document:?}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_code_and_place() {
    use ErrorCode::*;
    let documents: &[(&[u8], ErrorCode, usize, usize, usize)] = &[
        (b"a 1\nb \xff", Encoding, 2, 3, 6),
        (b"a \"\xc3\"", Encoding, 1, 4, 3),
        (b"a \"\xed\xa0\x80\"", Encoding, 1, 4, 3),
        (b"\xef\xbb\xbfa 1", Encoding, 1, 1, 0),
        (b"a \0", IllegalCharacter, 1, 3, 2),
        (b"# \0", IllegalCharacter, 1, 3, 2),
        (b"a \"\0\"", IllegalCharacter, 1, 4, 3),
        (b"a \"x\x01y\"", IllegalCharacter, 1, 5, 4),
        (b"a \"x\ry\"", IllegalCharacter, 1, 5, 4),
        (b"a \"\x7f\"", IllegalCharacter, 1, 4, 3),
        (b"a \x02", IllegalCharacter, 1, 3, 2),
        ("a é".as_bytes(), IllegalCharacter, 1, 3, 2),
        ("é 1".as_bytes(), IllegalCharacter, 1, 1, 0),
        ("a \"é\" é".as_bytes(), IllegalCharacter, 1, 7, 7),
        ("a\u{a0}1".as_bytes(), IllegalCharacter, 1, 2, 1),
        (b"/live 1", IllegalCharacter, 1, 1, 0),
        (b"a.b 1", IllegalCharacter, 1, 2, 1),
        (b"a 1 2", IllegalCharacter, 1, 5, 4),
        (b"a 1,\n+b 2", IllegalCharacter, 2, 1, 5),
        (b"}", UnexpectedToken, 1, 1, 0),
        (b"a 1\n  ]", UnexpectedToken, 2, 3, 6),
        (b"{ a 1 }", UnexpectedToken, 1, 1, 0),
        (b"[1]", UnexpectedToken, 1, 1, 0),
        (b"a { b }", UnexpectedToken, 1, 7, 6),
        (b"a [1 }", UnexpectedToken, 1, 6, 5),
        (b"a ]", UnexpectedToken, 1, 3, 2),
        (b"a", UnexpectedToken, 1, 2, 1),
        (b"a # no value\n", UnexpectedToken, 2, 1, 13),
        (b"\"\" 1", UnexpectedToken, 1, 1, 0),
        (b"a {", UnclosedObject, 1, 3, 2),
        (b"a {\n  b {\n  c 1\n}", UnclosedObject, 1, 3, 2),
        (b"a {\n  b {\n  c 1\n", UnclosedObject, 2, 5, 8),
        (b"a { b", UnclosedObject, 1, 3, 2),
        (b"a [", UnclosedArray, 1, 3, 2),
        (b"a [1 2\n# ]\n", UnclosedArray, 1, 3, 2),
        (b"a { b [1", UnclosedArray, 1, 7, 6),
        (b"a \"b", UnterminatedString, 1, 3, 2),
        (b"a \"b\nc\"", UnterminatedString, 1, 3, 2),
        (b"a \"b\\\"", UnterminatedString, 1, 3, 2),
        (b"a \"b\\", UnterminatedString, 1, 3, 2),
        (b"\"a 1\n", UnterminatedString, 1, 1, 0),
        (b"a [1 [2]]", NestedContainer, 1, 6, 5),
        (b"a [\n {b 1}]", NestedContainer, 2, 2, 5),
        (b"a \"\\q\"", InvalidEscape, 1, 4, 3),
        (b"a \"x\\u12g4\"", InvalidEscape, 1, 5, 4),
        (b"a \"\\u12", InvalidEscape, 1, 4, 3),
        (b"a \"\\ud800\"", InvalidEscape, 1, 4, 3),
        (b"a \"\\ud83d\\ude00\"", InvalidEscape, 1, 4, 3),
        (b"a \"\\U0001f600\"", InvalidEscape, 1, 4, 3),
        (b"a \"\\/\"", InvalidEscape, 1, 4, 3),
        (b"a 9223372036854775808", InvalidNumber, 1, 3, 2),
        (b"a -9223372036854775809", InvalidNumber, 1, 3, 2),
        (b"a [1\n 99999999999999999999]", InvalidNumber, 2, 2, 6),
    ];
    for (document, code, line, column, offset) in documents {
        let shown = String::from_utf8_lossy(document);
        let error = parse(document).expect_err(&shown);
        let position = Position {
            line: *line,
            column: *column,
            offset: *offset,
        };
        assert_eq!((error.code, error.position), (*code, position), "{shown:?}");
    }
}

#[test]
fn a_number_too_large_for_its_type_is_refused_however_long_it_is() {
    for digits in [310, DIGITS_MAX + 1, 100_000] {
        let document = format!("a {}.5", "9".repeat(digits));
        let error = parse(document.as_bytes()).expect_err("too large");
        assert_eq!(error.code, ErrorCode::InvalidNumber);
    }
}

/// A document of a size.
type Sized<'d> = &'d dyn Fn(usize) -> String;

#[test]
fn every_limit_is_one() {
    let nested = |depth: usize| format!("{}{}", "a { ".repeat(depth), "} ".repeat(depth));
    let in_list = |depth: usize| format!("{}a [] {}", "a { ".repeat(depth), "} ".repeat(depth));
    let list = |count: usize| format!("a [ {} ]", "x ".repeat(count));
    let keys = |count: usize| {
        (0..count)
            .map(|key| format!("k{key} 1\n"))
            .collect::<String>()
    };
    let digits = |count: usize| format!("a {}.5", "0".repeat(count - 1));
    let sized = |bytes: usize| format!("a 1 #{}", "x".repeat(bytes - 5));
    let key = |bytes: usize| format!("{} 1", "k".repeat(bytes));
    let quoted_key = |bytes: usize| format!("\"{}\" 1", "k".repeat(bytes));
    let bare = |bytes: usize| format!("a {}", "x".repeat(bytes));
    let quoted = |bytes: usize| format!("a \"{}\"", "\\n".repeat(bytes));
    let cases: [(&str, Sized<'_>, usize); 10] = [
        ("objects", &nested, DEPTH_MAX),
        ("objects around a list", &in_list, DEPTH_MAX - 1),
        ("elements", &list, ELEMENTS_MAX),
        ("keys", &keys, KEYS_MAX),
        ("digits", &digits, DIGITS_MAX),
        ("bytes", &sized, DOCUMENT_BYTES_MAX),
        ("bytes of a key", &key, KEY_BYTES_MAX),
        ("bytes of a quoted key", &quoted_key, KEY_BYTES_MAX),
        ("bytes of a bare text", &bare, TEXT_BYTES_MAX),
        ("bytes of a quoted text", &quoted, TEXT_BYTES_MAX),
    ];
    for (what, document, max) in cases {
        let good = parse(document(max).as_bytes());
        assert!(good.is_ok(), "{max} {what}: {:?}", good.err());
        let error = parse(document(max + 1).as_bytes()).expect_err(what);
        assert_eq!(error.code, ErrorCode::LimitExceeded, "{what}");
    }
}

#[test]
fn a_key_given_often_counts_once() {
    let document = "a 1\n".repeat(KEYS_MAX + 10);
    let tree = parse(document.as_bytes()).expect("one key");
    assert_eq!(shown(&tree), "{a=int:1}");
    assert_eq!(tree.statements[0].position.line, KEYS_MAX + 10);
}

#[test]
fn the_canonical_text_is_the_shortest_plain_one() {
    for (document, canonical) in [
        ("", ""),
        ("# nothing", ""),
        ("a   007 # seven", "a 7\n"),
        ("a -0 b -0.0 c 1.0 d 1.50", "a 0\nb -0.0\nc 1.0\nd 1.5\n"),
        (
            "a 100000000000000000000000.0",
            "a 100000000000000000000000.0\n",
        ),
        ("a 0.0000001", "a 0.0000001\n"),
        ("a \"plain\" b \"two words\"", "a plain\nb \"two words\"\n"),
        (
            "a \"1\" b \"1.5\" c \"true\" d \"\"",
            "a \"1\"\nb \"1.5\"\nc \"true\"\nd \"\"\n",
        ),
        ("a \"1.\" b \"-\" c \"12abc\"", "a 1.\nb -\nc 12abc\n"),
        ("a \"x#y\" b \"{\"", "a \"x#y\"\nb \"{\"\n"),
        (
            "a \"\\\"\\\\\\n\\r\\t\\u0001\\u007f\"",
            "a \"\\\"\\\\\\n\\r\\t\\u0001\\u007f\"\n",
        ),
        ("a \"\\u00e9\"", "a \"é\"\n"),
        (
            "\"plain\" 1 \"2\" 1 \"/a b\" 1",
            "plain 1\n\"2\" 1\n\"/a b\" 1\n",
        ),
        ("a {} b [] c {\n}", "a {}\nb []\nc {}\n"),
        (
            "a{b{c[1 x]}d 2}",
            "a {\n  b {\n    c [\n      1\n      x\n    ]\n  }\n  d 2\n}\n",
        ),
        ("b 1 a 2 b 3", "b 3\na 2\n"),
    ] {
        let tree = parse(document.as_bytes()).expect(document);
        let text = emit(&tree);
        assert_eq!(text, canonical, "{document:?}");
        let again = parse(text.as_bytes()).expect("canonical text");
        assert_eq!(again, tree, "{document:?}");
        assert_eq!(emit(&again), text, "{document:?}");
    }
}

#[test]
fn a_number_keeps_the_digits_that_were_written() {
    let tree = parse(b"a 0012 b 1.50 c true d x").expect("a document");
    let written: Vec<&str> = tree
        .statements
        .iter()
        .filter_map(|statement| match &statement.value {
            Value::Scalar(scalar) => Some(scalar.written()),
            _ => None,
        })
        .collect();
    assert_eq!(written, ["0012", "1.50", "true", "x"]);
}

#[test]
fn an_error_reads_as_place_code_and_reason() {
    let error = parse(b"a 1\n\nserver {\n").expect_err("never closed");
    assert_eq!(
        error.to_string(),
        "3:8: unclosed-object: the object that starts here has no \"}\""
    );
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let number = |value: f64| {
        Scalar::Float(Number {
            value,
            written: "".into(),
        })
    };
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        any::<i64>().prop_map(|value| Scalar::Int(Number {
            value,
            written: "".into(),
        })),
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(number),
        any::<String>().prop_map(Scalar::Text),
        "[ -~]{0,12}".prop_map(Scalar::Text),
        "-?[0-9]{1,3}[.]?[0-9]{0,3}".prop_map(Scalar::Text),
    ]
}

fn object() -> impl Strategy<Value = Object> {
    let value = prop_oneof![
        scalar().prop_map(Value::Scalar),
        prop::collection::vec(scalar(), 0..4).prop_map(Value::List),
    ];
    let value = value.prop_recursive(4, 32, 4, |value| statements(value).prop_map(Value::Object));
    statements(value)
}

fn statements(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    let key = prop_oneof!["[a-zA-Z_][a-zA-Z0-9_-]{0,8}", "\\PC{1,8}", "[ -~]{1,4}"];
    prop::collection::btree_map(key, value, 0..4).prop_map(|statements| Object {
        statements: statements
            .into_iter()
            .map(|(key, value)| Statement {
                key,
                value,
                position: Position::START,
            })
            .collect(),
    })
}

proptest! {
    #[test]
    fn a_tree_is_read_from_its_canonical_text(tree in object()) {
        let text = emit(&tree);
        let again = parse(text.as_bytes()).expect("canonical text is a document");
        prop_assert_eq!(&again, &tree);
        prop_assert_eq!(emit(&again), text);
    }

    #[test]
    fn whatever_is_read_is_read_again(bytes in "[a-c{}\\[\\]#\" \n\\\\0-9.é-]{0,64}") {
        if let Ok(tree) = parse(bytes.as_bytes()) {
            let text = emit(&tree);
            prop_assert_eq!(parse(text.as_bytes()).expect("canonical text"), tree);
        }
    }
}
