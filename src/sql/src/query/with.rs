//! WITH: common table expressions, WITH RECURSIVE and WITH MUTUALLY RECURSIVE.
//!
//! A recursion is kept up to date as a fixpoint: the names are what they are once another round changes nothing. What WITH
//! RECURSIVE of the SQL standard computes, by giving each round only the rows of the one before, is that fixpoint if the
//! recursive term works row by row (with UNION: also if it only makes rows distinct). Terms that do not are refused.

use std::ops::ControlFlow;

use expr::LocalId;
use expr::relation::RecursionLimit;
use repr::{ColumnType, ScalarType};
use sqlparser::ast::{
    Cte as AstCte, Expr, Ident, Query, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, Value, Visit,
    Visitor, With,
};

use super::coerce::{Planned, no_common_type};
use super::set::renamed;
use super::types::shown;
use super::{Cte, CteBody, QueryContext, scope, types};
use crate::error::Error;
use crate::hir::{HirBinding, HirRelation, HirScalar, JoinKind};
use crate::names::{self, Names, fold};
use crate::parse::MUTUALLY_RECURSIVE;
use crate::position;
use crate::stack::with_stack;

/// Rounds of a recursion whose query sets no limit: one without an end must not go on for ever.
const ROUNDS_MAX: u64 = 10_000;

/// What is bound around a query.
pub(super) enum Bound {
    Plain(LocalId, HirRelation),
    Recursive(Vec<HirBinding>, RecursionLimit),
}

impl Bound {
    pub(super) fn around(self, body: HirRelation) -> HirRelation {
        let body = Box::new(body);
        match self {
            Bound::Plain(id, value) => HirRelation::Let { id, value: Box::new(value), body },
            Bound::Recursive(bindings, limit) => HirRelation::LetRec { bindings, limit: Some(limit), body },
        }
    }
}

