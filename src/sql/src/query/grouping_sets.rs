//! GROUP BY: its keys, and the sets of them by which the rows are grouped.
//!
//! Each item of the clause stands for one or more sets: an expression for one, ROLLUP for every prefix of its list, CUBE for
//! every subset, GROUPING SETS for those of its members. The clause stands for all ways to take one set of each item.

use std::collections::BTreeSet;

use repr::{Datum, ScalarType};
use sqlparser::ast::{Expr, Function, FunctionArguments, GroupByExpr, ObjectNamePart, Select};

use super::QueryContext;
use super::coerce::Planned;
use super::function::argument;
use super::select::Item;
use crate::error::Error;
use crate::hir::HirScalar;
use crate::parse::GROUPING_SETS;

/// Most sets of one clause, as in PostgreSQL.
const SETS_MAX: usize = 4096;

/// Most elements of CUBE, as in PostgreSQL.
const CUBE_MAX: usize = 12;

/// Most arguments of GROUPING: its result has a bit for each.
const GROUPING_ARGUMENTS_MAX: usize = 31;

/// Keys, by their places in the clause's list of all keys.
type Set = BTreeSet<usize>;

/// What a GROUP BY clause says.
pub(super) struct GroupBy {
    pub(super) keys: Vec<(HirScalar, ScalarType)>,
    /// At least one.
    pub(super) sets: Vec<Set>,
    /// False where there is no clause: there are groups only if something is aggregated.
    pub(super) is_written: bool,
}

impl QueryContext<'_> {
    /// The keys of GROUP BY (expressions, positions in the select list, and output names that no input column has) and how
    /// they are taken together. Errors: 54001, 54011 too many sets.
    pub(super) fn group_by(&mut self, select: &Select, items: &[Item<'_>]) -> Result<GroupBy, Error> {
        let exprs = match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) if modifiers.is_empty() => exprs,
            _ => return Err(Error::unsupported("GROUP BY ALL or a modifier of GROUP BY").at_node(select)),
        };
        let mut keys = Vec::with_capacity(exprs.len());
        let mut sets = vec![Set::new()];
        for expr in exprs {
            let own = self.nested(|qcx| qcx.sets_of(expr, items, &mut keys))?;
            if sets.len().saturating_mul(own.len()) > SETS_MAX {
                return Err(too_many_sets().at_node(expr));
            }
            let with = |set: &Set| own.iter().map(|own| set | own).collect::<Vec<Set>>();
            sets = sets.iter().flat_map(with).collect();
        }
        Ok(GroupBy { keys, sets, is_written: !exprs.is_empty() })
    }

    /// The sets that one item stands for.
    fn sets_of(
        &mut self,
        expr: &Expr,
        items: &[Item<'_>],
        keys: &mut Vec<(HirScalar, ScalarType)>,
    ) -> Result<Vec<Set>, Error> {
        match expr {
            Expr::Rollup(elements) => {
                let elements = elements.iter().map(|element| element.iter().collect()).collect();
                self.rollup(elements, items, keys)
            }
            Expr::Cube(elements) => {
                let elements = elements.iter().map(|element| element.iter().collect()).collect();
                self.cube(elements, items, keys).map_err(|error| error.at_node(expr))
            }
            Expr::GroupingSets(members) => {
                let mut sets = Vec::new();
                for member in members {
                    match &member[..] {
                        [one] => sets.extend(self.nested(|qcx| qcx.sets_of(one, items, keys))?),
                        several => sets.push(self.key_set(several.iter(), items, keys)?),
                    }
                    if sets.len() > SETS_MAX {
                        return Err(too_many_sets().at_node(expr));
                    }
                }
                Ok(sets)
            }
            Expr::Tuple(members) => Ok(vec![self.key_set(members.iter(), items, keys)?]),
            Expr::Function(function) => match inner_form(function) {
                Some("rollup") => self.rollup(elements(function)?, items, keys),
                Some("cube") => self.cube(elements(function)?, items, keys).map_err(|error| error.at_node(expr)),
                Some(_) => {
                    let mut sets = Vec::new();
                    for member in arguments(function)? {
                        sets.extend(self.nested(|qcx| qcx.sets_of(member, items, keys))?);
                    }
                    Ok(sets)
                }
                None => Ok(vec![self.key_set([expr], items, keys)?]),
            },
            _ => Ok(vec![self.key_set([expr], items, keys)?]),
        }
    }

    /// Every prefix of the list, the whole first.
    fn rollup(
        &mut self,
        elements: Vec<Vec<&Expr>>,
        items: &[Item<'_>],
        keys: &mut Vec<(HirScalar, ScalarType)>,
    ) -> Result<Vec<Set>, Error> {
        let mut sets = vec![Set::new()];
        for element in elements {
            let own = self.key_set(element, items, keys)?;
            let longer = sets.last().map_or_else(Set::new, |set| set | &own);
            sets.push(longer);
        }
        sets.reverse();
        Ok(sets)
    }

    /// Every subset of the list. Errors: 54011.
    fn cube(
        &mut self,
        elements: Vec<Vec<&Expr>>,
        items: &[Item<'_>],
        keys: &mut Vec<(HirScalar, ScalarType)>,
    ) -> Result<Vec<Set>, Error> {
        if elements.len() > CUBE_MAX {
            return Err(Error::new("54011", format!("CUBE is limited to {CUBE_MAX} elements")));
        }
        let mut sets = vec![Set::new()];
        for element in elements {
            let own = self.key_set(element, items, keys)?;
            sets = sets.iter().flat_map(|set| [set | &own, set.clone()]).collect();
        }
        Ok(sets)
    }

    /// The set of some expressions, added to the keys.
    fn key_set<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e Expr>,
        items: &[Item<'_>],
        keys: &mut Vec<(HirScalar, ScalarType)>,
    ) -> Result<Set, Error> {
        let mut set = Set::new();
        for expr in exprs {
            if let Expr::Tuple(members) = expr {
                set.extend(self.nested(|qcx| qcx.key_set(members.iter(), items, keys))?);
                continue;
            }
            let key = match self.group_item(expr, items)? {
                Some(place) => self.item(&items[place])?,
                None => self.settled(expr)?,
            };
            let place = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            });
            set.insert(place);
        }
        Ok(set)
    }

    /// `GROUPING(key, ...)`: a bit for each key, set where the row's grouping set leaves it out. Errors: 42803, 54023.
    pub(super) fn grouping(&mut self, function: &Function) -> Result<Planned, Error> {
        let at = |error: Error| error.at_node(&function.name);
        let Some(level) = self.levels.last() else {
            return Err(at(Error::new("42803", "grouping operations are not allowed here")));
        };
        if level.in_aggregate || !level.clause.admits_aggregates() {
            let place = if level.in_aggregate { "aggregate function calls" } else { level.clause.name() };
            return Err(at(Error::new("42803", format!("grouping operations are not allowed in {place}"))));
        }
        let exprs = arguments(function)?;
        if exprs.len() > GROUPING_ARGUMENTS_MAX {
            return Err(at(Error::new("54023", "GROUPING must have fewer than 32 arguments")));
        }
        let mut places = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let references = self.level().references.len();
            let (scalar, _) = self.settled(expr)?;
            self.level().references.truncate(references);
            let Some(place) = self.level().group_keys.iter().position(|key| *key == scalar) else {
                let message = "arguments to GROUPING must be grouping expressions of the associated query level";
                return Err(Error::new("42803", message).at_node(expr));
            };
            places.push(place);
        }
        let groupings = &mut self.level().groupings;
        let place = groupings.iter().position(|other| *other == places).unwrap_or_else(|| {
            groupings.push(places);
            groupings.len() - 1
        });
        Ok(Planned::typed(HirScalar::Grouping(place), ScalarType::Int4))
    }
}

