//! Tests of the crate as a whole.

mod codec;
mod nasty;
