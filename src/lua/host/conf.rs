//! `host.conf_*`: the configuration as plugins see it, one item at a time.
//!
//! An item's table is made when somebody asks for it and kept while the object is
//! unchanged, so plugins can key caches by its identity. A VM never holds the whole
//! configuration unless a plugin walks it.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
};

use mlua::{Lua, Table, Value};

use super::{NONE, ONE, push_failure};
use crate::{
    config::{
        Item, Snapshot, item::Collection, lookup::Lookup, packed::Packed, raw::Kind, runs::Matched,
        upstream::Upstream,
    },
    lua::{
        api::convert,
        core::Core,
        raw::{
            co::Ref,
            current,
            frame::{Called, Frame, Raise},
        },
        slot,
    },
};

/// Address and version of an item, and the table made of it.
type KnownItem = (usize, u64, Rc<Ref>);

/// Tables made for plugins. They lie in [`Core`] and not in the closures that make them: what
/// Lua owns must not own the VM in turn, or no VM would ever be closed.
#[derive(Default)]
pub(crate) struct Known {
    /// `config.yaml`, with the address it was made from.
    local: RefCell<Option<(usize, Rc<Ref>)>>,
    /// Items by kind and id, with the address and version they were made from.
    items: RefCell<HashMap<(Kind, String), KnownItem>>,
    /// Consumers by plugin and field; as many as plugins ask for.
    pub(super) lookups: RefCell<HashMap<(String, String), Lookup>>,
}

pub(super) fn register(core: &Rc<Core>, table: &Table) -> mlua::Result<()> {
    let lua = core.lua();
    let weak = Rc::downgrade(core);
    table.raw_set("conf_local", lua.create_function(local(weak.clone()))?)?;
    let view = weak.clone();
    table.raw_set(
        "conf_version",
        lua.create_function(move |_, kind: String| {
            let snapshot = snapshot(&view)?;
            #[allow(clippy::cast_precision_loss)] // Versions stay far below 2^52.
            Ok(snapshot.kind_version(kind_of(&kind)?) as f64)
        })?,
    )?;
    let view = weak.clone();
    table.raw_set(
        "conf_ids",
        lua.create_function(move |lua, kind: String| {
            lua.create_sequence_from(ids(&*snapshot(&view)?, kind_of(&kind)?))
        })?,
    )?;
    table.raw_set(
        "conf_item",
        lua.create_function(move |lua, (kind, id): (String, Value)| {
            let Some(core) = weak.upgrade() else { return Ok(Value::Nil) };
            let id = match lua.coerce_string(id)? {
                Some(id) => id.to_string_lossy(),
                None => return Ok(Value::Nil),
            };
            item(&core, kind_of(&kind)?, &id)
        })?,
    )?;
    let state = core.state();
    state.host_function(table, "matched_route", matched_route)?;
    state.host_function(table, "merge_consumer", merge_consumer)?;
    state.host_function(table, "upstream_reuse", upstream_reuse)?;
    state.host_function(table, "upstream_set", upstream_set)?;
    state.host_function(table, "upstream_select_id", upstream_select_id)?;
    state.host_function(table, "balancer_address", balancer_address)
}

/// The snapshot of the current request, or the worker's.
pub(super) fn snapshot(core: &Weak<Core>) -> mlua::Result<Arc<Snapshot>> {
    if let Some(snapshot) = current::snapshot() {
        return Ok(snapshot);
    }
    let core = core.upgrade().ok_or_else(|| mlua::Error::runtime("the VM is gone"))?;
    let snapshot = Arc::clone(&core.env.snapshot.borrow());
    Ok(snapshot)
}

fn kind_of(name: &str) -> mlua::Result<Kind> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.plural() == name)
        .ok_or_else(|| mlua::Error::runtime(format!("unknown kind of object: {name}")))
}

/// `conf_local()`: config.yaml as a table, kept until it changes.
fn local(core: Weak<Core>) -> impl Fn(&Lua, ()) -> mlua::Result<Value> + 'static {
    move |lua, ()| {
        let Some(core) = core.upgrade() else { return Ok(Value::Nil) };
        let known = &core.known.local;
        let local = Arc::clone(&core.env.local.borrow());
        let address = Arc::as_ptr(&local) as usize;
        if let Some((made_from, table)) = &*known.borrow()
            && *made_from == address
        {
            return core.state().value(table);
        }
        let table = convert::to_lua(lua, &local)?;
        *known.borrow_mut() = Some((address, Rc::new(core.keep(table.clone())?)));
        Ok(table)
    }
}

