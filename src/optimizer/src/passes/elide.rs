//! Removes operators whose work is done already: DISTINCT of what is unique, TopK without limit, Threshold of what is never
//! negative, Reduce by a unique key.

use expr::{Relation, Scalar};

pub(crate) fn elide(relation: &mut Relation) {
    relation.visit_mut_post(&mut |node| match node {
        Relation::Reduce { input, group_key, aggregates, .. } if aggregates.is_empty() => {
            let columns: Option<Vec<usize>> = group_key.iter().map(as_column).collect();
            if let Some(columns) = columns
                && is_unique(input, &columns)
                && is_non_negative(input)
            {
                *node = input.take_dangerous().project(columns);
            }
        }
        Relation::TopK { input, limit: None, offset: 0, .. } => *node = input.take_dangerous(),
        Relation::Threshold { input } if is_non_negative(input) => *node = input.take_dangerous(),
        _ => {}
    });
}

fn as_column(scalar: &Scalar) -> Option<usize> {
    match scalar {
        Scalar::Column(column) => Some(*column),
        _ => None,
    }
}

/// Whether no two rows agree in these columns.
fn is_unique(relation: &Relation, columns: &[usize]) -> bool {
    relation.typ().keys.iter().any(|key| key.iter().all(|column| columns.contains(column)))
}

/// Whether every multiplicity is known to be zero or more.
fn is_non_negative(relation: &Relation) -> bool {
    let mut non_negative = true;
    relation.visit_pre(&mut |node| match node {
        Relation::Negate { .. } => non_negative = false,
        Relation::Constant { rows: Ok(rows), .. } => {
            non_negative &= rows.iter().all(|(_, diff)| !diff.is_invalid_count())
        }
        _ => {}
    });
    non_negative
}
