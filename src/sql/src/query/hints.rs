//! `OPTIONS (AGGREGATE INPUT GROUP SIZE = n, ...)`: how many rows share a key, as the user expects. The answer is the same.

use sqlparser::ast::{Ident, NamedWindowDefinition};

use super::scope::at;
use crate::error::Error;
use crate::parse::HINTS;

/// The hints of one SELECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// Of GROUP BY.
    pub(super) aggregate: Option<u64>,
    pub(super) distinct_on: Option<u64>,
    pub(super) limit: Option<u64>,
}

/// The text of the hints that a window's name stands for.
pub(super) fn text(name: &Ident) -> Option<&str> {
    (name.quote_style == Some('"')).then(|| name.value.strip_prefix(HINTS))?
}

impl Hints {
    /// The hints among the windows of a SELECT. Errors: 42601 for what is no hint, or given twice, 22023 for a bad value.
    pub(super) fn of(windows: &[NamedWindowDefinition]) -> Result<Hints, Error> {
        let mut hints = Hints::default();
        let mut of_all = false;
        for NamedWindowDefinition(name, _) in windows {
            let error = |error: Error| at(error, std::slice::from_ref(name));
            for hint in text(name).into_iter().flat_map(|text| text.split(',')) {
                let words: Vec<&str> = hint.split(' ').filter(|word| !word.is_empty() && *word != "=").collect();
                let (hint, value) = words.split_at(words.len().saturating_sub(1));
                let hint = hint.join(" ");
                let wanted: &mut [&mut Option<u64>] = match hint.as_str() {
                    "aggregate input group size" => &mut [&mut hints.aggregate],
                    "distinct on input group size" => &mut [&mut hints.distinct_on],
                    "limit input group size" => &mut [&mut hints.limit],
                    "expected group size" => {
                        of_all = true;
                        &mut [&mut hints.aggregate, &mut hints.distinct_on, &mut hints.limit]
                    }
                    _ => return Err(error(unknown())),
                };
                let size = value.first().and_then(|value| value.parse().ok()).filter(|size| *size > 0);
                let size = size.ok_or_else(|| {
                    error(Error::new("22023", format!("option {} must be a positive integer", hint.to_uppercase())))
                })?;
                for slot in wanted {
                    if slot.replace(size).is_some() {
                        let message = match of_all {
                            true => "EXPECTED GROUP SIZE cannot be given beside other group sizes".to_owned(),
                            false => format!("option {} specified more than once", hint.to_uppercase()),
                        };
                        return Err(error(Error::new("42601", message)));
                    }
                }
            }
        }
        Ok(hints)
    }
}

fn unknown() -> Error {
    Error::new("42601", "syntax error in OPTIONS").with_hint(
        "The options are AGGREGATE INPUT GROUP SIZE, DISTINCT ON INPUT GROUP SIZE, LIMIT INPUT GROUP SIZE and \
         EXPECTED GROUP SIZE, each = n.",
    )
}
