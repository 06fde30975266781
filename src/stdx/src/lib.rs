//! What std lacks: clocks, randomness, tasks that can be simulated, back-off, shutdown, causes of errors and redacted secrets.
//!
//! Knows no word of the domain. Everything that reads time, draws random numbers or starts something concurrent takes one
//! of these as an argument, so that one seed replays a whole system. Reading order: `clock`, `rng`, `tasks`, `sim`, the rest.

pub mod backoff;
pub mod causes;
pub mod clock;
pub mod redacted;
pub mod rng;
pub mod shutdown;
pub mod sim;
pub mod tasks;

pub use backoff::Backoff;
pub use causes::with_causes;
pub use clock::{Clock, SystemClock};
pub use redacted::Redacted;
pub use rng::Rng;
pub use shutdown::Shutdown;
pub use tasks::{Elapsed, Task, Tasks};
