//! The VMs of one worker: the one that serves, the one before it, and older ones whose last
//! requests run.
//!
//! A new VM may first serve a single request on trial, while all others stay on the old code:
//! a version that raises at once costs that one request and nothing else. Later the VM before
//! is kept for a while; an error that is new with the serving one lets it serve again, at once
//! on this worker, and on the others with the next request they take.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Vm, pace::Pace, slot::Slot};
use crate::{clock, exchange::Exchange};

/// How long the last requests of an old VM may take before they count as long-lived.
const LONG: Duration = Duration::from_secs(5);

/// How many times as long a trial may take once there is a request for it.
const TAKEN: u32 = 10;

/// How often a trial is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Steps of the collector before a VM is closed, should it never get to an end.
const STEPS_MAX: u32 = 1_000;

/// Full cycles of the collector: the first may have begun while all was still in use.
const CYCLES: u32 = 2;

/// Lua names files by at most this many bytes (`LUA_IDSIZE` without its end).
const FILE_NAME_BYTES_MAX: usize = 59;

/// What a young VM is replaced by if it raises.
struct Before {
    vm: Rc<Vm>,
    /// The files that changed, as Lua's messages name them.
    changed: Arc<Vec<String>>,
    /// Until when an error brings it back.
    until: Instant,
}

struct Old {
    vm: Rc<Vm>,
    since: Instant,
    destroying: bool,
}

/// All VMs of one worker.
pub struct Versions {
    serving: RefCell<Rc<Vm>>,
    trial: RefCell<Option<Rc<Vm>>>,
    before: RefCell<Option<Before>>,
    old: RefCell<Vec<Old>>,
    /// The generation that [`Before`] may replace; 0 for none.
    young: Cell<u64>,
    /// The last generation that any worker found bad.
    bad: Arc<AtomicU64>,
}

impl Versions {
    /// `vm` serves; `bad` is shared by all workers.
    #[must_use]
    pub fn new(vm: Rc<Vm>, bad: Arc<AtomicU64>) -> Self {
        Self {
            serving: RefCell::new(vm),
            trial: RefCell::default(),
            before: RefCell::default(),
            old: RefCell::default(),
            young: Cell::new(0),
            bad,
        }
    }

    /// The VM that serves new requests.
    #[must_use]
    pub fn serving(&self) -> Rc<Vm> {
        let young = self.young.get();
        if young != 0 && self.bad.load(Ordering::Relaxed) == young {
            self.fall_back(young);
        }
        Rc::clone(&self.serving.borrow())
    }

    /// The VM for `x`, whose route is known: the one on trial, for the first that runs plugins.
    #[must_use]
    pub fn for_request(&self, serving: Rc<Vm>, x: &Exchange) -> Rc<Vm> {
        let mut trial = self.trial.borrow_mut();
        if trial.is_none() {
            return serving;
        }
        let plugins = x.matched.as_ref().is_some_and(|known| known.has_plugins);
        if !plugins && x.globals.is_none() {
            return serving;
        }
        trial.take().unwrap_or(serving)
    }

    /// Lets the next request with plugins run on `vm` and waits for its end: `patience` for one
    /// to come, and longer for it to end.
    ///
    /// # Errors
    ///
    /// What it raised.
    pub async fn try_out(&self, vm: &Rc<Vm>, patience: Duration) -> Result<(), String> {
        *self.trial.borrow_mut() = Some(Rc::clone(vm));
        let holders = Rc::strong_count(vm);
        let begun = clock::now();
        loop {
            let waiting = self.trial.borrow().is_some();
            let most = if waiting { patience } else { patience * TAKEN };
            if begun.elapsed() > most {
                break;
            }
            tokio::time::sleep(LOOK).await;
            if vm.first_error().is_some() {
                break;
            }
            // Taken by a request, which is over again.
            if !waiting && Rc::strong_count(vm) < holders {
                break;
            }
        }
        *self.trial.borrow_mut() = None;
        vm.first_error().map_or(Ok(()), Err)
    }

