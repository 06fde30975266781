//! Checks bytes that nobody vouches for. Never panics; refuses every spelling the encoder does not write.

use crate::codec::{self, DEPTH_MAX, END, LEAD, NULL};
use crate::{Datum, Kind};

/// How many bytes the datum at the front of `bytes` takes. None: there is no canonical datum of this kind.
pub(crate) fn datum(bytes: &[u8], kind: Kind, depth: usize) -> Option<usize> {
    if bytes.first() == Some(&NULL) {
        return Some(1);
    }
    match kind {
        Kind::List => elements(bytes, depth).map(|(length, _)| length),
        Kind::Map => map(bytes, depth),
        Kind::Array => array(bytes, depth),
        Kind::Jsonb => crate::jsonb::check(bytes, 0),
        Kind::Numeric => crate::numeric::check(bytes),
        _ => scalar(bytes, kind),
    }
}

/// Decodes and encodes again: of two spellings of one value at most one survives.
fn scalar(bytes: &[u8], kind: Kind) -> Option<usize> {
    let (datum, length) = codec::datum(bytes, kind)?;
    if let Datum::Time(micros) = datum
        && !(0..=crate::datetime::MICROS_PER_DAY).contains(&micros)
    {
        return None;
    }
    if matches!(datum, Datum::Text(_) | Datum::Bytes(_)) {
        return Some(length);
    }
    let mut canonical = smallvec::SmallVec::<[u8; 24]>::new();
    codec::put_datum(&mut canonical, datum);
    (canonical[..] == bytes[..length]).then_some(length)
}

/// The length of the lead byte, elements and end, and how many elements there are.
fn elements(bytes: &[u8], depth: usize) -> Option<(usize, u64)> {
    if depth >= DEPTH_MAX || bytes.first() != Some(&LEAD) {
        return None;
    }
    let mut at = 1;
    let mut count = 0;
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        match tag {
            END => return Some((at, count)),
            NULL => {}
            tag => at += element(&bytes[at..], codec::kind_of_tag(tag)?, depth)?,
        }
        count += 1;
    }
}

/// A NULL element has no tag.
fn element(bytes: &[u8], kind: Kind, depth: usize) -> Option<usize> {
    if bytes.first() == Some(&NULL) {
        return None;
    }
    datum(bytes, kind, depth + 1)
}

fn map(bytes: &[u8], depth: usize) -> Option<usize> {
    if depth >= DEPTH_MAX || bytes.first() != Some(&LEAD) {
        return None;
    }
    let mut at = 1;
    let mut last = None;
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        if tag == END {
            return Some(at);
        }
        if tag != codec::tag_of_kind(Kind::Text) {
            return None;
        }
        let (key, length) = codec::text(&bytes[at..])?;
        if last.is_some_and(|last| last >= key) {
            return None;
        }
        last = Some(key);
        at += length;
        let tag = *bytes.get(at)?;
        at += 1;
        if tag != NULL {
            at += element(&bytes[at..], codec::kind_of_tag(tag)?, depth)?;
        }
    }
}

fn array(bytes: &[u8], depth: usize) -> Option<usize> {
    let (mut at, count) = elements(bytes, depth)?;
    let mut take = || {
        let length = scalar(&bytes[at..], Kind::Int)?;
        let (value, _) = codec::int(&bytes[at..])?;
        at += length;
        Some(value)
    };
    let dimensions = usize::try_from(take()?).ok()?;
    if dimensions > crate::composite::DIMENSIONS_MAX {
        return None;
    }
    let mut volume = if dimensions == 0 { 0 } else { 1 };
    for _ in 0..dimensions {
        let length = u64::try_from(take()?).ok().filter(|length| *length > 0)?;
        volume = u64::checked_mul(volume, length)?;
    }
    for _ in 0..dimensions {
        i32::try_from(take()?).ok()?;
    }
    (volume == count).then_some(at)
}