fn ids(snapshot: &Snapshot, kind: Kind) -> Vec<String> {
    fn of<T>(collection: &Collection<T>) -> Vec<String> {
        collection.iter().map(|item| item.id.to_string()).collect()
    }
    match kind {
        Kind::Routes => of(&snapshot.routes),
        Kind::Services => of(&snapshot.services),
        Kind::Upstreams => of(&snapshot.upstreams),
        Kind::Consumers => of(&snapshot.consumers),
        Kind::PluginConfigs => of(&snapshot.plugin_configs),
        Kind::GlobalRules => of(&snapshot.global_rules),
        Kind::PluginMetadata => of(&snapshot.plugin_metadata),
        Kind::ConsumerGroups => of(&snapshot.consumer_groups),
        Kind::Protos => of(&snapshot.protos),
        Kind::Ssls => of(&snapshot.ssls),
        Kind::StreamRoutes => of(&snapshot.stream_routes),
        Kind::Secrets => of(&snapshot.secrets),
    }
}

/// What a table is made from.
struct Plain {
    address: usize,
    key: Arc<str>,
    created: u64,
    modified: u64,
    value: Packed,
}

fn plain(snapshot: &Snapshot, kind: Kind, id: &str) -> Option<Plain> {
    fn of<T>(collection: &Collection<T>, id: &str) -> Option<Plain> {
        let item: &Arc<Item<T>> = collection.get(id)?;
        Some(Plain {
            address: Arc::as_ptr(item) as usize,
            key: Arc::clone(&item.key),
            created: item.created_index,
            modified: item.modified_index,
            value: item.value.clone(),
        })
    }
    match kind {
        Kind::Routes => of(&snapshot.routes, id),
        Kind::Services => of(&snapshot.services, id),
        Kind::Upstreams => of(&snapshot.upstreams, id),
        Kind::Consumers => of(&snapshot.consumers, id),
        Kind::PluginConfigs => of(&snapshot.plugin_configs, id),
        Kind::GlobalRules => of(&snapshot.global_rules, id),
        Kind::PluginMetadata => of(&snapshot.plugin_metadata, id),
        Kind::ConsumerGroups => of(&snapshot.consumer_groups, id),
        Kind::Protos => of(&snapshot.protos, id),
        Kind::Ssls => of(&snapshot.ssls, id),
        Kind::StreamRoutes => of(&snapshot.stream_routes, id),
        Kind::Secrets => of(&snapshot.secrets, id),
    }
}

fn item(core: &Rc<Core>, kind: Kind, id: &str) -> mlua::Result<Value> {
    let known = &core.known.items;
    let snapshot = snapshot(&Rc::downgrade(core))?;
    let Some(plain) = plain(&snapshot, kind, id) else {
        known.borrow_mut().remove(&(kind, id.to_owned()));
        return Ok(Value::Nil);
    };
    let key = (kind, id.to_owned());
    if let Some((address, modified, table)) = known.borrow().get(&key)
        && *address == plain.address
        && *modified == plain.modified
    {
        return core.state().value(table);
    }
    let lua = core.lua();
    let table = lua.create_table()?;
    table.set("key", &*plain.key)?;
    #[allow(clippy::cast_precision_loss)] // Indexes stay far below 2^52.
    {
        table.set("createdIndex", plain.created as f64)?;
        table.set("modifiedIndex", plain.modified as f64)?;
    }
    let value = convert::to_lua(lua, &plain.value.value())?;
    if let Value::Table(value) = &value
        && value.get::<Value>("id")?.is_nil()
    {
        value.set("id", id)?;
    }
    table.set("value", value)?;
    let kept = Rc::new(core.keep(table.clone())?);
    known.borrow_mut().insert(key, (plain.address, plain.modified, kept));
    Ok(Value::Table(table))
}

/// `ctx.matched_route`: the merged route as an item.
fn matched_route(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let x = frame.exchange()?;
    let Some(matched) = &x.matched else {
        frame.push_nil();
        return ONE;
    };
    let made = merged_table(core, matched).map_err(|error| Raise(error.to_string()))?;
    frame.push_ref(&made);
    ONE
}