    /// Lets `vm` serve. For `window` an error in one of the `changed` files that the VM before
    /// did not raise brings that one back.
    pub fn commit(&self, vm: Rc<Vm>, changed: &Arc<Vec<String>>, window: Duration) {
        let id = vm.generation.id;
        let old = self.serving.replace(vm);
        old.end_timers();
        let until = clock::now() + window;
        let before = Before { vm: old, changed: Arc::clone(changed), until };
        let older = if window.is_zero() {
            self.young.set(0);
            let dropped = self.before.take();
            self.retire(before.vm);
            dropped
        } else {
            self.young.set(id);
            self.before.replace(Some(before))
        };
        if let Some(older) = older {
            self.retire(older.vm);
        }
    }

    /// A plugin of generation `id` raised: if that is new with it, the VM before serves again.
    /// Whether it does.
    pub fn raised(&self, id: u64, message: &str, traceback: &str) -> bool {
        if id != self.young.get() {
            return false;
        }
        let new = self.before.borrow().as_ref().is_some_and(|before| {
            let blamed = |file: &String| message.contains(&**file) || traceback.contains(&**file);
            clock::now() < before.until
                && before.changed.iter().any(blamed)
                && !before.vm.has_raised(message)
        });
        if new {
            self.bad.store(id, Ordering::Relaxed);
            self.fall_back(id);
        }
        new
    }

    /// The VM before generation `id` serves again, if `id` serves.
    pub fn fall_back(&self, id: u64) -> bool {
        if self.young.get() != id {
            return false;
        }
        self.young.set(0);
        let Some(before) = self.before.take() else { return false };
        before.vm.resume_timers();
        let bad = self.serving.replace(before.vm);
        bad.end_timers();
        self.retire(bad);
        true
    }

    fn retire(&self, vm: Rc<Vm>) {
        vm.end_timers();
        self.old.borrow_mut().push(Old { vm, since: clock::now(), destroying: false });
    }

    /// Ends what is no longer used: `destroy` after the last request, then the VM. Of those
    /// whose requests do not end, the oldest have them cut when there are more than `max`
    /// VMs; returns the generations this happened to.
    pub fn tend(&self, max: usize) -> Vec<u64> {
        let now = clock::now();
        if self.before.borrow().as_ref().is_some_and(|before| before.until <= now) {
            self.young.set(0);
            if let Some(before) = self.before.take() {
                self.retire(before.vm);
            }
        }
        let mut old = self.old.borrow_mut();
        for entry in old.iter_mut() {
            if !entry.destroying && Rc::strong_count(&entry.vm) == 1 {
                entry.destroying = true;
                let vm = Rc::clone(&entry.vm);
                let heirs = self.serving.borrow().plugin_names();
                tokio::task::spawn_local(async move { vm.destroy(&heirs).await });
            }
        }
        // One at a time, for the sake of the requests meanwhile.
        let over = |entry: &Old| {
            entry.destroying && Rc::strong_count(&entry.vm) == 1 && entry.vm.is_idle()
        };
        if let Some(at) = old.iter().position(over) {
            tokio::task::spawn_local(old.swap_remove(at).vm.close(Pace::sliced()));
        }
        let mut long: Vec<&Old> =
            old.iter().filter(|entry| !entry.destroying && now - entry.since > LONG).collect();
        long.sort_by_key(|entry| entry.since);
        let surplus = long.len().saturating_sub(max);
        long.into_iter()
            .take(surplus)
            .filter(|entry| entry.vm.evict())
            .map(|entry| entry.vm.generation.id)
            .collect()
    }

    /// Whether an old VM still waits for its end.
    #[must_use]
    pub fn unfinished(&self) -> bool {
        !self.old.borrow().is_empty()
    }

    /// How many VMs there are, with the one that serves.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + usize::from(self.before.borrow().is_some()) + self.old.borrow().len()
    }

    /// Timers that wait or run, and bytes of Lua memory, of all VMs.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let of = |vm: &Vm| (vm.timers(), vm.memory());
        let mut all = vec![of(&self.serving.borrow())];
        all.extend(self.before.borrow().as_ref().map(|before| of(&before.vm)));
        all.extend(self.old.borrow().iter().map(|old| of(&old.vm)));
        all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn each(&self, visit: &mut dyn FnMut(&Vm)) {
        visit(&self.serving.borrow());
        if let Some(before) = &*self.before.borrow() {
            visit(&before.vm);
        }
        self.old.borrow().iter().for_each(|old| visit(&old.vm));
    }

    /// The generations of all VMs, the one that serves first.
    #[must_use]
    pub fn generations(&self) -> Vec<u64> {
        let mut all = Vec::new();
        self.each(&mut |vm| all.push(vm.generation.id));
        all
    }

    /// Frees what Lua does not use any more, in all VMs.
    pub fn collect(&self) {
        self.each(&mut |vm| vm.collect());
    }

    /// Every VM, when the worker ends.
    #[must_use]
    pub fn all(&self) -> Vec<Rc<Vm>> {
        let mut all = vec![Rc::clone(&self.serving.borrow())];
        all.extend(self.before.take().map(|before| before.vm));
        all.extend(self.old.take().into_iter().filter(|old| !old.destroying).map(|old| old.vm));
        all
    }
}

