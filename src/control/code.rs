//! Plugin code: loading it anew, checking it against every stored conf, swapping it on
//! all workers or none, and rolling it back.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use super::{
    Checker, Control, conf, start,
    tries::{Outcome, Try},
};
use crate::{
    config::{
        check::{self, Applied, Recheck},
        env, local,
        raw::{Kind, RawDocument},
        snapshot::Refusal,
        source::file,
    },
    log::error_log::Level,
    log_at,
    lua::{Vm, loader::Generation, pace::Pace, versions::name_in_messages},
    worker::{Code, Order},
};

/// How long a worker may take to prepare a VM: several runaway `init`s in a row.
const PREPARE: Duration = Duration::from_secs(60);

/// How long a worker may take to swap.
const SWAP: Duration = Duration::from_secs(10);

/// Why new code does not serve.
enum Refused {
    /// It did not get through the checks.
    Checks(String),
    /// The first request it served raised this.
    Trial(String),
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self::Checks(reason)
    }
}

impl Control {
    /// Loads the code anew if its files changed, or in any case when `asked`.
    ///
    /// # Errors
    ///
    /// Why the new code is refused; the old one serves on everywhere.
    pub(super) fn reload_code(&mut self, asked: bool) -> Result<(), String> {
        if !asked && !self.generation.is_stale() {
            return Ok(());
        }
        let started = Instant::now();
        self.last_id += 1;
        let places = start::places(&self.prefix, &self.local);
        let generation = Arc::new(self.generation.next(self.last_id, places));
        let counts = Arc::clone(&self.common.counts);
        let before = Arc::clone(&self.generation);
        let tried = self.try_generation(&generation);
        let outcome = match &tried {
            Ok(()) => Outcome::Served,
            Err(Refused::Checks(why)) => Outcome::Refused(why.clone()),
            Err(Refused::Trial(why)) => Outcome::RolledBack(why.clone()),
        };
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.board.tried(Try::new(&generation, Some(&before), took, outcome));
        let result = match tried {
            Ok(()) => {
                counts.reloads_accepted.fetch_add(1, Ordering::Relaxed);
                log_at!(Level::Notice, "plugin generation {} serves, {took} ms", generation.id);
                Ok(())
            }
            Err(Refused::Checks(reason)) => {
                counts.reloads_refused.fetch_add(1, Ordering::Relaxed);
                log_at!(Level::Error, "plugin reload refused, the old code serves on: {reason}");
                Err(reason)
            }
            Err(Refused::Trial(reason)) => {
                self.reject(&generation, &reason);
                Err(format!("rolled back: {reason}"))
            }
        };
        self.board.reloaded(generation.id, self.generation.id, result.as_ref().err());
        result
    }

    fn try_generation(&mut self, generation: &Arc<Generation>) -> Result<(), Refused> {
        if let Some(rejected) = &self.rejected
            && let Some(file) = generation.holds(rejected)?
        {
            return Err(format!("{file} was rolled back as it is: change it").into());
        }
        let (vm, applied) = self.checked_vm(generation)?;
        if let Err(refused) = self.try_code(&vm) {
            self.close(vm);
            return Err(refused);
        }
        let changed = generation.changed_since(&self.generation);
        let names = changed.keys().map(|path| name_in_messages(&path.display().to_string()));
        self.commit(&Arc::new(names.collect()));
        let before = std::mem::replace(&mut self.vm, vm);
        let old = std::mem::replace(&mut self.generation, Arc::clone(generation));
        self.before = Some(old);
        self.rejected = None;
        self.common.generation = Arc::clone(generation);
        self.publish_if_new(applied);
        self.board.set_live(&self.live, &self.vm);
        self.tell_facts();
        self.close(before);
        Ok(())
    }

    /// Has all workers load the code of `vm`, and one of them serve by it.
    fn try_code(&mut self, vm: &Vm) -> Result<(), Refused> {
        self.prepare_workers(&Arc::new(Code::of(vm, &self.common.plugins)))?;
        self.try_out().map_err(Refused::Trial)
    }

    /// Frees a VM that checked.
    fn close(&self, vm: Vm) {
        self.runtime.block_on(Rc::new(vm).close(Pace::polite()));
    }

    /// A control VM of the new code, if all that loaded before loads again and every stored
    /// conf still passes; and the objects as it fills their defaults.
    fn checked_vm(&self, generation: &Arc<Generation>) -> Result<(Vm, Option<Applied>), String> {
        let vm = start::check_vm(&self.runtime, &self.common, generation)?;
        match self.accept(&vm) {
            Ok(applied) => Ok((vm, applied)),
            Err(reason) => {
                self.close(vm);
                Err(reason)
            }
        }
    }

    /// The objects as `vm` fills their defaults, if it may serve.
    fn accept(&self, vm: &Vm) -> Result<Option<Applied>, String> {
        for (name, reason) in &vm.broken {
            let known = |(broken, why): &(String, String)| broken == name && why == reason;
            if !self.vm.broken.iter().any(known) {
                return Err(format!("plugin {name} does not load: {reason}"));
            }
        }
        let applied = self.recheck(vm)?;
        let new = |refusal: &&Refusal| {
            let same = |old: &Refusal| old.kind == refusal.kind && old.id == refusal.id;
            !self.snapshot.refusals.iter().any(same)
        };
        if let Some(applied) = &applied
            && let Some(Refusal { kind, id, reason, .. }) =
                applied.snapshot.refusals.iter().find(new)
        {
            return Err(format!("{} [{id}] would be refused: {reason}", kind.plural()));
        }
        Ok(applied)
    }

