//! One VM with everything loaded: the plugins, and the plans made from them.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, Weak},
};

use foldhash::HashMap;

use super::{
    api, boot,
    breaker::Breaker,
    content::Codes,
    core::Core,
    env::Env,
    filter::Filters,
    loader::Generation,
    merges::ConsumerMerge,
    pace::Pace,
    raw::{
        co::{Co, Ref},
        current::Phase,
    },
    task::{self, Failure, Finish},
};
use crate::config::{
    Snapshot,
    check::SchemaType,
    item::Collection,
    plugin::{Kept, Owner, PluginConf},
    runs::Runs,
    upstream::Upstream,
};

/// The phases a plan has functions for, one bit each, in `lua/moongate/runner.lua`'s order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases(u32);

impl Phases {
    /// `rewrite` or `access`.
    pub const ACCESS: Self = Self(0b11);
    /// `before_proxy`.
    pub const BEFORE_PROXY: Self = Self(1 << 2);
    /// `balancer`.
    pub const BALANCER: Self = Self(1 << 3);
    /// `header_filter`.
    pub const HEADER_FILTER: Self = Self(1 << 4);
    /// `body_filter` or `delayed_body_filter`.
    pub const BODY_FILTER: Self = Self(0b11 << 5);
    /// `log`.
    pub const LOG: Self = Self(1 << 7);

    /// These and `more`.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether any phase of `wanted` has something to run.
    #[must_use]
    pub fn any(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }
}

/// What runs for a route, in every phase.
pub struct Plan {
    /// The plan table of the route.
    pub(super) route: Ref,
    /// The plan table of the global rules, if there are any.
    pub(super) globals: Option<Rc<GlobalPlan>>,
    /// Phases of both.
    pub phases: Phases,
    /// Id of the route, for reports.
    pub route_id: Option<Arc<str>>,
    /// Whether it is that of a location of a snippet.
    pub(super) local: bool,
    /// A plugin that is configured but not there.
    pub missing: Option<Arc<str>>,
    /// Suspends the plan while a plugin of it overruns its time again and again.
    pub(super) breaker: Breaker,
    /// The plugins that did.
    pub(super) offenders: RefCell<Vec<String>>,
}

pub(super) struct GlobalPlan {
    pub(super) table: Ref,
    phases: Phases,
}

/// A loaded plugin.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its name.
    pub name: Arc<str>,
    /// Its priority.
    pub priority: f64,
}

struct Cached<T: ?Sized, V> {
    source: Weak<T>,
    value: V,
}

/// The addresses of what a plan is made of: the route's runs and the global rules'.
type PlanKey = (usize, usize);

/// One VM of one worker, ready to serve.
pub struct Vm {
    plans: RefCell<HashMap<PlanKey, Cached<Runs, Rc<Plan>>>>,
    globals: RefCell<Option<Cached<Runs, Rc<GlobalPlan>>>>,
    confs: RefCell<HashMap<u64, Cached<PluginConf, Ref>>>,
    pub(super) filters: Filters,
    pub(super) codes: Codes,
    entries: HashMap<&'static str, Ref>,
    /// Plugins that loaded.
    pub loaded: Vec<Loaded>,
    /// Plugins in the list that did not, with the reason.
    pub broken: Vec<(String, String)>,
    nothing: Arc<Runs>,
    pub(super) with_consumer: RefCell<HashMap<(usize, usize), ConsumerMerge>>,
    pub(super) upstreams: RefCell<HashMap<String, Arc<Upstream>>>,
    pub(crate) core: Rc<Core>,
    /// The code it runs.
    pub generation: Arc<Generation>,
}

