//! The relations of each load generator: names, columns, types and keys.

use repr::{ColumnType, NumericSpec, RelationDesc, ScalarType};

use crate::source::LoadGeneratorKind;

pub(crate) fn relations(kind: &LoadGeneratorKind) -> Vec<(&'static str, RelationDesc)> {
    match kind {
        LoadGeneratorKind::Auction => auction(),
        LoadGeneratorKind::Counter { .. } => vec![relation("counter", &[("counter", int8())], &[])],
        LoadGeneratorKind::Tpch { .. } => tpch(),
    }
}

fn relation(name: &'static str, columns: &[(&str, ColumnType)], key: &[usize]) -> (&'static str, RelationDesc) {
    let mut desc = RelationDesc::new(columns.iter().map(|(name, column)| ((*name).to_owned(), column.clone())));
    if !key.is_empty() {
        desc.typ.keys.push(key.to_vec());
    }
    (name, desc)
}

fn int8() -> ColumnType {
    ScalarType::Int8.not_null()
}

fn int4() -> ColumnType {
    ScalarType::Int4.not_null()
}

fn text() -> ColumnType {
    ScalarType::Text.not_null()
}

fn date() -> ColumnType {
    ScalarType::Date.not_null()
}

fn instant() -> ColumnType {
    ScalarType::TimestampTz(None).not_null()
}

/// A decimal with two digits after the point and as many before it as fit.
fn money() -> ColumnType {
    ScalarType::Numeric(Some(NumericSpec { precision: 39, scale: 2 })).not_null()
}

fn auction() -> Vec<(&'static str, RelationDesc)> {
    vec![
        relation("organizations", &[("id", int8()), ("name", text())], &[0]),
        relation("users", &[("id", int8()), ("org_id", int8()), ("name", text())], &[0]),
        relation("accounts", &[("id", int8()), ("org_id", int8()), ("balance", int8())], &[0]),
        relation("auctions", &[("id", int8()), ("seller", int8()), ("item", text()), ("end_time", instant())], &[0]),
        relation(
            "bids",
            &[("id", int8()), ("buyer", int8()), ("auction_id", int8()), ("amount", int4()), ("bid_time", instant())],
            &[0],
        ),
    ]
}

fn tpch() -> Vec<(&'static str, RelationDesc)> {
    let mut relations = tpch_parts();
    relations.extend(tpch_orders());
    relations
}

fn tpch_parts() -> Vec<(&'static str, RelationDesc)> {
    vec![
        relation(
            "supplier",
            &[
                ("s_suppkey", int8()),
                ("s_name", text()),
                ("s_address", text()),
                ("s_nationkey", int8()),
                ("s_phone", text()),
                ("s_acctbal", money()),
                ("s_comment", text()),
            ],
            &[0],
        ),
        relation(
            "part",
            &[
                ("p_partkey", int8()),
                ("p_name", text()),
                ("p_mfgr", text()),
                ("p_brand", text()),
                ("p_type", text()),
                ("p_size", int4()),
                ("p_container", text()),
                ("p_retailprice", money()),
                ("p_comment", text()),
            ],
            &[0],
        ),
        relation(
            "partsupp",
            &[
                ("ps_partkey", int8()),
                ("ps_suppkey", int8()),
                ("ps_availqty", int4()),
                ("ps_supplycost", money()),
                ("ps_comment", text()),
            ],
            &[0, 1],
        ),
    ]
}

fn tpch_orders() -> Vec<(&'static str, RelationDesc)> {
    vec![
        relation(
            "customer",
            &[
                ("c_custkey", int8()),
                ("c_name", text()),
                ("c_address", text()),
                ("c_nationkey", int8()),
                ("c_phone", text()),
                ("c_acctbal", money()),
                ("c_mktsegment", text()),
                ("c_comment", text()),
            ],
            &[0],
        ),
        relation(
            "orders",
            &[
                ("o_orderkey", int8()),
                ("o_custkey", int8()),
                ("o_orderstatus", text()),
                ("o_totalprice", money()),
                ("o_orderdate", date()),
                ("o_orderpriority", text()),
                ("o_clerk", text()),
                ("o_shippriority", int4()),
                ("o_comment", text()),
            ],
            &[0],
        ),
        relation(
            "lineitem",
            &[
                ("l_orderkey", int8()),
                ("l_partkey", int8()),
                ("l_suppkey", int8()),
                ("l_linenumber", int4()),
                ("l_quantity", money()),
                ("l_extendedprice", money()),
                ("l_discount", money()),
                ("l_tax", money()),
                ("l_returnflag", text()),
                ("l_linestatus", text()),
                ("l_shipdate", date()),
                ("l_commitdate", date()),
                ("l_receiptdate", date()),
                ("l_shipinstruct", text()),
                ("l_shipmode", text()),
                ("l_comment", text()),
            ],
            &[0, 3],
        ),
        relation(
            "nation",
            &[("n_nationkey", int8()), ("n_name", text()), ("n_regionkey", int8()), ("n_comment", text())],
            &[0],
        ),
        relation("region", &[("r_regionkey", int8()), ("r_name", text()), ("r_comment", text())], &[0]),
    ]
}
