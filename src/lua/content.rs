//! The Lua of configuration snippets in one VM: compiled when the VM is made, so that a mistake
//! keeps it from serving; made into a plan where a location is first used.

use std::{cell::RefCell, rc::Rc};

use foldhash::HashMap;

use super::{
    boot,
    breaker::Breaker,
    core::Core,
    loader::Generation,
    raw::{
        co::{Co, Ref},
        current::Phase,
    },
    slot,
    task::{self, Finish},
    vm::{Phases, Plan, Vm},
};
use crate::{
    config::snippet::{Code, Content, Snippets, Source, Spot},
    exchange::Exchange,
};

/// The Lua of all snippets.
#[derive(Default)]
pub(super) struct Codes {
    /// By index, as [`Snippets::codes`]: what messages call it, and the function.
    functions: Vec<(String, Ref)>,
    /// Plans of locations, by the address of the location, which is kept.
    plans: RefCell<HashMap<usize, Known>>,
}

/// A location and its plan.
type Known = (Rc<Spot>, Rc<Plan>);

/// What `code` is called in messages, as OpenResty calls it: the key stands for the file.
fn name(code: &Code) -> String {
    format!("{}({}:{})", code.directive, code.place.key, code.place.line)
}

/// Compiles the Lua of `snippets`.
///
/// # Errors
///
/// What is wrong with it, with key and line.
pub(super) fn compile(
    core: &Core,
    generation: &Generation,
    snippets: &Snippets,
) -> Result<Codes, String> {
    let mut codes = Codes::default();
    for code in &snippets.codes {
        let wrong = |text: String| format!("{}: {}: {text}", code.place, code.directive);
        let name = name(code);
        let chunk = match &code.source {
            Source::Inline(text) => core.lua().load(&**text).set_name(format!("={name}")),
            Source::File(path) => {
                let path = core.env.settings.prefix.join(path);
                let file = generation.file(&path).map_err(wrong)?;
                let file =
                    file.ok_or_else(|| wrong(format!("{}: no such file", path.display())))?;
                core.lua().load(file.text.to_vec()).set_name(format!("@{}", file.name))
            }
        };
        let function = chunk
            .set_mode(mlua::chunk::ChunkMode::Text)
            .into_function()
            .map_err(|error| wrong(plain(&error)))?;
        codes.functions.push((name, core.keep(function).map_err(|error| wrong(plain(&error)))?));
    }
    Ok(codes)
}

fn plain(error: &mlua::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("syntax error: ").unwrap_or(&text).to_owned()
}

