//! A tree to its canonical text.

use super::{Object, Scalar, Value, is_bare, is_identifier, numeric};

/// The canonical text of a tree: one statement a line, two spaces a level, keys in their order,
/// quotation marks only where needed, no comments. Equal trees give equal text, and what
/// [`parse`](super::parse) gave is parsed to an equal tree again, as long as the text stays
/// within [`DOCUMENT_BYTES_MAX`](super::DOCUMENT_BYTES_MAX).
pub fn emit(object: &Object) -> String {
    let mut text = String::new();
    push_object(&mut text, object, 0);
    text
}

fn push_object(text: &mut String, object: &Object, level: usize) {
    for statement in &object.statements {
        push_indent(text, level);
        if is_identifier(&statement.key) {
            text.push_str(&statement.key);
        } else {
            push_quoted(text, &statement.key);
        }
        text.push(' ');
        match &statement.value {
            Value::Scalar(scalar) => push_scalar(text, scalar),
            Value::List(elements) if elements.is_empty() => text.push_str("[]"),
            Value::List(elements) => {
                text.push_str("[\n");
                for element in elements {
                    push_indent(text, level + 1);
                    push_scalar(text, element);
                    text.push('\n');
                }
                push_indent(text, level);
                text.push(']');
            }
            Value::Object(inner) if inner.statements.is_empty() => text.push_str("{}"),
            Value::Object(inner) => {
                text.push_str("{\n");
                push_object(text, inner, level + 1);
                push_indent(text, level);
                text.push('}');
            }
        }
        text.push('\n');
    }
}

fn push_indent(text: &mut String, level: usize) {
    for _ in 0..level {
        text.push_str("  ");
    }
}

fn push_scalar(text: &mut String, scalar: &Scalar) {
    match scalar {
        Scalar::Bool(bool) => text.push_str(if *bool { "true" } else { "false" }),
        Scalar::Int(number) => text.push_str(&number.value.to_string()),
        Scalar::Float(number) => {
            // The shortest digits that read as the same number, without an exponent.
            let digits = number.value.to_string();
            text.push_str(&digits);
            if !digits.contains('.') {
                text.push_str(".0");
            }
        }
        Scalar::Text(value) if reads_bare(value) => text.push_str(value),
        Scalar::Text(value) => push_quoted(text, value),
    }
}

/// Whether the text reads as itself without quotation marks.
fn reads_bare(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(is_bare)
        && numeric(text).is_none()
        && !matches!(text, "true" | "false")
}

fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_ascii_control() => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
