//! A check that an expression is well formed, run after each optimizer pass in debug builds.

use std::collections::BTreeMap;

use repr::{ColumnType, RelationType, ScalarType};

use super::typ::same_column_type;
use super::{Id, LocalId, Relation};
use crate::scalar::{Scalar, with_stack};

type Scope = BTreeMap<LocalId, RelationType>;

/// Checks columns, kinds, arities and bindings everywhere in the expression. The message names the first fault.
pub fn typecheck(relation: &Relation) -> Result<(), String> {
    check(relation, &mut Scope::new()).map(|_| ())
}

/// Checks one node and returns its type.
fn check(relation: &Relation, scope: &mut Scope) -> Result<RelationType, String> {
    with_stack(|| {
        let inputs = match relation {
            Relation::Let { id, value, body } => {
                let value = check(value, scope)?;
                vec![in_scope([(*id, value)], scope, |scope| check(body, scope))?]
            }
            Relation::LetRec { ids, values, body, .. } => vec![check_let_rec(ids, values, body, scope)?],
            other => other.children().into_iter().map(|child| check(child, scope)).collect::<Result<Vec<_>, _>>()?,
        };
        check_node(relation, &inputs, scope)?;
        Ok(relation.typ_with_inputs(&inputs))
    })
}

fn in_scope<R>(
    bindings: impl IntoIterator<Item = (LocalId, RelationType)>,
    scope: &mut Scope,
    run: impl FnOnce(&mut Scope) -> Result<R, String>,
) -> Result<R, String> {
    let mut added = Vec::new();
    for (id, typ) in bindings {
        if scope.insert(id, typ).is_some() {
            return Err(format!("l{} is bound twice", id.0));
        }
        added.push(id);
    }
    let result = run(scope);
    for id in added {
        scope.remove(&id);
    }
    result
}

/// The types of recursive bindings are those their Gets declare; the values must agree with them.
fn check_let_rec(
    ids: &[LocalId],
    values: &[Relation],
    body: &Relation,
    scope: &mut Scope,
) -> Result<RelationType, String> {
    if ids.len() != values.len() {
        return Err("as many recursive bindings as values".into());
    }
    let declared: Vec<_> =
        ids.iter().zip(values).map(|(id, value)| (*id, RelationType::new(value.typ().columns))).collect();
    in_scope(declared, scope, |scope| {
        for (id, value) in ids.iter().zip(values) {
            let typ = check(value, scope)?;
            expect_same_columns(&format!("recursive binding l{}", id.0), &scope[id].columns, &typ.columns)?;
        }
        check(body, scope)
    })
}

fn expect_same_columns(what: &str, expected: &[ColumnType], found: &[ColumnType]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{what}: {} columns where {} are expected", found.len(), expected.len()));
    }
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        if !same_column_type(&expected.scalar, &found.scalar) {
            return Err(format!("{what}: column {index} is {:?}, expected {:?}", found.scalar, expected.scalar));
        }
    }
    Ok(())
}

fn check_node(relation: &Relation, inputs: &[RelationType], scope: &Scope) -> Result<(), String> {
    match relation {
        Relation::Constant { rows, typ } => {
            let kinds = typ.kinds();
            for (row, _) in rows.iter().flatten() {
                repr::row::check(row.as_bytes(), &kinds).map_err(|error| format!("constant: {error}"))?;
            }
            Ok(())
        }
        Relation::Get { id: Id::Global(_), .. } | Relation::Let { .. } | Relation::LetRec { .. } => Ok(()),
        Relation::Get { id: Id::Local(id), typ } => match scope.get(id) {
            Some(bound) => expect_same_columns(&format!("get of l{}", id.0), &bound.columns, &typ.columns),
            None => Err(format!("l{} is not bound", id.0)),
        },
        Relation::Project { outputs, .. } => check_columns("project", outputs, inputs[0].arity()),
        Relation::Map { scalars, .. } => {
            let mut columns = inputs[0].columns.clone();
            for scalar in scalars {
                let typ = check_scalar("map", scalar, &columns)?;
                columns.push(typ);
            }
            Ok(())
        }
        Relation::FlatMap { exprs, .. } => check_scalars("flat map", exprs, &inputs[0].columns),
        Relation::Filter { predicates, .. } => {
            predicates.iter().try_for_each(|predicate| check_predicate("filter", predicate, &inputs[0].columns))
        }
        Relation::Join { equivalences, .. } => {
            let columns: Vec<_> = inputs.iter().flat_map(|input| input.columns.iter().cloned()).collect();
            equivalences.iter().try_for_each(|class| check_class(class, &columns))
        }
        Relation::Reduce { group_key, aggregates, .. } => {
            check_scalars("reduce key", group_key, &inputs[0].columns)?;
            for aggregate in aggregates {
                let typ = check_scalar("aggregate", &aggregate.expr, &inputs[0].columns)?;
                if !same_column_type(&typ.scalar, &aggregate.arg_type) {
                    return Err(format!("aggregate of {:?} over {:?}", aggregate.arg_type, typ.scalar));
                }
            }
            Ok(())
        }
        Relation::TopK { group_key, order, .. } => {
            check_columns("top k", group_key, inputs[0].arity())?;
            let columns: Vec<_> = order.iter().map(|column| column.column).collect();
            check_columns("top k", &columns, inputs[0].arity())
        }
        Relation::Negate { .. } | Relation::Threshold { .. } => Ok(()),
        Relation::Union { .. } => match inputs {
            [] => Err("union without inputs".into()),
            [first, rest @ ..] => {
                rest.iter().try_for_each(|input| expect_same_columns("union", &first.columns, &input.columns))
            }
        },
        Relation::ArrangeBy { keys, .. } => {
            keys.iter().try_for_each(|key| check_scalars("arrange by", key, &inputs[0].columns))
        }
    }
}

