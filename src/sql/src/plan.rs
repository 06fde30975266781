//! What a statement asks for, names resolved and types checked.

use std::collections::BTreeSet;

use expr::{ColumnOrder, Relation, Scalar};
use protocol::source::SourceConnection;
use repr::interval::IntervalStyle;
use repr::{ClusterId, CollectionId, ColumnType, NumericSpec, RelationDesc, ReplicaId, Row, ScalarType, Timestamp};
use stdx::Redacted;

use crate::catalog_view::{ClusterSize, Cutover, FullName, SecretVersion};
use crate::statement::Statement;

/// The plan of one statement.
#[derive(Clone, Debug)]
pub enum Plan {
    Select(SelectPlan),
    Subscribe(SubscribePlan),
    Explain(ExplainPlan),
    Insert(InsertPlan),
    /// UPDATE, DELETE and INSERT that reads.
    ReadThenWrite(ReadThenWritePlan),
    /// One for each table, all of which are emptied at once.
    Truncate(Vec<ReadThenWritePlan>),
    CopyFrom(CopyFromPlan),
    CopyTo(CopyToPlan),

    AddColumns(AddColumnsPlan),
    Rename(RenamePlan),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    CreateSchema {
        database: String,
        name: String,
        if_not_exists: bool,
    },
    CreateTable(CreateTablePlan),
    CreateType(CreateTypePlan),
    CreateView(CreateViewPlan),
    CreateMaterializedView(CreateMaterializedViewPlan),
    CreateIndex(CreateIndexPlan),
    CreateSource(CreateSourcePlan),
    CreateSecret(CreateSecretPlan),
    AlterSecret(AlterSecretPlan),
    CreateCluster(CreateClusterPlan),
    AlterCluster(AlterClusterPlan),
    CreateReplica {
        cluster: ClusterId,
        name: String,
        size: String,
        if_not_exists: bool,
    },
    Drop(DropPlan),

    SetVariable {
        name: String,
        values: Vec<String>,
        local: bool,
    },
    ResetVariable {
        /// RESET, or SET for `SET ... TO DEFAULT`.
        tag: &'static str,
        name: String,
    },
    ResetAll,
    ShowVariable {
        name: String,
    },
    ShowAllVariables,
    /// DISCARD ALL and DISCARD TEMP.
    Discard {
        all: bool,
    },

    Begin {
        /// As it was spelt: BEGIN or START TRANSACTION.
        tag: &'static str,
        modes: Vec<TransactionMode>,
    },
    SetTransaction {
        modes: Vec<TransactionMode>,
        session: bool,
    },
    Commit,
    Rollback,

    /// The statement is planned when it is executed, against the catalog of that moment.
    Prepare {
        name: String,
        types: Vec<Option<ScalarType>>,
        statement: Box<Statement>,
    },
    Execute {
        name: String,
        params: Vec<Scalar>,
    },
    /// None: all.
    Deallocate {
        name: Option<String>,
    },
    Declare {
        name: String,
        statement: Box<Statement>,
    },
    Fetch {
        cursor: String,
        count: FetchCount,
        timeout_ms: Option<u64>,
    },
    Close {
        cursor: Option<String>,
    },

    /// `CREATE ... IF NOT EXISTS` of something that exists, `DROP ... IF EXISTS` of nothing: done, with a notice.
    NoOp {
        tag: &'static str,
        notice: Option<Notice>,
    },
}

/// What a user is told of a statement that did less than it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// SQLSTATE.
    pub code: &'static str,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionMode {
    ReadOnly,
    ReadWrite,
    /// Lower case, such as `strict serializable`.
    Isolation(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchCount {
    Rows(u64),
    All,
}

/// At which time a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    Immediately,
    At(Timestamp),
    AtLeast(Timestamp),
}

/// What is done to a result's rows after they are computed: sort by columns of the relation, cut, then keep `project`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Finishing {
    pub order_by: Vec<ColumnOrder>,
    pub limit: Option<u64>,
    pub offset: u64,
    pub project: Vec<usize>,
}

#[derive(Clone, Debug)]
pub struct SelectPlan {
    /// Before optimization. May read views (by Get) and call stable functions.
    pub relation: Relation,
    pub finishing: Finishing,
    /// Columns after `finishing.project`.
    pub desc: RelationDesc,
    pub when: When,
}

#[derive(Clone, Debug)]
pub struct SubscribePlan {
    pub relation: Relation,
    pub desc: RelationDesc,
    pub with_snapshot: bool,
    pub progress: bool,
    pub when: When,
    pub up_to: Option<Timestamp>,
}

