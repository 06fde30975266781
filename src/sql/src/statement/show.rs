//! `SHOW objects [FROM schema] [ON object] [IN CLUSTER c] [LIKE 'pattern' | WHERE condition]`.
//!
//! Each is a query over the system catalog: its text is written here, its WHERE is the user's, and the query half plans it.

use sqlparser::ast::{Expr, Ident, ObjectName, SetExpr};

use super::show_create::ShowCreate;
use super::{Planner, StatementKind, variable};
use crate::catalog_view::CatalogView;
use crate::error::Error;
use crate::names;
use crate::parse::{self, Cursor};
use crate::plan::{PlanContext, SelectPlan, When};

#[derive(Clone, Debug)]
pub struct Show {
    pub objects: Objects,
    /// FROM or IN: a schema, a database or an object, as `objects` has it.
    pub from: Option<ObjectName>,
    /// INDEXES ON.
    pub on: Option<ObjectName>,
    pub cluster: Option<Ident>,
    pub filter: Option<Filter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    Databases,
    Schemas,
    Tables,
    Views,
    MaterializedViews,
    Indexes,
    Sources,
    Subsources,
    Clusters,
    ClusterReplicas,
    Columns,
    /// SHOW OBJECTS.
    All,
    Types,
    Secrets,
    Roles,
}

#[derive(Clone, Debug)]
pub enum Filter {
    Like(String),
    Where(Box<Expr>),
}

const OBJECTS: [(&[&str], Objects); 17] = [
    (&["databases"], Objects::Databases),
    (&["schemas"], Objects::Schemas),
    (&["tables"], Objects::Tables),
    (&["views"], Objects::Views),
    (&["materialized", "views"], Objects::MaterializedViews),
    (&["indexes"], Objects::Indexes),
    (&["index"], Objects::Indexes),
    (&["indices"], Objects::Indexes),
    (&["sources"], Objects::Sources),
    (&["subsources"], Objects::Subsources),
    (&["clusters"], Objects::Clusters),
    (&["cluster", "replicas"], Objects::ClusterReplicas),
    (&["columns"], Objects::Columns),
    (&["objects"], Objects::All),
    (&["types"], Objects::Types),
    (&["secrets"], Objects::Secrets),
    (&["roles"], Objects::Roles),
];

/// Reads any statement that starts with SHOW.
pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<StatementKind, Error> {
    cursor.expect(&["show"])?;
    if cursor.take(&["create"]) {
        return ShowCreate::parse(cursor).map(StatementKind::ShowCreate);
    }
    if cursor.peek_words(&["redacted", "create"]) {
        return Err(cursor.unsupported("SHOW REDACTED CREATE"));
    }
    let refused = [
        "sinks",
        "connections",
        "network policies",
        "privileges",
        "default privileges",
        "role membership",
        "functions",
        "extensions",
    ];
    if let Some(name) = refused.iter().find(|name| cursor.peek_words(&name.split(' ').collect::<Vec<_>>())) {
        return Err(cursor.unsupported(&format!("SHOW {}", name.to_uppercase())));
    }
    match OBJECTS.iter().find(|(words, _)| cursor.take(words)) {
        Some((_, objects)) => Show::parse(cursor, *objects).map(StatementKind::Show),
        None => variable::parse_show(cursor).map(StatementKind::Variable),
    }
}

impl Show {
    fn parse(cursor: &mut Cursor<'_>, objects: Objects) -> Result<Show, Error> {
        let mut show = Show { objects, from: None, on: None, cluster: None, filter: None };
        loop {
            if cursor.peek_words(&["in", "cluster"]) && show.cluster.is_none() {
                show.cluster = cursor.in_cluster()?;
            } else if show.from.is_none() && (cursor.take(&["from"]) || cursor.take(&["in"])) {
                show.from = Some(cursor.name()?);
            } else if show.on.is_none() && cursor.take(&["on"]) {
                show.on = Some(cursor.name()?);
            } else {
                break;
            }
        }
        if cursor.take(&["like"]) {
            show.filter = Some(Filter::Like(cursor.string()?));
        } else if cursor.take(&["where"]) {
            show.filter = Some(Filter::Where(Box::new(cursor.expr()?)));
        }
        show.check_clauses(cursor)?;
        Ok(show)
    }

