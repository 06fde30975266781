//! `ALTER TABLE [IF EXISTS] name ADD [COLUMN] [IF NOT EXISTS] column type [DEFAULT constant] [NOT NULL], ...`.
//!
//! Rows that are there already get the default, which must therefore be known when the column is added. Whatever was defined
//! before goes on seeing the columns that there were then.

use expr::Scalar;
use repr::{ColumnType, Datum, RelationDesc, Row};
use sqlparser::ast::ObjectName;

use super::create_table::{COLUMNS_MAX, Column, parse_column};
use super::{Planner, StatementKind};
use crate::catalog_view::{Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::{self, Cursor};
use crate::plan::{AddColumnsPlan, Notice, Plan};
use crate::query::from_eval;

const TAG: &str = "ALTER TABLE";

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub name: ObjectName,
    pub if_exists: bool,
    pub add: Vec<AddColumn>,
}

#[derive(Clone, Debug)]
pub struct AddColumn {
    pub column: Column,
    pub if_not_exists: bool,
}

impl AlterTable {
    /// Reads what follows the name.
    pub(crate) fn parse(cursor: &mut Cursor<'_>, name: ObjectName, if_exists: bool) -> Result<AlterTable, Error> {
        let add = cursor.comma_separated(AddColumn::parse)?;
        Ok(AlterTable { name, if_exists, add })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let item = match names::resolve_item(planner.context, planner.catalog, &self.name) {
            Err(error) if self.if_exists && error.code == "42P01" => {
                let message = format!("{}, skipping", error.message);
                return Ok(Plan::NoOp { tag: TAG, notice: Some(Notice { code: "00000", message }) });
            }
            other => other?,
        };
        let (desc, defaults) = self.target(&item)?;
        let mut adding = Adding { item: &item, columns: desc.iter().map(owned).collect(), plan: Vec::new() };
        let (mut notices, mut written, mut all_defaults) = (Vec::new(), Vec::new(), defaults.to_vec());
        for add in &self.add {
            match adding.add(planner, add)? {
                Added::Column(default) => {
                    all_defaults.push(default);
                    written.push(add.column.clone());
                }
                Added::Nothing(notice) => notices.push(notice),
            }
        }
        let Adding { columns, plan: added, .. } = adding;
        if added.is_empty() {
            return Ok(Plan::NoOp { tag: TAG, notice: notices.pop() });
        }
        if columns.len() > COLUMNS_MAX {
            return Err(Error::new("54011", format!("tables can have at most {COLUMNS_MAX} columns")));
        }
        let desc = RelationDesc::new(columns);
        let create_sql = create_sql(planner, &item, written, &desc)?;
        Ok(Plan::AddColumns(AddColumnsPlan {
            table: item.id,
            create_sql,
            desc,
            defaults: all_defaults,
            added,
            notices,
        }))
    }

    /// The columns of the table and their defaults. Errors: 42809 if it is none that users write, 42501 for a system relation.
    fn target<'a>(&self, item: &'a Item) -> Result<(&'a RelationDesc, &'a [Option<Scalar>]), Error> {
        let shown = in_quotes(&item.name.item);
        let error = match &item.definition {
            ItemDefinition::Table { desc, source: None, .. } if desc.arity() == 0 => {
                Error::unsupported("ADD COLUMN to a table without columns").with_hint("Drop it and create another.")
            }
            ItemDefinition::Table { desc, defaults, source: None, .. } => return Ok((desc, defaults)),
            ItemDefinition::Table { .. } => {
                Error::new("42809", format!("cannot add a column to table {shown}: a source fills it"))
            }
            ItemDefinition::Builtin { .. } => {
                Error::new("42501", format!("permission denied: {shown} is a system relation"))
            }
            _ => Error::new("42809", format!("ALTER action ADD COLUMN cannot be performed on relation {shown}"))
                .with_detail(format!("This operation is not supported for {}.", plural(item.kind()))),
        };
        Err(error.at_node(&self.name))
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('x') {
        Some(stem) => format!("{stem}xes"),
        None => format!("{kind}s"),
    }
}

