//! Threads that take turns as a seed says, on one real thread.
//!
//! Each is a coroutine with a few tasks, as a shard's thread is. It can be interrupted wherever another thread could see a
//! difference: before and after every lock, before a place is taken, before a bell is rung. The same seed gives the same
//! course.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use generator::{Generator, Gn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Words of a coroutine's stack.
const STACK: usize = 0x8000;

/// Turns in a row in which everybody only waited for locks: then somebody holds one for ever.
const PATIENCE: usize = 10_000;

/// What a thread did with its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Progress,
    LockBusy,
    Asleep,
}

/// Whether the code runs in a simulated thread.
pub(crate) fn is_simulated() -> bool {
    generator::is_generator()
}

/// Gives the other threads a turn.
pub(crate) fn interleave() {
    give_way(Step::Progress);
}

/// Gives the other threads a turn to unlock something.
pub(crate) fn wait_for_lock() {
    give_way(Step::LockBusy);
}

fn give_way(step: Step) {
    // A coroutine that is torn down, or that has failed, unwinds through guards.
    if is_simulated() && !std::thread::panicking() {
        #[expect(
            deprecated,
            reason = "a lock deep in the product cannot be handed the scope"
        )]
        generator::yield_with(step);
    }
}

/// The random choices of a run, and its time: a number that rises whenever somebody looks.
#[derive(Debug)]
pub(crate) struct Course {
    random: RefCell<StdRng>,
    time: Cell<u64>,
    stopping: Cell<bool>,
}

impl Course {
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            random: RefCell::new(StdRng::seed_from_u64(seed)),
            time: Cell::new(0),
            stopping: Cell::new(false),
        })
    }

    /// A number below the limit.
    pub(crate) fn below(&self, limit: usize) -> usize {
        self.random.borrow_mut().random_range(0..limit)
    }

    /// A moment that differs from all others.
    pub(crate) fn now(&self) -> u64 {
        self.time.set(self.time.get() + 1);
        self.time.get()
    }
}

/// Set by a waker, taken by the executor.
#[derive(Debug)]
struct Flag {
    task: AtomicBool,
    thread: Arc<AtomicBool>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.task.store(true, Ordering::Relaxed);
        self.thread.store(true, Ordering::Relaxed);
    }
}

/// A future on a simulated thread.
pub(crate) struct Task {
    /// The run is over when all these are done.
    is_awaited: bool,
    future: LocalBoxFuture<'static, ()>,
}

impl Task {
    /// A task that must come to its end.
    pub(crate) fn awaited(future: impl Future<Output = ()> + 'static) -> Self {
        Self {
            is_awaited: true,
            future: Box::pin(future),
        }
    }

    /// A task that goes on for ever.
    pub(crate) fn service(future: impl Future<Output = ()> + 'static) -> Self {
        Self {
            is_awaited: false,
            future: Box::pin(future),
        }
    }
}

/// What a coroutine runs. It is handed in, for the coroutine's own function would have to be `Send`.
type Body = Box<dyn FnOnce()>;

/// A coroutine that may give way from within any function that it calls.
fn coroutine(body: Body) -> Generator<'static, Body, Step> {
    let mut coroutine = Gn::new_opt(STACK, || {
        #[expect(deprecated, reason = "the way to yield from within, see `give_way`")]
        let body = generator::get_yield::<Body>();
        body.expect("handed in below")();
        Step::Asleep
    });
    coroutine.set_para(body);
    coroutine
}

/// A simulated thread as the scheduler sees it.
struct Thread {
    coroutine: Generator<'static, Body, Step>,
    woken: Arc<AtomicBool>,
    is_asleep: bool,
}

/// Somebody waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

/// Runs each list of tasks on a thread of its own until all awaited tasks are done.
pub(crate) fn run(course: &Rc<Course>, threads: Vec<Vec<Task>>) -> Result<(), Stuck> {
    let awaited = threads.iter().flatten().filter(|task| task.is_awaited);
    let left = Rc::new(Cell::new(awaited.count()));
    let mut threads: Vec<Thread> = threads
        .into_iter()
        .map(|tasks| {
            let woken = Arc::new(AtomicBool::new(true));
            let (course, left, flag) = (Rc::clone(course), Rc::clone(&left), Arc::clone(&woken));
            Thread {
                coroutine: coroutine(Box::new(move || execute(&course, tasks, &left, &flag))),
                woken,
                is_asleep: false,
            }
        })
        .collect();
    let result = take_turns(course, &mut threads, &left);
    // Let them leave by the door: what they hold is dropped in order.
    course.stopping.set(true);
    for thread in &mut threads {
        for _ in 0..PATIENCE {
            if thread.coroutine.is_done() {
                break;
            }
            thread.coroutine.resume();
        }
    }
    result
}

fn take_turns(course: &Course, threads: &mut [Thread], left: &Cell<usize>) -> Result<(), Stuck> {
    let mut futile = 0;
    while left.get() > 0 {
        let mut able = Vec::new();
        for (index, thread) in threads.iter_mut().enumerate() {
            if thread.woken.swap(false, Ordering::Relaxed) {
                thread.is_asleep = false;
            }
            if !thread.is_asleep {
                able.push(index);
            }
        }
        if able.is_empty() || futile > PATIENCE {
            return Err(Stuck);
        }
        let thread = &mut threads[able[course.below(able.len())]];
        match thread.coroutine.resume() {
            Some(Step::Progress) => futile = 0,
            Some(Step::LockBusy) => futile += 1,
            Some(Step::Asleep) | None => thread.is_asleep = true,
        }
    }
    Ok(())
}

/// Polls the tasks that were woken, in an order that the course chooses.
fn execute(course: &Course, tasks: Vec<Task>, left: &Cell<usize>, thread: &Arc<AtomicBool>) {
    let mut tasks: Vec<(Task, Arc<Flag>)> = tasks
        .into_iter()
        .map(|task| {
            let flag = Flag {
                task: AtomicBool::new(true),
                thread: Arc::clone(thread),
            };
            (task, Arc::new(flag))
        })
        .collect();
    while !course.stopping.get() {
        let is_woken = |(_, flag): &(Task, Arc<Flag>)| flag.task.load(Ordering::Relaxed);
        let woken: Vec<usize> = (0..tasks.len())
            .filter(|index| is_woken(&tasks[*index]))
            .collect();
        if woken.is_empty() {
            give_way(Step::Asleep);
            continue;
        }
        let index = woken[course.below(woken.len())];
        let (task, flag) = &mut tasks[index];
        flag.task.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(flag));
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            left.set(left.get() - usize::from(task.is_awaited));
            drop(tasks.swap_remove(index));
        }
        interleave();
    }
}