    /// Errors: 42601 for a clause that these objects have no use for.
    fn check_clauses(&self, cursor: &Cursor<'_>) -> Result<(), Error> {
        use Objects as O;
        let in_cluster = matches!(self.objects, O::MaterializedViews | O::Indexes | O::Sources | O::Subsources);
        let from = !matches!(self.objects, O::Databases | O::Clusters | O::ClusterReplicas | O::Roles);
        let on = matches!(self.objects, O::Indexes | O::Tables | O::Subsources);
        let wrong = if self.cluster.is_some() && !in_cluster {
            "IN CLUSTER"
        } else if self.from.is_some() && !from {
            "FROM"
        } else if self.on.is_some() && !on {
            "ON"
        } else if self.objects == O::Columns && self.from.is_none() {
            return Err(cursor.expected("FROM and the name of an object"));
        } else {
            return Ok(());
        };
        Err(Error::new("42601", format!("SHOW {} takes no {wrong}", self.noun())))
    }

    fn noun(&self) -> String {
        let words = OBJECTS.iter().find(|(_, objects)| *objects == self.objects).map_or(&[][..], |(words, _)| *words);
        words.join(" ").to_uppercase()
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<SelectPlan, Error> {
        let text = self.text(planner.context, planner.catalog)?;
        let mut query = parse::query(&text)?;
        let mut like = None;
        if let Some(Filter::Like(pattern)) = &self.filter {
            let mut filtered = parse::query(&format!("SELECT 1 WHERE name LIKE {}", literal(pattern)))?;
            if let SetExpr::Select(select) = filtered.body.as_mut() {
                like = select.selection.take();
            }
        }
        let filter = match &self.filter {
            Some(Filter::Where(expr)) => Some(expr.as_ref().clone()),
            _ => like,
        };
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.selection = filter;
        }
        planner.select(&query, When::Immediately)
    }

    /// The query, a SELECT without WHERE.
    fn text(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let (inner, order) = match self.objects {
            Objects::Databases => (databases(), "name"),
            Objects::Roles => (roles(), "name"),
            Objects::Clusters => (clusters(), "name"),
            Objects::ClusterReplicas => (cluster_replicas(), "cluster, replica"),
            Objects::Schemas => (self.schemas(context, catalog)?, "name"),
            Objects::Columns => (self.columns(context, catalog)?, "position"),
            Objects::Indexes => (self.indexes(context, catalog)?, "name"),
            Objects::Tables
            | Objects::Views
            | Objects::MaterializedViews
            | Objects::Sources
            | Objects::Subsources
            | Objects::All
            | Objects::Types
            | Objects::Secrets => (self.items(context, catalog)?, "name"),
        };
        let columns = match self.objects {
            Objects::Databases
            | Objects::Schemas
            | Objects::Roles
            | Objects::Tables
            | Objects::Views
            | Objects::Types
            | Objects::Secrets => "name, comment",
            Objects::MaterializedViews => "name, cluster, comment",
            Objects::Indexes => "name, \"on\", cluster, key, comment",
            Objects::Sources => "name, type, cluster, comment",
            Objects::Subsources => "name, type",
            Objects::All => "name, type, comment",
            Objects::Clusters => "name, replicas, comment",
            Objects::ClusterReplicas => "cluster, replica, size, ready, comment",
            Objects::Columns => "name, nullable, type, comment",
        };
        Ok(format!("SELECT {columns} FROM ({inner}) AS shown ORDER BY {order}"))
    }

    fn schemas(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let database = match &self.from {
            None => context.database.clone(),
            Some(name) => match names::parts(name)?[..] {
                [ident] => names::resolve_database(catalog, ident)?,
                _ => return Err(Error::new("42601", "the name of a database has no dots").at_node(name)),
            },
        };
        Ok(format!(
            "SELECT s.name AS name, {COMMENT} FROM mz_catalog.mz_schemas AS s \
             LEFT JOIN mz_catalog.mz_databases AS d ON d.id = s.database_id {comments} \
             WHERE s.database_id IS NULL OR d.name = {database}",
            comments = comments("schema", "s.id"),
            database = literal(&database),
        ))
    }