fn check_columns(what: &str, columns: &[usize], arity: usize) -> Result<(), String> {
    match columns.iter().find(|column| **column >= arity) {
        Some(column) => Err(format!("{what}: column {column} of {arity}")),
        None => Ok(()),
    }
}

fn check_scalars(what: &str, scalars: &[Scalar], columns: &[ColumnType]) -> Result<(), String> {
    scalars.iter().try_for_each(|scalar| check_scalar(what, scalar, columns).map(|_| ()))
}

fn check_predicate(what: &str, scalar: &Scalar, columns: &[ColumnType]) -> Result<(), String> {
    match check_scalar(what, scalar, columns)?.scalar {
        ScalarType::Bool => Ok(()),
        other => Err(format!("{what}: predicate {scalar} is {other:?}")),
    }
}

/// All expressions of an equivalence class are of one kind.
fn check_class(class: &[Scalar], columns: &[ColumnType]) -> Result<(), String> {
    let mut types = Vec::with_capacity(class.len());
    for scalar in class {
        types.push(check_scalar("join", scalar, columns)?.scalar);
    }
    match types.iter().find(|typ| !same_column_type(&types[0], typ)) {
        Some(typ) => Err(format!("join: {:?} equated with {typ:?}", types[0])),
        None => Ok(()),
    }
}

/// Checks columns, argument kinds and operand types all through one scalar, and returns its type.
fn check_scalar(what: &str, scalar: &Scalar, columns: &[ColumnType]) -> Result<ColumnType, String> {
    let support = scalar.support();
    if let Some(last) = support.last().filter(|last| **last >= columns.len()) {
        return Err(format!("{what}: {scalar} reads column {last} of {}", columns.len()));
    }
    let mut fault = None;
    scalar.visit_post(&mut |node| {
        if fault.is_none() {
            fault = node_fault(node, columns);
        }
    });
    match fault {
        Some(fault) => Err(format!("{what}: {fault} in {scalar}")),
        None => Ok(scalar.typ(columns)),
    }
}

fn node_fault(node: &Scalar, columns: &[ColumnType]) -> Option<String> {
    let not_bool = |arg: &Scalar| arg.typ(columns).scalar != ScalarType::Bool;
    match node {
        Scalar::Call { func, args, types } => {
            let variadic = func.variadic.is_some();
            let arity_right = args.len() == func.args.len() || (variadic && args.len() >= func.args.len());
            if !arity_right || args.len() != types.args.len() {
                return Some(format!("{} arguments for {}", args.len(), func.key));
            }
            args.iter().zip(&types.args).find_map(|(arg, typ)| {
                let found = arg.typ(columns).scalar;
                (!same_column_type(&found, typ)).then(|| format!("{found:?} where {} takes {typ:?}", func.key))
            })
        }
        Scalar::And(args) | Scalar::Or(args) if args.iter().any(not_bool) => Some("junction of non-booleans".into()),
        Scalar::Not(inner) if not_bool(inner) => Some("NOT of a non-boolean".into()),
        Scalar::If { cond, .. } if not_bool(cond) => Some("condition that is not a boolean".into()),
        Scalar::If { then, els, .. } => {
            let (then, els) = (then.typ(columns).scalar, els.typ(columns).scalar);
            (!same_column_type(&then, &els)).then(|| format!("branches {then:?} and {els:?}"))
        }
        Scalar::Coalesce(args) => {
            let first = args.first()?.typ(columns).scalar;
            let other = args.iter().map(|arg| arg.typ(columns).scalar).find(|typ| !same_column_type(&first, typ))?;
            Some(format!("coalesce of {first:?} and {other:?}"))
        }
        _ => None,
    }
}
