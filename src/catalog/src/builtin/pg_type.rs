//! `pg_type` and what goes with it: every type, those that stand for many, and those that users made.

use repr::{Datum, EnumType, Row, ScalarType, pg_type};
use sql::ItemDefinition;

use super::Column::{Bool, Float4, Int2, Int4, Oid, OptionalText, OptionalTextArray, Text};
use super::{Builtin, Facts, OWNER_OID, oid};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 104,
        schema: "pg_catalog",
        name: "pg_type",
        columns: &[
            ("oid", Oid),
            ("typname", Text),
            ("typnamespace", Oid),
            ("typowner", Oid),
            ("typlen", Int2),
            ("typbyval", Bool),
            ("typtype", Text),
            ("typcategory", Text),
            ("typispreferred", Bool),
            ("typisdefined", Bool),
            ("typdelim", Text),
            ("typrelid", Oid),
            ("typelem", Oid),
            ("typarray", Oid),
            ("typnotnull", Bool),
            ("typbasetype", Oid),
            ("typtypmod", Int4),
            ("typndims", Int4),
            ("typcollation", Oid),
            ("typdefault", OptionalText),
            ("typacl", OptionalTextArray),
        ],
        rows: types,
    },
    Builtin {
        id: 143,
        schema: "pg_catalog",
        name: "pg_enum",
        columns: &[("oid", Oid), ("enumtypid", Oid), ("enumsortorder", Float4), ("enumlabel", Text)],
        rows: labels,
    },
    Builtin {
        id: 144,
        schema: "pg_catalog",
        name: "pg_range",
        columns: &[
            ("rngtypid", Oid),
            ("rngsubtype", Oid),
            ("rngmultitypid", Oid),
            ("rngcollation", Oid),
            ("rngsubopc", Oid),
        ],
        rows: ranges,
    },
];

/// A type as `pg_type` shows it.
pub(super) struct Shown {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) namespace: u32,
    length: i16,
    /// `typtype`: base, range, enum or pseudo-type.
    kind: &'static str,
    category: char,
    is_preferred: bool,
    array: u32,
    element: u32,
}

/// PostgreSQL's oid of `pg_catalog`.
pub(super) const PG_CATALOG_OID: u32 = 11;

/// Types that stand for many, and what only declarations name: name, oid and category.
pub(super) const PSEUDO: &[(&str, u32, char)] = &[
    ("any", 2276, 'P'),
    ("anyarray", 2277, 'P'),
    ("anyelement", 2283, 'P'),
    ("anynonarray", 2776, 'P'),
    ("anyenum", 3500, 'P'),
    ("anyrange", 3831, 'P'),
    ("anycompatible", 5077, 'P'),
    ("anycompatiblearray", 5078, 'P'),
    ("anycompatiblenonarray", 5079, 'P'),
    ("anycompatiblerange", 5080, 'P'),
    ("cstring", 2275, 'P'),
    ("internal", 2281, 'P'),
    ("trigger", 2279, 'P'),
    ("void", 2278, 'P'),
    ("unknown", 705, 'X'),
];

impl Shown {
    fn of(typ: &ScalarType, kind: &'static str) -> [Shown; 2] {
        let entry = pg_type::lookup(typ);
        let scalar = Shown {
            oid: entry.oid,
            name: entry.name.to_owned(),
            namespace: PG_CATALOG_OID,
            length: entry.length,
            kind,
            category: entry.category,
            is_preferred: entry.is_preferred,
            array: entry.array_oid,
            element: 0,
        };
        let array = scalar.array_of();
        [scalar, array]
    }

    fn of_enum(typ: &EnumType, namespace: u32) -> [Shown; 2] {
        let [scalar, _] = Shown::of(&ScalarType::Enum(Box::new(typ.clone())), "e");
        let scalar = Shown { name: typ.name.clone(), namespace, ..scalar };
        let array = scalar.array_of();
        [scalar, array]
    }

    fn array_of(&self) -> Shown {
        Shown {
            oid: self.array,
            name: format!("_{}", self.name),
            namespace: self.namespace,
            length: -1,
            kind: if self.kind == "p" { "p" } else { "b" },
            category: if self.kind == "p" { 'P' } else { 'A' },
            is_preferred: false,
            array: 0,
            element: self.oid,
        }
    }

    fn pseudo((name, oid, category): &(&str, u32, char)) -> Shown {
        Shown {
            oid: *oid,
            name: (*name).to_owned(),
            namespace: PG_CATALOG_OID,
            length: 4,
            kind: "p",
            category: *category,
            is_preferred: false,
            array: 0,
            element: 0,
        }
    }

    pub(super) fn category_name(&self) -> &'static str {
        match self.category {
            'A' => "array",
            'B' => "boolean",
            'D' => "date-time",
            'E' => "enum",
            'N' => "numeric",
            'P' => "pseudo",
            'R' => "range",
            'S' => "string",
            'T' => "timespan",
            _ => "user-defined",
        }
    }
}

/// The types of the system, arrays behind their elements.
pub(super) fn system_types() -> Vec<Shown> {
    let scalars = pg_type::scalars().flat_map(|(typ, _)| Shown::of(typ, "b"));
    let ranges = pg_type::ranges().flat_map(|(range, _)| Shown::of(&ScalarType::Range(range), "r"));
    let records = Shown::of(&ScalarType::Record(Vec::new()), "p");
    let text = || Box::new(ScalarType::Text);
    let open = [ScalarType::List(text()), ScalarType::Map(text())].map(|typ| {
        let [typ, _] = Shown::of(&typ, "p");
        typ
    });
    scalars.chain(ranges).chain(records).chain(open).chain(PSEUDO.iter().map(Shown::pseudo)).collect()
}

/// The enumerations that users made, each with the oid of its schema.
fn enums<'a>(catalog: &'a Catalog, facts: &'a Facts) -> impl Iterator<Item = (&'a EnumType, u32)> {
    facts.all_items(catalog).filter_map(|item| match &item.definition {
        ItemDefinition::Type { typ: ScalarType::Enum(typ) } => Some((&**typ, super::pg::namespace_oid(catalog, item))),
        _ => None,
    })
}

fn types(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    let own = enums(catalog, facts).flat_map(|(typ, namespace)| Shown::of_enum(typ, namespace));
    for typ in system_types().into_iter().chain(own) {
        let category = typ.category.to_string();
        out.push(Row::pack([
            oid(typ.oid),
            Datum::Text(&typ.name),
            oid(typ.namespace),
            oid(OWNER_OID),
            Datum::Int(i64::from(typ.length)),
            Datum::Bool((1..=8).contains(&typ.length)),
            Datum::Text(typ.kind),
            Datum::Text(&category),
            Datum::Bool(typ.is_preferred),
            Datum::TRUE,
            Datum::Text(","),
            oid(0),
            oid(typ.element),
            oid(typ.array),
            Datum::FALSE,
            oid(0),
            Datum::Int(-1),
            Datum::Int(0),
            oid(0),
            Datum::Null,
            Datum::Null,
        ]));
    }
}

fn labels(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (typ, _) in enums(catalog, facts) {
        for (index, label) in typ.labels.iter().enumerate() {
            let order = Datum::float4(index as f32 + 1.0);
            out.push(Row::pack([oid(typ.label_oid(index)), oid(typ.oid), order, Datum::Text(label)]));
        }
    }
}

fn ranges(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (range, entry) in pg_type::ranges() {
        let element = oid(pg_type::oid(&range.element()));
        out.push(Row::pack([oid(entry.oid), element, oid(0), oid(0), oid(0)]));
    }
}