    fn columns(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let name = self.from.as_ref().ok_or_else(|| Error::new("42601", "SHOW COLUMNS needs FROM"))?;
        let item = names::resolve_relation(context, catalog, name)?;
        Ok(format!(
            "SELECT c.name AS name, c.nullable AS nullable, c.type AS type, c.position AS position, {COMMENT} \
             FROM mz_catalog.mz_columns AS c \
             LEFT JOIN mz_internal.mz_comments AS k ON k.id = c.id AND k.object_sub_id::int8 = c.position::int8 \
             WHERE c.id = {}",
            literal(&item.id.to_string()),
        ))
    }

    fn indexes(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let mut conditions = Vec::new();
        match &self.on {
            Some(name) => {
                let item = names::resolve_relation(context, catalog, name)?;
                conditions.push(format!("i.on_id = {}", literal(&item.id.to_string())));
            }
            // IN CLUSTER alone asks for all indexes of the cluster.
            None if self.cluster.is_some() && self.from.is_none() => {}
            None => conditions.push(self.schema_condition(context, catalog)?),
        }
        if let Some(cluster) = &self.cluster {
            let cluster = names::resolve_cluster(catalog, cluster)?;
            conditions.push(format!("cl.name = {}", literal(&cluster.name)));
        }
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        Ok(format!(
            "SELECT i.name AS name, o.name AS \"on\", cl.name AS cluster, keys.key AS key, {COMMENT} \
             FROM mz_catalog.mz_indexes AS i \
             JOIN mz_catalog.mz_objects AS o ON o.id = i.on_id \
             JOIN mz_catalog.mz_schemas AS s ON s.id = o.schema_id \
             LEFT JOIN mz_catalog.mz_databases AS d ON d.id = s.database_id \
             JOIN mz_catalog.mz_clusters AS cl ON cl.id = i.cluster_id \
             LEFT JOIN (SELECT ic.index_id AS index_id, \
                        array_agg(COALESCE(ic.on_expression, c.name) ORDER BY ic.index_position) AS key \
                        FROM mz_catalog.mz_index_columns AS ic \
                        JOIN mz_catalog.mz_indexes AS ii ON ii.id = ic.index_id \
                        LEFT JOIN mz_catalog.mz_columns AS c ON c.id = ii.on_id AND c.position = ic.on_position \
                        GROUP BY ic.index_id) AS keys ON keys.index_id = i.id \
             {comments} WHERE {condition}",
            comments = comments("index", "i.id"),
        ))
    }

    /// Things of a schema that have a row in a relation of their kind.
    fn items(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let all = "mz_catalog.mz_objects";
        let (relation, columns, kind) = match self.objects {
            Objects::Views => ("mz_catalog.mz_views", "", Some("view")),
            Objects::MaterializedViews => {
                ("mz_catalog.mz_materialized_views", ", cl.name AS cluster", Some("materialized-view"))
            }
            Objects::Sources => ("mz_catalog.mz_sources", ", o.type AS type, cl.name AS cluster", Some("source")),
            Objects::Subsources => ("mz_catalog.mz_tables", ", 'subsource' AS type", Some("table")),
            Objects::Types => ("mz_catalog.mz_types", "", Some("type")),
            Objects::Secrets => ("mz_catalog.mz_secrets", "", Some("secret")),
            Objects::All => (all, ", o.type AS type", None),
            _ => ("mz_catalog.mz_tables", "", Some("table")),
        };
        let clustered = columns.contains("cl.name");
        let join_cluster =
            if clustered { "LEFT JOIN mz_catalog.mz_clusters AS cl ON cl.id = o.cluster_id" } else { "" };
        let mut conditions = Vec::new();
        if let Some(on) = &self.on {
            let source = names::resolve_item(context, catalog, on)?;
            conditions.push(format!("o.source_id = {}", literal(&source.id.to_string())));
        } else if !(self.cluster.is_some() && self.from.is_none()) {
            conditions.push(self.schema_condition(context, catalog)?);
        }
        if self.objects == Objects::Subsources {
            conditions.push("o.source_id IS NOT NULL".to_owned());
        }
        if let Some(cluster) = &self.cluster {
            let cluster = names::resolve_cluster(catalog, cluster)?;
            conditions.push(if clustered {
                format!("cl.name = {}", literal(&cluster.name))
            } else {
                return Err(Error::unsupported("IN CLUSTER here"));
            });
        }
        let comments = match kind {
            Some(kind) => comments(kind, "o.id"),
            None => "LEFT JOIN mz_internal.mz_comments AS k ON k.id = o.id AND k.object_sub_id IS NULL".to_owned(),
        };
        Ok(format!(
            "SELECT o.name AS name{columns}, {COMMENT} FROM {relation} AS o \
             JOIN mz_catalog.mz_schemas AS s ON s.id = o.schema_id \
             LEFT JOIN mz_catalog.mz_databases AS d ON d.id = s.database_id {join_cluster} {comments} WHERE {}",
            conditions.join(" AND "),
        ))
    }

