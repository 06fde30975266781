//! `CREATE [DEFAULT] INDEX [name] [IN CLUSTER c] ON object [USING arrangement] [(keys)]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use expr::Scalar;
use repr::CollectionId;
use sqlparser::ast::{Expr, Ident, ObjectName};
use sqlparser::tokenizer::Token;

use super::Planner;
use super::create_table::{check_new, refuse_options};
use super::planner::Over;
use super::qualify::{full_name, qualify};
use crate::catalog_view::{FullName, Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{CreateIndexPlan, Plan};

#[derive(Clone, Debug)]
pub struct CreateIndex {
    /// None: named after the object and the keys.
    pub name: Option<Ident>,
    pub if_not_exists: bool,
    pub cluster: Option<Ident>,
    pub on: ObjectName,
    /// None: a unique key of the object, else all columns.
    pub keys: Option<Vec<Expr>>,
}

impl CreateIndex {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<CreateIndex, Error> {
        let create = CreateIndex::parse_any(cursor)?;
        if create.keys.is_none() {
            return Err(cursor.expected("the keys of the index in parentheses"));
        }
        Ok(create)
    }

    pub(crate) fn parse_default(cursor: &mut Cursor<'_>) -> Result<CreateIndex, Error> {
        let create = CreateIndex::parse_any(cursor)?;
        match &create.keys {
            None => Ok(create),
            Some(_) => Err(Error::new("42601", "a default index chooses its own keys").at_node(&create.on)),
        }
    }

    fn parse_any(cursor: &mut Cursor<'_>) -> Result<CreateIndex, Error> {
        if cursor.peek_words(&["concurrently"]) {
            return Err(cursor.unsupported("CREATE INDEX CONCURRENTLY"));
        }
        let if_not_exists = cursor.if_not_exists();
        let unnamed = cursor.peek_words(&["on"]) || cursor.peek_words(&["in", "cluster"]);
        let name = if unnamed { None } else { Some(cursor.ident()?) };
        let mut cluster = cursor.in_cluster()?;
        cursor.expect(&["on"])?;
        let on = cursor.name()?;
        if cursor.take(&["using"]) && !cursor.take(&["arrangement"]) {
            return Err(cursor.unsupported("an index that is not USING arrangement"));
        }
        let keys = match cursor.peek() {
            Token::LParen => Some(cursor.parenthesized(parse_key)?),
            _ => None,
        };
        if cluster.is_none() {
            cluster = cursor.in_cluster()?;
        }
        refuse_options(cursor)?;
        if cursor.peek_words(&["where"]) {
            return Err(cursor.unsupported("a partial index"));
        }
        if cursor.peek_words(&["include"]) {
            return Err(cursor.unsupported("an index with INCLUDE"));
        }
        Ok(CreateIndex { name, if_not_exists, cluster, on, keys })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let item = names::resolve_relation(planner.context, planner.catalog, &self.on)?;
        if let ItemDefinition::Builtin { .. } = item.definition {
            let message = format!("cannot create an index on system relation {}", in_quotes(&item.name.item));
            return Err(Error::new("42501", message).at_node(&self.on));
        }
        let cluster = names::cluster_or_default(planner.context, planner.catalog, self.cluster.as_ref())?;
        let keys = self.plan_keys(planner, &item)?;
        let name = match &self.name {
            Some(ident) => FullName { item: names::check_identifier(ident)?, ..item.name.clone() },
            None => self.default_name(planner, &item, &keys),
        };
        if let Some(plan) = check_new(planner, &name, self.if_not_exists, "CREATE INDEX")? {
            return Ok(plan);
        }
        let (create_sql, types) = self.normalized(planner, &name, &item, &cluster.name, &keys)?;
        let (on, if_not_exists) = (item.id, self.if_not_exists);
        Ok(Plan::CreateIndex(CreateIndexPlan { name, if_not_exists, create_sql, on, keys, cluster: cluster.id, types }))
    }

    fn plan_keys(&self, planner: &mut Planner<'_>, item: &Item) -> Result<Vec<Scalar>, Error> {
        let desc = item.desc().expect("the item is a relation");
        let Some(exprs) = &self.keys else {
            let shortest = desc.typ.keys.iter().filter(|key| !key.is_empty()).min_by_key(|key| key.len());
            let columns = shortest.cloned().unwrap_or_else(|| (0..desc.arity()).collect());
            return Ok(columns.into_iter().map(Scalar::Column).collect());
        };
        let mut keys = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let over = Over { desc, table: Some(&item.name.item), expr };
            let (scalar, _) = planner.without_params(|planner| planner.scalar(over))?;
            if !scalar.is_deterministic() {
                return Err(Error::new("42P17", "an index key must be immutable").at_node(expr));
            }
            keys.push(scalar);
        }
        Ok(keys)
    }

    /// `t_a_b_idx`, or `t_primary_idx` for a default index; numbered if taken.
    fn default_name(&self, planner: &Planner<'_>, item: &Arc<Item>, keys: &[Scalar]) -> FullName {
        let desc = item.desc().expect("the item is a relation");
        let mut stem = item.name.item.clone();
        if self.keys.is_none() {
            stem.push_str("_primary");
        } else {
            for key in keys {
                stem.push('_');
                stem.push_str(match key {
                    Scalar::Column(column) => &desc.names[*column],
                    _ => "expr",
                });
            }
        }
        // Room for the suffix and a number.
        let mut room = names::IDENTIFIER_BYTES_MAX - 10;
        while !stem.is_char_boundary(room.min(stem.len())) {
            room -= 1;
        }
        stem.truncate(room.min(stem.len()));
        (0u64..)
            .map(|number| {
                let suffix = if number == 0 { String::new() } else { number.to_string() };
                FullName { item: format!("{stem}_idx{suffix}"), ..item.name.clone() }
            })
            .find(|name| planner.catalog.item(name).is_none())
            .expect("some number is free")
    }

    fn normalized(
        &self,
        planner: &Planner<'_>,
        name: &FullName,
        item: &Item,
        cluster: &str,
        keys: &[Scalar],
    ) -> Result<(String, BTreeSet<CollectionId>), Error> {
        let desc = item.desc().expect("the item is a relation");
        let mut types = BTreeSet::new();
        let mut exprs = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            exprs.push(match (key, &self.keys) {
                (Scalar::Column(column), _) => Ident::with_quote('"', &desc.names[*column]).to_string(),
                (_, Some(written)) => {
                    let mut expr = written[index].clone();
                    types.append(&mut qualify(planner, &mut expr)?);
                    expr.to_string()
                }
                (_, None) => unreachable!("default keys are columns"),
            });
        }
        Ok((text(&name.item, cluster, &item.name, &exprs), types))
    }
}

/// The text of an index's definition.
pub(super) fn text(name: &str, cluster: &str, on: &FullName, keys: &[String]) -> String {
    format!(
        "CREATE INDEX {} IN CLUSTER {} ON {} ({})",
        Ident::with_quote('"', name),
        Ident::with_quote('"', cluster),
        full_name(on),
        keys.join(", "),
    )
}

fn parse_key(cursor: &mut Cursor<'_>) -> Result<Expr, Error> {
    let key = cursor.expr()?;
    for word in ["asc", "desc", "nulls", "collate"] {
        if cursor.peek_words(&[word]) {
            return Err(cursor.unsupported("an order in an index key"));
        }
    }
    Ok(key)
}
