//! A real Kubernetes control plane for tests: API server, controllers, scheduler and store, as processes of one program.
//!
//! Knows nothing of Freshet. Pods run in one of two ways: [`Nodes`] makes nodes and says of every pod that is bound to one that
//! it runs, so that everything that controllers do can be seen; [`Kubelet`] runs them as processes of this machine. Reading
//! order: `lab`, `certificates`, `nodes`, `kubelet`, `faults`, `wait`.

mod certificates;
mod faults;
mod kubelet;
mod lab;
mod nodes;
mod wait;

pub use faults::{Fate, Faults};
pub use kubelet::Kubelet;
pub use lab::{AuditEvent, Lab};
pub use nodes::Nodes;
pub use wait::{TIMEOUT, eventually};
