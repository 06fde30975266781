//! A seeded single-thread executor with virtual time.
//!
//! Every step polls one ready task, chosen by the seed; time moves only when nothing is ready, to the earliest timer. So
//! one seed is one schedule, and a run that fails can be replayed. The trace of a run shows whether that holds: two runs of
//! one seed have equal traces.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::clock::{Clock, shifted};
use crate::rng::Rng;
use crate::tasks::{Spawn, Tasks};

/// Runs tasks one poll at a time in an order drawn from a seed.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
    rng: Rng,
}

struct Inner {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_task: u64,
    tasks: BTreeMap<u64, Slot>,
    ready: BTreeSet<u64>,
    timers: BTreeMap<(u128, u64), Waker>,
    next_timer: u64,
    now_nanos: u128,
    wall_offset_ms: i64,
    trace: Trace,
    /// Groups that are machines of their own: paused once, or with clocks that were stepped.
    machines: BTreeMap<u64, Machine>,
}

/// What has happened, in order.
#[derive(Default)]
struct Trace {
    digest: u64,
    /// Every event, if the run is recorded.
    events: Option<Vec<Event>>,
}

/// A step of a run: a task was polled, or something was noted by whoever drives the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Virtual time since the Unix epoch, without jumps of the wall clock.
    pub nanos: u128,
    pub name: Arc<str>,
    /// The task's number, or a detail of the note.
    pub detail: u64,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09} {} {}", self.nanos / 1_000_000_000, self.nanos % 1_000_000_000, self.name, self.detail)
    }
}

impl Trace {
    fn add(&mut self, nanos: u128, name: &Arc<str>, detail: u64) {
        // FNV-1a over words: all that is asked of it is that unequal runs end unequal.
        let mut mix =
            |word: u64| self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        mix(u64::try_from(nanos).unwrap_or(u64::MAX));
        name.bytes().for_each(|byte| mix(u64::from(byte)));
        mix(detail);
        if let Some(events) = &mut self.events {
            events.push(Event { nanos, name: Arc::clone(name), detail });
        }
    }
}

/// What became of the clocks of one group of tasks.
#[derive(Default)]
struct Machine {
    wall_offset_ms: i64,
    /// How long its clocks have stood still in all former pauses.
    stood_still_nanos: u128,
    paused: Option<Pause>,
}

struct Pause {
    clocks: PausedClocks,
    since_nanos: u128,
}

/// What the clocks of a paused machine do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PausedClocks {
    /// As under SIGSTOP, or when a laptop is suspended.
    Run,
    /// As when a hypervisor stops a guest.
    Stop,
}

impl Machine {
    fn stood_still(&self, now_nanos: u128) -> u128 {
        match &self.paused {
            Some(Pause { clocks: PausedClocks::Stop, since_nanos }) => {
                self.stood_still_nanos + now_nanos.saturating_sub(*since_nanos)
            }
            _ => self.stood_still_nanos,
        }
    }
}

impl State {
    fn is_paused(&self, group: u64) -> bool {
        self.machines.get(&group).is_some_and(|machine| machine.paused.is_some())
    }

    /// The tasks that can be polled.
    fn runnable(&self) -> Vec<u64> {
        let runs = |id: &u64| self.tasks.get(id).is_none_or(|slot| !self.is_paused(slot.group));
        self.ready.iter().copied().filter(runs).collect()
    }
}

struct Slot {
    name: Arc<str>,
    group: u64,
    future: Option<BoxFuture<'static, ()>>,
}

struct TaskWaker {
    inner: std::sync::Weak<Inner>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.inner.upgrade() {
            let mut state = inner.state.lock();
            if state.tasks.contains_key(&self.id) {
                state.ready.insert(self.id);
            }
        }
    }
}

/// What one call of [`Executor::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Polled a task.
    Polled,
    /// Nothing was ready: moved time to the next timer.
    Advanced,
    /// Nothing is ready and no timer is set.
    Idle,
}

impl Executor {
    /// An executor whose virtual wall clock starts at `start_ms`.
    pub fn new(rng: Rng, start_ms: u64) -> Executor {
        let state = State { now_nanos: u128::from(start_ms) * 1_000_000, ..State::default() };
        Executor { inner: Arc::new(Inner { state: Mutex::new(state) }), rng }
    }

