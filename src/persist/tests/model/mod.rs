//! The pieces of the model simulation.

pub(crate) mod blobs;
pub(crate) mod clients;
pub(crate) mod history;
pub(crate) mod sabotage;
pub(crate) mod world;
