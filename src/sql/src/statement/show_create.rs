//! `SHOW CREATE kind name`: the normalized statement that makes an object.

use expr::Relation;
use repr::{Datum, Diff, RelationDesc, Row, ScalarType};
use sqlparser::ast::ObjectName;

use super::Planner;
use crate::catalog_view::{Cluster, Item, quoted};
use crate::error::Error;
use crate::names;
use crate::names::in_quotes;
use crate::parse::{self, Cursor};
use crate::plan::{Finishing, SelectPlan, When};

#[derive(Clone, Debug)]
pub struct ShowCreate {
    pub kind: &'static str,
    pub name: ObjectName,
}

impl ShowCreate {
    /// Reads what follows `SHOW CREATE`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<ShowCreate, Error> {
        let kinds = ["table", "view", "materialized view", "index", "source", "type", "cluster"];
        let found = kinds.into_iter().find(|kind| cursor.take(&kind.split(' ').collect::<Vec<_>>()));
        let Some(kind) = found else {
            for refused in ["sink", "connection", "secret"] {
                if cursor.peek_words(&[refused]) {
                    return Err(cursor.unsupported(&format!("SHOW CREATE {}", refused.to_uppercase())));
                }
            }
            return Err(cursor.expected("TABLE, VIEW, MATERIALIZED VIEW, INDEX, SOURCE, TYPE or CLUSTER"));
        };
        Ok(ShowCreate { kind, name: cursor.name()? })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<SelectPlan, Error> {
        let (name, create_sql) = if self.kind == "cluster" {
            let [ident] = names::parts(&self.name)?[..] else {
                return Err(Error::new("42601", "the name of a cluster has no dots").at_node(&self.name));
            };
            let cluster = names::resolve_cluster(planner.catalog, ident)?;
            (quoted(&cluster.name), cluster_sql(&cluster))
        } else {
            let item = self.item(planner)?;
            (item.name.to_string(), parse::as_written(&item.create_sql).into_owned())
        };
        Ok(one_row(&[("name", &name), ("create_sql", &create_sql)]))
    }

    fn item(&self, planner: &Planner<'_>) -> Result<std::sync::Arc<Item>, Error> {
        let code = if matches!(self.kind, "index" | "type") { "42704" } else { "42P01" };
        let item = names::resolve_or_none(planner.context, planner.catalog, &self.name)?
            .ok_or_else(|| names::unknown(planner.context, planner.catalog, &self.name, self.kind, code))?;
        if item.create_sql.is_empty() {
            let message = format!("cannot show create for system object {}", in_quotes(&item.name.item));
            return Err(Error::new("42809", message).at_node(&self.name));
        }
        if item.kind() != self.kind {
            let message = format!("{} is a {}, not a {}", in_quotes(&item.name.item), item.kind(), self.kind);
            return Err(Error::new("42809", message).at_node(&self.name));
        }
        Ok(item)
    }
}

fn cluster_sql(cluster: &Cluster) -> String {
    let name = sqlparser::ast::Ident::with_quote('"', &cluster.name);
    let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match &cluster.size {
        Some(size) => {
            format!(
                "CREATE CLUSTER {name} (SIZE = {}, REPLICATION FACTOR = {})",
                text(size),
                cluster.replication_factor
            )
        }
        None => {
            let replicas: Vec<String> = cluster
                .replicas
                .iter()
                .map(|replica| {
                    let name = sqlparser::ast::Ident::with_quote('"', &replica.name);
                    format!("{name} (SIZE = {})", text(&replica.size))
                })
                .collect();
            format!("CREATE CLUSTER {name} (REPLICAS ({}))", replicas.join(", "))
        }
    }
}

/// A query of one constant row of text columns.
fn one_row(columns: &[(&str, &str)]) -> SelectPlan {
    let desc = RelationDesc::new(columns.iter().map(|(name, _)| (name.to_string(), ScalarType::Text.not_null())));
    let row = Row::pack(columns.iter().map(|(_, value)| Datum::Text(value)));
    let relation = Relation::Constant { rows: Ok(vec![(row, Diff::ONE)]), typ: desc.typ.clone() };
    let finishing = Finishing { project: (0..columns.len()).collect(), ..Finishing::default() };
    SelectPlan { relation, finishing, desc, when: When::Immediately }
}