impl QueryContext<'_> {
    /// Makes the names of a WITH nameable. Returns what is to be bound around the query, in order.
    pub(super) fn with(&mut self, with: &With) -> Result<Vec<Bound>, Error> {
        let ctes = &with.cte_tables;
        for (place, cte) in ctes.iter().enumerate() {
            let name = fold(&cte.alias.name);
            if ctes[..place].iter().any(|other| fold(&other.alias.name) == name) {
                let message = format!("WITH query name \"{name}\" specified more than once");
                return Err(at_name(Error::new("42712", message), &cte.alias.name));
            }
        }
        match ctes.split_first() {
            Some((options, ctes)) if with.recursive && fold(&options.alias.name) == MUTUALLY_RECURSIVE => {
                let limit = recursion_limit(options)?;
                Ok(vec![self.mutually_recursive(ctes, limit)?])
            }
            _ => {
                let mut bound = Vec::new();
                let ordered = if with.recursive { in_order(ctes)? } else { ctes.iter().collect() };
                for cte in ordered {
                    let recursive = with.recursive && names_read(&cte.query, &fold(&cte.alias.name)) > 0;
                    bound.extend(if recursive { Some(self.recursive(cte)?) } else { self.cte(cte)? });
                }
                Ok(bound)
            }
        }
    }

    /// Plans a relation in which the names of a WITH can be used.
    pub(super) fn with_bound(
        &mut self,
        with: Option<&With>,
        plan: impl FnOnce(&mut Self) -> Result<HirRelation, Error>,
    ) -> Result<HirRelation, Error> {
        let known = self.ctes.len();
        let bound = with.map_or(Ok(Vec::new()), |with| self.with(with))?;
        let relation = plan(self)?;
        self.ctes.truncate(known);
        Ok(bound.into_iter().rev().fold(relation, |body, bound| bound.around(body)))
    }

    /// A common table expression that does not name itself.
    fn cte(&mut self, cte: &AstCte) -> Result<Option<Bound>, Error> {
        let name = fold(&cte.alias.name);
        let (relation, names, column_types) = self.query(&cte.query)?.into_relation();
        let columns = renamed(names, &cte.alias, &name)?.into_iter().zip(column_types).collect();
        if relation.free_columns().is_empty() && !relation.waits_for_aggregates() {
            let id = self.new_local();
            self.ctes.push(Cte { name, columns, body: CteBody::Bound(id) });
            return Ok(Some(Bound::Plain(id, relation)));
        }
        let body = CteBody::Inline { relation, levels: self.levels.len() };
        self.ctes.push(Cte { name, columns, body });
        Ok(None)
    }

    /// Bindings with declared columns, all of which see each other.
    fn mutually_recursive(&mut self, ctes: &[AstCte], limit: RecursionLimit) -> Result<Bound, Error> {
        let mut declared = Vec::with_capacity(ctes.len());
        for cte in ctes {
            let name = fold(&cte.alias.name);
            let columns = declared_columns(self.names(), cte)?;
            let id = self.new_local();
            self.ctes.push(Cte { name: name.clone(), columns: columns.clone(), body: CteBody::Bound(id) });
            declared.push((id, name, columns));
        }
        let mut bindings = Vec::with_capacity(ctes.len());
        for ((id, name, columns), cte) in declared.into_iter().zip(ctes) {
            let wanted: Vec<ScalarType> = columns.into_iter().map(|(_, typ)| typ).collect();
            let (relation, _, found) = self.query(&cte.query)?.into_relation();
            let unlike = || {
                let list = |types: &[ScalarType]| types.iter().map(shown).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "WITH MUTUALLY RECURSIVE query \"{name}\" declared types ({}), but query returns types ({})",
                    list(&wanted),
                    list(&found)
                );
                at_name(Error::new("42804", message), &cte.alias.name)
            };
            if found.len() != wanted.len() {
                return Err(unlike());
            }
            let value = self.as_types(relation, &found, &wanted, unlike)?;
            check_uncorrelated(&value, &name).map_err(|error| at_name(error, &cte.alias.name))?;
            let columns = wanted.into_iter().map(ScalarType::nullable).collect();
            bindings.push(HirBinding { id, value, columns });
        }
        Ok(Bound::Recursive(bindings, limit))
    }

    /// The relation with its columns cast to other types by casts that an assignment admits.
    fn as_types(
        &mut self,
        relation: HirRelation,
        from: &[ScalarType],
        to: &[ScalarType],
        unlike: impl Fn() -> Error,
    ) -> Result<HirRelation, Error> {
        let arity = to.len();
        let mut scalars = Vec::new();
        let mut outputs = Vec::with_capacity(arity);
        for (column, (from, to)) in from.iter().zip(to).enumerate() {
            if from == to {
                outputs.push(column);
                continue;
            }
            if !types::implicitly_castable(from, to) && !types::same_base(from, to) {
                return Err(unlike());
            }
            let planned = Planned::typed(HirScalar::column(column), from.clone());
            outputs.push(arity + scalars.len());
            scalars.push(self.coerce_explicit(planned, to)?);
        }
        Ok(if scalars.is_empty() { relation } else { relation.map(scalars).project(outputs) })
    }

    /// `name AS (non-recursive term UNION [ALL] recursive term)`.
    fn recursive(&mut self, cte: &AstCte) -> Result<Bound, Error> {
        let name = fold(&cte.alias.name);
        let at = |error: Error| at_name(error, &cte.alias.name);
        let (left, right, all) = recursive_terms(&cte.query, &name).map_err(at)?;
        let known = self.ctes.len();
        let inner = match &cte.query.with {
            Some(with) => self.with(with)?,
            None => Vec::new(),
        };
        let inner_names = known..self.ctes.len();
        let first = self.operand(left)?;
        let types: Vec<ScalarType> = first.types.into_iter().map(|typ| typ.unwrap_or(ScalarType::Text)).collect();
        let names = renamed(first.names, &cte.alias, &name)?;
        let columns: Vec<(String, ScalarType)> = names.into_iter().zip(types.iter().cloned()).collect();
        let id = self.new_local();
        self.ctes.push(Cte { name: name.clone(), columns, body: CteBody::Bound(id) });
        let second = self.operand(right)?;
        if second.types.len() != types.len() {
            let message = "each UNION query must have the same number of columns";
            return Err(Error::new("42601", message).at_node(right));
        }
        for (column, (first, second)) in types.iter().zip(&second.types).enumerate() {
            let known: Vec<&ScalarType> = std::iter::once(first).chain(second).collect();
            match types::common(&known) {
                Some(common) if types::same_base(&common, first) => {}
                Some(common) => {
                    let message = format!(
                        "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
                        column + 1,
                        shown(first),
                        shown(&common)
                    );
                    let hint = "Cast the output of the non-recursive term to the correct type.";
                    return Err(Error::new("42804", message).with_hint(hint).at_node(left));
                }
                None => return Err(no_common_type(&known, "UNION").at_node(right)),
            }
        }
        let second = self.cast_operand(second, &types).map_err(|error| error.at_node(right))?;
        let term = Term { name: &name, id, all };
        term.check(&second).map_err(|error| error.at_node(right))?;
        let value = first.relation.union(second);
        let value = if all { value } else { value.distinct() };
        let value = inner.into_iter().rev().fold(value, |body, bound| bound.around(body));
        self.ctes.drain(inner_names);
        check_uncorrelated(&value, &name).map_err(at)?;
        let columns: Vec<ColumnType> = types.into_iter().map(ScalarType::nullable).collect();
        let limit = RecursionLimit { iterations: ROUNDS_MAX, return_at_limit: false };
        Ok(Bound::Recursive(vec![HirBinding { id, value, columns }], limit))
    }
}

