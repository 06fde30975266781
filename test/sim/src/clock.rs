//! Wall clocks that are set, run at another speed, and differ from machine to machine.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use stdx::sim::Executor;
use stdx::tasks::Spawn;
use stdx::{Clock, Task, Tasks};

/// What all wall clocks are ahead of virtual time.
#[derive(Clone)]
pub(crate) struct WallClock {
    executor: Executor,
    setting: Arc<Mutex<Setting>>,
}

#[derive(Clone, Copy, Default)]
struct Setting {
    at: Duration,
    ahead_ms: i64,
    /// How much faster than virtual time the clocks run, in thousandths.
    drift_permille: i64,
}

impl Setting {
    fn ahead_ms(&self, now: Duration) -> i64 {
        let passed = i64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX / 1000);
        self.ahead_ms + passed * self.drift_permille / 1000
    }
}

impl WallClock {
    pub(crate) fn new(executor: Executor) -> WallClock {
        WallClock { executor, setting: Arc::default() }
    }

    /// Sets the clocks forward, or back, and the speed at which they run from here on.
    pub(crate) fn set(&self, step_ms: i64, drift_permille: i64) {
        let now = self.executor.boot();
        let mut setting = self.setting.lock();
        let ahead_ms = setting.ahead_ms(now) + step_ms;
        *setting = Setting { at: now, ahead_ms, drift_permille };
    }

    /// Tasks of a process on a machine whose wall clock is `ahead_ms` ahead of the others'.
    pub(crate) fn tasks(&self, group: u64, ahead_ms: i64) -> Tasks {
        let machine = Machine { tasks: self.executor.tasks(group), wall: self.clone(), ahead_ms };
        let machine = Arc::new(machine);
        Tasks::new(Arc::clone(&machine) as _, machine)
    }
}

/// The executor, with a wall clock of its own.
struct Machine {
    tasks: Tasks,
    wall: WallClock,
    ahead_ms: i64,
}

impl Clock for Machine {
    fn wall(&self) -> Duration {
        let ahead_ms = self.wall.setting.lock().ahead_ms(self.boot());
        stdx::clock::shifted(self.wall.executor.wall(), ahead_ms + self.ahead_ms)
    }

    fn boot(&self) -> Duration {
        self.wall.executor.boot()
    }
}

/// A task that goes on when this is dropped.
struct Held(Option<Task>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl Spawn for Machine {
    fn spawn(&self, name: &str, future: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send + Sync> {
        let held = Mutex::new(Held(Some(self.tasks.spawn(name, future))));
        Box::new(move || drop(held.lock().0.take()))
    }

    fn spawn_blocking(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        self.tasks.spawn(name, async move { work() }).detach();
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.tasks.sleep(duration)
    }
}