    /// Tasks of one simulated process: [`Executor::kill`] with the same group ends them all.
    pub fn tasks(&self, group: u64) -> Tasks {
        let spawner = GroupSpawn { executor: self.clone(), group };
        Tasks::new(Arc::new(spawner), Arc::new(GroupClock { executor: self.clone(), group }))
    }

    /// Stops polling the tasks of a group until [`Executor::resume`]; their timers go off meanwhile.
    pub fn pause(&self, group: u64, clocks: PausedClocks) {
        let mut state = self.inner.state.lock();
        let since_nanos = state.now_nanos;
        let machine = state.machines.entry(group).or_default();
        machine.paused.get_or_insert(Pause { clocks, since_nanos });
    }

    pub fn resume(&self, group: u64) {
        let mut state = self.inner.state.lock();
        let now_nanos = state.now_nanos;
        if let Some(machine) = state.machines.get_mut(&group) {
            machine.stood_still_nanos = machine.stood_still(now_nanos);
            machine.paused = None;
        }
    }

    /// Shifts the wall clock that one group of tasks sees.
    pub fn jump_wall_clock_of(&self, group: u64, by_ms: i64) {
        self.inner.state.lock().machines.entry(group).or_default().wall_offset_ms += by_ms;
    }

    /// Drops every task of a group, as a crash of that process would.
    pub fn kill(&self, group: u64) {
        let doomed: Vec<Slot> = {
            let mut state = self.inner.state.lock();
            let ids: Vec<u64> = state.tasks.iter().filter(|(_, slot)| slot.group == group).map(|(id, _)| *id).collect();
            for id in &ids {
                state.ready.remove(id);
            }
            ids.iter().filter_map(|id| state.tasks.remove(id)).collect()
        };
        // Dropping futures runs destructors that may wake other tasks, so the lock is released first.
        drop(doomed);
    }

    /// Shifts the wall clock, as an operator or NTP would; the boot clock goes on.
    pub fn jump_wall_clock(&self, by_ms: i64) {
        self.inner.state.lock().wall_offset_ms += by_ms;
    }

    /// Polls one ready task or, if none is, moves time to the next timer.
    pub fn step(&self) -> Step {
        let (id, mut future) = {
            let mut state = self.inner.state.lock();
            let runnable = state.runnable();
            if runnable.is_empty() {
                return match state.timers.pop_first() {
                    Some(((at, _), waker)) => {
                        state.now_nanos = state.now_nanos.max(at);
                        drop(state);
                        waker.wake();
                        Step::Advanced
                    }
                    None => Step::Idle,
                };
            }
            let index = usize::try_from(self.rng.below(runnable.len() as u64)).expect("a vector's length fits usize");
            let id = runnable[index];
            state.ready.remove(&id);
            let State { tasks, trace, now_nanos, .. } = &mut *state;
            let Some(slot) = tasks.get_mut(&id) else { return Step::Polled };
            let Some(future) = slot.future.take() else { return Step::Polled };
            trace.add(*now_nanos, &slot.name, id);
            (id, future)
        };
        let waker = Waker::from(Arc::new(TaskWaker { inner: Arc::downgrade(&self.inner), id }));
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.inner.state.lock();
        match poll {
            Poll::Ready(()) => {
                state.tasks.remove(&id);
            }
            Poll::Pending => {
                if let Some(slot) = state.tasks.get_mut(&id) {
                    slot.future = Some(future);
                    return Step::Polled;
                }
            }
        }
        drop(state);
        Step::Polled
    }

    /// Keeps the events of the run from here on, for [`Executor::events`].
    pub fn record(&self) {
        self.inner.state.lock().trace.events.get_or_insert_default();
    }

    /// The recorded events.
    pub fn events(&self) -> Vec<Event> {
        self.inner.state.lock().trace.events.clone().unwrap_or_default()
    }

    /// A digest of all that has happened: equal for two runs of one seed.
    pub fn digest(&self) -> u64 {
        self.inner.state.lock().trace.digest
    }

