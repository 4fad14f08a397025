//! Plugin code: loading it anew, checking it against every stored conf, swapping it on
//! all workers or none, and rolling it back.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use super::{Checker, Control, conf, start};
use crate::{
    config::{
        check::{self, Recheck},
    },
    log::error_log::Level,
    log_at,
    lua::{Vm, loader::Generation},
    worker::Order,
};

/// How long a worker may take to prepare a VM: several runaway `init`s in a row.
const PREPARE: Duration = Duration::from_secs(60);

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
        let generation = Arc::new(Generation::new(self.last_id + 1, start::places(&self.prefix, &self.local)));
        self.last_id += 1;
        let result = self.try_generation(&generation);
        match &result {
            Ok(()) => log_at!(
                Level::Notice,
                "plugin generation {} serves, {} ms",
                generation.id,
                started.elapsed().as_millis()
            ),
            Err(reason) => {
                self.common.counts.reloads_refused.fetch_add(1, Ordering::Relaxed);
                log_at!(Level::Error, "plugin reload refused, the old code serves on: {reason}");
            }
        }
        self.board.reloaded(generation.id, self.generation.id, result.as_ref().err());
        result
    }

    fn try_generation(&mut self, generation: &Arc<Generation>) -> Result<(), String> {
        let vm = self.checked_vm(generation)?;
        if self.rejected.as_ref().is_some_and(|rejected| rejected.same_files(generation)) {
            return Err("these files were rolled back before; change them".to_owned());
        }
        self.prepare_workers(generation)?;
        let applied = self.recheck(&vm);
        let (done, committed) = mpsc::channel();
        self.order(|| Order::Commit(done.clone()));
        drop(done);
        for _ in &self.workers {
            if committed.recv_timeout(PREPARE).is_err() {
                log_at!(Level::Error, "a worker did not take the new code in time");
            }
        }
        self.vm = vm;
        let old = std::mem::replace(&mut self.generation, Arc::clone(generation));
        self.before = Some((old, Instant::now()));
        self.common.generation = Arc::clone(generation);
        if let Some(applied) = applied {
            self.publish(applied, Instant::now());
        }
        self.board.set_live(&self.live, &self.vm);
        Ok(())
    }

    /// A control VM of the new code, if all that loaded before loads again and every stored
    /// conf still passes.
    fn checked_vm(&self, generation: &Arc<Generation>) -> Result<Vm, String> {
        let vm = start::check_vm(&self.runtime, &self.common, generation)?;
        for (name, reason) in &vm.broken {
            let was_broken = self.vm.broken.iter().any(|(known, old)| known == name && old == reason);
            if !was_broken {
                return Err(format!("plugin {name} does not load: {reason}"));
            }
        }
        // While the file is broken, what is stored is as it was checked last.
        if let Ok(document) = self.read_objects() {
            let mut checker = Checker { vm: &vm, local: &self.local };
            let applied = check::apply(&self.snapshot, document, &mut checker, Recheck::All);
            let known = |refusal: &&crate::config::snapshot::Refusal| {
                !self.snapshot.refusals.iter().any(|old| old.kind == refusal.kind && old.id == refusal.id)
            };
            if let Some(refusal) = applied.snapshot.refusals.iter().find(known) {
                return Err(format!(
                    "{} [{}] would be refused: {}",
                    refusal.kind.plural(),
                    refusal.id,
                    refusal.reason
                ));
            }
        }
        Ok(vm)
    }

    /// The objects as the new code fills their defaults.
    fn recheck(&self, vm: &Vm) -> Option<check::Applied> {
        let document = self.read_objects().ok()?;
        let mut checker = Checker { vm, local: &self.local };
        Some(check::apply(&self.snapshot, document, &mut checker, Recheck::All))
    }

    fn prepare_workers(&self, generation: &Arc<Generation>) -> Result<(), String> {
        let (answer, answers) = mpsc::channel();
        self.order(|| {
            Order::Prepare(Arc::clone(generation), Arc::clone(&self.common.plugins), answer.clone())
        });
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

    /// A plugin raised: if its generation is young and its predecessor did not raise that,
    /// the predecessor serves again.
    pub(super) fn raised(&mut self, generation: u64, message: &str) {
        let settings = &self.local.reload;
        if generation != self.generation.id || !settings.rollback_on_error {
            return;
        }
        let Some((before, since)) = &self.before else { return };
        if since.elapsed() > settings.rollback_window {
            self.before = None;
            return;
        }
        // An error in a file that did not change is not this generation's doing.
        let changed = self.generation.changed_since(before);
        if !changed.iter().any(|file| message.contains(file.as_str())) {
            return;
        }
        let before = Arc::clone(before);
        let (done, answers) = mpsc::channel();
        self.order(|| Order::Rollback(generation, done.clone()));
        drop(done);
        let rolled = (0..self.workers.len())
            .filter(|_| answers.recv_timeout(Duration::from_secs(10)) == Ok(true))
            .count();
        log_at!(
            Level::Error,
            "plugin generation {generation} is rolled back to {} on {rolled} workers: {message}",
            before.id
        );
        self.common.counts.rollbacks.fetch_add(1, Ordering::Relaxed);
        let bad = std::mem::replace(&mut self.generation, Arc::clone(&before));
        self.board.rolled_back(bad.id, before.id, message);
        self.rejected = Some(bad);
        self.common.generation = before;
        self.before = None;
        self.restore_checker();
    }

    /// The control VM goes back to the code that serves.
    fn restore_checker(&mut self) {
        match start::check_vm(&self.runtime, &self.common, &self.generation) {
            Ok(vm) => {
                if let Some(applied) = self.recheck(&vm) {
                    self.vm = vm;
                    conf::report(&applied);
                    self.publish(applied, Instant::now());
                }
            }
            Err(reason) => log_at!(Level::Error, "the rolled-back code does not load: {reason}"),
        }
    }
}