impl SubscribePlan {
    /// The columns a client sees: the time, whether it is only progress, the multiplicity, then the relation's. Rows that
    /// only tell progress have NULL in all but the first two.
    pub fn output_desc(&self) -> RelationDesc {
        let time = ScalarType::Numeric(Some(NumericSpec { precision: 39, scale: 0 }));
        let mut columns = vec![("mz_timestamp".to_owned(), time.not_null())];
        if self.progress {
            columns.push(("mz_progressed".to_owned(), ScalarType::Bool.not_null()));
        }
        let diff = ColumnType { scalar: ScalarType::Int8, nullable: self.progress };
        columns.push(("mz_diff".to_owned(), diff));
        for (name, typ) in self.desc.iter() {
            let nullable = typ.nullable || self.progress;
            columns.push((name.to_owned(), ColumnType { scalar: typ.scalar.clone(), nullable }));
        }
        RelationDesc::new(columns)
    }
}

#[derive(Clone, Debug)]
pub struct ExplainPlan {
    pub stage: ExplainStage,
    pub options: ExplainOptions,
    pub format: ExplainFormat,
    pub select: SelectPlan,
    /// The text of the raw plan, if that is what is asked for.
    pub raw: String,
    /// Names for what is explained: of an index or a materialized view, when the plan of one is shown.
    pub subject: Option<CollectionId>,
}

/// What is printed beside the nodes of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainOptions {
    pub arity: bool,
    pub types: bool,
    pub keys: bool,
    /// Columns with their names.
    pub humanized: bool,
    /// The numbers by which introspection names nodes.
    pub node_identifiers: bool,
    /// How many rows the nodes of a physical plan yield at most, and how much memory they keep.
    pub cardinality: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainFormat {
    #[default]
    Text,
    Json,
    Dot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainStage {
    /// As planned, with subqueries in place.
    Raw,
    /// As planned, decorrelated.
    Decorrelated,
    Optimized,
    Physical,
    /// The plan after each pass of the optimizer that changed it.
    Trace,
    /// Where and when the query would read.
    Timestamp,
}

impl ExplainStage {
    /// The name of the one column of text that is returned.
    pub fn column_name(self) -> &'static str {
        match self {
            ExplainStage::Raw => "Raw Plan",
            ExplainStage::Decorrelated => "Decorrelated Plan",
            ExplainStage::Optimized => "Optimized Plan",
            ExplainStage::Physical => "Physical Plan",
            ExplainStage::Trace => "Optimizer Trace",
            ExplainStage::Timestamp => "Timestamp",
        }
    }
}

/// ALTER TABLE … ADD COLUMN.
#[derive(Clone, Debug)]
pub struct AddColumnsPlan {
    pub table: CollectionId,
    /// Makes the table as it will be.
    pub create_sql: String,
    /// All columns that the table will have, and their defaults.
    pub desc: RelationDesc,
    pub defaults: Vec<Option<Scalar>>,
    /// For each new column, a packed datum: what rows have that are in the table already.
    pub added: Vec<Row>,
    pub notices: Vec<Notice>,
}

/// ALTER … RENAME TO and SWAP WITH: objects and their names to be, given to all at once.
#[derive(Clone, Debug)]
pub struct RenamePlan {
    /// Such as `ALTER TABLE`.
    pub tag: &'static str,
    pub renamed: Vec<(Renamed, String)>,
}

/// What gets a new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renamed {
    Database(String),
    Schema {
        database: String,
        name: String,
    },
    Item(CollectionId),
    /// A table's column, by its name.
    Column(CollectionId, String),
    Cluster(ClusterId),
    Replica(ClusterId, ReplicaId),
}

/// INSERT of rows that need no read.
#[derive(Clone, Debug)]
pub struct InsertPlan {
    pub table: CollectionId,
    /// Yields the rows with all columns of the table, in order, already cast. Constant but for stable functions.
    pub relation: Relation,
    pub returning: Option<ReturningPlan>,
}

/// Expressions over the columns of the rows that are read: INSERT's are the inserted ones.
#[derive(Clone, Debug)]
pub struct ReturningPlan {
    pub exprs: Vec<Scalar>,
    pub desc: RelationDesc,
}

#[derive(Clone, Debug)]
pub struct ReadThenWritePlan {
    pub table: CollectionId,
    pub kind: WriteKind,
    /// How many columns the table had when this was planned.
    pub arity: usize,
    /// Insert: the rows to insert. Delete and Update: the rows of the table that match, all its columns; then for Update the
    /// new row's columns; then what `returning` needs.
    pub relation: Relation,
    pub returning: Option<ReturningPlan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Insert,
    Update,
    Delete,
    /// TRUNCATE.
    Truncate,
}

#[derive(Clone, Debug)]
pub struct CopyFromPlan {
    pub table: CollectionId,
    /// For each column of the input its index in the table.
    pub columns: Vec<usize>,
    pub options: CopyOptions,
}

#[derive(Clone, Debug)]
pub struct CopyToPlan {
    pub source: CopyToSource,
    pub options: CopyOptions,
}

