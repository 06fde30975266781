//! Random queries, compared with PostgreSQL 15.
//!
//! A *world* is a few tables, views over them and over each other, and changes to the tables. Both databases get the same
//! world; after each change every view is read in every way that Freshet has ([`Road`]), and each answer must be
//! PostgreSQL's. A difference is shrunk to a short script. Further checks need no second database: see `metamorphic`.
//!
//! Reading order: `tape`, `types`, `signatures`, `generate`, `world`, `answer`, `roads`, `trial`, `shrink`, `campaign`.

mod answer;
mod campaign;
mod generate;
mod interpreter;
mod metamorphic;
mod roads;
mod shrink;
mod signatures;
mod subscription;
mod tape;
mod trial;
mod types;
mod world;

pub use campaign::{Campaign, Report};
pub use roads::Road;
