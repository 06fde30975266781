//! How a dataflow ends: in two phases, so that no worker takes the end of the dataflow for the end of the data.
//!
//! A worker that drops a source's token stops emitting, but keeps the source's capability if it has one. Each worker also
//! holds the capability of a small *signal* operator, and drops that instead. The source's capability goes only when the
//! signal's frontier is empty: when all workers have dropped their tokens. By then nothing on any worker listens to the dataflow any more, least
//! of all a sink that would read the empty frontier as "complete" and close its shard on half the data.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};
use timely::progress::Timestamp;
use timely::scheduling::Activator;

/// Keeps something running on this worker, until it is dropped.
#[must_use = "dropping a Token ends what it stands for"]
pub struct Token(#[allow(dead_code, reason = "held for its destructor")] Box<dyn Any>);

impl Token {
    pub fn new(held: impl Any) -> Token {
        Token(Box::new(held))
    }
}

/// A switch that is thrown when its other half is dropped.
#[derive(Clone, Default)]
pub(crate) struct Pressed(Rc<Cell<bool>>);

impl Pressed {
    pub(crate) fn is_pressed(&self) -> bool {
        self.0.get()
    }

    /// What throws the switch when it is dropped, and then schedules the operators.
    pub(crate) fn button(&self, activators: Vec<Activator>) -> Button {
        Button { pressed: self.clone(), activators }
    }
}

pub(crate) struct Button {
    pressed: Pressed,
    activators: Vec<Activator>,
}

impl Drop for Button {
    fn drop(&mut self) {
        self.pressed.0.set(true);
        for activator in &self.activators {
            activator.activate();
        }
    }
}

/// A stream without data whose frontier is empty once every worker has dropped its token.
pub struct DropSignal<'scope, T: Timestamp> {
    pub stream: StreamVec<'scope, T, ()>,
    pub token: Token,
}

/// Makes a signal. Connect its stream to an operator's input that no output depends on.
pub fn drop_signal<'scope, T: Timestamp>(scope: Scope<'scope, T>) -> DropSignal<'scope, T> {
    let pressed = Pressed::default();
    let mut button = None;
    let stream = source::<_, CapacityContainerBuilder<Vec<()>>, _, _>(scope, "DropSignal", |capability, info| {
        button = Some(pressed.button(vec![scope.activator_for(info.address)]));
        let mut capability = Some(capability);
        move |_output| {
            if pressed.is_pressed() {
                drop(capability.take());
            }
        }
    });
    let button = button.expect("the constructor runs while the operator is built");
    DropSignal { stream, token: Token::new(button) }
}
