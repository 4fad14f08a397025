//! `ngx.timer.at` and `ngx.timer.every`.
//!
//! A timer belongs to the VM that made it. When the VM retires, because newer plugin
//! code serves or the process ends, waiting timers run once more with `premature` set.

use std::{rc::Rc, time::Duration};

use super::{
    breaker::Breaker,
    core::Core,
    raw::{
        co::{Ref, Value},
        current::Phase,
    },
    task::{self, Finish},
};
use crate::clock;

struct Timer {
    core: Rc<Core>,
    delay: Duration,
    every: bool,
    function: Ref,
    args: Vec<Value>,
    breaker: Breaker,
}

/// Starts a timer.
///
/// # Errors
///
/// When there are too many, in OpenResty's words.
pub(crate) fn start(
    core: &Core,
    delay: Duration,
    every: bool,
    function: Ref,
    args: Vec<Ref>,
) -> Result<(), &'static str> {
    if !core.env.serves {
        // The control VM only checks plugins; nothing it starts may run.
        return Ok(());
    }
    // As in OpenResty, what is to be done at once may still be done at the end.
    if core.retired.get() && (every || !delay.is_zero()) {
        return Err("process exiting");
    }
    if core.timers.0.get() >= core.env.settings.pending_timers_max {
        return Err("too many pending timers");
    }
    let core = core.owned().ok_or("process exiting")?;
    let args = args.into_iter().map(|arg| Value::Ref(Rc::new(arg))).collect();
    let timer = Timer { core, delay, every, function, args, breaker: Breaker::default() };
    timer.core.timers.0.set(timer.core.timers.0.get() + 1);
    tokio::task::spawn_local(timer.run());
    Ok(())
}

impl Timer {
    async fn run(self) {
        loop {
            let premature = self.wait().await;
            if !self.every {
                self.count_pending(-1);
            }
            self.fire(premature).await;
            if !self.every {
                return;
            }
            if premature {
                self.count_pending(-1);
                return;
            }
        }
    }

    fn count_pending(&self, by: isize) {
        let pending = &self.core.timers.0;
        pending.set(pending.get().saturating_add_signed(by));
    }

    /// Whether the VM retired while waiting.
    async fn wait(&self) -> bool {
        if self.delay.is_zero() {
            tokio::task::yield_now().await;
            return false;
        }
        if self.core.retired.get() {
            return true;
        }
        // A timer that overran again and again pauses; its worker has others to serve.
        let pause = self.breaker.suspended(clock::now()).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(self.delay.max(pause)) => self.core.retired.get(),
            () = self.core.retire.notified() => true,
        }
    }

    fn overran(&self) {
        let limits = self.core.env.settings.breaker;
        if self.breaker.overran(&limits, clock::now()) && self.every {
            let seconds = limits.suspend.as_secs();
            let line = format!("a timer pauses for {seconds} s: it overran its time too often");
            self.core.env.log_lua(4, &line);
        }
    }

    async fn fire(&self, premature: bool) {
        let running = &self.core.timers.1;
        if running.get() >= self.core.env.settings.running_timers_max {
            self.core
                .env
                .log_lua(2, &format!("{} lua_max_running_timers are not enough", running.get()));
            return;
        }
        running.set(running.get() + 1);
        let co = self.core.coroutine();
        co.push_ref(&self.function);
        co.push_bool(premature);
        for arg in &self.args {
            co.push(arg);
        }
        let args = i32::try_from(self.args.len()).unwrap_or(0) + 1;
        match task::run(&self.core, co, args, None, Phase::Timer).await {
            Finish::Returned(co) => self.core.recycle(co),
            Finish::Exited(_) => {}
            Finish::Failed(failure) => {
                let report = format!(
                    "lua entry thread aborted: runtime error: {}\n{}",
                    failure.message, failure.traceback
                );
                self.core.env.log_lua(4, &format!("{report}, context: ngx.timer"));
                if failure.overrun {
                    self.overran();
                }
                self.core.failed(&failure);
            }
        }
        self.core.timers.1.set(self.core.timers.1.get().saturating_sub(1));
    }
}