impl Vm {
    /// A VM with the shelves loaded, but no plugin.
    ///
    /// # Errors
    ///
    /// When a file of the shelves is broken; with file and line.
    pub(crate) async fn bare(
        env: Rc<Env>,
        generation: Arc<Generation>,
        pace: &Pace,
    ) -> Result<Self, String> {
        let core = Core::new(env, generation.id)?;
        // Fresh: nobody has set it yet.
        let _ = core.code.set(Arc::clone(&generation));
        let mut vm = Self {
            plans: RefCell::default(),
            globals: RefCell::default(),
            confs: RefCell::default(),
            filters: Filters::default(),
            codes: Codes::default(),
            entries: HashMap::default(),
            loaded: Vec::new(),
            broken: Vec::new(),
            nothing: Arc::default(),
            with_consumer: RefCell::default(),
            upstreams: RefCell::default(),
            core,
            generation,
        };
        vm.entries = boot::load(&vm.core, &vm.generation, pace).await?;
        vm.begin().await?;
        Ok(vm)
    }

    pub(super) fn entry(&self, name: &'static str) -> Option<Co> {
        let function = self.entries.get(name)?;
        let co = self.core.coroutine();
        co.push_ref(function);
        Some(co)
    }

    /// Loads plugin `name`; remembers it as broken if it does not load.
    ///
    /// # Errors
    ///
    /// Why it did not load, with file and line.
    pub(crate) async fn load_plugin(&mut self, name: &str) -> Result<(), String> {
        let result = self.try_load(name).await;
        match &result {
            Ok(priority) => self.loaded.push(Loaded { name: name.into(), priority: *priority }),
            Err(reason) => self.broken.push((name.to_owned(), reason.clone())),
        }
        result.map(|_| ())
    }

    async fn try_load(&self, name: &str) -> Result<f64, String> {
        let Some(co) = self.entry("load") else { return Err("the loader is missing".to_owned()) };
        co.push_str(name.as_bytes());
        match task::run(&self.core, co, 1, None, Phase::Init).await {
            Finish::Returned(co) => {
                let result = match co.num(1) {
                    Some(priority) => Ok(priority),
                    None => {
                        Err(String::from_utf8_lossy(&co.str(2).unwrap_or_default()).into_owned())
                    }
                };
                self.core.recycle(co);
                result
            }
            Finish::Exited(_) => Err("called ngx.exit while loading".to_owned()),
            Finish::Failed(failure) => Err(failure.message),
        }
    }

    /// Orders the plugins by priority; returns pairs that share one.
    pub(crate) fn order(&mut self) -> Vec<String> {
        self.loaded.sort_by(|a, b| b.priority.total_cmp(&a.priority).then(a.name.cmp(&b.name)));
        if let Some(co) = self.entry("order")
            && let Ok(co) = task::run_now(&self.core, co, 0, None, Phase::Init)
        {
            self.core.recycle(co);
        }
        self.loaded
            .windows(2)
            .filter(|pair| (pair[0].priority - pair[1].priority).abs() < f64::EPSILON)
            .map(|pair| format!("{} and {} ({})", pair[0].name, pair[1].name, pair[0].priority))
            .collect()
    }

    /// Runs `init` of a plugin.
    ///
    /// # Errors
    ///
    /// What it raised.
    pub(crate) async fn init(&self, plugin: &str) -> Result<(), String> {
        self.life("init", plugin, false).await
    }

    /// Runs `destroy` of a plugin. What it deletes from shared dicts stays when the plugin
    /// `lives_on` in another VM, which has had its `init` and uses them.
    ///
    /// # Errors
    ///
    /// What it raised.
    pub(crate) async fn end(&self, plugin: &str, lives_on: bool) -> Result<(), String> {
        self.life("destroy", plugin, lives_on).await
    }

    async fn life(&self, what: &'static str, plugin: &str, flag: bool) -> Result<(), String> {
        let Some(co) = self.entry(what) else { return Ok(()) };
        co.push_str(plugin.as_bytes());
        co.push_bool(flag);
        match task::run(&self.core, co, 2, None, Phase::InitWorker).await {
            Finish::Returned(co) => {
                self.core.recycle(co);
                Ok(())
            }
            Finish::Exited(_) => Ok(()),
            Finish::Failed(failure) => Err(failure.message),
        }
    }

