//! What values are shown as where that depends on the session: the reg types as the names of objects, by their oids, and
//! intervals in the style that is set.

use std::collections::BTreeMap;

use repr::composite::pack_array;
use repr::text::FormatContext;
use repr::{Datum, Kind, RelationDesc, ScalarType};

use crate::sequence::prepare::catalog_entries;
use crate::session::Session;

/// The reg types, each with the function that lists its objects.
const LISTS: [(ScalarType, &str); 6] = [
    (ScalarType::RegClass, "regclass_text"),
    (ScalarType::RegProc, "regproc_text"),
    (ScalarType::RegProcedure, "regprocedure_text"),
    (ScalarType::RegType, "regtype_text"),
    (ScalarType::RegNamespace, "regnamespace_text"),
    (ScalarType::RegRole, "regrole_text"),
];

/// The names that the values of a result need, and what else the session sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectNames {
    /// By what lists them, since a function has a name as regproc and another as regprocedure.
    names: BTreeMap<&'static str, BTreeMap<u32, String>>,
    context: FormatContext,
}

impl ObjectNames {
    /// The names for the columns of `desc`; none are looked up if it has no column of a reg type.
    pub(crate) fn of(session: &Session, desc: &RelationDesc) -> ObjectNames {
        let asks_for = |wanted: &ScalarType| desc.typ.columns.iter().any(|column| element(&column.scalar) == wanted);
        let names = |list| {
            let entries = catalog_entries(session, list).unwrap_or_default().into_iter();
            entries.filter_map(|(oid, name)| Some((oid.parse().ok()?, name))).collect()
        };
        ObjectNames {
            names: LISTS.iter().filter(|(typ, _)| asks_for(typ)).map(|(_, list)| (*list, names(list))).collect(),
            context: FormatContext { interval_style: session.vars.interval_style(), ..FormatContext::default() },
        }
    }

    /// Prints a value that is not NULL.
    pub(crate) fn format(&self, datum: Datum<'_>, typ: &ScalarType, out: &mut String) {
        let is_reg = element(typ).is_reg();
        match (datum, typ) {
            (Datum::UInt(_), typ) if is_reg => self.format_oid(datum, typ, out),
            (Datum::Array(array), ScalarType::Array(of)) if is_reg => {
                let shown: Vec<Option<String>> = array.iter().map(|oid| self.shown(oid, of)).collect();
                let texts: Vec<Datum<'_>> =
                    shown.iter().map(|name| name.as_deref().map_or(Datum::Null, Datum::Text)).collect();
                let dimensions: Vec<_> = array.dimensions().into_iter().collect();
                let row = pack_array(&texts, Kind::Text, &dimensions);
                let text_array = ScalarType::Array(Box::new(ScalarType::Text));
                repr::text::format(row.unpack_first(Kind::Array), &text_array, out);
            }
            _ => repr::text::format_in(datum, typ, &self.context, out),
        }
    }

    fn shown(&self, datum: Datum<'_>, typ: &ScalarType) -> Option<String> {
        let mut text = String::new();
        self.format_oid(datum, element(typ), &mut text);
        (!datum.is_null()).then_some(text)
    }

    /// An object without a name is shown as its number, and none as a dash.
    fn format_oid(&self, datum: Datum<'_>, typ: &ScalarType, out: &mut String) {
        let Datum::UInt(number) = datum else { return };
        let list = LISTS.iter().find(|(reg, _)| reg == typ).and_then(|(_, list)| self.names.get(list));
        match u32::try_from(number).ok().and_then(|oid| list?.get(&oid)) {
            Some(name) => out.push_str(name),
            None if number == 0 => out.push('-'),
            None => repr::text::format(datum, typ, out),
        }
    }
}

/// What an array is of, else the type itself.
fn element(typ: &ScalarType) -> &ScalarType {
    match typ {
        ScalarType::Array(of) => element(of),
        other => other,
    }
}
