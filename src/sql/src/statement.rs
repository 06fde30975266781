//! Statements: what each is, how it is read, planned and described. One file for each kind.

mod alter_cluster;
mod alter_secret;
mod alter_table;
mod cluster;
mod copy;
mod create_index;
mod create_secret;
mod create_source;
mod create_table;
mod create_type;
mod create_view;
mod cursor;
mod database;
mod definition_columns;
mod definition_names;
mod delete;
mod drop;
mod duration;
mod explain;
mod insert;
mod object_kind;
mod planner;
mod prepare;
mod qualify;
mod rename;
mod returning;
mod select;
mod show;
mod show_create;
mod subscribe;
mod table;
mod transaction;
mod update;
mod variable;

use std::sync::Arc;

use repr::{RelationDesc, ScalarType};

pub use self::create_secret::secret_definition;
pub use self::definition_columns::{NewColumn, with_column_renamed};
pub use self::definition_names::{NewNames, renamed_definition};
pub(crate) use self::planner::Planner;
pub(crate) use self::qualify::full_name;
pub use self::table::column_defaults;

use crate::catalog_view::CatalogView;
use crate::error::Error;
use crate::parse::{Cursor, with_stack_for};
use crate::plan::{Params, Plan, PlanContext};

/// One parsed statement. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Statement {
    pub kind: Arc<StatementKind>,
    /// Its own source text, without what is before and behind it.
    pub text: String,
    /// Characters of the request's text before this statement's. Positions in errors are counted over the request's text.
    pub offset: usize,
    /// How deep its tree may be nested.
    pub(crate) depth: usize,
}

/// The statements that are known. Each carries pieces of the `sqlparser` crate's tree: queries, expressions, types, names.
#[derive(Debug)]
pub enum StatementKind {
    Select(select::Select),
    Subscribe(subscribe::Subscribe),
    Explain(explain::Explain),
    Insert(insert::Insert),
    Update(update::Update),
    Delete(delete::Delete),
    Truncate(delete::Truncate),
    Copy(copy::Copy),
    AlterTable(alter_table::AlterTable),
    Rename(rename::Rename),
    CreateDatabase(database::CreateDatabase),
    CreateSchema(database::CreateSchema),
    CreateTable(create_table::CreateTable),
    CreateType(create_type::CreateType),
    CreateView(create_view::CreateView),
    CreateIndex(create_index::CreateIndex),
    CreateSource(create_source::CreateSource),
    CreateSecret(create_secret::CreateSecret),
    AlterSecret(alter_secret::AlterSecret),
    AlterCluster(alter_cluster::AlterCluster),
    CreateCluster(cluster::CreateCluster),
    CreateReplica(cluster::CreateReplica),
    Drop(drop::Drop),
    Declare(cursor::Declare),
    Fetch(cursor::Fetch),
    Close(cursor::Close),
    Prepare(prepare::Prepare),
    Execute(prepare::Execute),
    Deallocate(prepare::Deallocate),
    Transaction(transaction::Transaction),
    Variable(variable::Variable),
    Show(show::Show),
    ShowCreate(show_create::ShowCreate),
}

/// What a client is told of a statement before it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The columns of the result; None if there are none, or if only the session knows them (FETCH, EXECUTE).
    pub desc: Option<RelationDesc>,
    /// The types of `$1`, `$2`, ...
    pub params: Vec<ScalarType>,
}

