//! TPCH: which rows there are, and which order a tick replaces.
//!
//! Offset 0 loads everything. Each later offset replaces one order and its line items by new ones of the same key. Orders
//! take turns: `turn` goes through all of them before any comes again, so the state of an order at an offset is the number of
//! the round, and needs no record.

use repr::{Diff, Row};

use super::Change;
use super::tpch_rows as rows;

/// Row counts at one scale factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tpch {
    pub(super) suppliers: u64,
    pub(super) parts: u64,
    pub(super) customers: u64,
    pub(super) orders: u64,
    pub(super) clerks: u64,
}

/// A multiplier that shares no factor with any count of orders below it; consecutive turns lie far apart.
const STRIDE: u64 = 2_147_483_647;

/// Suppliers of each part.
pub(super) const SUPPLIERS_PER_PART: u64 = 4;

type Changes = Box<dyn Iterator<Item = Change> + Send>;

impl Tpch {
    pub(super) fn new(scale_factor_millionths: u64) -> Tpch {
        let scaled = |base: u64, least: u64| {
            let count = u128::from(base) * u128::from(scale_factor_millionths) / 1_000_000;
            u64::try_from(count).unwrap_or(u64::MAX).max(least)
        };
        Tpch {
            suppliers: scaled(10_000, SUPPLIERS_PER_PART),
            parts: scaled(200_000, 1),
            customers: scaled(150_000, 1),
            orders: scaled(1_500_000, 1),
            clerks: scaled(1_000, 1),
        }
    }

    /// What an offset changes in a relation. Rows are made one at a time.
    pub(super) fn changes(self, reference: &str, offset: u64) -> Changes {
        if offset > 0 {
            return self.replacement(reference, offset);
        }
        let all = |count: u64, row: fn(Tpch, u64) -> Row| -> Changes {
            Box::new((1..=count).map(move |key| (row(self, key), Diff::ONE)))
        };
        match reference {
            "region" => Box::new(rows::regions().map(|row| (row, Diff::ONE))),
            "nation" => Box::new(rows::nations().map(|row| (row, Diff::ONE))),
            "supplier" => all(self.suppliers, rows::supplier),
            "part" => all(self.parts, rows::part),
            "customer" => all(self.customers, rows::customer),
            "partsupp" => Box::new((1..=self.parts).flat_map(move |part| {
                (0..SUPPLIERS_PER_PART).map(move |nth| (rows::partsupp(self, part, nth), Diff::ONE))
            })),
            "orders" | "lineitem" => {
                let lines = reference == "lineitem";
                Box::new((0..self.orders).flat_map(move |order| self.order(lines, order, 0, Diff::ONE)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn replacement(self, reference: &str, offset: u64) -> Changes {
        let lines = match reference {
            "orders" => false,
            "lineitem" => true,
            _ => return Box::new(std::iter::empty()),
        };
        let (order, round) = self.turn(offset);
        let old = self.order(lines, order, round, Diff::MINUS_ONE);
        let new = self.order(lines, order, round + 1, Diff::ONE);
        Box::new(old.chain(new))
    }

    /// The order that an offset replaces, and how often it has been replaced before.
    pub(super) fn turn(self, offset: u64) -> (u64, u64) {
        let (round, place) = ((offset - 1) / self.orders, (offset - 1) % self.orders);
        let order = u128::from(place) * u128::from(STRIDE) % u128::from(self.orders);
        (u64::try_from(order).unwrap_or(0), round)
    }

    /// An order's row, or those of its line items, in the given state.
    fn order(self, lines: bool, order: u64, version: u64, diff: Diff) -> impl Iterator<Item = Change> + Send + use<> {
        let order = rows::Order::new(self, order, version);
        let rows = if lines { order.line_rows() } else { vec![order.row()] };
        rows.into_iter().map(move |row| (row, diff))
    }
}