fn owned((name, typ): (&str, &ColumnType)) -> (String, ColumnType) {
    (name.to_owned(), typ.clone())
}

impl AddColumn {
    fn parse(cursor: &mut Cursor<'_>) -> Result<AddColumn, Error> {
        if !cursor.take(&["add"]) {
            let actions = ["rename", "drop", "alter", "set", "reset", "owner", "enable", "disable", "replica"];
            return Err(match actions.iter().find(|word| cursor.peek_words(&[word])) {
                Some(word) => cursor.unsupported(&format!("{TAG} ... {}", word.to_uppercase())),
                None => cursor.expected("ADD COLUMN"),
            });
        }
        cursor.take(&["column"]);
        let if_not_exists = cursor.if_not_exists();
        Ok(AddColumn { column: parse_column(cursor)?, if_not_exists })
    }
}

/// A table that is getting more columns.
struct Adding<'a> {
    item: &'a Item,
    columns: Vec<(String, ColumnType)>,
    /// What rows that are there already have in each of the new columns.
    plan: Vec<Row>,
}

enum Added {
    /// With the default of rows to come.
    Column(Option<Scalar>),
    Nothing(Notice),
}

impl Adding<'_> {
    fn add(&mut self, planner: &Planner<'_>, add: &AddColumn) -> Result<Added, Error> {
        let AddColumn { column, if_not_exists } = add;
        let name = names::check_identifier(&column.name)?;
        let table = in_quotes(&self.item.name.item);
        if self.columns.iter().any(|(other, _)| *other == name) {
            let message = format!("column {} of relation {table} already exists", in_quotes(&name));
            if *if_not_exists {
                return Ok(Added::Nothing(Notice { code: "42701", message: format!("{message}, skipping") }));
            }
            return Err(Error::new("42701", message).at_ident(&column.name));
        }
        let scalar =
            names::resolve_type(planner.names(), &column.typ).map_err(|error| error.at(column.typ_position))?;
        let typ = ColumnType { scalar, nullable: !column.not_null };
        let desc = RelationDesc::new([(name.clone(), typ.clone())]);
        let default = column.plan_default(planner, &desc, 0)?;
        let value = match &default {
            None => Row::pack_one(Datum::Null),
            Some(default) => constant(default.clone()).map_err(|error| match &column.default {
                Some(expr) => error.at_node(expr),
                None => error,
            })?,
        };
        if column.not_null && value == Row::pack_one(Datum::Null) {
            return Err(Error::unsupported(format!("ADD COLUMN {} NOT NULL without a DEFAULT", in_quotes(&name)))
                .with_hint("Rows that are in the table already would have NULL there.")
                .at_ident(&column.name));
        }
        self.columns.push((name, typ));
        self.plan.push(value);
        Ok(Added::Column(default))
    }
}

/// The value of an expression that has one for all rows.
fn constant(mut scalar: Scalar) -> Result<Row, Error> {
    scalar.reduce(&[]);
    match scalar.as_literal() {
        Some(Ok(datum)) => Ok(Row::pack_one(datum)),
        Some(Err(error)) => Err(from_eval(error)),
        None => Err(Error::unsupported("ADD COLUMN with a DEFAULT that is not a constant")
            .with_hint("Rows that are in the table already need a value at once.")),
    }
}

/// The statement that makes the table as it will be.
fn create_sql(planner: &Planner<'_>, item: &Item, added: Vec<Column>, desc: &RelationDesc) -> Result<String, Error> {
    let statements = parse::parse(&item.create_sql)?;
    match statements.first().map(|statement| statement.kind.as_ref()) {
        Some(StatementKind::CreateTable(create)) => {
            let mut create = create.clone();
            create.columns.extend(added);
            let (text, types) = create.normalized(planner, &item.name, desc)?;
            if !types.iter().all(|id| item.depends_on.contains(id)) {
                return Err(Error::unsupported(
                    "ADD COLUMN of a type that a user made, unless the table names it already",
                ));
            }
            Ok(text)
        }
        _ => Err(Error::new("XX000", format!("{} was not made by CREATE TABLE", item.name))),
    }
}
