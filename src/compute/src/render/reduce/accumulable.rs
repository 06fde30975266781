//! Aggregates that are sums.
use expr::Aggregate;
use super::{Keyed, Reduced};
use crate::render::time::RenderTime;

pub(super) fn render<'scope, T: RenderTime>(keyed: Keyed<'scope, T>, aggregates: &[Aggregate]) -> Reduced<'scope, T> {
    super::basic::render(keyed, aggregates)
}