/// What GROUPING of these keys is for the rows of a set.
pub(super) fn grouping_bits(keys: &[usize], set: &Set) -> HirScalar {
    let bits = keys.iter().fold(0, |bits, key| bits * 2 + i64::from(!set.contains(key)));
    HirScalar::literal(Datum::Int(bits), ScalarType::Int4)
}

fn too_many_sets() -> Error {
    Error::new("54001", format!("too many grouping sets present (maximum {SETS_MAX})"))
}

/// The form that stands as a call inside GROUPING SETS, where the parser knows none.
fn inner_form(function: &Function) -> Option<&str> {
    let [ObjectNamePart::Identifier(name)] = &function.name.0[..] else { return None };
    match (name.quote_style, name.value.as_str()) {
        (None, word) if word.eq_ignore_ascii_case("rollup") => Some("rollup"),
        (None, word) if word.eq_ignore_ascii_case("cube") => Some("cube"),
        (Some('"'), GROUPING_SETS) => Some(GROUPING_SETS),
        _ => None,
    }
}

/// The elements of ROLLUP or CUBE, a list in brackets being one.
fn elements(function: &Function) -> Result<Vec<Vec<&Expr>>, Error> {
    Ok(arguments(function)?.into_iter().map(element).collect())
}

fn element(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Tuple(members) => members.iter().collect(),
        other => vec![other],
    }
}

fn arguments(function: &Function) -> Result<Vec<&Expr>, Error> {
    match &function.args {
        FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => {
            list.args.iter().map(argument).collect()
        }
        _ => Err(Error::new("42601", "a list of expressions is expected").at_node(&function.name)),
    }
}
