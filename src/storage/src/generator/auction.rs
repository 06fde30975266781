//! AUCTION: organizations, users and accounts at offset 0; then at each offset an auction, or a bid for the last one.
//!
//! Auctions come in blocks of eight, in which each count of bids from 2 to 9 occurs once. So a block is always 52 offsets
//! long, and what an offset means needs no count of what came before:
//!
//! ```text
//! offset  0        1 .. 52                     53 .. 104
//!         static   A b b b A b b A b b b b ..  A b ..
//! ```
//!
//! Times of an auction and of its bids derive from the time of the auction's tick.

use repr::{Datum, Diff, Row};

use super::draw::Draw;
use super::{Change, TickTimes};

const ORGANIZATIONS: u64 = 75;
const USERS: u64 = 4096;
const BLOCK_AUCTIONS: u64 = 8;
/// Eight auctions and 2 + 3 + ... + 9 bids.
const BLOCK_OFFSETS: u64 = 52;
const ACCOUNT_BALANCE: i64 = 10_000;
const FIRST_ACCOUNT: u64 = 42;

const ITEMS: [&str; 5] = ["Vintage Camera", "Harbour Cruise", "Oak Bookshelf", "Concert Tickets", "Hand-thrown Vase"];
const FIRST_NAMES: [&str; 32] = [
    "Ada", "Bao", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Liam", "Mara",
    "Nuru", "Olga", "Pavel", "Quinn", "Rosa", "Sven", "Tala", "Umar", "Vera", "Wei", "Xenia", "Yusuf", "Zoe", "Anton",
    "Bela", "Chidi", "Dora", "Emil", "Frida",
];
const LAST_NAMES: [&str; 32] = [
    "Abara", "Berg", "Castillo", "Dahl", "Engel", "Fontaine", "Grant", "Haddad", "Ito", "Jansen", "Kaya", "Larsen",
    "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weber", "Xu",
    "Young", "Zeman", "Adler", "Brandt", "Costa", "Duarte", "Eriksen", "Farkas",
];
const COMPANY_HEADS: [&str; 15] = [
    "Amber",
    "Birch",
    "Cobalt",
    "Delta",
    "Ember",
    "Fjord",
    "Granite",
    "Harbor",
    "Indigo",
    "Juniper",
    "Keystone",
    "Lumen",
    "Meridian",
    "Northwind",
    "Orchard",
];
const COMPANY_TAILS: [&str; 5] = ["Logistics", "Foods", "Analytics", "Textiles", "Robotics"];

/// Numbers that tell the random sequences of this generator apart.
mod stream {
    pub(super) const BLOCK: u64 = 1;
    pub(super) const AUCTION: u64 = 2;
    pub(super) const BID: u64 = 3;
    pub(super) const USER: u64 = 4;
}

/// What happens at one offset behind the first.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Auction {
        auction: u64,
    },
    /// `back`: offsets since that of the auction.
    Bid {
        auction: u64,
        bid: u64,
        back: u64,
    },
}

/// What `offset` changes in the relation `reference`.
pub(super) fn changes(reference: &str, offset: u64, times: TickTimes) -> Box<dyn Iterator<Item = Change> + Send> {
    let row = match (reference, offset) {
        ("organizations", 0) => return Box::new((0..ORGANIZATIONS).map(organization)),
        ("users", 0) => return Box::new((0..USERS).map(user)),
        ("accounts", 0) => return Box::new((0..ORGANIZATIONS).map(account)),
        ("auctions", 1..) => match event(offset) {
            Event::Auction { auction } => Some(auction_row(auction, times.micros(offset))),
            Event::Bid { .. } => None,
        },
        ("bids", 1..) => match event(offset) {
            Event::Bid { auction, bid, back } => Some(bid_row(auction, bid, times.micros(offset - back))),
            Event::Auction { .. } => None,
        },
        _ => None,
    };
    Box::new(row.map(|row| (row, Diff::ONE)).into_iter())
}

fn event(offset: u64) -> Event {
    let (block, mut place) = ((offset - 1) / BLOCK_OFFSETS, (offset - 1) % BLOCK_OFFSETS);
    let mut bids = [2, 3, 4, 5, 6, 7, 8, 9];
    Draw::new(stream::BLOCK, block, 0).shuffle(&mut bids);
    for (auction, bids) in (block * BLOCK_AUCTIONS + 1..).zip(bids) {
        if place == 0 {
            return Event::Auction { auction };
        }
        if place <= bids {
            return Event::Bid { auction, bid: place - 1, back: place };
        }
        place -= bids + 1;
    }
    unreachable!("a block's auctions and bids fill its offsets")
}

fn int(number: u64) -> Datum<'static> {
    Datum::Int(number.cast_signed())
}

fn organization(id: u64) -> Change {
    let head = COMPANY_HEADS[(id / 5) as usize % COMPANY_HEADS.len()];
    let tail = COMPANY_TAILS[(id % 5) as usize];
    let name = format!("{head} {tail}");
    (Row::pack([int(id), Datum::Text(&name)]), Diff::ONE)
}

fn user(id: u64) -> Change {
    let mut draw = Draw::new(stream::USER, id, 0);
    let name = format!("{} {}", draw.pick(&FIRST_NAMES), draw.pick(&LAST_NAMES));
    (Row::pack([int(id), int(id % ORGANIZATIONS), Datum::Text(&name)]), Diff::ONE)
}

fn account(organization: u64) -> Change {
    let id = organization + FIRST_ACCOUNT;
    (Row::pack([int(id), int(organization), Datum::Int(ACCOUNT_BALANCE)]), Diff::ONE)
}

fn auction_row(auction: u64, now_micros: i64) -> Row {
    let mut draw = Draw::new(stream::AUCTION, auction, 0);
    let (seller, item) = (draw.below(USERS), draw.pick(&ITEMS));
    Row::pack([int(auction), int(seller), Datum::Text(item), Datum::Timestamp(now_micros + 10_000_000)])
}

fn bid_row(auction: u64, bid: u64, now_micros: i64) -> Row {
    let id = auction * 10 + bid;
    let mut draw = Draw::new(stream::BID, id, 0);
    let (buyer, amount) = (draw.below(USERS), draw.between(1, 99));
    let bid_time = now_micros + 1_000_000 * bid.cast_signed();
    Row::pack([int(id), int(buyer), int(auction), Datum::Int(amount), Datum::Timestamp(bid_time)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_auction_is_followed_by_two_to_nine_bids_of_its_own() {
        let (mut last, mut count) = (0, 9);
        for offset in 1..=10 * BLOCK_OFFSETS {
            match event(offset) {
                Event::Auction { auction } => {
                    assert_eq!(auction, last + 1);
                    assert!((2..=9).contains(&count), "auction {last} has {count} bids");
                    (last, count) = (auction, 0);
                }
                Event::Bid { auction, bid, back } => {
                    assert_eq!((auction, bid, back), (last, count, count + 1));
                    count += 1;
                }
            }
        }
    }
}