    /// The condition on `s` and `d` for the schema of FROM, or the session's.
    fn schema_condition(&self, context: &PlanContext, catalog: &dyn CatalogView) -> Result<String, Error> {
        let (database, schema) = match &self.from {
            Some(name) => names::resolve_schema(context, catalog, name)?,
            None => names::current_schema(context, catalog)
                .map_err(|error| Error { message: error.message.replace(" to create in", ""), ..error })?,
        };
        Ok(match database {
            None => format!("s.name = {} AND s.database_id IS NULL", literal(&schema)),
            Some(database) => format!("s.name = {} AND d.name = {}", literal(&schema), literal(&database)),
        })
    }
}

/// The comment on an object, empty if there is none.
const COMMENT: &str = "COALESCE(k.comment, '') AS comment";

fn comments(kind: &str, id: &str) -> String {
    format!(
        "LEFT JOIN mz_internal.mz_comments AS k \
         ON k.id = {id} AND k.object_type = {} AND k.object_sub_id IS NULL",
        literal(kind),
    )
}

fn databases() -> String {
    format!("SELECT d.name AS name, {COMMENT} FROM mz_catalog.mz_databases AS d {}", comments("database", "d.id"))
}

fn roles() -> String {
    format!(
        "SELECT r.name AS name, {COMMENT} FROM mz_catalog.mz_roles AS r {} \
         WHERE r.name NOT LIKE 'mz\\_%' AND r.name NOT LIKE 'pg\\_%'",
        comments("role", "r.id"),
    )
}

fn clusters() -> String {
    format!(
        "SELECT cl.name AS name, replicas.replicas AS replicas, {COMMENT} FROM mz_catalog.mz_clusters AS cl \
         LEFT JOIN (SELECT r.cluster_id AS cluster_id, \
                    string_agg(r.name || ' (' || COALESCE(r.size, '') || ')', ', ' ORDER BY r.name) AS replicas \
                    FROM mz_catalog.mz_cluster_replicas AS r GROUP BY r.cluster_id) AS replicas \
         ON replicas.cluster_id = cl.id {}",
        comments("cluster", "cl.id"),
    )
}

fn cluster_replicas() -> String {
    format!(
        "SELECT cl.name AS cluster, r.name AS replica, r.size AS size, \
         COALESCE(statuses.ready, false) AS ready, {COMMENT} \
         FROM mz_catalog.mz_cluster_replicas AS r \
         JOIN mz_catalog.mz_clusters AS cl ON cl.id = r.cluster_id \
         LEFT JOIN (SELECT t.replica_id AS replica_id, bool_and(t.status = 'online') AS ready \
                    FROM mz_internal.mz_cluster_replica_statuses AS t GROUP BY t.replica_id) AS statuses \
         ON statuses.replica_id = r.id {}",
        comments("cluster-replica", "r.id"),
    )
}

/// A literal string.
fn literal(text: &str) -> String {
    // A backslash has no meaning in plain quotes.
    format!("'{}'", text.replace('\'', "''"))
}
