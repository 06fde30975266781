//! The values that TPC-H's queries name, and words for everything else.
//!
//! Source: TPC Benchmark H, clause 4.2.2.13 (lists of values) and 4.2.3 (nations and regions); comments are our own words.

use super::draw::Draw;

pub(super) const COLORS: [&str; 48] = [
    "almond",
    "antique",
    "aquamarine",
    "azure",
    "beige",
    "bisque",
    "black",
    "blue",
    "blush",
    "brown",
    "burlywood",
    "chartreuse",
    "chiffon",
    "chocolate",
    "coral",
    "cornflower",
    "cream",
    "cyan",
    "dark",
    "deep",
    "dim",
    "dodger",
    "firebrick",
    "floral",
    "forest",
    "frosted",
    "ghost",
    "goldenrod",
    "green",
    "grey",
    "honeydew",
    "indian",
    "ivory",
    "khaki",
    "lavender",
    "lemon",
    "lime",
    "magenta",
    "maroon",
    "metallic",
    "midnight",
    "navajo",
    "olive",
    "orchid",
    "peach",
    "rose",
    "salmon",
    "tomato",
];
pub(super) const TYPE_FIRST: [&str; 6] = ["STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"];
pub(super) const TYPE_SECOND: [&str; 5] = ["ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"];
pub(super) const TYPE_THIRD: [&str; 5] = ["TIN", "NICKEL", "BRASS", "STEEL", "COPPER"];
pub(super) const CONTAINER_FIRST: [&str; 5] = ["SM", "LG", "MED", "JUMBO", "WRAP"];
pub(super) const CONTAINER_SECOND: [&str; 8] = ["CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"];
pub(super) const SEGMENTS: [&str; 5] = ["AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD"];
pub(super) const PRIORITIES: [&str; 5] = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"];
pub(super) const INSTRUCTIONS: [&str; 4] = ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"];
pub(super) const MODES: [&str; 7] = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];
pub(super) const REGIONS: [&str; 5] = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"];
/// Names with their regions, in the order of their keys.
pub(super) const NATIONS: [(&str, i64); 25] = [
    ("ALGERIA", 0),
    ("ARGENTINA", 1),
    ("BRAZIL", 1),
    ("CANADA", 1),
    ("EGYPT", 4),
    ("ETHIOPIA", 0),
    ("FRANCE", 3),
    ("GERMANY", 3),
    ("INDIA", 2),
    ("INDONESIA", 2),
    ("IRAN", 4),
    ("IRAQ", 4),
    ("JAPAN", 2),
    ("JORDAN", 4),
    ("KENYA", 0),
    ("MOROCCO", 0),
    ("MOZAMBIQUE", 0),
    ("PERU", 1),
    ("CHINA", 2),
    ("ROMANIA", 3),
    ("SAUDI ARABIA", 4),
    ("VIETNAM", 2),
    ("RUSSIA", 3),
    ("UNITED KINGDOM", 3),
    ("UNITED STATES", 1),
];

const WORDS: [&str; 40] = [
    "about",
    "above",
    "accounts",
    "across",
    "along",
    "asleep",
    "bold",
    "boxes",
    "busy",
    "carefully",
    "crates",
    "daring",
    "deposits",
    "drift",
    "eager",
    "early",
    "even",
    "final",
    "fluffy",
    "furious",
    "hasty",
    "ideas",
    "instructions",
    "ironic",
    "late",
    "packages",
    "patient",
    "pending",
    "platelets",
    "quick",
    "quiet",
    "regular",
    "requests",
    "silent",
    "sleep",
    "slow",
    "special",
    "steady",
    "theories",
    "wake",
];

/// Words of together at most `most` characters and at least about a third of that.
pub(super) fn comment(draw: &mut Draw, most: usize) -> String {
    let target = most / 3 + draw.index(most - most / 3 + 1);
    let mut text = String::with_capacity(target);
    loop {
        let word = draw.pick(&WORDS);
        let space = usize::from(!text.is_empty());
        if text.len() + space + word.len() > target {
            return text;
        }
        if space == 1 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// Letters and digits, 10 to 40 of them.
pub(super) fn address(draw: &mut Draw) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,";
    let length = 10 + draw.index(31);
    (0..length).map(|_| char::from(ALPHABET[draw.index(ALPHABET.len())])).collect()
}

/// A telephone number of a country.
pub(super) fn phone(draw: &mut Draw, nation: i64) -> String {
    let (area, office, line) = (draw.between(100, 999), draw.between(100, 999), draw.between(1000, 9999));
    format!("{}-{area}-{office}-{line}", nation + 10)
}
