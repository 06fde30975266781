//! `EXPLAIN [stage PLAN [WITH (...)] [AS TEXT | JSON | DOT] FOR] explainee`, `EXPLAIN OPTIMIZER TRACE … FOR`, `EXPLAIN TIMESTAMP FOR`.

use std::sync::Arc;

use expr::{Id, Relation};
use repr::RelationDesc;
use sqlparser::ast::ObjectName;
use sqlparser::tokenizer::Token;

use super::delete::Delete;
use super::insert::Insert;
use super::select::Select;
use super::update::Update;
use super::{Planner, StatementKind};
use crate::catalog_view::{Item, ItemDefinition};
use crate::error::Error;
use crate::names::{self, in_quotes};
use crate::parse::Cursor;
use crate::plan::{ExplainFormat, ExplainOptions, ExplainPlan, ExplainStage, Finishing, Plan, SelectPlan, When};
use crate::query::Lifetime;

/// Words that may stand in WITH. Those that [`parse_options`] does not look at change nothing: what they would add is always
/// shown, or there is nothing to add.
const MODIFIERS: [&str; 12] = [
    "arity",
    "types",
    "keys",
    "non negative",
    "cardinality",
    "column names",
    "join implementations",
    "filter pushdown",
    "humanized expressions",
    "linear chains",
    "node identifiers",
    "no notices",
];

#[derive(Clone, Debug)]
pub struct Explain {
    pub stage: ExplainStage,
    pub options: ExplainOptions,
    pub format: ExplainFormat,
    pub explainee: Explainee,
}

#[derive(Clone, Debug)]
pub enum Explainee {
    Select(Select),
    /// INSERT, UPDATE, DELETE: what they read.
    Write(Arc<StatementKind>),
    View(ObjectName),
    MaterializedView(ObjectName),
    Index(ObjectName),
}

impl Explain {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Explain, Error> {
        cursor.expect(&["explain"])?;
        let refused = [
            "locally optimized plan",
            "analyze",
            "filter pushdown",
            "key schema",
            "value schema",
            "plan insights",
            "verbose",
        ];
        if let Some(form) = refused.iter().find(|form| cursor.peek_words(&form.split(' ').collect::<Vec<_>>())) {
            return Err(cursor.unsupported(&format!("EXPLAIN {}", form.to_uppercase())));
        }
        if cursor.take(&["timestamp"]) {
            let format = parse_format(cursor)?;
            cursor.expect(&["for"])?;
            return Ok(Explain {
                stage: ExplainStage::Timestamp,
                options: ExplainOptions::default(),
                format,
                explainee: Explainee::Select(Select::parse(cursor)?),
            });
        }
        let stages: [(&[&str], ExplainStage); 6] = [
            (&["raw", "plan"], ExplainStage::Raw),
            (&["optimizer", "trace"], ExplainStage::Trace),
            (&["decorrelated", "plan"], ExplainStage::Decorrelated),
            (&["optimized", "plan"], ExplainStage::Optimized),
            (&["physical", "plan"], ExplainStage::Physical),
            (&["plan"], ExplainStage::Physical),
        ];
        let stage = stages.iter().find(|(words, _)| cursor.take(words)).map(|(_, stage)| *stage);
        let (mut options, mut format) = (ExplainOptions::default(), ExplainFormat::Text);
        if stage.is_some() || ["text", "json", "dot"].iter().any(|format| cursor.peek_words(&["as", format])) {
            options = parse_options(cursor)?;
            if stage == Some(ExplainStage::Raw) && options != ExplainOptions::default() {
                return Err(cursor.unsupported("EXPLAIN RAW PLAN with types, keys, names or numbers of its nodes"));
            }
            format = parse_format(cursor)?;
            cursor.expect(&["for"])?;
        } else if *cursor.peek() == Token::LParen && !parenthesized_query(cursor) {
            return Err(cursor.unsupported("EXPLAIN with options in parentheses"));
        }
        let stage = stage.unwrap_or(ExplainStage::Physical);
        Ok(Explain { stage, options, format, explainee: Explainee::parse(cursor)? })
    }

