//! A real Kubernetes control plane for tests: API server, controllers, scheduler and store, as processes of one program.
//!
//! Knows nothing of Freshet. There are no nodes and no kubelet: [`Nodes`] makes node objects and says of every pod that is
//! bound to one that it runs, so that everything that controllers do can be seen. Reading order: `lab`, `certificates`,
//! `nodes`, `faults`.

mod certificates;
mod faults;
mod lab;
mod nodes;

pub use faults::{Fate, Faults};
pub use lab::{AuditEvent, Lab};
pub use nodes::Nodes;
