//! Prints jsonb as PostgreSQL does.

use std::fmt::Write;

use super::{Json, JsonbRef};

/// `{"a": 1, "b": [1, 2]}`
pub(super) fn format(value: JsonbRef<'_>, out: &mut String) {
    match value.decode() {
        Json::Array(array) => {
            out.push('[');
            for (index, element) in array.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                format(element, out);
            }
            out.push(']');
        }
        Json::Object(object) => {
            out.push('{');
            for (index, (key, value)) in object.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                quote(key, out);
                out.push_str(": ");
                format(value, out);
            }
            out.push('}');
        }
        scalar => format_scalar(scalar, out),
    }
}

/// As `jsonb_pretty`: four blanks for each level, an element a line.
pub(super) fn format_pretty(value: JsonbRef<'_>, out: &mut String) {
    pretty(value, 0, out);
}

fn pretty(value: JsonbRef<'_>, level: usize, out: &mut String) {
    match value.decode() {
        Json::Array(array) => {
            out.push('[');
            for (index, element) in array.iter().enumerate() {
                new_line(index > 0, level + 1, out);
                pretty(element, level + 1, out);
            }
            new_line(false, level, out);
            out.push(']');
        }
        Json::Object(object) => {
            out.push('{');
            for (index, (key, value)) in object.iter().enumerate() {
                new_line(index > 0, level + 1, out);
                quote(key, out);
                out.push_str(": ");
                pretty(value, level + 1, out);
            }
            new_line(false, level, out);
            out.push('}');
        }
        scalar => format_scalar(scalar, out),
    }
}

fn new_line(follows: bool, level: usize, out: &mut String) {
    out.push_str(if follows { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n("    ", level));
}

fn format_scalar(value: Json<'_>, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Json::Number(number) => write!(out, "{}", number.decode()).expect("a string takes all text"),
        Json::String(text) => quote(text, out),
        Json::Array(_) | Json::Object(_) => unreachable!("arrays and objects are printed by their callers"),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other < ' ' => write!(out, "\\u{:04x}", u32::from(other)).expect("a string takes all text"),
            other => out.push(other),
        }
    }
    out.push('"');
}
