//! The PostgreSQL wire protocol, versions 3.0 and 3.2, on the `pgwire` crate's messages with our own connection loop.
//!
//! Reading order: `listener`, `startup`, `reader`, `connection`, `simple`, `extended`, `copy`, `encode`.

mod connection;
mod copy;
mod encode;
mod extended;
mod listener;
mod reader;
mod simple;
mod startup;

pub(crate) use listener::{Audience, refuse, serve};