fn merged_table(core: &Core, matched: &Matched) -> mlua::Result<Ref> {
    let lua = core.lua();
    let merged = &matched.merged;
    let table = lua.create_table()?;
    table.set("key", &*merged.route.key)?;
    #[allow(clippy::cast_precision_loss)] // Indexes stay far below 2^52.
    {
        table.set("createdIndex", merged.route.created_index as f64)?;
        table.set("modifiedIndex", merged.route.modified_index as f64)?;
    }
    table.set("value", convert::to_lua(lua, &merged.value())?)?;
    core.keep(table)
}

/// A plugin set `ctx.consumer`: makes the plan with the consumer's plugins.
fn merge_consumer(frame: &mut Frame<'_>) -> Called {
    let name = String::from_utf8_lossy(frame.need_str(1, "merge_consumer")?);
    let x = frame.exchange()?;
    let vm = slot::of(x).vm.clone().ok_or_else(|| Raise::new("no plan is bound"))?;
    let (Some(matched), Some(snapshot)) = (&x.matched, &x.snapshot) else { return NONE };
    let Some(consumer) = snapshot.consumers.get(&name) else { return NONE };
    let merged = vm.with_consumer(matched, consumer, snapshot).map_err(|missing| {
        Raise(format!("{} [{}] of consumer {name} does not exist", missing.kind, missing.id))
    })?;
    let Some(matched) = merged else { return NONE };
    let plan = vm
        .plan(&matched.runs, x.globals.as_deref())
        .map_err(|failure| Raise(failure.message))?
        .ok_or_else(|| Raise::new("the consumer brought no plugin"))?;
    x.matched = Some(matched);
    frame.push_ref(&plan.route);
    slot::of(x).plan = Some(plan);
    ONE
}

/// `upstream_reuse(key, id)`: the upstream that `upstream_set` made under `key`, if it is
/// still the one with this id; false if the conf must be handed over again.
fn upstream_reuse(frame: &mut Frame<'_>) -> Called {
    let (key, id) = (frame.need_str(1, "upstream_reuse")?, frame.num(2));
    let x = frame.exchange()?;
    let known =
        slot::of(x).vm.as_ref().and_then(|vm| vm.made_upstream(std::str::from_utf8(key).ok()?));
    let same = known.filter(|upstream| Some(number(upstream.id)) == id);
    frame.push_bool(same.is_some());
    if let (Some(upstream), Ok(key)) = (same, std::str::from_utf8(key)) {
        x.upstream.chosen = Some(upstream);
        x.upstream.chosen_key = Some(key.into());
    }
    ONE
}

#[allow(clippy::cast_precision_loss)] // Counted up from 1: stays far below 2^52.
fn number(id: u64) -> f64 {
    id as f64
}

/// `upstream_set(conf, key)`: an upstream that a plugin made. Its id, or nil and what is
/// wrong with it.
fn upstream_set(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let kept = frame.keep(1)?;
    let key = String::from_utf8_lossy(frame.str(2).unwrap_or(b"plugin")).into_owned();
    let value = core
        .state()
        .value(&kept)
        .and_then(|value| convert::from_lua(core.lua(), &value))
        .map_err(|error| Raise(error.to_string()))?;
    let x = frame.exchange()?;
    let vm = slot::of(x).vm.clone();
    let before = vm.as_ref().and_then(|vm| vm.made_upstream(&key));
    match Upstream::read(&value, before.as_ref()) {
        Ok(upstream) => {
            if let Some(vm) = vm {
                vm.remember_upstream(&key, &upstream);
            }
            frame.push_num(number(upstream.id));
            x.upstream.chosen = Some(upstream);
            x.upstream.chosen_key = Some(key.into());
            ONE
        }
        Err(reason) => push_failure(frame, &reason),
    }
}

fn upstream_select_id(frame: &mut Frame<'_>) -> Called {
    let id = frame.str(1).map(|id| String::from_utf8_lossy(id).into_owned());
    let x = frame.exchange()?;
    x.upstream.chosen_id = id;
    NONE
}

/// The node picked for the current try: host and port.
fn balancer_address(frame: &mut Frame<'_>) -> Called {
    let x = frame.exchange()?;
    let Some((host, port)) = &x.upstream.picked else {
        frame.push_nil();
        return ONE;
    };
    let host =
        x.upstream.attempts.last().map_or_else(|| host.to_string(), |a| a.addr.ip().to_string());
    frame.push_str(host.as_bytes());
    frame.push_num(f64::from(*port));
    Ok(crate::lua::raw::frame::Outcome::Return(2))
}
