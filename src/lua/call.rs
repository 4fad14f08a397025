//! Calling the runner for one request, and reporting what goes wrong there.

use std::rc::Rc;

use super::{
    breaker::Limits,
    env::Env,
    raw::{co::Co, current::Phase},
    slot::{self, Slot},
    task::{self, Failure, Finish},
    vm::{Phases, Plan, Vm},
};
use crate::{
    clock,
    config::runs::Runs,
    error::{Error, Kind},
    exchange::Exchange,
};
use std::sync::Arc;

/// A call into the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `rewrite` and `access`.
    Access,
    /// `rewrite_by_lua` of a location.
    InRewrite,
    /// `access_by_lua` of a location.
    InAccess,
    /// `content_by_lua` of a location.
    InContent,
    /// `before_proxy`.
    BeforeProxy,
    /// `balancer`.
    Balancer,
    /// `header_filter`.
    HeaderFilter,
    /// `body_filter` and `delayed_body_filter`.
    BodyFilter,
    /// `log`.
    Log,
}

impl Call {
    fn phase(self) -> Phase {
        match self {
            Self::InRewrite => Phase::Rewrite,
            Self::Access | Self::BeforeProxy | Self::InAccess => Phase::Access,
            Self::InContent => Phase::Content,
            Self::Balancer => Phase::Balancer,
            Self::HeaderFilter => Phase::HeaderFilter,
            Self::BodyFilter => Phase::BodyFilter,
            Self::Log => Phase::Log,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InRewrite => "rewrite",
            Self::Access | Self::InAccess => "access",
            Self::InContent => "content",
            Self::BeforeProxy => "before_proxy",
            Self::Balancer => "balancer",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }

    /// The phase an error belongs to: some calls run two, and the runner notes in which `part`
    /// it is.
    fn phase_name(self, part: Option<&[u8]>) -> &'static str {
        match (self, part) {
            (Self::Access, Some(b"rewrite")) => "rewrite",
            (Self::BodyFilter, Some(b"delayed_body_filter")) => "delayed_body_filter",
            _ => self.name(),
        }
    }

    fn entry(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::BeforeProxy
            | Self::Balancer
            | Self::InRewrite
            | Self::InAccess
            | Self::InContent => "proxy_phase",
            Self::HeaderFilter | Self::Log => "filter_phase",
            Self::BodyFilter => "body_phase",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All functions ran.
    Returned,
    /// `ngx.exit` with this code.
    Exited(i32),
    /// A function raised; it was reported.
    Failed,
}

impl Plan {
    /// Whether the plan may run now.
    ///
    /// # Errors
    ///
    /// The plugin that is missing, or suspended for overrunning its time.
    pub fn usable(&self) -> Result<(), String> {
        if let Some(missing) = &self.missing {
            return Err(missing.to_string());
        }
        if self.breaker.is_suspended() {
            let names = self.offenders.borrow().join(", ");
            return Err(format!("{names} (suspended: it overran its time)"));
        }
        Ok(())
    }

    /// Notes that `plugin` overran; true if that suspended it.
    fn overran(&self, plugin: &str, limits: &Limits) -> bool {
        let now = clock::now();
        let mut offenders = self.offenders.borrow_mut();
        if self.breaker.suspended(now).is_none() && !self.breaker.is_counting() {
            offenders.clear();
        }
        if !offenders.iter().any(|known| known == plugin) {
            offenders.push(plugin.to_owned());
        }
        self.breaker.overran(limits, now)
    }
}

impl Vm {
    /// The plan for a request; reports a failure to make it.
    ///
    /// # Errors
    ///
    /// [`Kind::Plugin`].
    pub fn plan_for(
        self: &Rc<Self>,
        merged: &Arc<Runs>,
        globals: Option<&Arc<Runs>>,
        x: &mut Exchange,
    ) -> Result<Option<Rc<Plan>>, Error> {
        self.plan(merged, globals).map_err(|failure| {
            self.report(None, "plan", &failure, x);
            Kind::Plugin.into()
        })
    }

