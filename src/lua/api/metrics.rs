//! `host.metrics`: metrics of the process, counted by this worker.

use std::{borrow::Cow, cell::RefCell, sync::Arc};

use mlua::{Lua, Table, Value};

use super::{ApiDeps, number_of, string_arg, text_of};
use crate::{
    lua::raw::{
        frame::{Called, Frame, Kind as Type, Outcome, Raise},
        object::{self, Object},
        state::host_function,
    },
    shared::metrics::{Cell, Family, Kind, MetricError, Spec},
};

/// Fills `host.metrics`.
pub(super) fn register(lua: &Lua, host: &Table, deps: &ApiDeps) -> mlua::Result<()> {
    object::class::<Metric>(lua, metric_methods(lua)?)?;
    let methods = lua.create_table()?;
    host_function(lua, &methods, "add", add)?;
    object::class::<Bundle>(lua, methods)?;
    let table = lua.create_table()?;
    host_function(lua, &table, "bundle", bundle)?;
    for (name, kind) in
        [("counter", Kind::Counter), ("gauge", Kind::Gauge), ("histogram", Kind::Histogram)]
    {
        let registry = Arc::clone(&deps.metrics);
        let worker = deps.worker;
        let declare = lua.create_function(move |lua, args: DeclareArgs| {
            let declaration = Declaration::read(lua, args)?;
            let family = declaration.spec(kind, |spec| registry.declare(spec));
            match family {
                Ok(family) => Ok(Ok(object::create(lua, Metric { family, worker })?)),
                Err(why) => Ok(Err(why)),
            }
        })?;
        table.raw_set(name, declare)?;
    }
    let (registry, health) = (Arc::clone(&deps.metrics), Arc::clone(&deps.health));
    let render = move |_: &Lua, (): ()| Ok(registry.render() + &health.metric(registry.prefix()));
    table.raw_set("render", lua.create_function(render)?)?;
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

impl Object for Metric {
    fn tag() -> &'static u8 {
        static TAG: u8 = 2;
        &TAG
    }
}

fn metric_methods(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let t = &table;
    host_function(lua, t, "inc", |frame| {
        count(frame, "inc", Some(1.0), |own, by, labels| own.family.inc(own.worker, labels, by))
    })?;
    host_function(lua, t, "dec", |frame| {
        count(frame, "dec", Some(1.0), |own, by, labels| own.family.inc(own.worker, labels, -by))
    })?;
    host_function(lua, t, "set", |frame| {
        count(frame, "set", None, |own, value, labels| own.family.set(labels, value))
    })?;
    host_function(lua, t, "observe", |frame| {
        count(frame, "observe", None, |own, value, labels| {
            own.family.observe(own.worker, labels, value)
        })
    })?;
    host_function(lua, t, "del", |frame| {
        let own = frame.need_object::<Metric>(1, "del")?;
        let done = frame.with_texts(2, |labels| own.family.del(labels))?;
        answer(frame, done)
    })?;
    host_function(lua, t, "reset", |frame| {
        frame.need_object::<Metric>(1, "reset")?.family.reset();
        answer(frame, Ok(()))
    })?;
    Ok(table)
}

type Labels<'l> = [Cow<'l, [u8]>];

/// `metric:count(value, label_values)`
fn count(
    frame: &mut Frame<'_>,
    method: &str,
    default: Option<f64>,
    count: impl FnOnce(&Metric, f64, &Labels<'_>) -> Result<(), MetricError>,
) -> Called {
    let own = frame.need_object::<Metric>(1, method)?;
    let value = if frame.is_nil(2) { default } else { frame.num(2) };
    let value = value.ok_or_else(|| Raise::new("metric value is not a number"))?;
    let done = frame.with_texts(3, |labels| count(own, value, labels))?;
    answer(frame, done)
}

/// Pushes true, or nil and why it was not counted.
fn answer(frame: &mut Frame<'_>, done: Result<(), MetricError>) -> Called {
    match done {
        Ok(()) => frame.push_bool(true),
        Err(error) => {
            frame.push_nil();
            frame.push_str(error.to_string().as_bytes());
            return Ok(Outcome::Return(2));
        }
    }
    Ok(Outcome::Return(1))
}

/// Series that belong to one kind of event.
struct Bundle(Box<[Part]>);

impl Object for Bundle {
    fn tag() -> &'static u8 {
        static TAG: u8 = 3;
        &TAG
    }
}

struct Part {
    family: Arc<Family>,
    worker: usize,
    labels: Box<[Box<[u8]>]>,
    cell: RefCell<Option<Cell>>,
}

impl Part {
    /// Counts, and looks the series up again if it was dropped meanwhile.
    fn add(&self, value: f64) {
        let mut kept = self.cell.borrow_mut();
        if !kept.as_ref().is_some_and(Cell::is_live) {
            // A family that is full counts that by itself.
            *kept = self.family.cell(self.worker, &self.labels).ok();
        }
        let Some(cell) = kept.as_ref() else { return };
        match self.family.kind() {
            Kind::Histogram => cell.observe(value),
            Kind::Counter | Kind::Gauge => cell.inc(value),
        }
    }
}

/// `bundle(metric, labels, metric, labels, ...)`: series that are counted into with one call.
fn bundle(frame: &mut Frame<'_>) -> Called {
    let mut parts = Vec::new();
    for at in (1..=frame.count()).step_by(2) {
        let metric = frame.need_object::<Metric>(at, "bundle")?;
        if frame.kind(at + 1) != Type::Table {
            return Err(Raise(format!("bad argument #{} to 'bundle' (table expected)", at + 1)));
        }
        let labels = frame.with_texts(at + 1, |labels| {
            labels.iter().map(|label| Box::from(&**label)).collect()
        })?;
        parts.push(Part {
            family: Arc::clone(&metric.family),
            worker: metric.worker,
            labels,
            cell: RefCell::new(None),
        });
    }
    frame.push_object(Bundle(parts.into()));
    Ok(Outcome::Return(1))
}

/// `bundle:add(value, value, ...)`: one number per series; nil leaves that one out.
fn add(frame: &mut Frame<'_>) -> Called {
    let own = frame.need_object::<Bundle>(1, "add")?;
    for (part, at) in own.0.iter().zip(2..) {
        if let Some(value) = frame.num(at) {
            part.add(value);
        }
    }
    Ok(Outcome::Return(0))
}