    /// The objects as `vm` sees them; `None` if there are none.
    fn recheck(&self, vm: &Vm) -> Result<Option<Applied>, String> {
        let Some(document) = self.document()? else { return Ok(None) };
        let mut checker = Checker { vm, local: &self.local };
        Ok(Some(check::apply(&self.snapshot, document, &mut checker, Recheck::All)))
    }

    /// The objects' file. While it is broken the code that serves cannot be replaced: nobody
    /// could tell whether the stored confs still pass.
    fn document(&self) -> Result<Option<RawDocument>, String> {
        if let Some(stored) = &self.storage.stored {
            let document = self.stored_document(&*stored.store);
            return document
                .map(Some)
                .map_err(|why| format!("the stored confs cannot be checked: {why}"));
        }
        let path = local::standalone_path(&self.prefix, self.local.standalone, &env::process);
        match file::read(&path, self.local.standalone, &self.local.limits, &env::process) {
            Ok(document) => Ok(Some(document)),
            Err(_) if Kind::ALL.into_iter().all(|kind| self.snapshot.kind_len(kind) == 0) => {
                Ok(None)
            }
            Err(error) => Err(format!("the stored confs cannot be checked: {error}")),
        }
    }

    fn publish_if_new(&mut self, applied: Option<Applied>) {
        if let Some(applied) = applied
            && !conf::same(&self.snapshot, &applied.snapshot)
        {
            self.publish(applied, Instant::now());
        }
    }

    fn prepare_workers(&self, code: &Arc<Code>) -> Result<(), String> {
        let (answer, answers) = mpsc::channel();
        self.order(|| Order::Prepare(Arc::clone(code), answer.clone()));
        drop(answer);
        let mut result = Ok(());
        for _ in &self.workers {
            match answers.recv_timeout(PREPARE) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => result = Err(reason),
                Err(_) => result = Err("a worker did not prepare in time".to_owned()),
            }
        }
        if result.is_err() {
            self.order(|| Order::Abort);
        }
        result
    }

    /// Lets one request run on the new code, on the busiest worker.
    fn try_out(&self) -> Result<(), String> {
        if !self.local.reload.rollback_on_error {
            return Ok(());
        }
        let open = |at: &usize| self.common.counts.open[*at].load(Ordering::Relaxed);
        let Some(busiest) = (0..self.workers.len()).max_by_key(open) else { return Ok(()) };
        let (answer, outcome) = mpsc::channel();
        // A worker that is gone takes no orders.
        let _ = self.workers[busiest].orders.send(Order::Trial(answer));
        let result = outcome.recv_timeout(SWAP).unwrap_or(Ok(()));
        if result.is_err() {
            self.order(|| Order::Abort);
        }
        result
    }

    fn commit(&self, changed: &Arc<Vec<String>>) {
        let (done, committed) = mpsc::channel();
        self.order(|| Order::Commit(Arc::clone(changed), done.clone()));
        drop(done);
        for _ in &self.workers {
            if committed.recv_timeout(SWAP).is_err() {
                log_at!(Level::Error, "a worker did not take the new code in time");
            }
        }
    }

    /// A plugin raised what its predecessor did not, and one worker went back by itself:
    /// all others follow.
    pub(super) fn raised(&mut self, generation: u64, message: &str) {
        if generation != self.generation.id {
            return;
        }
        let Some(before) = self.before.take() else { return };
        let (done, answers) = mpsc::channel();
        self.order(|| Order::Rollback(generation, done.clone()));
        drop(done);
        for _ in &self.workers {
            if answers.recv_timeout(SWAP) != Ok(true) {
                log_at!(Level::Error, "a worker did not go back to generation {}", before.id);
            }
        }
        let bad = std::mem::replace(&mut self.generation, Arc::clone(&before));
        self.common.generation = before;
        self.reject(&bad, message);
        self.restore();
    }

    /// Remembers what is not to be loaded again, and tells.
    fn reject(&mut self, bad: &Generation, message: &str) {
        let (from, to) = (bad.id, self.generation.id);
        log_at!(Level::Error, "plugin generation {from} is rolled back to {to}: {message}");
        self.rejected = Some(bad.changed_since(&self.generation));
        self.common.counts.rollbacks.fetch_add(1, Ordering::Relaxed);
        self.board.rolled_back(from, to, message);
    }

    /// After a roll-back: the checks are those of the code that serves, and the workers'
    /// VMs, whose timers ended when they were replaced, give way to fresh ones.
    fn restore(&mut self) {
        let vm = match start::check_vm(&self.runtime, &self.common, &self.generation) {
            Ok(vm) => vm,
            Err(reason) => {
                log_at!(Level::Error, "the rolled-back code does not load: {reason}");
                return;
            }
        };
        match self.prepare_workers(&Arc::new(Code::of(&vm, &self.common.plugins))) {
            Ok(()) => self.commit(&Arc::default()),
            Err(reason) => log_at!(Level::Error, "the old VMs serve without timers: {reason}"),
        }
        match self.recheck(&vm) {
            Ok(applied) => self.publish_if_new(applied),
            Err(reason) => log_at!(Level::Error, "{reason}"),
        }
        let before = std::mem::replace(&mut self.vm, vm);
        self.board.set_live(&self.live, &self.vm);
        self.tell_facts();
        self.close(before);
    }
}