    /// Binds `x` to this VM until [`Vm::detach`].
    pub fn attach(self: &Rc<Self>, x: &mut Exchange, plan: Rc<Plan>) {
        let slot = slot::of(x);
        slot.plan = Some(plan);
        slot.vm = Some(Rc::clone(self));
    }

    /// Frees what Lua keeps of `x`.
    pub fn detach(x: &mut Exchange) {
        if x.lua.get::<Slot>().is_none() {
            return;
        }
        if let Some(vm) = slot::of(x).vm.clone()
            && let Some(ctx) = slot::of(x).ctx.take()
        {
            vm.core.spare_ctx(ctx);
        }
        x.lua.clear::<Slot>();
    }

    /// The plan `x` is bound to.
    #[must_use]
    pub fn plan_of(x: &Exchange) -> Option<&Rc<Plan>> {
        x.lua.get::<Slot>()?.plan.as_ref()
    }

    /// VM and plan of `x`, if the plan has something to run in `phases`.
    #[must_use]
    pub fn bound(x: &Exchange, phases: Phases) -> Option<(Rc<Self>, Rc<Plan>)> {
        let slot = x.lua.get::<Slot>()?;
        let plan = slot.plan.as_ref().filter(|plan| plan.phases.any(phases))?;
        Some((Rc::clone(slot.vm.as_ref()?), Rc::clone(plan)))
    }

    /// Runs `call` for `x`. A failing `log` function is skipped and the rest still run.
    pub async fn call(self: &Rc<Self>, plan: &Rc<Plan>, call: Call, x: &mut Exchange) -> Ended {
        let mut from = 0;
        loop {
            let Some((co, args)) = self.prepare(plan, call, x, from) else { return Ended::Failed };
            match task::run(&self.core, co, args, Some(x), call.phase()).await {
                Finish::Returned(co) => {
                    self.returned(call, &co, x);
                    self.core.recycle(co);
                    return Ended::Returned;
                }
                Finish::Exited(code) => return Ended::Exited(code),
                Finish::Failed(failure) => {
                    let (plugin, at, phase) = self.place(call, x, failure.overrun);
                    self.report(plugin.as_deref(), phase, &failure, x);
                    if failure.overrun {
                        self.overran(plan, plugin.as_deref().unwrap_or("-"), x);
                        // Others waited long enough; whatever this request does next, they
                        // come first.
                        tokio::task::yield_now().await;
                    }
                    if call != Call::Log || at <= from {
                        return Ended::Failed;
                    }
                    from = at;
                }
            }
        }
    }

    fn overran(&self, plan: &Plan, plugin: &str, x: &Exchange) {
        let limits = self.core.env.settings.breaker;
        if plan.overran(plugin, &limits) {
            let route = x.route_id().map_or("-", |id| id);
            let seconds = limits.suspend.as_secs();
            let line = format!(
                "[lua] plugin {plugin} is suspended on route {route} for {seconds} s: it overran its time too often"
            );
            Env::log_request(4, x, &line);
        }
    }

    fn prepare(&self, plan: &Plan, call: Call, x: &mut Exchange, from: usize) -> Option<(Co, i32)> {
        if call != Call::Access && slot::of(x).ctx.is_none() {
            self.late_ctx(plan, x)?;
        }
        if call != Call::Access && plan.breaker.is_suspended() {
            self.skip_offenders(plan, x);
        }
        let co = self.entry(call.entry())?;
        let push_plans = |co: &Co, x: &Exchange| {
            co.push_ref(plan_table(plan, x));
            match &plan.globals {
                Some(globals) => co.push_ref(&globals.table),
                None => co.push_nil(),
            }
        };
        match call {
            Call::Access => {
                push_plans(&co, x);
                // A location that the request passed on its way may have made one. Who has seen
                // `ngx.ctx` gets a new one: the runner puts that there.
                let slot = slot::of(x);
                let used = slot.ctx.take();
                let spare = match slot.ngx_ctx {
                    None => used.or_else(|| self.core.take_spare_ctx()),
                    Some(_) => None,
                };
                if let Some(spare) = spare {
                    co.push_ref(&spare);
                    slot::of(x).ctx = Some(spare);
                }
                let args = co.count() - 1;
                return Some((co, args));
            }
            Call::BodyFilter => push_plans(&co, x),
            _ => {
                co.push_str(call.name().as_bytes());
                push_plans(&co, x);
            }
        }
        match &x.lua.get::<Slot>()?.ctx {
            Some(ctx) => co.push_ref(ctx),
            None => co.push_nil(),
        }
        #[allow(clippy::cast_precision_loss)] // A few dozen plugins at most.
        co.push_num(from as f64);
        let args = co.count() - 1;
        Some((co, args))
    }

