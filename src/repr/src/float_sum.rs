//! Float sums.
