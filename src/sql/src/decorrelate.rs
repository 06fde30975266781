//! From HIR to MIR: subqueries and correlation become joins.
//!
//! One rule for everything. To apply an expression that looks at enclosing rows to a relation R, take D, the distinct values
//! of the columns of R it looks at (of all enclosing rows, which R carries in front of its own columns); lower the
//! expression over D, so that each of its rows leads with the row of D it belongs to; join the result back to R on those
//! columns. An expression that looks at nothing has the unit relation as its D: plain products fall out of the same rule.
//!
//! ```text
//!   R:  [ enclosing columns | own columns ]          inner over D:  [ columns of D | inner's own columns ]
//!            \________ used ______/  --Distinct-->  D __________________/
//! ```
//!
//! Invariant: a lowered relation has the columns of its D as a prefix, and every grouping operator keeps them as a prefix
//! of its key. All joins made here compare bytes, null-safe: D is joined with what was derived from it.

mod flat;
mod group;
mod join;
mod scalar;
mod subquery;

use std::collections::BTreeMap;

use expr::relation::RecursionLimit;
use expr::{LocalId, Relation, Scalar};
use repr::{ColumnType, Diff, RelationType};

use self::flat::Flat;
use self::group::Grouping;
use self::scalar::push_column;
use crate::hir::{HirBinding, HirRelation, HirScalar};
use crate::stack::with_stack;

/// Lowers a whole query. Returns its relation and the types of its columns.
pub(crate) fn lower(relation: HirRelation) -> (Relation, Vec<ColumnType>) {
    let mut lowering = Lowering::default();
    let flat = lowering.relation(relation, ROOT, &Outer::unit());
    let Flat { mut relation, columns } = flat;
    relation = bound_in(lowering.bindings, relation);
    (relation, columns)
}

/// `relation` with what it names bound around it.
fn bound_in(bindings: Vec<Binding>, relation: Relation) -> Relation {
    bindings.into_iter().rev().fold(relation, |body, binding| match binding {
        Binding::Plain(id, value) => value.let_in(id, body),
        Binding::Recursive { ids, values, limit } => Relation::LetRec { ids, values, limit, body: Box::new(body) },
    })
}

/// What a lowered relation names.
enum Binding {
    Plain(LocalId, Relation),
    Recursive { ids: Vec<LocalId>, values: Vec<Relation>, limit: Option<RecursionLimit> },
}

/// The number of the row over which a whole query's scalars stand; rows further in have greater numbers.
const ROOT: usize = 1;

/// The enclosing rows: D and what its columns are.
struct Outer {
    /// D: distinct rows. Cheap to clone: a Get, or the unit relation.
    flat: Flat,
    /// For each column of D the number of the row it comes from and its index there.
    columns: Vec<(usize, usize)>,
}

impl Outer {
    fn unit() -> Outer {
        Outer { flat: Flat::unit(), columns: Vec::new() }
    }

    fn arity(&self) -> usize {
        self.columns.len()
    }

    /// Where the column `index` of the row `row` stands in D.
    fn position(&self, row: usize, index: usize) -> usize {
        let wanted = (row, index);
        self.columns.iter().position(|column| *column == wanted).expect("D has every column that is looked at")
    }
}

#[derive(Default)]
struct Lowering {
    next_local: u64,
    /// Values bound around the whole query; each sees those before it.
    bindings: Vec<Binding>,
    /// For each common table expression what its name is bound to.
    tables: BTreeMap<LocalId, Flat>,
}

impl Lowering {
    /// Binds a relation that is used more than once.
    fn bind(&mut self, flat: Flat) -> Flat {
        if matches!(flat.relation, Relation::Get { .. } | Relation::Constant { .. }) {
            return flat;
        }
        let id = self.new_local();
        let typ = RelationType { columns: flat.columns.clone(), keys: flat.relation.typ().keys };
        self.bindings.push(Binding::Plain(id, flat.relation));
        Flat { relation: Relation::get_local(id, typ), columns: flat.columns }
    }

    fn new_local(&mut self) -> LocalId {
        let id = LocalId(self.next_local);
        self.next_local += 1;
        id
    }

    /// Makes the names of a recursion nameable, and binds them. What a value binds may read them, so it stays inside.
    fn recursive(&mut self, bindings: Vec<HirBinding>, limit: Option<RecursionLimit>, row: usize) {
        let mut ids = Vec::with_capacity(bindings.len());
        for HirBinding { id, columns, .. } in &bindings {
            let local = self.new_local();
            let relation = Relation::get_local(local, RelationType::new(columns.clone()));
            self.tables.insert(*id, Flat { relation, columns: columns.clone() });
            ids.push(local);
        }
        let mut values = Vec::with_capacity(bindings.len());
        for HirBinding { value, .. } in bindings {
            let around = std::mem::take(&mut self.bindings);
            let value = self.relation(value, row, &Outer::unit());
            let inside = std::mem::replace(&mut self.bindings, around);
            values.push(bound_in(inside, value.relation));
        }
        self.bindings.push(Binding::Recursive { ids, values, limit });
    }

