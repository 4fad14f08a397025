//! Routes' `filter_func`: compiled once per text, run for each request that comes so far.
//!
//! A filter that fails decides nothing: letting the request pass to another route could
//! lead it around the plugins it was meant for, so it is answered with an error.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Weak},
};

use super::{
    breaker::Breaker,
    env::Env,
    raw::{co::Ref, current::Phase},
    task::{self, Failure},
    vm::Vm,
};
use crate::{
    clock,
    error::{Error, Kind},
    exchange::Exchange,
};

/// The filters of a VM by their text.
pub(super) type Filters = RefCell<HashMap<Box<str>, Known>>;

/// A filter, with the text of a route that has it: when that is gone, so is the filter.
pub(super) struct Known {
    text: Weak<str>,
    filter: Rc<Filter>,
}

struct Filter {
    function: Result<Ref, String>,
    breaker: Breaker,
}

impl Vm {
    /// Whether the `filter_func` `text` of route `id` lets `x` pass.
    ///
    /// # Errors
    ///
    /// [`Kind::Plugin`] when it raised, [`Kind::PluginUnavailable`] while it is suspended for
    /// running too long. Both were logged.
    pub fn filter_passes(
        &self,
        id: &str,
        text: &Arc<str>,
        x: &mut Exchange,
    ) -> Result<bool, Error> {
        let filter = self.filter(text);
        let now = clock::now();
        if filter.breaker.suspended(now).is_some() {
            let line = format!("[lua] filter_func of route {id} is suspended: it overran its time");
            Env::log_request(4, x, &line);
            return Err(Kind::PluginUnavailable.into());
        }
        self.run_filter(&filter, x).map_err(|failure| {
            let line = format!("[lua] filter_func of route {id} failed: {}", failure.message);
            Env::log_request(4, x, &line);
            let limits = self.core.env.settings.breaker;
            if failure.overrun && filter.breaker.overran(&limits, clock::now()) {
                let seconds = limits.suspend.as_secs();
                let line = format!("[lua] filter_func of route {id} is suspended for {seconds} s");
                Env::log_request(4, x, &line);
            }
            Kind::Plugin.into()
        })
    }

    fn filter(&self, text: &Arc<str>) -> Rc<Filter> {
        if let Some(known) = self.filters.borrow_mut().get_mut(&**text) {
            if known.text.strong_count() == 0 {
                known.text = Arc::downgrade(text);
            }
            return Rc::clone(&known.filter);
        }
        let function = self.compile_filter(text);
        let filter = Rc::new(Filter { function, breaker: Breaker::default() });
        let known = Known { text: Arc::downgrade(text), filter: Rc::clone(&filter) };
        self.filters.borrow_mut().insert(text[..].into(), known);
        filter
    }

    fn run_filter(&self, filter: &Filter, x: &mut Exchange) -> Result<bool, Failure> {
        let function = filter.function.as_ref().map_err(|reason| Failure {
            message: format!("it does not compile: {reason}"),
            traceback: String::new(),
            overrun: false,
        })?;
        let co = self.core.coroutine();
        co.push_ref(function);
        let co = task::run_now(&self.core, co, 0, Some(x), Phase::Access)?;
        let passed = co.truth(1);
        self.core.recycle(co);
        Ok(passed)
    }

    /// The text may do anything while it is evaluated: that runs watched, too.
    fn compile_filter(&self, text: &str) -> Result<Ref, String> {
        let lua = self.core.lua();
        let fail = |error: mlua::Error| error.to_string();
        let source = format!("return require('moongate.filter').wrap({text})");
        let chunk = lua.load(source).set_name("=filter_func").into_function().map_err(fail)?;
        let kept = self.core.keep(chunk).map_err(fail)?;
        let co = self.core.coroutine();
        co.push_ref(&kept);
        let co = task::run_now(&self.core, co, 0, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let function = co.keep(1);
        self.core.recycle(co);
        Ok(function)
    }

    /// Forgets filters that no route has any more.
    pub(super) fn sweep_filters(&self) {
        self.filters.borrow_mut().retain(|_, known| known.text.strong_count() > 0);
    }
}
