//! From text to meaning: the statement front end on the `sqlparser` crate, names, types, the planner's own representation
//! (HIR), decorrelation to MIR, and the plan of every statement.
//!
//! Pure: no async, no I/O, no clock. Knows the catalog only through [`CatalogView`]. Reading order: `parse`, `statement`,
//! `names`, `catalog_view`, `plan`, `query`, `hir`, `decorrelate`.

pub mod parse;
pub mod statement;

pub mod catalog_view;
pub mod error;
pub mod names;
pub mod plan;
mod position;
pub mod probe;

mod comparison_key;
mod decorrelate;
mod hir;
mod query;
mod stack;

pub use catalog_view::{CatalogView, Cluster, FullName, Item, ItemDefinition, Replica, quoted};
pub use error::Error;
pub use parse::parse;
pub use plan::{Params, Plan, PlanContext};
pub use statement::{Description, Statement, StatementKind, describe, plan};