impl Vm {
    /// Ends the timers: those that wait run once more with `premature` set.
    pub(crate) fn end_timers(&self) {
        self.core.retired.set(true);
        self.core.retire.notify_waiters();
    }

    /// New timers may start again.
    fn resume_timers(&self) {
        self.core.retired.set(false);
    }

    /// The plugins of this VM.
    pub(crate) fn plugin_names(&self) -> Vec<Arc<str>> {
        self.loaded.iter().map(|plugin| Arc::clone(&plugin.name)).collect()
    }

    /// Runs `destroy` of every plugin, and ends the timers. `heirs` live on in another VM.
    pub(crate) async fn destroy(&self, heirs: &[Arc<str>]) {
        self.end_timers();
        for plugin in &self.loaded {
            let lives_on = heirs.contains(&plugin.name);
            if let Err(reason) = self.end(&plugin.name, lives_on).await {
                let line = format!("failed to destroy plugin {}: {reason}", plugin.name);
                self.core.env.log_lua(4, &line);
            }
        }
    }

    /// Frees what nobody uses any more in small steps: closing a full VM at once takes longer
    /// than a request.
    pub async fn close(self: Rc<Self>, pace: Pace) {
        let core = Rc::clone(&self.core);
        drop(self);
        let mut cycles = 0;
        // A task may still be on its way out; then the last one of all closes it.
        if Rc::strong_count(&core) > 1 || core.state().unload().is_err() {
            cycles = CYCLES;
        }
        for _ in 0..STEPS_MAX {
            if cycles == CYCLES {
                break;
            }
            pace.step().await;
            // A finalizer that raises ends its step; others go on with the next.
            cycles += u32::from(core.state().step().unwrap_or(false));
        }
    }

    /// Whether no timer runs or waits.
    fn is_idle(&self) -> bool {
        self.timers() == 0
    }

    fn timers(&self) -> usize {
        self.core.timers.0.get() + self.core.timers.1.get()
    }

    fn first_error(&self) -> Option<String> {
        self.core.errors.first()
    }

    fn has_raised(&self, message: &str) -> bool {
        self.core.errors.has(message)
    }

    /// Cuts the connections whose requests keep this VM alive; false if that was done before.
    fn evict(&self) -> bool {
        self.core.evict.notify_waiters();
        !self.core.evicted.replace(true)
    }

    /// Waits until the request of `x` must end because its code is too old; for ever if it
    /// runs no code.
    pub fn evicted(x: &Exchange) -> impl Future<Output = ()> + use<> {
        let vm = x.lua.get::<Slot>().and_then(|slot| slot.vm.clone());
        async move {
            match vm {
                Some(vm) if !vm.core.evicted.get() => vm.core.evict.notified().await,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// A file as Lua's messages name it: the end of a long path.
#[must_use]
pub fn name_in_messages(path: &str) -> String {
    if path.len() <= FILE_NAME_BYTES_MAX {
        return path.to_owned();
    }
    let mut from = path.len() - (FILE_NAME_BYTES_MAX - 3);
    while !path.is_char_boundary(from) {
        from += 1;
    }
    path[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_named_by_its_end() {
        assert_eq!(name_in_messages("plugins/a.lua"), "plugins/a.lua");
        let long = format!("/{}/plugins/a.lua", "x".repeat(80));
        let lua = mlua::Lua::new();
        let error = lua.load("error('x')").set_name(format!("@{long}")).exec().unwrap_err();
        let name = name_in_messages(&long);
        assert!(error.to_string().contains(&name), "{error} {name}");
        assert!(name.len() > 50);
    }
}
