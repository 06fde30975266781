//! What follows from an OR.
//!
//! `(a AND b) OR (a AND c)` is `a AND (b OR c)`, also where something is NULL or fails: AND and OR distribute over each other.

use expr::Scalar;

/// An equivalent list of predicates: what all branches of an OR have in common, then the OR of what is left of them.
pub(crate) fn factor(predicate: Scalar) -> Vec<Scalar> {
    let Scalar::Or(branches) = predicate else { return vec![predicate] };
    let mut branches: Vec<Vec<Scalar>> = branches.into_iter().map(conjuncts).collect();
    let Some((first, others)) = branches.split_first() else { return vec![Scalar::Or(Vec::new())] };
    let is_common = |part: &&Scalar| others.iter().all(|branch| branch.contains(part));
    let mut factors: Vec<Scalar> = Vec::new();
    for part in first.iter().filter(is_common) {
        if !factors.contains(part) {
            factors.push(part.clone());
        }
    }
    branches.iter_mut().for_each(|branch| branch.retain(|part| !factors.contains(part)));
    // A branch of which nothing is left is true where the factors are.
    if branches.iter().all(|branch| !branch.is_empty()) {
        factors.push(Scalar::Or(branches.into_iter().map(Scalar::and_all).collect()));
    }
    factors
}

/// What each branch of an OR asks of one input: for each input that all branches ask something of, the OR of that.
///
/// Only of what cannot fail: the rows that are dropped for it fail nowhere.
pub(crate) fn implied(predicate: &Scalar, input_of: impl Fn(&Scalar) -> Option<usize>) -> Vec<Scalar> {
    let Scalar::Or(branches) = predicate else { return Vec::new() };
    if branches.is_empty() || input_of(predicate).is_some() || predicate.could_error() || !predicate.is_deterministic()
    {
        return Vec::new();
    }
    let branches: Vec<Vec<Scalar>> = branches.iter().cloned().map(conjuncts).collect();
    let mut inputs: Vec<usize> = branches[0].iter().filter_map(&input_of).collect();
    inputs.sort_unstable();
    inputs.dedup();
    let of_input = |input: usize| {
        let parts = branches.iter().map(|branch| {
            let parts: Vec<Scalar> = branch.iter().filter(|part| input_of(part) == Some(input)).cloned().collect();
            (!parts.is_empty()).then(|| Scalar::and_all(parts))
        });
        parts.collect::<Option<Vec<Scalar>>>().map(Scalar::Or)
    };
    inputs.into_iter().filter_map(of_input).collect()
}

/// The parts of a conjunction, those of nested ones too.
fn conjuncts(scalar: Scalar) -> Vec<Scalar> {
    match scalar {
        Scalar::And(parts) => parts.into_iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}