    /// A request that was answered before its access phase still gets a ctx for its log.
    fn late_ctx(&self, plan: &Plan, x: &mut Exchange) -> Option<()> {
        let co = self.entry("late_ctx")?;
        co.push_ref(&plan.route);
        let co = task::run_now(&self.core, co, 1, Some(x), Phase::Access).ok()?;
        self.core.recycle(co);
        Some(())
    }

    /// Leaves the plugins that are suspended out of the rest of `x`, also if it began before.
    fn skip_offenders(&self, plan: &Plan, x: &mut Exchange) {
        let Some(co) = self.entry("skip") else { return };
        match &slot::of(x).ctx {
            Some(ctx) => co.push_ref(ctx),
            None => return,
        }
        for name in plan.offenders.borrow().iter() {
            co.push_str(name.as_bytes());
        }
        let args = co.count() - 1;
        if let Ok(co) = task::run_now(&self.core, co, args, None, Phase::Init) {
            self.core.recycle(co);
        }
    }

    fn returned(&self, call: Call, co: &Co, x: &mut Exchange) {
        if matches!(call, Call::Access | Call::BeforeProxy | Call::Balancer)
            && let Some(id) = co.str(1).or_else(|| co.num(1).map(|id| id.to_string().into_bytes()))
        {
            x.upstream.chosen_id = Some(String::from_utf8_lossy(&id).into_owned());
        }
    }

    /// Which plugin runs for `x`, at which place of which phase. With `skip` it will not run
    /// for `x` any more.
    fn place(
        &self,
        call: Call,
        x: &mut Exchange,
        skip: bool,
    ) -> (Option<String>, usize, &'static str) {
        let nowhere = (None, 0, call.name());
        let Some(co) = self.entry("place") else { return nowhere };
        match &slot::of(x).ctx {
            Some(ctx) => co.push_ref(ctx),
            None => return nowhere,
        }
        co.push_bool(skip);
        let Ok(co) = task::run_now(&self.core, co, 2, None, Phase::Init) else { return nowhere };
        let name = co.str(1).map(|name| String::from_utf8_lossy(&name).into_owned());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A small count.
        let at = co.num(2).unwrap_or(0.0) as usize;
        let phase = call.phase_name(co.str(3).as_deref());
        self.core.recycle(co);
        (name, at, phase)
    }

    fn report(&self, plugin: Option<&str>, phase: &str, failure: &Failure, x: &mut Exchange) {
        let route = x.route_id().map_or_else(|| "-".to_owned(), ToString::to_string);
        let line = format!(
            "[lua] plugin {} failed in {phase} on route {route}: {}\n{}",
            plugin.unwrap_or("-"),
            failure.message,
            failure.traceback
        );
        Env::log_request(4, x, &line);
        self.core.failed(failure);
    }
}

/// The route's plan table: the consumer's if one was merged in.
fn plan_table<'a>(plan: &'a Plan, x: &'a Exchange) -> &'a super::raw::co::Ref {
    let merged = x.lua.get::<Slot>().and_then(|slot| slot.merged.as_ref());
    merged.map_or(&plan.route, |merged| &merged.route)
}
