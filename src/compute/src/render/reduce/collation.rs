//! Aggregates of several kinds: each part is reduced by itself, and the parts are joined on the key.

use protocol::plan::ReducePlan;
use repr::row::skip_datum;
use repr::{Kind, Row};
use trace::{Diff, arrange_vals};

use super::{Keyed, Reduced, aggregates, argument_kinds, render_plan};
use crate::render::time::RenderTime;

/// Renders the parts; `output` has the kinds of the aggregates in the order of the output.
pub(super) fn render<'scope, T: RenderTime>(
    keyed: Keyed<'scope, T>,
    parts: &[(ReducePlan, Vec<usize>)],
    output: &[Kind],
) -> Reduced<'scope, T> {
    let arguments: Vec<Kind> = argument_kinds(parts.iter().flat_map(|(part, _)| aggregates(part)));
    let mut joined: Option<Reduced<'scope, T>> = None;
    let mut first_argument = 0;
    // The output's places in the order in which the parts yield them.
    let mut places: Vec<usize> = Vec::new();
    for (part, part_places) in parts {
        let range = first_argument..first_argument + aggregates(part).len();
        first_argument = range.end;
        places.extend(part_places);
        let part_output: Vec<Kind> = part_places.iter().map(|place| output[*place]).collect();
        let kinds = arguments.clone();
        let slice = keyed.clone().map(move |(key, arguments)| {
            let columns: Vec<&[u8]> = columns(&arguments, &kinds);
            let mut slice = Row::default();
            columns[range.clone()].iter().for_each(|column| slice.push_packed(column));
            (key, slice)
        });
        let (oks, errs) = render_plan(slice, part, &part_output);
        joined = Some(match joined {
            None => (oks, errs),
            Some((left, left_errs)) => {
                let rows = left.join_core(oks, |key, left, right| {
                    let mut row = left.clone();
                    row.push_packed(right.as_bytes());
                    Some((key.clone(), row))
                });
                (arrange_vals(rows, "ArrangeCollation"), left_errs.concat(errs))
            }
        });
    }
    let Some((oks, errs)) = joined else {
        // No parts, no aggregates: the groups alone.
        return render_plan(keyed, &ReducePlan::Distinct, output);
    };
    if places.iter().copied().eq(0..output.len()) {
        return (oks, errs);
    }
    let kinds: Vec<Kind> = places.iter().map(|place| output[*place]).collect();
    let ordered = oks.as_collection(move |key, row| (key.clone(), reorder(row, &kinds, &places)));
    (arrange_vals::<_, _, _, Diff>(ordered, "ArrangeCollated"), errs)
}

fn columns<'a>(row: &'a Row, kinds: &[Kind]) -> Vec<&'a [u8]> {
    let mut rest = row.as_bytes();
    kinds.iter().map(|kind| skip_datum(&mut rest, *kind)).collect()
}

/// Puts column `i` of the row at `places[i]`.
fn reorder(row: &Row, kinds: &[Kind], places: &[usize]) -> Row {
    let mut ordered: Vec<(usize, &[u8])> = places.iter().copied().zip(columns(row, kinds)).collect();
    ordered.sort_by_key(|(place, _)| *place);
    let mut output = Row::default();
    ordered.into_iter().for_each(|(_, column)| output.push_packed(column));
    output
}