/// What a statement is called where its kind alone decides.
impl StatementKind {
    pub fn name(&self) -> &'static str {
        match self {
            StatementKind::Select(_) => "SELECT",
            StatementKind::Subscribe(_) => "SUBSCRIBE",
            StatementKind::Explain(_) => "EXPLAIN",
            StatementKind::Insert(_) => "INSERT",
            StatementKind::Update(_) => "UPDATE",
            StatementKind::Delete(_) => "DELETE",
            StatementKind::Truncate(_) => "TRUNCATE TABLE",
            StatementKind::Copy(_) => "COPY",
            StatementKind::AlterTable(_) => "ALTER TABLE",
            StatementKind::Rename(rename) => rename.kind.alter_tag(),
            StatementKind::CreateDatabase(_) => "CREATE DATABASE",
            StatementKind::CreateSchema(_) => "CREATE SCHEMA",
            StatementKind::CreateTable(_) => "CREATE TABLE",
            StatementKind::CreateType(_) => "CREATE TYPE",
            StatementKind::CreateView(view) => view.tag(),
            StatementKind::CreateIndex(_) => "CREATE INDEX",
            StatementKind::CreateSource(_) => "CREATE SOURCE",
            StatementKind::CreateSecret(_) => "CREATE SECRET",
            StatementKind::AlterSecret(_) => "ALTER SECRET",
            StatementKind::AlterCluster(_) => "ALTER CLUSTER",
            StatementKind::CreateCluster(_) => "CREATE CLUSTER",
            StatementKind::CreateReplica(_) => "CREATE CLUSTER REPLICA",
            StatementKind::Drop(drop) => drop.kind.drop_tag(),
            StatementKind::Declare(_) => "DECLARE CURSOR",
            StatementKind::Fetch(_) => "FETCH",
            StatementKind::Close(_) => "CLOSE CURSOR",
            StatementKind::Prepare(_) => "PREPARE",
            StatementKind::Execute(_) => "EXECUTE",
            StatementKind::Deallocate(_) => "DEALLOCATE",
            StatementKind::Transaction(transaction) => transaction.tag(),
            StatementKind::Variable(variable) => variable.tag(),
            StatementKind::Show(_) | StatementKind::ShowCreate(_) => "SHOW",
        }
    }

    /// True for statements that end a transaction or begin one, which alone may run in a failed transaction or may not be
    /// answered by a plan cache.
    pub fn is_transaction_control(&self) -> bool {
        matches!(self, StatementKind::Transaction(_))
    }

    /// True if the statement says itself how long it may take, so that `statement_timeout` has no say.
    pub fn has_own_timeout(&self) -> bool {
        matches!(self, StatementKind::AlterCluster(alter) if alter.wait.is_some())
    }

    /// True if its text or its parameters have the value of a secret, of which nothing may be shown.
    pub fn holds_secret(&self) -> bool {
        matches!(self, StatementKind::CreateSecret(_) | StatementKind::AlterSecret(_))
    }
}

/// Reads the statement that starts at the cursor.
pub(crate) fn parse_kind(cursor: &mut Cursor<'_>) -> Result<StatementKind, Error> {
    use StatementKind as Kind;
    if *cursor.peek() == sqlparser::tokenizer::Token::LParen {
        return select::Select::parse(cursor).map(Kind::Select);
    }
    match cursor.behind_with(&["insert", "update", "delete"]) {
        Some("insert") => return insert::Insert::parse(cursor).map(Kind::Insert),
        Some("update") => return update::Update::parse(cursor).map(Kind::Update),
        Some(_) => return delete::Delete::parse(cursor).map(Kind::Delete),
        None => {}
    }
    let starts = |word: &str| cursor.peek_words(&[word]);
    if ["select", "values", "with", "table"].into_iter().any(starts) {
        return select::Select::parse(cursor).map(Kind::Select);
    }
    let words = [
        "alter",
        "create",
        "drop",
        "insert",
        "update",
        "delete",
        "truncate",
        "copy",
        "subscribe",
        "explain",
        "declare",
        "fetch",
        "close",
        "prepare",
        "execute",
        "deallocate",
        "set",
        "reset",
        "show",
        "discard",
    ];
    match words.into_iter().find(|word| cursor.peek_words(&[word])) {
        Some("alter") => rename::parse_alter(cursor)?.ok_or_else(|| unknown(cursor)),
        Some("create") => parse_create(cursor),
        Some("drop") => drop::Drop::parse(cursor).map(Kind::Drop),
        Some("insert") => insert::Insert::parse(cursor).map(Kind::Insert),
        Some("update") => update::Update::parse(cursor).map(Kind::Update),
        Some("delete") => delete::Delete::parse(cursor).map(Kind::Delete),
        Some("truncate") => delete::Truncate::parse(cursor).map(Kind::Truncate),
        Some("copy") => copy::Copy::parse(cursor).map(Kind::Copy),
        Some("subscribe") => subscribe::Subscribe::parse(cursor).map(Kind::Subscribe),
        Some("explain") => explain::Explain::parse(cursor).map(Kind::Explain),
        Some("declare") => cursor::Declare::parse(cursor).map(Kind::Declare),
        Some("fetch") => cursor::Fetch::parse(cursor).map(Kind::Fetch),
        Some("close") => cursor::Close::parse(cursor).map(Kind::Close),
        Some("prepare") => prepare::Prepare::parse(cursor).map(Kind::Prepare),
        Some("execute") => prepare::Execute::parse(cursor).map(Kind::Execute),
        Some("deallocate") => prepare::Deallocate::parse(cursor).map(Kind::Deallocate),
        Some("show") => show::parse(cursor),
        Some("set" | "reset" | "discard") => variable::parse(cursor),
        _ => match transaction::Transaction::parse(cursor)? {
            Some(transaction) => Ok(Kind::Transaction(transaction)),
            None => Err(unknown(cursor)),
        },
    }
}

