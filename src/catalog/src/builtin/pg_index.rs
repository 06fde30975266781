//! `pg_catalog`'s relations about indexes, defaults and what else is fixed.

use repr::{Datum, Kind, Row};
use sql::ItemDefinition;

use super::Column::{Bool, Int2, Int2Array, Oid, OidArray, OptionalText, OptionalTextArray, Text};
use super::pg::{ARRANGEMENT_OID, HEAP_OID, TABLESPACE_OID};
use super::{Builtin, Facts, OWNER_OID, mz, oid, optional, push_array};
use crate::catalog::Catalog;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin {
        id: 110,
        schema: "pg_catalog",
        name: "pg_index",
        columns: &[
            ("indexrelid", Oid),
            ("indrelid", Oid),
            ("indnatts", Int2),
            ("indnkeyatts", Int2),
            ("indisunique", Bool),
            ("indnullsnotdistinct", Bool),
            ("indisprimary", Bool),
            ("indisexclusion", Bool),
            ("indimmediate", Bool),
            ("indisclustered", Bool),
            ("indisvalid", Bool),
            ("indisready", Bool),
            ("indislive", Bool),
            ("indisreplident", Bool),
            ("indexprs", OptionalText),
            ("indpred", OptionalText),
            ("indkey", Int2Array),
            ("indoption", Int2Array),
            ("indcollation", OidArray),
            ("indclass", OidArray),
        ],
        rows: indexes,
    },
    Builtin {
        id: 111,
        schema: "pg_catalog",
        name: "pg_am",
        columns: &[("oid", Oid), ("amname", Text), ("amhandler", Oid), ("amtype", Text)],
        rows: access_methods,
    },
    Builtin {
        id: 112,
        schema: "pg_catalog",
        name: "pg_attrdef",
        columns: &[("oid", Oid), ("adrelid", Oid), ("adnum", Int2), ("adbin", Text)],
        rows: defaults,
    },
    Builtin {
        id: 113,
        schema: "pg_catalog",
        name: "pg_tablespace",
        columns: &[
            ("oid", Oid),
            ("spcname", Text),
            ("spcowner", Oid),
            ("spcacl", OptionalTextArray),
            ("spcoptions", OptionalTextArray),
        ],
        rows: |_, _, out| {
            let name = Datum::Text("pg_default");
            out.push(Row::pack([oid(TABLESPACE_OID), name, oid(OWNER_OID), Datum::Null, Datum::Null]));
        },
    },
    Builtin {
        id: 114,
        schema: "pg_catalog",
        name: "pg_settings",
        columns: &[
            ("name", Text),
            ("setting", Text),
            ("short_desc", Text),
            ("context", Text),
            ("source", Text),
            ("boot_val", OptionalText),
        ],
        rows: settings,
    },
    Builtin {
        id: 115,
        schema: "pg_catalog",
        name: "pg_tables",
        columns: &[
            ("schemaname", Text),
            ("tablename", Text),
            ("tableowner", Text),
            ("tablespace", OptionalText),
            ("hasindexes", Bool),
        ],
        rows: tables,
    },
    Builtin {
        id: 116,
        schema: "pg_catalog",
        name: "pg_views",
        columns: &[("schemaname", Text), ("viewname", Text), ("viewowner", Text), ("definition", Text)],
        rows: |catalog, facts, out| views(catalog, facts, "view", out),
    },
    Builtin {
        id: 117,
        schema: "pg_catalog",
        name: "pg_matviews",
        columns: &[("schemaname", Text), ("matviewname", Text), ("matviewowner", Text), ("definition", Text)],
        rows: |catalog, facts, out| views(catalog, facts, "materialized view", out),
    },
];

