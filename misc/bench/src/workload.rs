//! W1, "auction averages": the base rows, the batches of changes, and the answer by recomputation from scratch.
//!
//! Auctions are numbered from 0 and bids from 0 in the order of their making. Bids fall on auctions evenly. Everything
//! follows from the seed, so that each system gets the same rows and the same batches.

use std::collections::{BTreeMap, BTreeSet};

use stdx::Rng;

pub(crate) const CATEGORIES: u64 = 20;
const PRICES: u64 = 1_000_000;
const INSERTS: usize = 60;
const DELETES: usize = 20;
const UPDATES: usize = 20;

/// The view, alike in both dialects.
pub(crate) const VIEW: &str = "SELECT category, sum(price)::bigint AS total, count(*) AS auctions \
    FROM (SELECT auction, max(price) AS price FROM bids GROUP BY auction) AS best \
    JOIN auctions ON auctions.id = best.auction GROUP BY category";

/// A row of the view: category, the sum of its auctions' best prices, the count of its auctions with a bid.
pub(crate) type AnswerRow = (i32, i64, i64);

/// The rows of the view by category.
pub(crate) type Answer = Vec<AnswerRow>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bid {
    pub(crate) id: i32,
    pub(crate) auction: i32,
    pub(crate) price: i64,
}

/// Changes that each system takes as three statements, and the answer that is right after them.
pub(crate) struct Batch {
    pub(crate) inserts: Vec<Bid>,
    /// The rows as they were.
    pub(crate) deletes: Vec<Bid>,
    /// The rows as they were; each gets `raise` more.
    pub(crate) updates: Vec<Bid>,
    pub(crate) raise: i64,
    pub(crate) answer: Answer,
}

impl Batch {
    pub(crate) const CHANGES: usize = INSERTS + DELETES + UPDATES;

    /// The three statements.
    pub(crate) fn statements(&self) -> [String; 3] {
        let rows: Vec<String> =
            self.inserts.iter().map(|bid| format!("({}, {}, {})", bid.id, bid.auction, bid.price)).collect();
        let ids = |bids: &[Bid]| bids.iter().map(|bid| bid.id.to_string()).collect::<Vec<_>>().join(", ");
        [
            format!("INSERT INTO bids VALUES {}", rows.join(", ")),
            format!("DELETE FROM bids WHERE id IN ({})", ids(&self.deletes)),
            format!("UPDATE bids SET price = price + {} WHERE id IN ({})", self.raise, ids(&self.updates)),
        ]
    }
}

/// The state of the base tables.
pub(crate) struct Model {
    rng: Rng,
    /// The category of each auction.
    categories: Vec<i32>,
    bids: BTreeMap<i32, (i32, i64)>,
    next_id: i32,
}

impl Model {
    pub(crate) fn new(seed: u64, auctions: u32, bids: u32) -> Model {
        let rng = Rng::from_seed(seed);
        let categories = (0..auctions).map(|_| small(rng.below(CATEGORIES))).collect();
        let mut model = Model { rng, categories, bids: BTreeMap::new(), next_id: 0 };
        for _ in 0..bids {
            model.make_bid();
        }
        model
    }

    /// Auctions with their categories.
    pub(crate) fn auctions(&self) -> impl Iterator<Item = (i32, i32)> + '_ {
        (0..).zip(self.categories.iter().copied())
    }

    /// Bids by id.
    pub(crate) fn bids(&self) -> impl Iterator<Item = Bid> + '_ {
        self.bids.iter().map(|(&id, &(auction, price))| Bid { id, auction, price })
    }

    /// Both tables as COPY takes them.
    pub(crate) fn copy_text(&self) -> CopyText {
        let auctions = self.auctions().map(|(id, category)| format!("{id}\t{category}\n")).collect();
        let bids = self.bids().map(|bid| format!("{}\t{}\t{}\n", bid.id, bid.auction, bid.price)).collect();
        CopyText { auctions, bids }
    }

    /// The view, computed from all rows.
    pub(crate) fn answer(&self) -> Answer {
        let mut best: Vec<Option<i64>> = vec![None; self.categories.len()];
        for &(auction, price) in self.bids.values() {
            let best = &mut best[auction as usize];
            *best = (*best).max(Some(price));
        }
        let mut answer: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for (category, price) in self.categories.iter().zip(best) {
            if let Some(price) = price {
                let (total, auctions) = answer.entry(*category).or_default();
                *total += price;
                *auctions += 1;
            }
        }
        answer.into_iter().map(|(category, (total, auctions))| (category, total, auctions)).collect()
    }

    /// Makes the next batch and applies it. No row is touched twice in one batch.
    pub(crate) fn next_batch(&mut self) -> Batch {
        let chosen = self.choose(DELETES + UPDATES);
        let (deletes, updates) = chosen.split_at(DELETES);
        let raise = 1 + i64::from(small(self.rng.below(1_000)));
        for bid in deletes {
            self.bids.remove(&bid.id);
        }
        for bid in updates {
            self.bids.insert(bid.id, (bid.auction, bid.price + raise));
        }
        let inserts = (0..INSERTS).map(|_| self.make_bid()).collect();
        Batch { inserts, deletes: deletes.to_vec(), updates: updates.to_vec(), raise, answer: self.answer() }
    }

    fn make_bid(&mut self) -> Bid {
        let auction = small(self.rng.below(self.categories.len() as u64));
        let price = 1 + i64::from(small(self.rng.below(PRICES)));
        let id = self.next_id;
        self.next_id += 1;
        self.bids.insert(id, (auction, price));
        Bid { id, auction, price }
    }

    /// Distinct bids in a random order.
    fn choose(&self, count: usize) -> Vec<Bid> {
        assert!(self.bids.len() > 2 * count, "too few bids for a batch");
        let (mut chosen, mut seen) = (Vec::new(), BTreeSet::new());
        while chosen.len() < count {
            let id = small(self.rng.below(u64::from(self.next_id.unsigned_abs())));
            if let Some(&(auction, price)) = self.bids.get(&id)
                && seen.insert(id)
            {
                chosen.push(Bid { id, auction, price });
            }
        }
        chosen
    }
}

pub(crate) struct CopyText {
    pub(crate) auctions: String,
    pub(crate) bids: String,
}

fn small(number: u64) -> i32 {
    i32::try_from(number).expect("bounds of the workload fit an int4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_counts_only_auctions_with_bids() {
        let mut model = Model::new(1, 3, 0);
        model.categories = vec![7, 7, 8];
        model.bids = BTreeMap::from([(0, (0, 5)), (1, (0, 9)), (2, (2, 4))]);
        assert_eq!(model.answer(), vec![(7, 9, 1), (8, 4, 1)]);
    }

    #[test]
    fn batches_follow_from_the_seed_and_keep_their_shape() {
        let (mut left, mut right) = (Model::new(5, 10, 200), Model::new(5, 10, 200));
        for _ in 0..20 {
            let (one, two) = (left.next_batch(), right.next_batch());
            assert_eq!(one.statements(), two.statements());
            assert_eq!(one.answer, two.answer);
            assert_eq!(one.inserts.len() + one.deletes.len() + one.updates.len(), Batch::CHANGES);
        }
        assert_eq!(left.bids.len(), 200 + 20 * (INSERTS - DELETES));
    }
}