fn at_name(error: Error, name: &Ident) -> Error {
    scope::at(error, std::slice::from_ref(name))
}

/// The items of a WITH RECURSIVE, each behind those it reads. Errors: 0A000 if some read each other.
fn in_order(ctes: &[AstCte]) -> Result<Vec<&AstCte>, Error> {
    let mut ordered: Vec<&AstCte> = Vec::with_capacity(ctes.len());
    let mut waiting: Vec<&AstCte> = ctes.iter().collect();
    while let Some(first) = waiting.first() {
        let reads = |cte: &AstCte, other: &AstCte| names_read(&cte.query, &fold(&other.alias.name)) > 0;
        let ready = waiting.iter().enumerate().position(|(place, cte)| {
            waiting.iter().enumerate().all(|(other_place, other)| other_place == place || !reads(cte, other))
        });
        let Some(ready) = ready else {
            let error = Error::new("0A000", "mutual recursion between WITH items is not implemented")
                .with_hint("Use WITH MUTUALLY RECURSIVE, where each name declares its columns.");
            return Err(at_name(error, &first.alias.name));
        };
        ordered.push(waiting.remove(ready));
    }
    Ok(ordered)
}

/// Refuses a recursion that looks at enclosing rows.
fn check_uncorrelated(value: &HirRelation, name: &str) -> Result<(), Error> {
    match value.free_columns().is_empty() && !value.waits_for_aggregates() {
        true => Ok(()),
        false => Err(Error::unsupported(format!("a recursive query such as \"{name}\" that looks at an outer query"))),
    }
}

/// The columns of a binding of WITH MUTUALLY RECURSIVE. Errors: 42601 if they are not declared with types.
fn declared_columns(names: Names<'_>, cte: &AstCte) -> Result<Vec<(String, ScalarType)>, Error> {
    let missing = || {
        let message = format!("WITH MUTUALLY RECURSIVE query \"{}\" needs columns with types", fold(&cte.alias.name));
        Error::new("42601", message).with_hint("Declare them, as in name (a int, b text) AS (...).").at_node(&cte.alias)
    };
    if cte.alias.columns.is_empty() {
        return Err(missing());
    }
    let column = |column: &sqlparser::ast::TableAliasColumnDef| {
        let data_type = column.data_type.as_ref().ok_or_else(missing)?;
        let typ = names::resolve_type(names, data_type).map_err(|error| at_name(error, &column.name))?;
        Ok((fold(&column.name), typ))
    };
    cte.alias.columns.iter().map(column).collect()
}

