//! Arrays, lists, records and maps, packed.

use crate::{Datum, Kind, Row};

/// A packed array: flat elements in row-major order, then its dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrayRef<'a>(pub(crate) &'a [u8]);

/// A packed list or record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListRef<'a>(pub(crate) &'a [u8]);

/// A packed map, keys sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapRef<'a>(pub(crate) &'a [u8]);

/// Length and lower bound of one array dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub length: usize,
    pub lower: i64,
}

impl<'a> ArrayRef<'a> {
    /// Flat elements in row-major order (each packed element carries its kind as a tag).
    pub fn elements(&self) -> Vec<Datum<'a>> {
        todo!("H1")
    }

    pub fn dimensions(&self) -> Vec<Dimension> {
        todo!("H1")
    }
}

impl<'a> ListRef<'a> {
    pub fn elements(&self) -> Vec<Datum<'a>> {
        todo!("H1")
    }
}

impl<'a> MapRef<'a> {
    pub fn entries(&self) -> Vec<(&'a str, Datum<'a>)> {
        todo!("H1")
    }
}

/// Packs an array as the one datum of a row. `kind` is the elements' kind.
pub fn pack_array(elements: &[Datum<'_>], kind: Kind, dimensions: &[Dimension]) -> Row {
    let _ = (elements, kind, dimensions);
    todo!("H1")
}

/// Packs a list or record as the one datum of a row; each element is tagged by its kind.
pub fn pack_list(elements: &[(Datum<'_>, Kind)]) -> Row {
    let _ = elements;
    todo!("H1")
}

/// Packs a map as the one datum of a row. The last of equal keys wins.
pub fn pack_map(entries: &[(&str, Datum<'_>)], kind: Kind) -> Row {
    let _ = (entries, kind);
    todo!("H1")
}