fn parse_create(cursor: &mut Cursor<'_>) -> Result<StatementKind, Error> {
    use StatementKind as Kind;
    let start = cursor.position();
    cursor.expect(&["create"])?;
    let or_replace = cursor.take(&["or", "replace"]);
    let temporary = cursor.take_one_of(&["temporary", "temp"]).is_some();
    if cursor.take(&["view"]) {
        let create = create_view::CreateView::parse_view(cursor, or_replace)?;
        return Ok(Kind::CreateView(create_view::CreateView { temporary, ..create }));
    }
    if temporary && !or_replace && cursor.take(&["table"]) {
        let create = create_table::CreateTable::parse(cursor)?;
        return Ok(Kind::CreateTable(create_table::CreateTable { temporary, ..create }));
    }
    if temporary {
        return Err(cursor.expected(if or_replace { "VIEW" } else { "TABLE or VIEW" }));
    }
    if cursor.take(&["materialized", "view"]) {
        return create_view::CreateView::parse_materialized(cursor, or_replace).map(Kind::CreateView);
    }
    if or_replace {
        return Err(cursor.expected("VIEW or MATERIALIZED VIEW"));
    }
    if cursor.take(&["database"]) {
        return database::CreateDatabase::parse(cursor).map(Kind::CreateDatabase);
    }
    if cursor.take(&["schema"]) {
        return database::CreateSchema::parse(cursor).map(Kind::CreateSchema);
    }
    if cursor.take(&["table"]) {
        return create_table::CreateTable::parse(cursor).map(Kind::CreateTable);
    }
    if cursor.take(&["type"]) {
        return create_type::CreateType::parse(cursor).map(Kind::CreateType);
    }
    if cursor.take(&["default", "index"]) {
        return create_index::CreateIndex::parse_default(cursor).map(Kind::CreateIndex);
    }
    if cursor.take(&["index"]) {
        return create_index::CreateIndex::parse(cursor).map(Kind::CreateIndex);
    }
    if cursor.take(&["cluster", "replica"]) {
        return cluster::CreateReplica::parse(cursor).map(Kind::CreateReplica);
    }
    if cursor.take(&["cluster"]) {
        return cluster::CreateCluster::parse(cursor).map(Kind::CreateCluster);
    }
    if cursor.take(&["source"]) {
        return create_source::CreateSource::parse(cursor).map(Kind::CreateSource);
    }
    if cursor.take(&["secret"]) {
        return create_secret::CreateSecret::parse(cursor).map(Kind::CreateSecret);
    }
    Err(match words_of(cursor, &CREATE_UNSUPPORTED) {
        Some(words) => Error::unsupported(format!("CREATE {words}")).at(start),
        None => cursor.expected("the kind of object to create"),
    })
}