fn indexes(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for item in facts.items(catalog) {
        let ItemDefinition::Index { on, keys, .. } = &item.definition else { continue };
        let Some(on) = catalog.items.get(on) else { continue };
        let count = Datum::Int(keys.len() as i64);
        let mut row = Row::pack([oid(item.oid), oid(on.oid), count, count]);
        let (no, yes) = (Datum::FALSE, Datum::TRUE);
        for flag in [no, no, no, no, yes, no, yes, yes, yes, no] {
            row.push(flag);
        }
        let is_column = |key: &expr::Scalar| matches!(key, expr::Scalar::Column(_));
        let desc = on.desc().cloned().unwrap_or_default();
        let exprs = keys.iter().filter(|key| !is_column(key)).map(|key| mz::named(key, &desc)).collect::<Vec<_>>();
        row.push(optional((!exprs.is_empty()).then(|| exprs.join(", ")).as_deref()));
        row.push(Datum::Null);
        // 0 stands for an expression.
        let numbers = keys.iter().map(|key| match key {
            expr::Scalar::Column(column) => Datum::Int(*column as i64 + 1),
            _ => Datum::Int(0),
        });
        push_array(&mut row, &numbers.collect::<Vec<_>>(), Kind::Int);
        push_array(&mut row, &vec![Datum::Int(0); keys.len()], Kind::Int);
        push_array(&mut row, &vec![oid(0); keys.len()], Kind::UInt);
        push_array(&mut row, &vec![oid(0); keys.len()], Kind::UInt);
        out.push(row);
    }
}

fn access_methods(_: &Catalog, _: &Facts, out: &mut Vec<Row>) {
    for (method, name, kind) in [(HEAP_OID, "heap", "t"), (ARRANGEMENT_OID, "arrangement", "i")] {
        out.push(Row::pack([oid(method), Datum::Text(name), oid(0), Datum::Text(kind)]));
    }
}

/// Oids of defaults: one for each column of each table, none given to anything else that can have one.
fn default_oid(table: u32, column: usize) -> u32 {
    table.wrapping_mul(2048).wrapping_add(u32::try_from(column).unwrap_or(0))
}

fn defaults(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for item in facts.items(catalog) {
        let ItemDefinition::Table { defaults, source: None, .. } = &item.definition else { continue };
        if defaults.iter().all(Option::is_none) {
            continue;
        }
        let written = sql::statement::column_defaults(&item.create_sql);
        for (index, default) in written.iter().enumerate() {
            let Some(default) = default else { continue };
            let number = Datum::Int(index as i64 + 1);
            out.push(Row::pack([oid(default_oid(item.oid, index)), oid(item.oid), number, Datum::Text(default)]));
        }
    }
}

fn settings(_: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for (name, value, about) in &facts.settings {
        let texts = [name, value, about].map(|text| Datum::Text(text));
        let rest = [Datum::Text("user"), Datum::Text("default"), Datum::Null];
        out.push(Row::pack(texts.into_iter().chain(rest)));
    }
}

fn owner() -> Datum<'static> {
    Datum::Text(super::pg::users().next().map_or("", |(name, _, _)| name))
}

fn tables(catalog: &Catalog, facts: &Facts, out: &mut Vec<Row>) {
    for item in facts.items(catalog) {
        if !matches!(item.definition, ItemDefinition::Table { .. } | ItemDefinition::Builtin { .. }) {
            continue;
        }
        let names = [&item.name.schema, &item.name.item].map(|name| Datum::Text(name));
        let rest = [owner(), Datum::Null, Datum::Bool(super::pg::is_indexed(catalog, item))];
        out.push(Row::pack(names.into_iter().chain(rest)));
    }
}

fn views(catalog: &Catalog, facts: &Facts, kind: &str, out: &mut Vec<Row>) {
    for item in facts.items(catalog).filter(|item| item.kind() == kind) {
        let names = [&item.name.schema, &item.name.item].map(|name| Datum::Text(name));
        out.push(Row::pack(names.into_iter().chain([owner(), Datum::Text(&mz::definition(item))])));
    }
}