/// The limit that the options' text asks for. Errors: 42601.
fn recursion_limit(options: &AstCte) -> Result<RecursionLimit, Error> {
    let SetExpr::Select(select) = &*options.query.body else { return Err(Error::new("42601", "options are expected")) };
    let [SelectItem::UnnamedExpr(Expr::Value(value))] = &select.projection[..] else {
        return Err(Error::new("42601", "options are expected"));
    };
    let Value::SingleQuotedString(text) = &value.value else { return Err(Error::new("42601", "options are expected")) };
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty() && *word != "=").collect();
    let wrong = |message: &str| {
        let error = Error::new("42601", message.to_owned())
            .with_hint("The option is [RETURN AT | ERROR AT] RECURSION LIMIT n, n greater than zero.");
        position::of_span(value.span).map_or(error.clone(), |position| error.at(position))
    };
    let (return_at_limit, number) = match words[..] {
        [] => return Ok(RecursionLimit { iterations: ROUNDS_MAX, return_at_limit: false }),
        ["recursion", "limit", number] | ["error", "at", "recursion", "limit", number] => (false, number),
        ["return", "at", "recursion", "limit", number] => (true, number),
        _ => return Err(wrong("syntax error in the options of WITH MUTUALLY RECURSIVE")),
    };
    match number.parse() {
        Ok(iterations) if iterations > 0 => Ok(RecursionLimit { iterations, return_at_limit }),
        _ => Err(wrong("RECURSION LIMIT must be greater than zero")),
    }
}

/// The two terms of a recursive query, and whether UNION ALL stands between them. Errors: 42P19, 0A000.
fn recursive_terms<'q>(query: &'q Query, name: &str) -> Result<(&'q SetExpr, &'q SetExpr, bool), Error> {
    let malformed = || {
        let form = "non-recursive-term UNION [ALL] recursive-term";
        Error::new("42P19", format!("recursive query \"{name}\" does not have the form {form}"))
    };
    let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } = &*query.body else {
        return Err(malformed());
    };
    let all = match set_quantifier {
        SetQuantifier::All => true,
        SetQuantifier::Distinct | SetQuantifier::None => false,
        _ => return Err(malformed()),
    };
    let mut inner = query.with.iter().flat_map(|with| &with.cte_tables);
    if inner.any(|cte| names_read(&cte.query, name) > 0) {
        let message = format!("recursive reference to query \"{name}\" must not appear within a subquery");
        return Err(Error::new("42P19", message));
    }
    let refused = [
        ("ORDER BY", query.order_by.is_some()),
        ("LIMIT", query.limit_clause.is_some() || query.fetch.is_some()),
        ("FOR UPDATE/SHARE", !query.locks.is_empty()),
    ];
    if let Some((what, _)) = refused.into_iter().find(|(_, present)| *present) {
        return Err(Error::new("0A000", format!("{what} in a recursive query is not implemented")));
    }
    if names_read(&**left, name) > 0 {
        let message = format!("recursive reference to query \"{name}\" must not appear within its non-recursive term");
        return Err(Error::new("42P19", message));
    }
    if names_read(&**right, name) > 1 {
        let message = format!("recursive reference to query \"{name}\" must not appear more than once");
        return Err(Error::new("42P19", message));
    }
    Ok((&**left, &**right, all))
}

/// How often a query reads the relation `name`.
fn names_read(node: &impl Visit, name: &str) -> usize {
    struct Reads<'n> {
        name: &'n str,
        count: usize,
    }
    impl Visitor for Reads<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: None, .. } = factor
                && let [part] = &name.0[..]
            {
                self.count += usize::from(part.as_ident().is_some_and(|ident| fold(ident) == self.name));
            }
            ControlFlow::Continue(())
        }
    }
    let mut reads = Reads { name, count: 0 };
    let _ = node.visit(&mut reads);
    reads.count
}

