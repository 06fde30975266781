//! Statements as a whole: read, planned and described against a catalog in memory.

mod depth;
mod mutations;
mod scripts;
#[path = "../support/mod.rs"]
mod support;
