//! The times of the scopes that plans are rendered in.

use differential_dataflow::dynamic::pointstamp::PointStamp;
use differential_dataflow::lattice::Lattice;
use timely::order::Product;
use timely::progress::Timestamp as TimelyTimestamp;
use timely::progress::timestamp::Refines;
use trace::Ts;

use super::Context;
use super::bundle::Bundle;
use expr::LocalId;
use expr::relation::RecursionLimit;
use protocol::plan::Plan;

/// The time of recursion: the outer time, and a counter of rounds for each LetRec that is open.
pub(crate) type Iteration = Product<Ts, PointStamp<u64>>;

/// The time of a scope in which plans are rendered: [`Ts`], or [`Iteration`] for objects with recursion.
pub(crate) trait RenderTime: TimelyTimestamp + Lattice + Refines<Ts> {
    /// The time of the timeline.
    fn event(&self) -> Ts;

    /// The same place in recursion at another time of the timeline.
    fn with_event(&self, event: Ts) -> Self;

    /// A time from which on all times of this event are distinguished: what is earlier may be taken for one.
    fn just_before(&self) -> Self {
        let event = self.event();
        Self::to_inner(Ts::new(event.micros().saturating_sub(1)))
    }

    /// Renders a LetRec. Panics where the scope has no rounds: objects with recursion are rendered in a scope that has.
    fn let_rec<'scope>(
        context: &mut Context<'scope, Self>,
        ids: &[LocalId],
        values: &[Plan],
        limit: Option<RecursionLimit>,
        body: &Plan,
    ) -> Bundle<'scope, Self>;
}

impl RenderTime for Ts {
    fn event(&self) -> Ts {
        *self
    }

    fn with_event(&self, event: Ts) -> Ts {
        event
    }

    fn let_rec<'scope>(
        _context: &mut Context<'scope, Ts>,
        _ids: &[LocalId],
        _values: &[Plan],
        _limit: Option<RecursionLimit>,
        _body: &Plan,
    ) -> Bundle<'scope, Ts> {
        panic!("an object with recursion is rendered in an iterative scope")
    }
}

impl RenderTime for Iteration {
    fn event(&self) -> Ts {
        self.outer
    }

    fn with_event(&self, event: Ts) -> Iteration {
        Product::new(event, self.inner.clone())
    }

    fn let_rec<'scope>(
        context: &mut Context<'scope, Iteration>,
        ids: &[LocalId],
        values: &[Plan],
        limit: Option<RecursionLimit>,
        body: &Plan,
    ) -> Bundle<'scope, Iteration> {
        super::let_rec::render(context, ids, values, limit, body)
    }
}
