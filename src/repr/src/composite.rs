//! Arrays, lists, records and maps, packed.

use crate::codec::{self, END, LEAD, NULL};
use crate::{Datum, Kind, Row};

/// PostgreSQL's limit.
pub const DIMENSIONS_MAX: usize = 6;

/// A packed array: flat elements in row-major order, then its dimensions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrayRef<'a>(pub(crate) &'a [u8]);

/// A packed list or record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListRef<'a>(pub(crate) &'a [u8]);

/// A packed map, keys sorted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapRef<'a>(pub(crate) &'a [u8]);

/// Length and lower bound of one array dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub length: usize,
    pub lower: i64,
}

/// Walks tagged elements. Panics if the bytes are not those of a composite.
#[derive(Clone)]
pub struct Elements<'a> {
    /// What is left, the end byte and what follows it included.
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    fn new(packed: &'a [u8]) -> Elements<'a> {
        assert_eq!(packed.first(), Some(&LEAD), "a composite without its lead byte");
        Elements { rest: &packed[1..] }
    }

    fn next_tagged(&mut self) -> Option<(Option<Kind>, Datum<'a>)> {
        let (tag, rest) = self.rest.split_first().expect("a composite has an end byte");
        match *tag {
            END => None,
            NULL => {
                self.rest = rest;
                Some((None, Datum::Null))
            }
            tag => {
                let kind = codec::kind_of_tag(tag).expect("an element has the tag of a kind");
                self.rest = rest;
                Some((Some(kind), crate::row::read_datum(&mut self.rest, kind)))
            }
        }
    }

    /// What follows the end byte. Call it when `next` has returned none.
    fn tail(&self) -> &'a [u8] {
        &self.rest[1..]
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Datum<'a>;

    fn next(&mut self) -> Option<Datum<'a>> {
        self.next_tagged().map(|(_, datum)| datum)
    }
}

impl<'a> ArrayRef<'a> {
    /// Flat elements in row-major order (each packed element carries its kind as a tag).
    pub fn elements(&self) -> Vec<Datum<'a>> {
        self.iter().collect()
    }

    /// Flat elements in row-major order.
    pub fn iter(&self) -> Elements<'a> {
        Elements::new(self.0)
    }

    pub fn dimensions(&self) -> Vec<Dimension> {
        let mut elements = self.iter();
        while elements.next().is_some() {}
        let mut tail = elements.tail();
        let mut take = || match crate::row::read_datum(&mut tail, Kind::Int) {
            Datum::Int(value) => value,
            other => panic!("an array's dimension is {other:?}"),
        };
        let count = take();
        let lengths: Vec<i64> = (0..count).map(|_| take()).collect();
        let dimension = |length: i64| Dimension {
            length: usize::try_from(length).expect("an array's length is not negative"),
            lower: take(),
        };
        lengths.into_iter().map(dimension).collect()
    }

    /// The packed bytes: a whole datum of a row.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> ListRef<'a> {
    pub fn elements(&self) -> Vec<Datum<'a>> {
        self.iter().collect()
    }

    pub fn iter(&self) -> Elements<'a> {
        Elements::new(self.0)
    }

    /// The packed bytes: a whole datum of a row.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> MapRef<'a> {
    pub fn entries(&self) -> Vec<(&'a str, Datum<'a>)> {
        self.iter().collect()
    }

    /// The entries, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Datum<'a>)> + use<'a> {
        let mut elements = Elements::new(self.0);
        std::iter::from_fn(move || {
            let key = elements.next()?.unwrap_text();
            Some((key, elements.next().expect("a map's key has a value")))
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Datum<'a>> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The packed bytes: a whole datum of a row.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl std::fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for ListRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for MapRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Packs an array as the one datum of a row. `kind` is the elements' kind.
///
/// An array without elements has no dimensions, whatever `dimensions` says.
///
/// Panics: the dimensions do not multiply to the number of elements, or are more than [`DIMENSIONS_MAX`].
pub fn pack_array(elements: &[Datum<'_>], kind: Kind, dimensions: &[Dimension]) -> Row {
    let dimensions = if elements.is_empty() { &[] } else { dimensions };
    let volume = if dimensions.is_empty() { 0 } else { dimensions.iter().map(|dimension| dimension.length).product() };
    assert_eq!(volume, elements.len(), "an array's dimensions do not fit its elements");
    assert!(dimensions.len() <= DIMENSIONS_MAX, "an array has too many dimensions");
    let mut row = Row::default();
    push_elements(&mut row, elements.iter().map(|element| (*element, kind)));
    row.push(Datum::Int(dimensions.len() as i64));
    row.extend(dimensions.iter().map(|dimension| Datum::Int(dimension.length as i64)));
    row.extend(dimensions.iter().map(|dimension| Datum::Int(dimension.lower)));
    row
}

/// Packs an array of one dimension that starts at 1, or the empty array.
pub fn pack_vector(elements: &[Datum<'_>], kind: Kind) -> Row {
    pack_array(elements, kind, &[Dimension { length: elements.len(), lower: 1 }])
}

/// Packs a list or record as the one datum of a row; each element is tagged by its kind.
pub fn pack_list(elements: &[(Datum<'_>, Kind)]) -> Row {
    let mut row = Row::default();
    push_elements(&mut row, elements.iter().copied());
    row
}

/// Packs a map as the one datum of a row. The last of equal keys wins.
pub fn pack_map(entries: &[(&str, Datum<'_>)], kind: Kind) -> Row {
    let sorted: std::collections::BTreeMap<&str, Datum<'_>> = entries.iter().copied().collect();
    let mut row = Row::default();
    push_elements(
        &mut row,
        sorted.into_iter().flat_map(|(key, value)| [(Datum::Text(key), Kind::Text), (value, kind)]),
    );
    row
}

fn push_elements<'a>(row: &mut Row, elements: impl Iterator<Item = (Datum<'a>, Kind)>) {
    row.push_packed(&[LEAD]);
    for (element, kind) in elements {
        if !element.is_null() {
            debug_assert_eq!(element.kind(), Some(kind), "an element of another kind");
            row.push_packed(&[codec::tag_of_kind(kind)]);
        }
        row.push(element);
    }
    row.push_packed(&[END]);
}