#[derive(Clone, Debug)]
pub enum CopyToSource {
    Select(SelectPlan),
    Subscribe(SubscribePlan),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

#[derive(Clone, Debug)]
pub struct CreateTablePlan {
    pub name: FullName,
    pub if_not_exists: bool,
    pub create_sql: String,
    pub desc: RelationDesc,
    pub defaults: Vec<Option<Scalar>>,
    /// `CREATE TABLE ... FROM SOURCE s (REFERENCE r)`.
    pub source: Option<crate::catalog_view::SourceReference>,
    /// Users' types that its definition names.
    pub types: BTreeSet<CollectionId>,
}

#[derive(Clone, Debug)]
pub struct CreateTypePlan {
    pub name: FullName,
    pub create_sql: String,
    /// An enumeration gets its oid when it is made.
    pub typ: ScalarType,
    /// Users' types that its definition names.
    pub types: BTreeSet<CollectionId>,
}

#[derive(Clone, Debug)]
pub struct CreateViewPlan {
    pub name: FullName,
    pub if_not_exists: bool,
    /// The view to drop first (OR REPLACE); it has no dependents.
    pub replace: Option<CollectionId>,
    pub create_sql: String,
    pub desc: RelationDesc,
    pub relation: Relation,
    /// Users' types that its definition names.
    pub types: BTreeSet<CollectionId>,
}

#[derive(Clone, Debug)]
pub struct CreateMaterializedViewPlan {
    pub name: FullName,
    pub if_not_exists: bool,
    pub replace: Option<CollectionId>,
    pub create_sql: String,
    pub desc: RelationDesc,
    pub relation: Relation,
    pub cluster: ClusterId,
    /// Users' types that its definition names.
    pub types: BTreeSet<CollectionId>,
}

#[derive(Clone, Debug)]
pub struct CreateIndexPlan {
    pub name: FullName,
    pub if_not_exists: bool,
    pub create_sql: String,
    pub on: CollectionId,
    /// Over the columns of `on`.
    pub keys: Vec<Scalar>,
    pub cluster: ClusterId,
    /// Users' types that its keys name.
    pub types: BTreeSet<CollectionId>,
}

#[derive(Clone, Debug)]
pub struct CreateSourcePlan {
    pub name: FullName,
    pub if_not_exists: bool,
    pub create_sql: String,
    /// Of the progress relation.
    pub desc: RelationDesc,
    pub connection: SourceConnection,
    pub cluster: ClusterId,
    /// FOR ALL TABLES: a table for each upstream relation, made with the source; their `source.source` is a placeholder
    /// ([`CollectionId::Transient`] 0) that the catalog replaces by the new source's id.
    pub tables: Vec<CreateTablePlan>,
}

#[derive(Clone, Debug)]
pub struct CreateSecretPlan {
    pub name: FullName,
    pub contents: SecretContents,
}

#[derive(Clone, Debug)]
pub enum SecretContents {
    /// What is to be stored: a constant once the functions of the session are called.
    Value(Redacted<Scalar>),
    /// It is in the store.
    Stored(SecretVersion),
}

#[derive(Clone, Debug)]
pub struct AlterSecretPlan {
    pub id: CollectionId,
    pub name: FullName,
    pub value: Redacted<Scalar>,
}

#[derive(Clone, Debug)]
pub struct CreateClusterPlan {
    pub name: String,
    pub if_not_exists: bool,
    /// Managed: size and replication factor. Unmanaged: the named replicas.
    pub size: Option<String>,
    pub replication_factor: u32,
    pub replicas: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct AlterClusterPlan {
    pub cluster: ClusterId,
    /// None: its replicas are made and dropped one by one from now on.
    pub to: Option<ClusterSize>,
    /// None: the statement is done as soon as it is known what is to be.
    pub wait: Option<ClusterWait>,
}

/// For how long replicas that come and replicas that go run beside each other while the statement waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterWait {
    pub limit_ms: u64,
    pub cutover: Cutover,
}

/// Everything a DROP removes, dependents first (CASCADE included).
#[derive(Clone, Debug, Default)]
pub struct DropPlan {
    /// Such as `DROP TABLE`.
    pub tag: &'static str,
    pub items: Vec<CollectionId>,
    pub schemas: Vec<(String, String)>,
    pub databases: Vec<String>,
    pub clusters: Vec<ClusterId>,
    pub replicas: Vec<(ClusterId, ReplicaId)>,
    pub notices: Vec<Notice>,
}

/// What planning needs of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanContext {
    pub database: String,
    /// Schemas tried for unqualified names, after the built-in `mz_catalog`, `pg_catalog`, (`mz_internal` and
    /// `mz_introspection` only when named).
    pub search_path: Vec<String>,
    /// Where the session's temporary objects are, whether it has any yet or not; None: there cannot be any.
    pub temporary_schema: Option<String>,
    pub cluster: String,
    pub user: String,
    /// How the literals of one-off statements are read; those of definitions are read alike in every session.
    pub interval_style: IntervalStyle,
}

/// Parameters `$1`, `$2`, ... of a statement.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// Declared or inferred types. Planning fills in what it infers.
    pub types: Vec<Option<ScalarType>>,
    /// Bound values, one literal for each type; None while the statement is only described (then parameters plan as NULLs).
    pub values: Option<Vec<Scalar>>,
}
