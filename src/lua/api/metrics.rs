//! `host.metrics`: metrics of the process, counted by this worker.

use std::sync::Arc;

use mlua::{BorrowedBytes, Lua, LuaString, Table, UserData, UserDataMethods, Value};

use super::{ApiDeps, number_of, raise, string_arg, text_of};
use crate::shared::metrics::{Family, Kind, MetricError, Spec};

/// Fills `host.metrics`.
pub(super) fn register(lua: &Lua, host: &Table, deps: &ApiDeps) -> mlua::Result<()> {
    let table = lua.create_table()?;
    for (name, kind) in
        [("counter", Kind::Counter), ("gauge", Kind::Gauge), ("histogram", Kind::Histogram)]
    {
        let registry = Arc::clone(&deps.metrics);
        let worker = deps.worker;
        let declare = lua.create_function(move |lua, args: DeclareArgs| {
            let declaration = Declaration::read(lua, args)?;
            let family = declaration.spec(kind, |spec| registry.declare(spec));
            match family {
                Ok(family) => Ok(Ok(lua.create_userdata(Metric { family, worker })?)),
                Err(why) => Ok(Err(why)),
            }
        })?;
        table.raw_set(name, declare)?;
    }
    let registry = Arc::clone(&deps.metrics);
    table.raw_set("render", lua.create_function(move |_, (): ()| Ok(registry.render()))?)?;
    let registry = Arc::clone(&deps.metrics);
    table.raw_set(
        "remove",
        lua.create_function(move |_, name: String| Ok(registry.remove(&name)))?,
    )?;
    host.raw_set("metrics", table)
}

/// name, help, label names, buckets of a histogram, seconds after which an idle series goes.
type DeclareArgs = (Value, Value, Option<Table>, Option<Table>, Value);

struct Declaration {
    name: String,
    help: String,
    labels: Vec<String>,
    buckets: Vec<f64>,
    idle_s: u64,
}

impl Declaration {
    fn read(lua: &Lua, (name, help, labels, buckets, idle): DeclareArgs) -> mlua::Result<Self> {
        let help =
            if help.is_nil() { String::new() } else { text_of(lua, help)?.to_string_lossy() };
        let list = labels.map(|labels| labels.sequence_values::<String>().collect());
        let bounds = buckets.map(|buckets| buckets.sequence_values::<f64>().collect());
        Ok(Self {
            name: string_arg(lua, name, 1, "declare")?.to_string_lossy(),
            help,
            labels: list.transpose()?.unwrap_or_default(),
            buckets: bounds.transpose()?.unwrap_or_default(),
            idle_s: number_of(lua, &idle).map_or(0, |idle| idle.max(0.0) as u64),
        })
    }

    fn spec<T>(&self, kind: Kind, then: impl FnOnce(&Spec<'_>) -> T) -> T {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        then(&Spec {
            kind,
            name: &self.name,
            help: &self.help,
            labels: &labels,
            buckets: &self.buckets,
            idle_s: self.idle_s,
        })
    }
}

/// A metric as Lua holds it.
struct Metric {
    family: Arc<Family>,
    worker: usize,
}

/// `true`, or nil and why it was not counted.
type Counted = Result<bool, String>;

impl Metric {
    /// Calls `count` with the label values as text.
    fn with(
        &self,
        lua: &Lua,
        values: Option<Table>,
        count: impl FnOnce(&[BorrowedBytes]) -> Result<(), MetricError>,
    ) -> mlua::Result<Counted> {
        let mut labels = Vec::new();
        if let Some(values) = values {
            let len = values.raw_len();
            labels.reserve(len);
            for index in 1..=len {
                let value: Value = values.raw_get(index)?;
                labels.push(text_of(lua, value)?);
            }
        }
        let labels: Vec<BorrowedBytes> = labels.iter().map(LuaString::as_bytes).collect();
        Ok(count(&labels).map(|()| true).map_err(|error| error.to_string()))
    }
}

fn amount(lua: &Lua, value: &Value, default: Option<f64>) -> mlua::Result<f64> {
    match (value, default) {
        (Value::Nil, Some(default)) => Ok(default),
        _ => number_of(lua, value).ok_or_else(|| raise(lua, "metric value is not a number")),
    }
}

impl UserData for Metric {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("inc", |lua, own, (value, labels): (Value, Option<Table>)| {
            let by = amount(lua, &value, Some(1.0))?;
            own.with(lua, labels, |labels| own.family.inc(own.worker, labels, by))
        });
        methods.add_method("dec", |lua, own, (value, labels): (Value, Option<Table>)| {
            let by = amount(lua, &value, Some(1.0))?;
            own.with(lua, labels, |labels| own.family.inc(own.worker, labels, -by))
        });
        methods.add_method("set", |lua, own, (value, labels): (Value, Option<Table>)| {
            let value = amount(lua, &value, None)?;
            own.with(lua, labels, |labels| own.family.set(labels, value))
        });
        methods.add_method("observe", |lua, own, (value, labels): (Value, Option<Table>)| {
            let value = amount(lua, &value, None)?;
            own.with(lua, labels, |labels| own.family.observe(own.worker, labels, value))
        });
        methods.add_method("del", |lua, own, labels: Option<Table>| {
            own.with(lua, labels, |labels| own.family.del(labels))
        });
        methods.add_method("reset", |_, own, (): ()| {
            own.family.reset();
            Ok(true)
        });
    }
}