    /// Adds an event to the trace that is no task's.
    pub fn note(&self, name: &Arc<str>, detail: u64) {
        let mut state = self.inner.state.lock();
        let nanos = state.now_nanos;
        state.trace.add(nanos, name, detail);
    }

    /// Runs until `future` ends. Panics, naming the tasks that wait, if everything waits for ever.
    pub fn block_on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let task = self.tasks(u64::MAX).spawn("block_on", async move {
            *slot.lock() = Some(future.await);
        });
        loop {
            if let Some(value) = result.lock().take() {
                drop(task);
                return value;
            }
            if self.step() == Step::Idle {
                panic!("deadlock: every task waits: {:?}", self.waiting());
            }
        }
    }

    /// Names of the tasks that have not ended.
    pub fn waiting(&self) -> Vec<String> {
        self.inner.state.lock().tasks.values().map(|slot| slot.name.to_string()).collect()
    }
}

impl Clock for Executor {
    fn wall(&self) -> Duration {
        let state = self.inner.state.lock();
        shifted(nanos(state.now_nanos), state.wall_offset_ms)
    }

    fn boot(&self) -> Duration {
        nanos(self.inner.state.lock().now_nanos)
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The clocks that one group of tasks sees.
struct GroupClock {
    executor: Executor,
    group: u64,
}

impl GroupClock {
    fn machine<T>(&self, read: impl Fn(&Machine, u128) -> T) -> Option<T> {
        let state = self.executor.inner.state.lock();
        state.machines.get(&self.group).map(|machine| read(machine, state.now_nanos))
    }
}

impl Clock for GroupClock {
    fn wall(&self) -> Duration {
        let machine = self.machine(|machine, now_nanos| (machine.wall_offset_ms, machine.stood_still(now_nanos)));
        let (offset_ms, still) = machine.unwrap_or_default();
        shifted(self.executor.wall(), offset_ms).saturating_sub(nanos(still))
    }

    fn boot(&self) -> Duration {
        let still = self.machine(Machine::stood_still).unwrap_or(0);
        self.executor.boot().saturating_sub(nanos(still))
    }
}

struct GroupSpawn {
    executor: Executor,
    group: u64,
}

impl Spawn for GroupSpawn {
    fn spawn(&self, name: &str, future: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send + Sync> {
        let mut state = self.executor.inner.state.lock();
        let id = state.next_task;
        state.next_task += 1;
        state.tasks.insert(id, Slot { name: name.into(), group: self.group, future: Some(future) });
        state.ready.insert(id);
        drop(state);
        let inner = Arc::downgrade(&self.executor.inner);
        Box::new(move || {
            let Some(inner) = inner.upgrade() else { return };
            let mut state = inner.state.lock();
            state.ready.remove(&id);
            let slot = state.tasks.remove(&id);
            drop(state);
            drop(slot);
        })
    }

    fn spawn_blocking(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        drop(self.spawn(name, Box::pin(async move { work() })));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { executor: self.executor.clone(), duration, deadline: None, fired: Arc::default() })
    }
}

struct Sleep {
    executor: Executor,
    duration: Duration,
    deadline: Option<(u128, u64)>,
    fired: Arc<AtomicBool>,
}

struct TimerWaker {
    fired: Arc<AtomicBool>,
    waker: Waker,
}

impl Wake for TimerWaker {
    fn wake(self: Arc<Self>) {
        self.fired.store(true, Ordering::SeqCst);
        self.waker.wake_by_ref();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.fired.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let executor = self.executor.clone();
        let mut state = executor.inner.state.lock();
        let key = match self.deadline {
            Some(key) => key,
            None => {
                let key = (state.now_nanos + self.duration.as_nanos(), state.next_timer);
                state.next_timer += 1;
                self.deadline = Some(key);
                key
            }
        };
        let timer = TimerWaker { fired: Arc::clone(&self.fired), waker: context.waker().clone() };
        state.timers.insert(key, Waker::from(Arc::new(timer)));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.deadline {
            self.executor.inner.state.lock().timers.remove(&key);
        }
    }
}
