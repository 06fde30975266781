//! The passes. Each keeps the rows of every relation it rewrites, and the types of their columns.
//!
//! A pass that moves an expression asks `could_error` first: what may fail stays above whatever could have removed its row.

pub(crate) mod demand;
pub(crate) mod disjunction;
pub(crate) mod distinct;
pub(crate) mod elide;
pub(crate) mod fold;
pub(crate) mod fuse;
pub(crate) mod inline;
pub(crate) mod lets;
pub(crate) mod monotonic;
pub(crate) mod predicates;
pub(crate) mod share;
pub(crate) mod window;
