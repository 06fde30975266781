//! TPCH: the rows, each a function of its key (and, of orders, of how often it was replaced).
//!
//! Distributions follow TPC Benchmark H clause 4.2.3; the random numbers and the comments are our own.

use repr::numeric::Numeric;
use repr::{Datum, Row};

use super::draw::Draw;
use super::tpch::{SUPPLIERS_PER_PART, Tpch};
use super::tpch_text as text;

/// 1992-01-01 in days since the epoch.
const START_DATE: i64 = 8035;
/// The last date of an order, 1998-08-02.
const LAST_ORDER_DATE: i64 = 10440;
/// What counts as today, 1995-06-17.
const CURRENT_DATE: i64 = 9298;

/// Numbers that tell the random sequences of this generator apart.
mod stream {
    pub(super) const SUPPLIER: u64 = 101;
    pub(super) const PART: u64 = 102;
    pub(super) const PARTSUPP: u64 = 103;
    pub(super) const CUSTOMER: u64 = 104;
    pub(super) const ORDER: u64 = 105;
    pub(super) const NATION: u64 = 106;
    pub(super) const REGION: u64 = 107;
}

fn int(number: u64) -> Datum<'static> {
    Datum::Int(number.cast_signed())
}

fn date(days: i64) -> Datum<'static> {
    Datum::Date(i32::try_from(days).unwrap_or(i32::MAX))
}

/// Appends `hundredths / 100`.
fn push_money(row: &mut Row, hundredths: i64) {
    let value = Numeric::from_parts(i128::from(hundredths), 2);
    row.push(Datum::Numeric(value.to_packed().as_ref()));
}

pub(super) fn regions() -> impl Iterator<Item = Row> + Send {
    text::REGIONS.iter().enumerate().map(|(key, name)| {
        let comment = text::comment(&mut Draw::new(stream::REGION, key as u64, 0), 152);
        Row::pack([int(key as u64), Datum::Text(name), Datum::Text(&comment)])
    })
}

pub(super) fn nations() -> impl Iterator<Item = Row> + Send {
    text::NATIONS.iter().enumerate().map(|(key, (name, region))| {
        let comment = text::comment(&mut Draw::new(stream::NATION, key as u64, 0), 152);
        Row::pack([int(key as u64), Datum::Text(name), Datum::Int(*region), Datum::Text(&comment)])
    })
}

pub(super) fn supplier(_: Tpch, key: u64) -> Row {
    let mut draw = Draw::new(stream::SUPPLIER, key, 0);
    let nation = draw.between(0, 24);
    let (address, phone) = (text::address(&mut draw), text::phone(&mut draw, nation));
    let balance = draw.between(-99_999, 999_999);
    let mut comment = text::comment(&mut draw, 80);
    // Queries look for these two remarks, each made of 5 in 10,000 suppliers.
    match draw.below(10_000) {
        0..5 => comment.push_str(" Customer Complaints"),
        5..10 => comment.push_str(" Customer Recommends"),
        _ => {}
    }
    let name = format!("Supplier#{key:09}");
    let mut row = Row::pack([int(key), Datum::Text(&name), Datum::Text(&address), Datum::Int(nation)]);
    row.push(Datum::Text(&phone));
    push_money(&mut row, balance);
    row.push(Datum::Text(&comment));
    row
}

pub(super) fn part(_: Tpch, key: u64) -> Row {
    let mut draw = Draw::new(stream::PART, key, 0);
    let mut colors = text::COLORS;
    // Only the first five are used, so only these are put in random order.
    for place in 0..5 {
        let other = place + draw.index(colors.len() - place);
        colors.swap(place, other);
    }
    let name = colors[..5].join(" ");
    let maker = draw.between(1, 5);
    let brand = format!("Brand#{maker}{}", draw.between(1, 5));
    let maker = format!("Manufacturer#{maker}");
    let kind =
        format!("{} {} {}", draw.pick(&text::TYPE_FIRST), draw.pick(&text::TYPE_SECOND), draw.pick(&text::TYPE_THIRD));
    let size = draw.between(1, 50);
    let container = format!("{} {}", draw.pick(&text::CONTAINER_FIRST), draw.pick(&text::CONTAINER_SECOND));
    let comment = text::comment(&mut draw, 22);
    let mut row = Row::pack([int(key), Datum::Text(&name), Datum::Text(&maker), Datum::Text(&brand)]);
    row.extend([Datum::Text(&kind), Datum::Int(size), Datum::Text(&container)]);
    push_money(&mut row, retail_price(key));
    row.push(Datum::Text(&comment));
    row
}

/// In hundredths.
fn retail_price(part: u64) -> i64 {
    (90_000 + (part / 10) % 20_001 + 100 * (part % 1000)).cast_signed()
}

/// The `nth` supplier of a part; those of one part differ.
fn part_supplier(counts: Tpch, part: u64, nth: u64) -> u64 {
    let round = (part - 1) / counts.suppliers;
    (part - 1 + round + nth * (counts.suppliers / SUPPLIERS_PER_PART)) % counts.suppliers + 1
}

pub(super) fn partsupp(counts: Tpch, part: u64, nth: u64) -> Row {
    let mut draw = Draw::new(stream::PARTSUPP, part, nth);
    let (quantity, cost) = (draw.between(1, 9_999), draw.between(100, 100_000));
    let comment = text::comment(&mut draw, 198);
    let mut row = Row::pack([int(part), int(part_supplier(counts, part, nth)), Datum::Int(quantity)]);
    push_money(&mut row, cost);
    row.push(Datum::Text(&comment));
    row
}