    /// Housekeeping, once a second.
    pub fn tend(&self) {
        self.sweep();
        if self.core.heap().over_soft_limit() {
            self.core.state().collect(true);
        }
    }

    /// Whether plugin `name` is loaded.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.loaded.iter().any(|plugin| &*plugin.name == name)
    }

    /// What a loaded plugin is and takes: `name`, `priority`, `version`, `type`, `scope` and its
    /// schemas.
    ///
    /// # Errors
    ///
    /// Its schemas cannot be written as JSON.
    pub(crate) fn describe(&self, plugin: &str) -> Result<serde_json::Value, String> {
        let Some(co) = self.entry("describe") else { return Err("nobody describes".to_owned()) };
        co.push_str(plugin.as_bytes());
        let co = task::run_now(&self.core, co, 1, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let (text, why) = (co.str(1), co.str(2).unwrap_or_default());
        self.core.recycle(co);
        match text {
            Some(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            None => Err(String::from_utf8_lossy(&why).into_owned()),
        }
    }

    /// Checks a conf with the plugin's own `check_schema`, filling in defaults.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn check(
        &self,
        plugin: &str,
        kind: SchemaType,
        conf: &serde_json::Value,
    ) -> Result<serde_json::Value, String> {
        let text = |error: mlua::Error| error.to_string();
        let table = api::convert::to_lua(self.core.lua(), conf).map_err(text)?;
        let kept = self.core.keep(table).map_err(text)?;
        self.check_table(plugin, kind, &kept)?;
        let value = self.core.state().value(&kept).map_err(text)?;
        api::convert::from_lua(self.core.lua(), &value).map_err(|error| error.to_string())
    }

    fn check_table(&self, plugin: &str, kind: SchemaType, table: &Ref) -> Result<(), String> {
        let Some(co) = self.entry("check") else { return Err("the checker is missing".to_owned()) };
        co.push_str(plugin.as_bytes());
        co.push_ref(table);
        match kind {
            SchemaType::Plugin => co.push_nil(),
            SchemaType::Consumer => co.push_num(1.0),
            SchemaType::Metadata => co.push_num(2.0),
        }
        match task::run_now(&self.core, co, 3, None, Phase::Init) {
            Ok(co) => {
                let good = co.truth(1);
                let reason = co.str(2).unwrap_or_default();
                self.core.recycle(co);
                if good { Ok(()) } else { Err(String::from_utf8_lossy(&reason).into_owned()) }
            }
            Err(failure) => Err(failure.message),
        }
    }

    /// Checks that a Lua source evaluates to a function.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with its line.
    pub(crate) fn check_function(&self, source: &str) -> Result<(), String> {
        let chunk = self.core.lua().load(source).set_name("=conf");
        let function = chunk.into_function().map_err(|error| error.to_string())?;
        let kept = self.core.keep(function).map_err(|error| error.to_string())?;
        let co = self.core.coroutine();
        co.push_ref(&kept);
        let co = task::run_now(&self.core, co, 0, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let is_function = co.is_function(1);
        self.core.recycle(co);
        if is_function { Ok(()) } else { Err("it does not evaluate to a function".to_owned()) }
    }

    /// The conf table of `conf` on this VM: one per conf, made at its first use.
    fn conf_table(&self, conf: &Arc<PluginConf>) -> Result<(), String> {
        if self.confs.borrow().contains_key(&conf.id) {
            return Ok(());
        }
        let text = |error: mlua::Error| error.to_string();
        let table = api::convert::to_lua(self.core.lua(), &conf.conf.value()).map_err(text)?;
        let kept = self.core.keep(table).map_err(text)?;
        // Plugins attach compiled state to the table in check_schema, so it runs here too.
        // The conf was accepted once; what it says now is logged and fails no request.
        let kind = SchemaType::of(&conf.owner);
        if let Err(reason) = self.check_table(&conf.name, kind, &kept) {
            let line = format!("conf of plugin {} is refused on this worker: {reason}", conf.name);
            self.core.env.log_lua(5, &line);
        }
        self.set_parent(&kept, &conf.owner).map_err(text)?;
        let cached = Cached { source: Arc::downgrade(conf), value: kept };
        self.confs.borrow_mut().insert(conf.id, cached);
        Ok(())
    }

    /// `_meta.parent` of a conf. It lies behind a metatable, so that it is no part of the
    /// conf's text and a schema that forbids further fields does not see it.
    fn set_parent(&self, conf: &Ref, owner: &Owner) -> mlua::Result<()> {
        let lua = self.core.lua();
        let mlua::Value::Table(conf) = self.core.state().value(conf)? else { return Ok(()) };
        let meta = match conf.raw_get::<mlua::Value>("_meta")? {
            mlua::Value::Table(meta) => meta,
            _ => {
                let meta = lua.create_table()?;
                conf.raw_set("_meta", &meta)?;
                meta
            }
        };
        let (hidden, parent, metatable) =
            (lua.create_table()?, lua.create_table()?, lua.create_table()?);
        parent.raw_set("resource_key", &*owner.key)?;
        parent.raw_set("resource_version", owner.version.to_string())?;
        hidden.raw_set("parent", parent)?;
        metatable.raw_set("__index", hidden)?;
        meta.set_metatable(Some(metatable))
    }

    /// Lets code outside of requests see `snapshot`.
    pub(crate) fn see(&self, snapshot: Arc<Snapshot>) {
        *self.core.env.snapshot.borrow_mut() = snapshot;
    }

    /// Lets code outside of requests see this metadata before anything else of its snapshot.
    pub(crate) fn see_metadata(&self, metadata: &Collection<Kept>) {
        let mut seen = self.core.env.snapshot.borrow_mut();
        if seen.plugin_metadata.version != metadata.version {
            Arc::make_mut(&mut seen).plugin_metadata = metadata.clone();
        }
    }

    /// Lets plugins read these interface descriptions from now on: what refers to them is about
    /// to be checked.
    pub(crate) fn see_protos(&self, protos: &Collection<Kept>) {
        let mut seen = self.core.env.snapshot.borrow_mut();
        if seen.protos.version != protos.version {
            Arc::make_mut(&mut seen).protos = protos.clone();
        }
    }

    /// The plan of `merged`, made at its first use; `None` if nothing is to run.
    pub(crate) fn plan(
        &self,
        merged: &Arc<Runs>,
        globals: Option<&Arc<Runs>>,
    ) -> Result<Option<Rc<Plan>>, Failure> {
        if merged.plugins.is_empty() && globals.is_none() {
            return Ok(None);
        }
        let key = (
            Arc::as_ptr(merged) as usize,
            globals.map_or(0, |globals| Arc::as_ptr(globals) as usize),
        );
        if let Some(cached) = self.plans.borrow().get(&key)
            && cached.source.strong_count() > 0
        {
            return Ok(Some(Rc::clone(&cached.value)));
        }
        let plan = Rc::new(self.make_plan(merged, globals)?);
        let cached = Cached { source: Arc::downgrade(merged), value: Rc::clone(&plan) };
        self.plans.borrow_mut().insert(key, cached);
        Ok(Some(plan))
    }

    fn make_plan(&self, merged: &Runs, globals: Option<&Arc<Runs>>) -> Result<Plan, Failure> {
        let globals = globals.map(|globals| self.global_plan(globals)).transpose()?;
        let (route, phases) = self.plan_table(merged)?;
        let both = phases.0 | globals.as_ref().map_or(0, |globals| globals.phases.0);
        Ok(Plan {
            route,
            globals,
            phases: Phases(both),
            route_id: merged.route_id.clone(),
            local: false,
            missing: self.missing(merged),
            breaker: Breaker::default(),
            offenders: RefCell::default(),
        })
    }

    /// A plugin that `merged` is configured with and that must run, but cannot.
    fn missing(&self, merged: &Runs) -> Option<Arc<str>> {
        let listed = |name: &str| self.broken.iter().any(|(broken, _)| broken == name);
        let absent = merged.plugins.iter().find(|conf| {
            !self.has(&conf.name) && (listed(&conf.name) || !self.generation.has_plugin(&conf.name))
        });
        absent.map(|conf| Arc::clone(&conf.name))
    }

    fn global_plan(&self, globals: &Arc<Runs>) -> Result<Rc<GlobalPlan>, Failure> {
        if let Some(cached) = &*self.globals.borrow()
            && cached.source.as_ptr() == Arc::as_ptr(globals)
        {
            return Ok(Rc::clone(&cached.value));
        }
        let (table, phases) = self.plan_table(globals)?;
        let plan = Rc::new(GlobalPlan { table, phases });
        let cached = Cached { source: Arc::downgrade(globals), value: Rc::clone(&plan) };
        *self.globals.borrow_mut() = Some(cached);
        Ok(plan)
    }

    fn plan_table(&self, merged: &Runs) -> Result<(Ref, Phases), Failure> {
        let fail = |message: String| Failure { message, traceback: String::new(), overrun: false };
        for conf in &merged.plugins {
            if self.has(&conf.name) {
                self.conf_table(conf).map_err(fail)?;
            }
        }
        let tables = self.plan_arguments(merged).map_err(|error| fail(error.to_string()))?;
        let Some(co) = self.entry("plan") else { return Err(fail("the runner is missing".into())) };
        for table in &tables {
            co.push_ref(table);
        }
        let co = task::run_now(&self.core, co, 3, None, Phase::Init)?;
        let table = co.keep(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A small bit mask.
        let phases = Phases(co.num(2).unwrap_or(0.0) as u32);
        self.core.recycle(co);
        Ok((table, phases))
    }

    fn plan_arguments(&self, merged: &Runs) -> mlua::Result<[Ref; 3]> {
        let lua = self.core.lua();
        let info = lua.create_table()?;
        info.set("conf_type", &*merged.conf_type)?;
        info.set("conf_id", &*merged.conf_id)?;
        info.set("conf_version", &*merged.conf_version)?;
        info.set("route_id", merged.route_id.as_deref())?;
        info.set("route_name", merged.route_name.as_deref())?;
        info.set("service_id", merged.service_id.as_deref())?;
        info.set("service_name", merged.service_name.as_deref())?;
        let (names, confs) = (lua.create_table()?, lua.create_table()?);
        let cached = self.confs.borrow();
        for conf in &merged.plugins {
            if let Some(table) = cached.get(&conf.id) {
                names.raw_push(&*conf.name)?;
                confs.raw_push(self.core.state().value(&table.value)?)?;
            }
        }
        Ok([self.core.keep(info)?, self.core.keep(names)?, self.core.keep(confs)?])
    }

    /// Forgets plans and confs of objects that no longer exist.
    pub(crate) fn sweep(&self) {
        self.plans.borrow_mut().retain(|_, cached| cached.source.strong_count() > 0);
        self.confs.borrow_mut().retain(|_, cached| cached.source.strong_count() > 0);
        self.sweep_filters();
        self.sweep_merges();
        let stale = |cached: &Cached<Runs, Rc<GlobalPlan>>| cached.source.strong_count() == 0;
        let mut globals = self.globals.borrow_mut();
        if globals.as_ref().is_some_and(stale) {
            *globals = None;
        }
    }

    /// What runs where no route matched.
    pub(crate) fn nothing(&self) -> Arc<Runs> {
        Arc::clone(&self.nothing)
    }

    /// Bytes of Lua memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.core.heap().used()
    }
}