    pub(crate) fn plan(&self, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        let (select, subject) = match &self.explainee {
            Explainee::Select(select) => (select.plan(planner)?, None),
            Explainee::Write(statement) => (read_part(planner, statement)?, None),
            Explainee::View(name) => {
                let item = item_of_kind(planner, name, "view")?;
                (plan_of_item(planner, &item), None)
            }
            Explainee::MaterializedView(name) => {
                let item = item_of_kind(planner, name, "materialized view")?;
                (plan_of_item(planner, &item), Some(item.id))
            }
            Explainee::Index(name) => {
                let item = item_of_kind(planner, name, "index")?;
                (plan_of_item(planner, &item), Some(item.id))
            }
        };
        let Explain { stage, options, format, explainee } = self;
        let raw = match stage {
            ExplainStage::Raw => explainee.raw(planner)?,
            _ => String::new(),
        };
        Ok(Plan::Explain(ExplainPlan { stage: *stage, options: *options, format: *format, select, raw, subject }))
    }
}

impl Explainee {
    /// The text of the plan before it is decorrelated. Errors: 0A000 for what is not a query.
    fn raw(&self, planner: &mut Planner<'_>) -> Result<String, Error> {
        let (name, kind) = match self {
            Explainee::Select(select) => return planner.explain_raw(&select.query, Lifetime::OneShot),
            Explainee::View(name) => (name, "view"),
            Explainee::MaterializedView(name) => (name, "materialized view"),
            Explainee::Write(_) | Explainee::Index(_) => {
                return Err(Error::unsupported("EXPLAIN RAW PLAN of anything but a query or a view"));
            }
        };
        let item = item_of_kind(planner, name, kind)?;
        match crate::parse(&item.create_sql)?.first().map(|statement| statement.kind.as_ref()) {
            Some(StatementKind::CreateView(view)) => planner.explain_raw(&view.query, Lifetime::View),
            _ => Err(Error::new("XX000", "a view's definition does not create a view")),
        }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Explainee, Error> {
        if cursor.take(&["materialized", "view"]) {
            return cursor.name().map(Explainee::MaterializedView);
        }
        if cursor.take(&["view"]) {
            return cursor.name().map(Explainee::View);
        }
        if cursor.take(&["index"]) {
            return cursor.name().map(Explainee::Index);
        }
        if cursor.peek_words(&["insert"]) {
            return Insert::parse(cursor).map(|insert| Explainee::Write(Arc::new(StatementKind::Insert(insert))));
        }
        if cursor.peek_words(&["update"]) {
            return Update::parse(cursor).map(|update| Explainee::Write(Arc::new(StatementKind::Update(update))));
        }
        if cursor.peek_words(&["delete"]) {
            return Delete::parse(cursor).map(|delete| Explainee::Write(Arc::new(StatementKind::Delete(delete))));
        }
        for word in ["create", "subscribe", "replan", "copy", "declare", "execute"] {
            if cursor.peek_words(&[word]) {
                return Err(cursor.unsupported(&format!("EXPLAIN of {}", word.to_uppercase())));
            }
        }
        Select::parse(cursor).map(Explainee::Select)
    }
}

fn parenthesized_query(cursor: &Cursor<'_>) -> bool {
    match cursor.peek_nth(1) {
        Token::LParen => true,
        Token::Word(word) => ["select", "with", "values"].iter().any(|start| word.value.eq_ignore_ascii_case(start)),
        _ => false,
    }
}

fn parse_options(cursor: &mut Cursor<'_>) -> Result<ExplainOptions, Error> {
    let mut options = ExplainOptions::default();
    if cursor.take(&["with"]) {
        let refused = ["redacted", "timing", "raw syntax", "raw plans", "no fast path"];
        for option in cursor.option_list(&MODIFIERS, &refused)? {
            let flag = option.flag()?;
            match option.name {
                "arity" => options.arity = flag,
                "types" => options.types = flag,
                "keys" => options.keys = flag,
                "humanized expressions" | "column names" => options.humanized = flag,
                "node identifiers" => options.node_identifiers = flag,
                "cardinality" => options.cardinality = flag,
                _ => {}
            }
        }
    }
    Ok(options)
}

fn parse_format(cursor: &mut Cursor<'_>) -> Result<ExplainFormat, Error> {
    if !cursor.take(&["as"]) {
        return Ok(ExplainFormat::Text);
    }
    let formats = [("text", ExplainFormat::Text), ("json", ExplainFormat::Json), ("dot", ExplainFormat::Dot)];
    match formats.iter().find(|(word, _)| cursor.take(&[word])) {
        Some((_, format)) => Ok(*format),
        None => Err(match cursor.peek() {
            Token::Word(word) => {
                Error::unsupported(format!("EXPLAIN AS {}", word.value.to_uppercase())).at(cursor.position())
            }
            _ => cursor.expected("TEXT, JSON or DOT"),
        }),
    }
}

fn item_of_kind(planner: &Planner<'_>, name: &ObjectName, kind: &str) -> Result<Arc<Item>, Error> {
    let code = if kind == "index" { "42704" } else { "42P01" };
    let item = names::resolve_or_none(planner.context, planner.catalog, name)?
        .ok_or_else(|| names::unknown(planner.context, planner.catalog, name, kind, code))?;
    if item.kind() != kind {
        let message = format!("{} is a {}, not a {kind}", in_quotes(&item.name.item), item.kind());
        return Err(Error::new("42809", message).at_node(name));
    }
    Ok(item)
}

/// What a statement that writes reads first.
fn read_part(planner: &mut Planner<'_>, statement: &StatementKind) -> Result<SelectPlan, Error> {
    let plan = match statement {
        StatementKind::Insert(insert) => insert.plan(planner)?,
        StatementKind::Update(update) => update.plan(planner)?,
        StatementKind::Delete(delete) => delete.plan(planner)?,
        _ => unreachable!("no other statement is read as a write"),
    };
    let relation = match plan {
        Plan::Insert(insert) => insert.relation,
        Plan::ReadThenWrite(write) => write.relation,
        _ => unreachable!("these statements have no other plans"),
    };
    let columns = relation.typ().columns;
    let finishing = Finishing { project: (0..columns.len()).collect(), ..Finishing::default() };
    let desc = RelationDesc::new(columns.into_iter().map(|column| ("?column?".to_owned(), column)));
    Ok(SelectPlan { relation, finishing, desc, when: When::Immediately })
}

/// What is computed for an item: a view's query; for an index, reading what it is on.
fn plan_of_item(planner: &Planner<'_>, item: &Item) -> SelectPlan {
    let (relation, desc) = match &item.definition {
        ItemDefinition::View { desc, relation } | ItemDefinition::MaterializedView { desc, relation, .. } => {
            (relation.clone(), desc.clone())
        }
        ItemDefinition::Index { on, .. } => {
            let desc = planner.catalog.item_by_id(*on).and_then(|on| on.desc().cloned()).unwrap_or_default();
            (Relation::Get { id: Id::Global(*on), typ: desc.typ.clone() }, desc)
        }
        ItemDefinition::Type { .. } | ItemDefinition::Secret { .. } => {
            unreachable!("{} cannot be explained", item.kind())
        }
        ItemDefinition::Table { desc, .. } | ItemDefinition::Source { desc, .. } | ItemDefinition::Builtin { desc } => {
            (Relation::Get { id: Id::Global(item.id), typ: desc.typ.clone() }, desc.clone())
        }
    };
    let finishing = Finishing { project: (0..desc.arity()).collect(), ..Finishing::default() };
    SelectPlan { relation, finishing, desc, when: When::Immediately }
}