    /// Lowers `relation`, whose scalars stand over the row number `row`. The result has `outer`'s columns as a prefix.
    fn relation(&mut self, relation: HirRelation, row: usize, outer: &Outer) -> Flat {
        with_stack(|| self.relation_inner(relation, row, outer))
    }

    fn relation_inner(&mut self, relation: HirRelation, row: usize, outer: &Outer) -> Flat {
        match relation {
            HirRelation::Constant { rows, columns } => {
                let rows = rows.into_iter().map(|row| (row, Diff::ONE)).collect();
                let relation = Relation::constant_rows(rows, RelationType::new(columns.clone()));
                outer.flat.clone().product(Flat { relation, columns })
            }
            HirRelation::Get { id, typ } => {
                let columns = typ.columns.clone();
                outer.flat.clone().product(Flat { relation: Relation::get_global(id, typ), columns })
            }
            HirRelation::GetLocal { id } => {
                let table = self.tables.get(&id).expect("a name is bound before it is used").clone();
                outer.flat.clone().product(table)
            }
            HirRelation::Let { id, value, body } => {
                let value = self.relation(*value, row, &Outer::unit());
                let value = self.bind(value);
                self.tables.insert(id, value);
                self.relation(*body, row, outer)
            }
            HirRelation::LetRec { bindings, limit, body } => {
                self.recursive(bindings, limit, row);
                self.relation(*body, row, outer)
            }
            HirRelation::Project { input, outputs } => {
                let prefix = outer.arity();
                let flat = self.relation(*input, row, outer);
                flat.project((0..prefix).chain(outputs.into_iter().map(|output| prefix + output)).collect())
            }
            HirRelation::Map { input, scalars } => {
                let flat = self.relation(*input, row, outer);
                self.map(flat, scalars, row, outer)
            }
            HirRelation::Filter { input, predicates } => {
                let flat = self.relation(*input, row, outer);
                self.filter(flat, predicates, row, outer)
            }
            HirRelation::FlatMap { input, func, args, columns } => {
                let mut flat = self.relation(*input, row, outer);
                let arity = flat.arity();
                let args = args.into_iter().map(|arg| self.scalar(arg, &mut flat, row, outer)).collect();
                let extended = flat.arity();
                let count = columns.len();
                flat.flat_map(func, args, columns).project((0..arity).chain(extended..extended + count).collect())
            }
            HirRelation::Join { left, right, on, kind } => self.join(*left, *right, on, kind, row, outer),
            HirRelation::Reduce { input, group_key, aggregates, always, expected_group_size } => {
                let flat = self.relation(*input, row, outer);
                self.reduce(flat, Grouping { group_key, aggregates, always, expected_group_size }, row, outer)
            }
            HirRelation::Distinct { input } => self.relation(*input, row, outer).distinct(),
            HirRelation::TopK { input, group_key, order, limit, offset, expected_group_size } => {
                let flat = self.relation(*input, row, outer);
                flat.top_k(outer.arity(), group_key, order, limit, offset).with_group_size(expected_group_size)
            }
            HirRelation::Negate { input } => self.relation(*input, row, outer).negate(),
            HirRelation::Threshold { input } => self.relation(*input, row, outer).threshold(),
            HirRelation::Union { inputs } => {
                Flat::union(inputs.into_iter().map(|input| self.relation(input, row, outer)).collect())
            }
        }
    }

    /// Appends a column for each scalar.
    fn map(&mut self, mut flat: Flat, scalars: Vec<HirScalar>, row: usize, outer: &Outer) -> Flat {
        let mut ready = Vec::new();
        for scalar in scalars {
            if !scalar.contains_subquery() {
                ready.push(self.scalar(scalar, &mut flat, row, outer));
                continue;
            }
            flat = flat.map(std::mem::take(&mut ready));
            let arity = flat.arity();
            let value = self.scalar(scalar, &mut flat, row, outer);
            // What the subqueries appended goes: own columns stay in one piece.
            let Scalar::Column(column) = push_column(&mut flat, value) else {
                unreachable!("what was pushed is a column")
            };
            flat = flat.project((0..arity).chain([column]).collect());
        }
        flat.map(ready)
    }
}

/// Adds to `outer`'s columns the row number `row` of own columns: what `used` (level, index) become as places in a relation
/// that leads with `outer`'s columns, and as columns of a new D.
fn correlate(used: &[(usize, usize)], row: usize, outer: &Outer) -> (Vec<usize>, Vec<(usize, usize)>) {
    let place = |level: usize, index: usize| match level {
        0 => outer.arity() + index,
        _ => outer.position(row - level, index),
    };
    used.iter().map(|&(level, index)| (place(level, index), (row - level, index))).unzip()
}