pub(super) fn customer(_: Tpch, key: u64) -> Row {
    let mut draw = Draw::new(stream::CUSTOMER, key, 0);
    let nation = draw.between(0, 24);
    let (address, phone) = (text::address(&mut draw), text::phone(&mut draw, nation));
    let balance = draw.between(-99_999, 999_999);
    let segment = draw.pick(&text::SEGMENTS);
    let comment = text::comment(&mut draw, 116);
    let name = format!("Customer#{key:09}");
    let mut row = Row::pack([int(key), Datum::Text(&name), Datum::Text(&address), Datum::Int(nation)]);
    row.push(Datum::Text(&phone));
    push_money(&mut row, balance);
    row.extend([Datum::Text(segment), Datum::Text(&comment)]);
    row
}

/// One order with its line items.
pub(super) struct Order {
    key: u64,
    customer: u64,
    date: i64,
    priority: &'static str,
    clerk: u64,
    comment: String,
    lines: Vec<Line>,
}

struct Line {
    part: u64,
    supplier: u64,
    quantity: i64,
    /// Hundredths, as the next two.
    price: i64,
    discount: i64,
    tax: i64,
    ship_date: i64,
    commit_date: i64,
    receipt_date: i64,
    /// A, N or R.
    return_flag: &'static str,
    instruction: &'static str,
    mode: &'static str,
    comment: String,
}

impl Order {
    /// The `index`-th order, replaced `version` times.
    pub(super) fn new(counts: Tpch, index: u64, version: u64) -> Order {
        let mut draw = Draw::new(stream::ORDER, index, version);
        let date = draw.between(START_DATE, LAST_ORDER_DATE);
        let customer = order_customer(&mut draw, counts.customers);
        let (priority, clerk) = (draw.pick(&text::PRIORITIES), 1 + draw.below(counts.clerks));
        let comment = text::comment(&mut draw, 78);
        let count = draw.between(1, 7);
        let lines = (0..count).map(|_| Line::new(counts, &mut draw, date)).collect();
        Order { key: order_key(index), customer, date, priority, clerk, comment, lines }
    }

    pub(super) fn row(&self) -> Row {
        let open = self.lines.iter().filter(|line| line.status() == "O").count();
        let status = if open == 0 {
            "F"
        } else if open == self.lines.len() {
            "O"
        } else {
            "P"
        };
        let clerk = format!("Clerk#{:09}", self.clerk);
        let mut row = Row::pack([int(self.key), int(self.customer), Datum::Text(status)]);
        push_money(&mut row, self.lines.iter().map(Line::total).sum());
        row.extend([date(self.date), Datum::Text(self.priority), Datum::Text(&clerk)]);
        row.extend([Datum::Int(0), Datum::Text(&self.comment)]);
        row
    }

    pub(super) fn line_rows(&self) -> Vec<Row> {
        (1..).zip(&self.lines).map(|(number, line)| line.row(self.key, number)).collect()
    }
}

/// Keys of orders are sparse: of each 32 the first 8 are used.
fn order_key(index: u64) -> u64 {
    index / 8 * 32 + index % 8 + 1
}

/// A third of the customers has no orders: those whose key is a multiple of three.
fn order_customer(draw: &mut Draw, customers: u64) -> u64 {
    let key = 1 + draw.below(customers);
    if key.is_multiple_of(3) { key - 1 } else { key }
}

impl Line {
    fn new(counts: Tpch, draw: &mut Draw, order_date: i64) -> Line {
        let part = 1 + draw.below(counts.parts);
        let supplier = part_supplier(counts, part, draw.below(SUPPLIERS_PER_PART));
        let quantity = draw.between(1, 50);
        let (discount, tax) = (draw.between(0, 10), draw.between(0, 8));
        let ship_date = order_date + draw.between(1, 121);
        let commit_date = order_date + draw.between(30, 90);
        let receipt_date = ship_date + draw.between(1, 30);
        let returned = draw.pick(&["R", "A"]);
        let return_flag = if receipt_date <= CURRENT_DATE { returned } else { "N" };
        let (instruction, mode) = (draw.pick(&text::INSTRUCTIONS), draw.pick(&text::MODES));
        let comment = text::comment(draw, 43);
        let price = quantity * retail_price(part);
        Line {
            part,
            supplier,
            quantity,
            price,
            discount,
            tax,
            ship_date,
            commit_date,
            receipt_date,
            return_flag,
            instruction,
            mode,
            comment,
        }
    }

    fn status(&self) -> &'static str {
        if self.ship_date > CURRENT_DATE { "O" } else { "F" }
    }

    /// The price with tax and discount, in hundredths, rounded down.
    fn total(&self) -> i64 {
        self.price * (100 + self.tax) * (100 - self.discount) / 10_000
    }

    fn row(&self, order: u64, number: i64) -> Row {
        let mut row = Row::pack([int(order), int(self.part), int(self.supplier), Datum::Int(number)]);
        for hundredths in [self.quantity * 100, self.price, self.discount, self.tax] {
            push_money(&mut row, hundredths);
        }
        row.extend([Datum::Text(self.return_flag), Datum::Text(self.status())]);
        row.extend([date(self.ship_date), date(self.commit_date), date(self.receipt_date)]);
        row.extend([Datum::Text(self.instruction), Datum::Text(self.mode), Datum::Text(&self.comment)]);
        row
    }
}
