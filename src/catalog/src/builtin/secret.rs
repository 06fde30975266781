//! `mz_internal`: whether secrets have their values.

use repr::{Datum, Row};

use super::Column::{OptionalText, Text};
use super::{Builtin, Facts, optional};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[Builtin {
    id: 35,
    schema: "mz_internal",
    name: "mz_secret_statuses",
    columns: &[("secret_id", Text), ("status", Text), ("hint", OptionalText)],
    rows: statuses,
}];

/// What the user can do about a secret that a restore has brought without its value.
const HINT: &str = "The value is not in the store of secrets. Give it one with ALTER SECRET ... AS.";

fn statuses(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (item, _) in catalog.secrets() {
        let (status, hint) =
            if facts.secrets_missing.contains(&item.id) { ("missing", Some(HINT)) } else { ("stored", None) };
        out.push(Row::pack([Datum::Text(&item.id.to_string()), Datum::Text(status), optional(hint)]));
    }
}
