//! Running the plugins of one request, phase by phase.
//!
//! A request keeps the VM and the plan it started with until its log phase, also when
//! newer code serves by then. A phase without plugins costs one test of a bit.

use std::rc::Rc;

use crate::{
    config::snippet::Spot,
    error::{Error, Kind, Result},
    exchange::{Exchange, Origin},
    log::error_log::Level,
    lua::{Call, Ended, Phases, Plan, Vm, log_line},
};

/// What a phase decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on.
    Next,
    /// The response is made: status, fields and `printed` are set.
    Answer,
    /// The request goes on elsewhere: `x.inner` says where.
    Jump,
}

/// What a content handler made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// What it printed is the body, also if that is nothing.
    Text,
    /// It ended with a status and no text.
    Page,
    /// The request goes on elsewhere.
    Jump,
}

/// Binds the request, which holds a VM, to what runs in a location.
///
/// # Errors
///
/// [`Kind::PluginUnavailable`] while its code is suspended, [`Kind::Plugin`] when Lua has no room.
pub fn bind_location(vm: &Rc<Vm>, x: &mut Exchange, spot: &Rc<Spot>) -> Result<()> {
    let plan = vm.location(spot).map_err(|why| {
        log_line(Level::Error, x, &format!("[lua] no plan for a location: {why}"));
        Error::from(Kind::Plugin)
    })?;
    let Some(plan) = plan else {
        Vm::unbind(x);
        return Ok(());
    };
    let usable = plan.usable();
    vm.attach(x, plan);
    usable.map_err(|code| {
        log_line(Level::Error, x, &format!("{code}: answering 503"));
        Kind::PluginUnavailable.into()
    })
}

/// Runs `rewrite_by_lua` of the location that `x` is bound to.
///
/// # Errors
///
/// [`Kind::Plugin`] when it raised.
pub async fn location_rewrite(x: &mut Exchange) -> Result<Verdict> {
    location(x, Call::InRewrite).await
}

/// Runs `access_by_lua` of the location that `x` is bound to.
///
/// # Errors
///
/// [`Kind::Plugin`] when it raised.
pub async fn location_access(x: &mut Exchange) -> Result<Verdict> {
    location(x, Call::InAccess).await
}

async fn location(x: &mut Exchange, call: Call) -> Result<Verdict> {
    let Some((vm, plan)) = Vm::attached(x) else { return Ok(Verdict::Next) };
    match vm.call(&plan, call, x).await {
        Ended::Returned => Ok(said(x)),
        Ended::Exited(code) => {
            keep_status(x);
            exited(x, code)
        }
        Ended::Failed => Err(Kind::Plugin.into()),
    }
}

/// What was printed has left with its status, as in nginx.
fn keep_status(x: &mut Exchange) {
    if !x.response.printed.is_empty() && x.response.status == 0 {
        x.response.status = 200;
    }
}

/// Runs `content_by_lua` of the location that `x` is bound to.
///
/// # Errors
///
/// [`Kind::Plugin`] when it raised.
pub async fn content(x: &mut Exchange) -> Result<Said> {
    let Some((vm, plan)) = Vm::attached(x) else { return Err(Kind::Plugin.into()) };
    let verdict = match vm.call(&plan, Call::InContent, x).await {
        Ended::Returned => Verdict::Next,
        Ended::Exited(code) => {
            keep_status(x);
            exited(x, code)?
        }
        Ended::Failed => return Err(Kind::Plugin.into()),
    };
    let exits = verdict == Verdict::Answer;
    if verdict == Verdict::Jump {
        return Ok(Said::Jump);
    }
    if is_on_its_way(x) {
        return Ok(Said::Page);
    }
    if x.response.status == 0 {
        x.response.status = 200;
    }
    made(x);
    let page = exits
        && x.response.printed.is_empty()
        && (x.response.status >= 300 || x.response.status == 204);
    Ok(if page { Said::Page } else { Said::Text })
}

/// Binds the request to `vm` and finds out what runs for it.
///
/// # Errors
///
/// [`Kind::PluginUnavailable`] when a configured plugin is missing or suspended,
/// [`Kind::Plugin`] when the plan cannot be made.
pub fn bind(vm: &Rc<Vm>, x: &mut Exchange) -> Result<()> {
    let globals = x.globals.clone();
    if globals.is_none() && x.matched.as_ref().is_none_or(|matched| !matched.has_plugins) {
        return Ok(());
    }
    let (matched, nothing);
    let runs = match (&x.matched, &globals) {
        (Some(known), _) => {
            matched = Rc::clone(known);
            &matched.runs
        }
        (None, Some(_)) => {
            nothing = vm.nothing();
            &nothing
        }
        (None, None) => return Ok(()),
    };
    let Some(plan) = vm.plan_for(runs, globals.as_deref(), x)? else { return Ok(()) };
    let usable = plan.usable();
    vm.attach(x, plan);
    usable.map_err(|plugin| {
        log_line(
            Level::Error,
            x,
            &format!("plugin {plugin} of this route is not available: answering 503"),
        );
        Kind::PluginUnavailable.into()
    })
}

