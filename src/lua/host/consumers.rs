//! `host.consumer_*`: who has a credential.

use std::rc::{Rc, Weak};

use mlua::{Lua, Table};

use super::conf;
use crate::{config::lookup::Lookup, lua::core::Core};

pub(super) fn register(core: &Rc<Core>, table: &Table) -> mlua::Result<()> {
    let lua = core.lua();
    table.raw_set("consumer_find", lua.create_function(find(Rc::downgrade(core)))?)?;
    table.raw_set("consumer_references", lua.create_function(references(Rc::downgrade(core)))?)?;
    table.raw_set("consumer_count", lua.create_function(count(Rc::downgrade(core)))?)
}

/// What `ask` reads of the lookup for a field of a plugin, as of the current request's objects.
fn with_lookup<R>(
    core: &Weak<Core>,
    plugin: String,
    field: String,
    ask: impl FnOnce(&Lookup) -> R,
) -> mlua::Result<R> {
    let snapshot = conf::snapshot(core)?;
    let core = core.upgrade().ok_or_else(|| mlua::Error::runtime("the VM is gone"))?;
    let mut lookups = core.known.lookups.borrow_mut();
    let lookup = lookups
        .entry((plugin, field))
        .or_insert_with_key(|(plugin, field)| Lookup::new(plugin, field));
    lookup.follow(&snapshot.consumers);
    Ok(ask(lookup))
}

type Question = (String, String, mlua::LuaString, Option<usize>);

/// `consumer_find(plugin, field, value, skip)`: the id of a consumer or credential whose conf of
/// `plugin` has `value` in `field`; the last one defined, or what comes when `skip` of these are
/// passed over. Nil if there is none.
fn find(core: Weak<Core>) -> impl Fn(&Lua, Question) -> mlua::Result<Option<String>> + 'static {
    move |_, (plugin, field, value, skip)| {
        // What is no UTF-8 is in no configuration.
        let Ok(value) = value.to_str() else { return Ok(None) };
        with_lookup(&core, plugin, field, |lookup| {
            lookup.ids(&value).nth(skip.unwrap_or(0)).map(ToString::to_string)
        })
    }
}

/// `consumer_references(plugin, field)`: ids of those where a reference to a secret stands in
/// the field.
fn references(
    core: Weak<Core>,
) -> impl Fn(&Lua, (String, String)) -> mlua::Result<Vec<String>> + 'static {
    move |_, (plugin, field)| {
        with_lookup(&core, plugin, field, |lookup| {
            lookup.references().map(ToString::to_string).collect()
        })
    }
}

/// `consumer_count(plugin, field)`: how many have a conf of the plugin; and how many objects were
/// looked at to know it, ever since the first call.
fn count(
    core: Weak<Core>,
) -> impl Fn(&Lua, (String, String)) -> mlua::Result<(f64, f64)> + 'static {
    move |_, (plugin, field)| {
        #[allow(clippy::cast_precision_loss)] // Both stay far below 2^52.
        with_lookup(&core, plugin, field, |lookup| {
            (lookup.with_plugin() as f64, lookup.looked_at() as f64)
        })
    }
}
