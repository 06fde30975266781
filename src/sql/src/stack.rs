//! Stack for recursive walks over what users may nest.

/// Stack that must be left before a recursive walk takes a new segment, and the size of that segment.
const RED_ZONE_BYTES: usize = 128 << 10;
const SEGMENT_BYTES: usize = 2 << 20;

/// Runs one step of a recursive walk with enough stack.
pub(crate) fn with_stack<R>(step: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, step)
}
