//! Large groups cut into buckets, level by level: 16^n of them, then 16^(n-1), down to the whole group.

use repr::row::skip_datum;
use repr::{Datum, Kind, Row};

/// Buckets that become one on the next level.
const FANOUT: u64 = 16;
/// More levels than this address no more rows than there can be.
const LEVELS_MAX: u32 = 12;

/// How many buckets a group has on the current level.
pub(crate) struct Buckets {
    count: u64,
}

impl Buckets {
    /// Starts `levels` levels above the whole group.
    pub(crate) fn new(levels: u32) -> Buckets {
        Buckets { count: FANOUT.pow(levels.min(LEVELS_MAX)) }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Goes one level down, and returns how many buckets there are.
    pub(crate) fn merge(&mut self) -> u64 {
        self.count /= FANOUT;
        self.count
    }
}

/// The bucket, of `count`, of something with this hash. A bucket of fewer is a function of a bucket of more.
pub(crate) fn bucket_of(hash: u64, count: u64) -> u64 {
    // The low bits choose the worker; those of one worker shall still fill all buckets.
    (hash >> 16) % count
}

/// The group's key on a level: the bucket, then the key.
pub(crate) fn bucket_key(bucket: u64, key: &Row) -> Row {
    let mut bucketed = Row::pack([Datum::UInt(bucket)]);
    bucketed.push_packed(key.as_bytes());
    bucketed
}

/// The key on a level of `count` buckets, from the key on the level above.
pub(crate) fn rebucket(bucketed: &Row, count: u64) -> Row {
    let bucket = bucketed.unpack_first(Kind::UInt).unwrap_uint();
    let mut key = Row::pack([Datum::UInt(bucket % count)]);
    key.push_packed(strip(bucketed));
    key
}

/// The group's key without the bucket.
pub(crate) fn strip(bucketed: &Row) -> &[u8] {
    let mut rest = bucketed.as_bytes();
    skip_datum(&mut rest, Kind::UInt);
    rest
}