/// A recursive term, to be checked for what only a row by row evaluation would give.
struct Term<'n> {
    name: &'n str,
    id: LocalId,
    all: bool,
}

impl Term<'_> {
    /// True if the relation, or a subquery in it, reads the recursive name.
    fn reads(&self, relation: &HirRelation) -> bool {
        with_stack(|| {
            matches!(relation, HirRelation::GetLocal { id } if *id == self.id)
                || relation.inputs().into_iter().any(|input| self.reads(input))
                || self.subqueries_read(relation)
        })
    }

    fn subqueries_read(&self, relation: &HirRelation) -> bool {
        relation.scalars().into_iter().any(|scalar| {
            scalar.any(&mut |scalar| match scalar {
                HirScalar::Exists(relation) | HirScalar::Select(relation) => self.reads(relation),
                HirScalar::Quantified { relation, predicate, .. } => {
                    self.reads(relation)
                        || self.subqueries_read(&HirRelation::unit().filter(vec![(**predicate).clone()]))
                }
                _ => false,
            })
        })
    }

    fn wrong(&self, message: &str) -> Error {
        Error::new("42P19", message.replace("{}", &format!("recursive reference to query \"{}\"", self.name)))
    }

    fn no_fixpoint(&self, what: &str) -> Error {
        let hint = match self.all {
            true => {
                "Each round must work row by row; use UNION where duplicates do not matter, or WITH MUTUALLY RECURSIVE."
            }
            false => "WITH MUTUALLY RECURSIVE computes a fixpoint of any query.",
        };
        Error::new("0A000", format!("{what} in the recursive term of query \"{}\" is not supported", self.name))
            .with_detail("The query is kept up to date as a fixpoint, which such a term need not have.")
            .with_hint(hint)
    }

    /// Checks the way from the relation down to where the name is read.
    fn check(&self, relation: &HirRelation) -> Result<(), Error> {
        with_stack(|| self.check_node(relation))
    }

    fn check_node(&self, relation: &HirRelation) -> Result<(), Error> {
        if self.subqueries_read(relation) {
            return Err(self.wrong("{} must not appear within a subquery"));
        }
        let inputs: Vec<&HirRelation> = relation.inputs().into_iter().filter(|input| self.reads(input)).collect();
        if inputs.is_empty() {
            return Ok(());
        }
        match relation {
            HirRelation::Join { right, kind, .. } => match kind {
                JoinKind::Inner => {}
                JoinKind::Left if !self.reads(right) => {}
                _ => return Err(self.wrong("{} must not appear within an outer join")),
            },
            HirRelation::Reduce { aggregates, always, .. } if !aggregates.is_empty() || !always.is_empty() => {
                let window =
                    aggregates.iter().any(|aggregate| matches!(aggregate.func, expr::AggregateFunc::Window(_)));
                return Err(match window {
                    true => self.no_fixpoint("a window function"),
                    false => {
                        let message = "aggregate functions are not allowed in a recursive query's recursive term";
                        Error::new("42P19", message)
                    }
                });
            }
            HirRelation::Reduce { .. } | HirRelation::Distinct { .. } if self.all => {
                return Err(self.no_fixpoint("DISTINCT or GROUP BY below UNION ALL"));
            }
            HirRelation::TopK { .. } => return Err(self.no_fixpoint("LIMIT, OFFSET or DISTINCT ON")),
            HirRelation::Negate { .. } | HirRelation::Threshold { .. } => {
                return Err(self.no_fixpoint("INTERSECT or EXCEPT"));
            }
            HirRelation::Let { value, .. } if self.reads(value) => {
                return Err(self.no_fixpoint("a WITH item that reads the query"));
            }
            HirRelation::LetRec { bindings, .. } if bindings.iter().any(|binding| self.reads(&binding.value)) => {
                return Err(self.no_fixpoint("another recursive query that reads the query"));
            }
            _ => {}
        }
        inputs.into_iter().try_for_each(|input| self.check(input))
    }
}
