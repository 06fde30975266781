//! One order of commands for all workers of a replica.
//!
//! Worker 0 of all processes sends; every worker receives, itself included, and applies on receipt. There is one sender and
//! channels between two workers keep their order, so the order of arrival is the same everywhere: no timestamps, no waiting
//! for the slowest worker. Dataflows are numbered by each worker for itself, so they must be built in one order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::{Operator, source};
use timely::scheduling::Activator;
use timely::worker::Worker;

/// Sends commands to all workers. Dropping it ends the channel.
pub struct CommandSender<C> {
    queue: Rc<RefCell<Queue<C>>>,
    activator: Activator,
}

/// Receives commands on one worker.
pub struct CommandReceiver<C> {
    queue: Rc<RefCell<VecDeque<C>>>,
}

struct Queue<C> {
    commands: VecDeque<C>,
    is_closed: bool,
}

impl<C> CommandSender<C> {
    /// Sends at the worker's next step.
    pub fn send(&self, command: C) {
        self.queue.borrow_mut().commands.push_back(command);
        self.activator.activate();
    }
}

impl<C> Drop for CommandSender<C> {
    fn drop(&mut self) {
        self.queue.borrow_mut().is_closed = true;
        self.activator.activate();
    }
}

impl<C> CommandReceiver<C> {
    /// The next command in order, if it has arrived.
    pub fn try_recv(&self) -> Option<C> {
        self.queue.borrow_mut().pop_front()
    }
}

/// Builds the channel's dataflow: on all workers, before any other. The sender is returned on worker 0 only.
pub fn command_channel<C: ExchangeData + Clone>(worker: &mut Worker) -> (Option<CommandSender<C>>, CommandReceiver<C>) {
    let is_sender = worker.index() == 0;
    let peers = worker.peers() as u64;
    let received: Rc<RefCell<VecDeque<C>>> = Rc::default();
    let receiver = CommandReceiver { queue: Rc::clone(&received) };
    let mut sender: Option<CommandSender<C>> = None;
    worker.dataflow_named::<u64, _, _>("Commands", |scope| {
        source::<_, CapacityContainerBuilder<Vec<(u64, C)>>, _, _>(scope, "SendCommands", |capability, info| {
            let queue: Rc<RefCell<Queue<C>>> =
                Rc::new(RefCell::new(Queue { commands: VecDeque::new(), is_closed: !is_sender }));
            let activator = scope.activator_for(info.address);
            if is_sender {
                sender = Some(CommandSender { queue: Rc::clone(&queue), activator });
            }
            let mut capability = Some(capability);
            move |output| {
                let mut queue = queue.borrow_mut();
                if let Some(capability) = &capability {
                    let mut session = output.session(capability);
                    for command in queue.commands.drain(..) {
                        (0..peers).for_each(|target| session.give((target, command.clone())));
                    }
                }
                if queue.is_closed {
                    capability = None;
                }
            }
        })
        .sink(Exchange::new(|(target, _command)| *target), "ReceiveCommands", move |(input, _frontier)| {
            input.for_each(|_capability, commands| {
                received.borrow_mut().extend(commands.drain(..).map(|(_target, command)| command));
            });
        });
    });
    (sender, receiver)
}