/// What CREATE may be followed by elsewhere; longer forms first.
const CREATE_UNSUPPORTED: [&str; 21] = [
    "UNLOGGED TABLE",
    "UNIQUE INDEX",
    "REPLACEMENT MATERIALIZED VIEW",
    "NETWORK POLICY",
    "METRIC SINK",
    "FOREIGN TABLE",
    "SINK",
    "CONNECTION",
    "ROLE",
    "USER",
    "GROUP",
    "DOMAIN",
    "SEQUENCE",
    "FUNCTION",
    "PROCEDURE",
    "TRIGGER",
    "EXTENSION",
    "RULE",
    "AGGREGATE",
    "CAST",
    "PUBLICATION",
];

/// Statements that others know; longer forms first.
const UNSUPPORTED: [&str; 26] = [
    "ALTER SYSTEM",
    "ALTER SINK",
    "ALTER ROLE",
    "ALTER USER",
    "ALTER CONNECTION",
    "ALTER DEFAULT PRIVILEGES",
    "ALTER",
    "COMMENT ON",
    "GRANT",
    "REVOKE",
    "REASSIGN OWNED",
    "VALIDATE CONNECTION",
    "EXECUTE UNIT TEST",
    "MERGE",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "VACUUM",
    "ANALYZE",
    "LOCK",
    "CALL",
    "DO",
    "REINDEX",
    "MOVE",
    "REFRESH MATERIALIZED VIEW",
    "IMPORT",
];

fn words_of(cursor: &Cursor<'_>, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|form| cursor.peek_words(&form.split(' ').collect::<Vec<_>>()))
}

fn unknown(cursor: &Cursor<'_>) -> Error {
    match words_of(cursor, &UNSUPPORTED) {
        Some(words) => cursor.unsupported(words),
        None => cursor.expected("a statement"),
    }
}

/// Plans `statement`: names resolved, types checked.
///
/// Types of parameters that are inferred are filled in to `params`. Errors carry positions in the request's text.
pub fn plan(
    statement: &Statement,
    context: &PlanContext,
    catalog: &dyn CatalogView,
    params: &mut Params,
) -> Result<Plan, Error> {
    with_stack_for(statement.depth, || plan_kind(&statement.kind, &mut Planner { context, catalog, params }))
}

fn plan_kind(kind: &StatementKind, planner: &mut Planner<'_>) -> Result<Plan, Error> {
    match kind {
        StatementKind::Select(select) => select.plan(planner).map(Plan::Select),
        StatementKind::Subscribe(subscribe) => subscribe.plan(planner).map(Plan::Subscribe),
        StatementKind::Explain(explain) => explain.plan(planner),
        StatementKind::Insert(insert) => insert.plan(planner),
        StatementKind::Update(update) => update.plan(planner),
        StatementKind::Delete(delete) => delete.plan(planner),
        StatementKind::Truncate(truncate) => truncate.plan(planner),
        StatementKind::Copy(copy) => copy.plan(planner),
        StatementKind::AlterTable(alter) => alter.plan(planner),
        StatementKind::Rename(rename) => rename.plan(planner),
        StatementKind::CreateDatabase(create) => create.plan(planner),
        StatementKind::CreateSchema(create) => create.plan(planner),
        StatementKind::CreateTable(create) => create.plan(planner),
        StatementKind::CreateType(create) => create.plan(planner),
        StatementKind::CreateView(create) => create.plan(planner),
        StatementKind::CreateIndex(create) => create.plan(planner),
        StatementKind::CreateSource(create) => create.plan(planner),
        StatementKind::CreateSecret(create) => create.plan(planner),
        StatementKind::AlterSecret(alter) => alter.plan(planner),
        StatementKind::AlterCluster(alter) => alter.plan(planner),
        StatementKind::CreateCluster(create) => create.plan(planner),
        StatementKind::CreateReplica(create) => create.plan(planner),
        StatementKind::Drop(drop) => drop.plan(planner),
        StatementKind::Declare(declare) => declare.plan(),
        StatementKind::Fetch(fetch) => fetch.plan(),
        StatementKind::Close(close) => close.plan(),
        StatementKind::Prepare(prepare) => prepare.plan(planner),
        StatementKind::Execute(execute) => execute.plan(planner),
        StatementKind::Deallocate(deallocate) => deallocate.plan(),
        StatementKind::Transaction(transaction) => Ok(transaction.plan()),
        StatementKind::Variable(variable) => Ok(variable.plan()),
        StatementKind::Show(show) => show.plan(planner).map(Plan::Select),
        StatementKind::ShowCreate(show) => show.plan(planner).map(Plan::Select),
    }
}

