//! Small tools for tasks of one shard: isolation, signals, the first of two.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use monoio::time::Instant;
use slab::Slab;

/// Runs `future`; a panic in it ends it, not the thread.
///
/// # Errors
/// What the panic said.
pub(crate) async fn isolated<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // A task that panicked is never polled again; what it shared with others is in cells
        // whose borrows end with the unwinding.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(state) => state.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(panic.as_ref()))),
        }
    })
    .await
}

/// The same for work that does not wait. What it had hold of is not to be used any more.
///
/// # Errors
/// What the panic said.
pub(crate) fn shielded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    }
}

/// Which of two futures was first.
#[derive(Debug)]
pub(crate) enum First<A, B> {
    /// The first one, also where both were ready.
    Left(A),
    /// The second one.
    Right(B),
}

/// Waits for either; the other one is dropped.
pub(crate) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}

/// Tells one waiting task of this shard that something changed. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    /// Wakes the waiter, or lets its next wait return at once.
    pub(crate) fn set(&self) {
        if !self.set.replace(true)
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }

    /// Waits until [`Signal::set`] is called, or returns at once if it was since the last wait.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            if self.set.replace(false) {
                return Poll::Ready(());
            }
            self.waiter.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Something that comes once and stays, told to all who wait for it. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Milestone {
    reached: Cell<bool>,
    waiters: RefCell<Slab<Waker>>,
}

impl Milestone {
    /// Wakes all who wait; who waits later need not.
    pub(crate) fn reach(&self) {
        self.reached.set(true);
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        waiters.into_iter().for_each(|(_, waiter)| waiter.wake());
    }

    /// Ready when it is reached.
    pub(crate) fn wait(&self) -> Reached<'_> {
        Reached {
            milestone: self,
            key: None,
        }
    }
}

/// Waits for a [`Milestone`].
pub(crate) struct Reached<'a> {
    milestone: &'a Milestone,
    key: Option<usize>,
}

impl Future for Reached<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.milestone.reached.get() {
            return Poll::Ready(());
        }
        // A task's waker never changes, so that the first one stays good.
        if self.key.is_none() {
            let key = self
                .milestone
                .waiters
                .borrow_mut()
                .insert(cx.waker().clone());
            self.key = Some(key);
        }
        Poll::Pending
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.milestone.waiters.borrow_mut().try_remove(key);
        }
    }
}

/// The end of all tasks of a shard, told to each of them. Lives on: its shard.
///
/// The runtime must not be dropped with operations in flight: their tasks, and with them sockets,
/// would never be freed. So every task is spawned here, and the shard waits for the last one.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    closed: Milestone,
    running: Cell<usize>,
}

impl Tasks {
    /// Starts a task that ends with `future` or when all tasks are told to end.
    pub(crate) fn spawn(self: &Rc<Self>, future: impl Future<Output = ()> + 'static) {
        let guard = Running::new(self);
        monoio::spawn(async move {
            let tasks = &guard.0;
            first(future, tasks.closed.wait()).await;
        });
    }

    /// Tells all tasks to end, and waits until they have, for `time_max` at most.
    pub(crate) async fn close(&self, time_max: Duration) {
        const LOOK: Duration = Duration::from_millis(2);
        self.closed.reach();
        let deadline = Instant::now() + time_max;
        while self.running.get() > 0 && Instant::now() < deadline {
            monoio::time::sleep(LOOK).await;
        }
        // What the tasks gave up is still to be reaped.
        monoio::time::sleep(LOOK).await;
    }
}

/// A task that runs.
struct Running(Rc<Tasks>);

impl Running {
    fn new(tasks: &Rc<Tasks>) -> Self {
        tasks.running.set(tasks.running.get() + 1);
        Running(Rc::clone(tasks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::backend::ResolvedBackend;

    #[test]
    fn a_panic_ends_its_task_only() {
        for backend in [ResolvedBackend::IoUring, ResolvedBackend::Epoll] {
            let outcome = backend.block_on(async {
                let failed = isolated(async { panic!("one session, {}", 7) }).await;
                (failed, isolated(async { 5 }).await)
            });
            let expected: (Result<(), String>, _) = (Err("one session, 7".into()), Ok(5));
            assert_eq!(outcome.expect("the runtime starts"), expected);
        }
    }

    #[test]
    fn closing_ends_every_task_and_frees_what_it_held() {
        for backend in [ResolvedBackend::IoUring, ResolvedBackend::Epoll] {
            let held = Rc::new(());
            let running = backend.block_on(async {
                let tasks = Rc::new(Tasks::default());
                for _ in 0..10 {
                    let held = Rc::clone(&held);
                    tasks.spawn(async move {
                        let _held = held;
                        std::future::pending::<()>().await;
                    });
                }
                tasks.spawn(async {});
                monoio::time::sleep(Duration::from_millis(5)).await;
                let before = tasks.running.get();
                tasks.close(Duration::from_secs(5)).await;
                (before, tasks.running.get())
            });
            assert_eq!(running.expect("the runtime starts"), (10, 0));
            assert_eq!(Rc::strong_count(&held), 1);
        }
    }

    #[test]
    fn a_signal_is_not_lost_between_waits() {
        let seen = ResolvedBackend::Epoll.block_on(async {
            let signal = Signal::default();
            signal.set();
            signal.wait().await;
            let again = first(signal.wait(), std::future::ready(())).await;
            matches!(again, First::Right(()))
        });
        assert!(seen.expect("the runtime starts"));
    }
}
