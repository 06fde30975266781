//! A run: what one writer has written of a batch that several write together.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::encode::{get_parts, put_parts};
use crate::op::Part;

/// Updates that are written, sorted and consolidated, but not in the log yet: inline, or in parts that nobody names.
///
/// One that is never appended leaves garbage at most, which the search for orphans finds. One that was written long ago is
/// refused, see [`crate::Shards::append_runs`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub(crate) parts: Vec<Part>,
    pub(crate) updates: u64,
    pub(crate) bytes: u64,
}

impl Run {
    /// How many updates it holds.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// All of `runs` as one: the parts of a batch are sorted each for itself.
    pub(crate) fn joined(runs: Vec<Run>) -> Run {
        let mut joined = Run::default();
        for Run { parts, updates, bytes } in runs {
            joined.parts.extend(parts);
            joined.updates += updates;
            joined.bytes += bytes;
        }
        joined
    }

    /// For another process of the same version, on its way to whoever appends.
    pub fn to_bytes(&self) -> Bytes {
        let Run { parts, updates, bytes } = self;
        let mut out = Encoder::default();
        put_parts(&mut out, parts);
        out.varint(*updates);
        out.varint(*bytes);
        out.finish()
    }

    /// Errors: not what `to_bytes` makes.
    pub fn of_bytes(bytes: Bytes) -> Result<Run, DecodeError> {
        let mut input = Decoder(bytes);
        let run = Run { parts: get_parts(&mut input)?, updates: input.varint()?, bytes: input.varint()? };
        input.end()?;
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use repr::Timestamp;

    use super::*;
    use crate::op::HollowPart;

    #[test]
    fn a_run_goes_to_bytes_and_back() {
        let hollow = HollowPart {
            key: "part/0000000000007-1-00.rpf".to_owned(),
            bytes: 300,
            updates: 5,
            t_min: Timestamp::new(3),
            t_max: Timestamp::new(9),
            statistics: Bytes::from_static(b"s"),
        };
        let inline = Run { parts: vec![Part::Inline(Bytes::from_static(b"rows"))], updates: 2, bytes: 4 };
        let large = Run { parts: vec![Part::Hollow(hollow)], updates: 5, bytes: 300 };
        for run in [Run::default(), inline.clone(), large.clone(), Run::joined(vec![inline, Run::default(), large])] {
            assert_eq!(Run::of_bytes(run.to_bytes()), Ok(run.clone()));
            let cut = run.to_bytes().slice(..run.to_bytes().len() - 1);
            assert!(Run::of_bytes(cut).is_err(), "{run:?}");
        }
    }
}