impl Vm {
    /// Makes the snippets' Lua ready and runs what runs first: the module that
    /// `apisix.lua_module_hook` names, then `init_by_lua`.
    ///
    /// # Errors
    ///
    /// What is wrong, with key and line.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        let env = Rc::clone(&self.core.env);
        if let Some(snippets) = &env.settings.snippets {
            self.codes = compile(&self.core, &self.generation, snippets)?;
            self.set_env(snippets);
        }
        if let Some(hook) = &env.settings.module_hook {
            boot::require(&self.core, hook)
                .await
                .map_err(|error| format!("apisix.lua_module_hook: {error}"))?;
        }
        let Some(snippets) = &env.settings.snippets else { return Ok(()) };
        for index in &snippets.init {
            self.run_alone(*index, Phase::Init).await?;
        }
        Ok(())
    }

    /// Runs `init_worker_by_lua`.
    ///
    /// # Errors
    ///
    /// What it raised.
    pub(crate) async fn begin_worker(&self) -> Result<(), String> {
        let env = Rc::clone(&self.core.env);
        let Some(snippets) = &env.settings.snippets else { return Ok(()) };
        for index in &snippets.init_worker {
            self.run_alone(*index, Phase::InitWorker).await?;
        }
        Ok(())
    }

    fn set_env(&self, snippets: &Snippets) {
        let set = || snippets.env.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        if set().next().is_none() {
            return;
        }
        let Some(co) = self.entry("env") else { return };
        for (name, value) in set() {
            co.push_str(name.as_bytes());
            co.push_str(value.as_bytes());
        }
        let args = co.count() - 1;
        if let Ok(co) = task::run_now(&self.core, co, args, None, Phase::Init) {
            self.core.recycle(co);
        }
    }

    async fn run_alone(&self, index: usize, phase: Phase) -> Result<(), String> {
        let Some((name, function)) = self.codes.functions.get(index) else { return Ok(()) };
        let co = self.core.coroutine();
        co.push_ref(function);
        match task::run(&self.core, co, 0, None, phase).await {
            Finish::Returned(co) => {
                self.core.recycle(co);
                Ok(())
            }
            Finish::Exited(_) => Ok(()),
            Finish::Failed(failure) => Err(format!("{name} failed: {}", failure.message)),
        }
    }

    /// The plan of a location, made at its first use; `None` if it runs no Lua.
    ///
    /// # Errors
    ///
    /// Lua has no memory for it.
    pub fn location(&self, spot: &Rc<Spot>) -> Result<Option<Rc<Plan>>, String> {
        let scope = &spot.scope;
        let content = if let Content::Lua(index) = spot.content { Some(index) } else { None };
        // In the order of `lua/moongate/content.lua`.
        let all = [
            scope.rewrite,
            scope.access,
            content,
            scope.header_filter,
            scope.body_filter,
            scope.log,
        ];
        if all.iter().all(Option::is_none) {
            return Ok(None);
        }
        let key = Rc::as_ptr(spot) as usize;
        if let Some((_, plan)) = self.codes.plans.borrow().get(&key) {
            return Ok(Some(Rc::clone(plan)));
        }
        let Some(co) = self.entry("location") else { return Err("the runner is missing".into()) };
        for index in all {
            self.push_code(&co, index);
        }
        let args = co.count() - 1;
        let co = task::run_now(&self.core, co, args, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let route = co.keep(1);
        self.core.recycle(co);
        let phases = [
            (scope.header_filter, Phases::HEADER_FILTER),
            (scope.body_filter, Phases::BODY_FILTER),
            (scope.log, Phases::LOG),
        ];
        let phases = phases.iter().filter(|(code, _)| code.is_some());
        let plan = Rc::new(Plan {
            route,
            globals: None,
            phases: phases.fold(Phases::default(), |all, (_, one)| all.with(*one)),
            route_id: None,
            local: true,
            missing: None,
            breaker: Breaker::default(),
            offenders: RefCell::default(),
        });
        let kept = (Rc::clone(spot), Rc::clone(&plan));
        self.codes.plans.borrow_mut().insert(key, kept);
        Ok(Some(plan))
    }

    fn push_code(&self, co: &Co, index: Option<usize>) {
        match index.and_then(|index| self.codes.functions.get(index)) {
            Some((name, function)) => {
                co.push_str(name.as_bytes());
                co.push_ref(function);
            }
            None => {
                co.push_nil();
                co.push_nil();
            }
        }
    }

    /// The VM that `x` is bound to.
    #[must_use]
    pub fn of(x: &Exchange) -> Option<Rc<Self>> {
        x.lua.get::<slot::Slot>()?.vm.clone()
    }

    /// Binds `x` to this VM; what runs for it is found out later.
    pub fn hold(self: &Rc<Self>, x: &mut Exchange) {
        slot::of(x).vm = Some(Rc::clone(self));
    }

    /// Takes from `x` what ran for it so far, but not what its Lua keeps.
    pub fn unbind(x: &mut Exchange) {
        let slot = slot::of(x);
        slot.plan = None;
        slot.merged = None;
    }

    /// The same, and what its Lua keeps: it goes on somewhere else.
    pub fn leave(x: &mut Exchange) {
        Self::unbind(x);
        let slot = slot::of(x);
        slot.ctx = None;
        slot.ngx_ctx = None;
    }

    /// VM and plan of `x`, if it has both.
    #[must_use]
    pub fn attached(x: &Exchange) -> Option<(Rc<Self>, Rc<Plan>)> {
        let slot = x.lua.get::<slot::Slot>()?;
        Some((Rc::clone(slot.vm.as_ref()?), Rc::clone(slot.plan.as_ref()?)))
    }
}
