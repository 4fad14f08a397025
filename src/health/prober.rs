//! The thread that probes: a task for each node, due on a common grid of moments.
//!
//! Nodes begin spread over their first interval, so that a thousand of them are some every
//! [`GRID`] and not all at once; and some at once cost the thread one waking instead of many.

use std::{
    collections::HashMap,
    io,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    sync::mpsc,
    task::{AbortHandle, LocalSet},
    time::sleep_until,
};

use super::{
    probe::{Outcome, Prober},
    watch::{Gear, Target, verdict},
};
use crate::{
    clock,
    shared::health::Report,
    upstream::resolve::{Names, Resolver},
};

/// Time between two moments at which probes begin.
const GRID: Duration = Duration::from_millis(50);

/// Keeps the turn of this thread's addresses apart from the workers'.
const SEED: usize = 1 << 16;

/// What the thread is told.
pub(super) enum Order {
    /// Look after this node, under this number.
    Start(u64, Arc<Target>, Arc<Gear>),
    /// Leave it, in the middle of a probe too.
    Stop(u64),
}

/// A node in the thread's hands, for as long as anybody holds this.
pub(super) struct Job {
    id: u64,
    target: Arc<Target>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Job {
    /// Hands a node to the thread.
    pub(super) fn start(
        id: u64,
        target: Target,
        gear: &Arc<Gear>,
        orders: &mpsc::UnboundedSender<Order>,
    ) -> Arc<Self> {
        let target = Arc::new(target);
        // The thread ends with the process only.
        let _ = orders.send(Order::Start(id, Arc::clone(&target), Arc::clone(gear)));
        Arc::new(Self { id, target, orders: orders.clone() })
    }

    /// Ends the probes while somebody still looks at the state.
    pub(super) fn stop(&self) {
        let _ = self.orders.send(Order::Stop(self.id));
    }
}

impl Deref for Job {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the thread.
///
/// # Errors
///
/// When a thread or its runtime cannot be had.
pub(super) fn start(names: Arc<Names>) -> io::Result<mpsc::UnboundedSender<Order>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (orders, inbox) = mpsc::unbounded_channel();
    thread::Builder::new().name("probes".to_owned()).spawn(move || {
        LocalSet::new().block_on(&runtime, serve(names, inbox));
    })?;
    Ok(orders)
}

async fn serve(names: Arc<Names>, mut inbox: mpsc::UnboundedReceiver<Order>) {
    let resolver = Rc::new(Resolver::new(names, SEED));
    let start = clock::now();
    let mut tasks: HashMap<u64, AbortHandle> = HashMap::new();
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Start(id, target, gear) => {
                let prober = Prober::new(Arc::clone(&gear), (&target, id), Rc::clone(&resolver));
                let grid = Grid { start, phase: phase(id) };
                let task = tokio::task::spawn_local(look_after(target, gear, prober, grid));
                tasks.insert(id, task.abort_handle());
            }
            Order::Stop(id) => {
                if let Some(task) = tasks.remove(&id) {
                    task.abort();
                }
            }
        }
    }
}

/// A share of one for each number; shares of following numbers are far from each other.
#[allow(clippy::cast_precision_loss)] // It is about spreading, not about the number.
fn phase(id: u64) -> f64 {
    (id as f64 * 0.618_033_988_749_895).fract()
}

/// When a node is due.
#[derive(Clone, Copy)]
struct Grid {
    start: Instant,
    phase: f64,
}

impl Grid {
    /// The first moment: within one interval from `now`.
    fn first(&self, now: Instant, interval: Duration) -> Instant {
        let due = now.duration_since(self.start) + interval.mul_f64(self.phase);
        let steps = u32::try_from(due.as_millis() / GRID.as_millis()).unwrap_or(u32::MAX);
        (self.start + GRID * steps).max(now)
    }

    /// The moment after `due`, skipping those that are over.
    fn next(due: Instant, interval: Duration, now: Instant) -> Instant {
        let next = due + interval;
        if next >= now {
            return next;
        }
        let late = now.duration_since(next).as_millis() / interval.as_millis().max(1);
        next + interval * (u32::try_from(late).unwrap_or(u32::MAX - 1) + 1)
    }
}

/// The life of a node in this thread.
async fn look_after(target: Arc<Target>, gear: Arc<Gear>, mut prober: Prober, grid: Grid) {
    let interval = || gear.active.interval(target.word.is_healthy());
    let mut due = interval().map(|interval| grid.first(clock::now(), interval));
    loop {
        let changed = match due {
            None => {
                target.changed.notified().await;
                true
            }
            Some(at) => tokio::select! {
                () = sleep_until(at.into()) => false,
                () = target.changed.notified() => true,
            },
        };
        if changed {
            // Somebody else found out: what was due for the other state is not.
            due = interval().map(|interval| clock::now() + interval);
            continue;
        }
        let Ok(permit) = gear.permits.acquire().await else { return };
        let outcome = prober.probe(&target).await;
        drop(permit);
        tell(&target, &gear, &outcome);
        due = interval()
            .map(|interval| Grid::next(due.unwrap_or(grid.start), interval, clock::now()));
    }
}

fn tell(target: &Target, gear: &Gear, outcome: &Outcome) {
    let verdicts = &gear.active.verdicts;
    let report = match outcome {
        Outcome::Status(status) => verdict(verdicts, *status),
        Outcome::Connected => Some(Report::Success),
        Outcome::Broken(_) => Some(Report::TcpFailure),
        Outcome::Late(_) => Some(Report::Timeout),
    };
    if let Some(report) = report {
        target.report(verdicts, report, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_thousand_nodes_are_spread_over_their_interval() {
        let start = Instant::now();
        let now = start + Duration::from_millis(1234);
        let mut slots: HashMap<u128, u32> = HashMap::new();
        for id in 0..1000 {
            let due = Grid { start, phase: phase(id) }.first(now, SECOND);
            assert!(due >= now && due <= now + SECOND, "{:?}", due - now);
            *slots.entry((due - start).as_millis() / GRID.as_millis()).or_default() += 1;
        }
        let (least, most) = (slots.values().min().unwrap(), slots.values().max().unwrap());
        assert!(slots.len() >= 20 && *most <= 70, "{least} to {most} in {} slots", slots.len());
    }

    #[test]
    fn what_took_too_long_does_not_run_twice_at_once() {
        let start = Instant::now();
        let next = |late_ms| {
            let now = start + Duration::from_millis(late_ms);
            Grid::next(start, SECOND, now) - start
        };
        assert_eq!(next(10), SECOND);
        assert_eq!(next(1000), SECOND);
        assert_eq!(next(1001), SECOND * 2);
        assert_eq!(next(5500), SECOND * 6);
    }
}
