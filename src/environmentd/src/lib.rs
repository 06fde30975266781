//! The daemon of an environment: sockets and sessions, choosing times, committing, and the wiring of everything below.
//!
//! Links no dataflow. Reading order: `args`, `boot`, `secrets`, `certificates`, `home`, `open`, `environment`, `session`,
//! `sequence` (the life of each statement), `planning`, `oracle`, `committer`, `realize`, `reconfigurations`, `pgwire`, `http`; `embedded` is the
//! way in without sockets, `command` what the program does beside serving.

pub mod args;
pub mod boot;
mod certificates;
pub mod command;
mod committer;
pub mod embedded;
pub mod environment;
pub mod error;
mod home;
mod http;
mod object_names;
mod objects;
mod open;
mod oracle;
mod pgwire;
mod planning;
mod realize;
mod reconfigurations;
mod secrets;
mod sequence;
pub mod session;
mod vars;
