//! Near misses: which known name was probably meant.

/// Names longer than this are not compared: the cost is the product of the lengths.
const COMPARED_CHARS_MAX: usize = 64;

/// `Perhaps you meant "x".` for the candidate nearest to `name`, if one is near.
pub(crate) fn perhaps<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(name, candidates).map(|candidate| format!("Perhaps you meant \"{candidate}\"."))
}

/// The candidate nearest to `name` by edit distance: at most a third of its characters away, the first of equals.
fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    if wanted.len() > COMPARED_CHARS_MAX {
        return None;
    }
    let limit = wanted.len().div_ceil(3).min(4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.to_lowercase().chars().take(COMPARED_CHARS_MAX + 1).collect();
            let distance = distance(&wanted, &other);
            (distance <= limit && distance < wanted.len().max(2)).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, a swap of neighbours counted as one edit.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, wanted) in left.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, found) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(wanted != found);
            let mut best = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            let swapped = row > 0 && column > 0 && *wanted == right[column - 1] && left[row - 1] == *found;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typos_and_no_strangers() {
        let names = ["price", "auction_id", "id"];
        assert_eq!(closest("pricee", names), Some("price"));
        assert_eq!(closest("auctoin_id", names), Some("auction_id"));
        assert_eq!(closest("customer", names), None);
        assert_eq!(closest("x", names), None);
    }
}
