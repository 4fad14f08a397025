//! What the Control API asks of a VM: plugins' own endpoints, and what runs for a request.

use std::{cell::RefCell, rc::Rc};

use serde_json::Value;

use super::{
    breaker::Breaker,
    raw::current::Phase,
    task,
    vm::{Phases, Plan, Vm},
};

impl Vm {
    /// The plan of a request that plugins' `control_api` is to answer.
    ///
    /// # Errors
    ///
    /// Lua has no room for it.
    pub fn control_plan(&self) -> Result<Rc<Plan>, String> {
        let Some(co) = self.entry("endpoint") else { return Err("the runner is missing".into()) };
        let co = task::run_now(&self.core, co, 0, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let route = co.keep(1);
        self.core.recycle(co);
        Ok(Rc::new(Plan {
            route,
            globals: None,
            phases: Phases::default(),
            route_id: None,
            local: true,
            missing: None,
            breaker: Breaker::default(),
            offenders: RefCell::default(),
        }))
    }

    /// The plugins of `plan` in the order in which they run: those of the route, and those of
    /// the global rules. Each is an object with `name`, `priority`, `phases` and perhaps
    /// `run_policy`.
    ///
    /// # Errors
    ///
    /// Lua has no room for it.
    pub fn listed(&self, plan: &Plan) -> Result<[Vec<Value>; 2], String> {
        let Some(co) = self.entry("listed") else { return Err("the runner is missing".into()) };
        co.push_ref(&plan.route);
        match &plan.globals {
            Some(globals) => co.push_ref(&globals.table),
            None => co.push_nil(),
        }
        let co = task::run_now(&self.core, co, 2, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let (route, globals) = (co.str(1), co.str(2));
        self.core.recycle(co);
        // No plugins are an empty table, which may as well be an object.
        let list = |text: Option<Vec<u8>>| {
            text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
        };
        Ok([list(route), list(globals)])
    }

    /// Frees what no Lua value refers to any more.
    pub fn collect(&self) {
        self.core.state().collect(true);
    }
}
