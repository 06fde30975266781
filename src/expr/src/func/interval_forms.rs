//! How a session's style prints intervals.

use repr::interval::IntervalStyle;
use repr::text::FormatContext;

use super::ArgType::{Any, Text};
use super::{FuncDef, internal, text};

pub(super) static TABLE: &[FuncDef] = &[internal(
    "text_in_style",
    &[Any, Text],
    Text,
    |a, t, arena| {
        let interval_style = IntervalStyle::of_name(a[1].unwrap_text()).unwrap_or_default();
        let context = FormatContext { interval_style, ..FormatContext::default() };
        let mut out = String::new();
        repr::text::format_in(a[0], &t.args[0], &context, &mut out);
        text(&out, arena)
    },
    "A value's text, its intervals in the style of the session.",
)
.fallible()];