/// Describes `statement`: the columns it returns and the types of its parameters, of which `params` holds those declared.
///
/// Statements that change definitions are not planned here, but for the value of a secret, which may be a parameter: whether
/// they can be done is found when they run. Errors: as [`plan`], and 42P18 for a parameter whose type cannot be inferred.
pub fn describe(
    statement: &Statement,
    context: &PlanContext,
    catalog: &dyn CatalogView,
    params: &mut Params,
) -> Result<Description, Error> {
    use StatementKind as Kind;
    let desc = match statement.kind.as_ref() {
        Kind::Select(_)
        | Kind::Subscribe(_)
        | Kind::Explain(_)
        | Kind::Insert(_)
        | Kind::Update(_)
        | Kind::Delete(_)
        | Kind::Truncate(_)
        | Kind::Copy(_)
        | Kind::Show(_)
        | Kind::ShowCreate(_)
        | Kind::Variable(_) => result_desc(&plan(statement, context, catalog, params)?),
        Kind::CreateSecret(create) => with_stack_for(statement.depth, || {
            create.contents.plan(&mut Planner { context, catalog, params }).map(|_| None)
        })?,
        Kind::AlterSecret(alter) => with_stack_for(statement.depth, || {
            create_secret::plan_value(&mut Planner { context, catalog, params }, &alter.value).map(|_| None)
        })?,
        Kind::AlterTable(_)
        | Kind::AlterCluster(_)
        | Kind::Rename(_)
        | Kind::CreateDatabase(_)
        | Kind::CreateSchema(_)
        | Kind::CreateTable(_)
        | Kind::CreateType(_)
        | Kind::CreateView(_)
        | Kind::CreateIndex(_)
        | Kind::CreateSource(_)
        | Kind::CreateCluster(_)
        | Kind::CreateReplica(_)
        | Kind::Drop(_)
        | Kind::Declare(_)
        | Kind::Fetch(_)
        | Kind::Close(_)
        | Kind::Prepare(_)
        | Kind::Execute(_)
        | Kind::Deallocate(_)
        | Kind::Transaction(_) => None,
    };
    let params = params.types.iter().enumerate().map(|(index, typ)| {
        let message = || format!("could not determine data type of parameter ${}", index + 1);
        typ.clone().ok_or_else(|| Error::new("42P18", message()))
    });
    Ok(Description { desc, params: params.collect::<Result<_, _>>()? })
}

/// The columns that the result of a plan has; None if it has none.
fn result_desc(plan: &Plan) -> Option<RelationDesc> {
    let text = |names: &[&str]| {
        let columns = names.iter().map(|name| (name.to_string(), ScalarType::Text.not_null()));
        Some(RelationDesc::new(columns))
    };
    match plan {
        Plan::Select(select) => Some(select.desc.clone()),
        Plan::Subscribe(subscribe) => Some(subscribe.output_desc()),
        Plan::Explain(explain) => text(&[explain.stage.column_name()]),
        Plan::Insert(insert) => insert.returning.as_ref().map(|returning| returning.desc.clone()),
        Plan::ReadThenWrite(write) => write.returning.as_ref().map(|returning| returning.desc.clone()),
        Plan::ShowVariable { name } => text(&[name]),
        Plan::ShowAllVariables => text(&["name", "setting", "description"]),
        _ => None,
    }
}