/// Runs `rewrite` and `access`, with the consumer's plugins merged in between.
///
/// # Errors
///
/// [`Kind::Plugin`] when a plugin raised.
pub async fn access(x: &mut Exchange) -> Result<Verdict> {
    run(x, Phases::ACCESS, Call::Access).await
}

/// Runs `before_proxy`.
///
/// # Errors
///
/// [`Kind::Plugin`] when a plugin raised.
pub async fn before_proxy(x: &mut Exchange) -> Result<Verdict> {
    let verdict = run(x, Phases::BEFORE_PROXY, Call::BeforeProxy).await?;
    if verdict == Verdict::Jump {
        log_line(Level::Error, x, "[lua] ngx.exec in before_proxy: the request has its place");
        return Err(Kind::Plugin.into());
    }
    Ok(verdict)
}

/// Runs `balancer`, once for every try.
///
/// # Errors
///
/// [`Kind::Plugin`] when a plugin raised.
pub async fn balancer(x: &mut Exchange) -> Result<Verdict> {
    run(x, Phases::BALANCER, Call::Balancer).await
}

/// Runs `header_filter` over status and fields of the response.
///
/// # Errors
///
/// [`Kind::Plugin`] when a plugin raised; the head has not left yet.
pub async fn header_filter(x: &mut Exchange) -> Result<()> {
    if x.response.skip_header_filter {
        return Ok(());
    }
    run(x, Phases::HEADER_FILTER, Call::HeaderFilter).await.map(|_| ())
}

/// Whether the body must pass [`body_filter`].
#[must_use]
pub fn filters_body(x: &Exchange) -> bool {
    !x.response.skip_body_filter
        && Vm::plan_of(x).is_some_and(|plan| plan.phases.any(Phases::BODY_FILTER))
}

/// Runs `body_filter` and `delayed_body_filter` over `x.chunk`.
///
/// # Errors
///
/// [`Kind::Plugin`] when a plugin raised.
pub async fn body_filter(x: &mut Exchange) -> Result<()> {
    run(x, Phases::BODY_FILTER, Call::BodyFilter).await.map(|_| ())
}

/// Runs `log`. A function that raises does not keep the others from running.
pub async fn log(x: &mut Exchange) {
    // Errors were reported where they happened; there is nobody left to answer.
    let _ = run(x, Phases::LOG, Call::Log).await;
    Vm::detach(x);
}

async fn run(x: &mut Exchange, phases: Phases, call: Call) -> Result<Verdict> {
    let Some((vm, plan)) = Vm::bound(x, phases) else { return Ok(Verdict::Next) };
    match vm.call(&plan, call, x).await {
        Ended::Returned => Ok(said(x)),
        Ended::Exited(code) => exited(x, code),
        Ended::Failed => Err(Kind::Plugin.into()),
    }
}

/// A plugin printed a response and did not exit: it is the response.
fn said(x: &mut Exchange) -> Verdict {
    if is_on_its_way(x) {
        return Verdict::Answer;
    }
    if x.response.printed.is_empty() || x.response.origin != Origin::None {
        return Verdict::Next;
    }
    if x.response.status == 0 {
        x.response.status = 200;
    }
    made(x);
    Verdict::Answer
}

/// Whether a part of the answer has left before its maker was through.
fn is_on_its_way(x: &Exchange) -> bool {
    x.response.taken_over || x.response.head_sent && x.response.origin == Origin::Gateway
}

/// The response is ours, and `header_filter` may change its head again.
fn made(x: &mut Exchange) {
    x.response.origin = Origin::Gateway;
    x.response.head_fixed = false;
    x.response.body_fixed = false;
}

/// `ngx.exit(code)`, as OpenResty has it: 0 ends the phase, a status ends the request.
fn exited(x: &mut Exchange, code: i32) -> Result<Verdict> {
    if x.inner.as_ref().is_some_and(|inner| inner.jump.is_some()) {
        return Ok(Verdict::Jump);
    }
    if is_on_its_way(x) {
        return if code < 0 { Err(Kind::Plugin.into()) } else { Ok(Verdict::Answer) };
    }
    match (code, u16::try_from(code)) {
        (_, Ok(status @ 100..=999)) => {
            if x.response.printed.is_empty() || x.response.status == 0 {
                x.response.status = status;
            }
        }
        (0, _) if x.response.printed.is_empty() => return Ok(Verdict::Next),
        (444 | 499, _) => {}
        _ if !x.response.printed.is_empty() => {
            if x.response.status == 0 {
                x.response.status = 200;
            }
        }
        _ => return Err(Kind::Plugin.into()),
    }
    made(x);
    Ok(Verdict::Answer)
}

/// What runs for a request, for callers outside of the phases.
pub type BoundPlan = Rc<Plan>;
