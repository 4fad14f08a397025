//! What every VM loads first: host functions, then the modules that Rust calls and those that
//! plugins are likely to require.

use std::{rc::Rc, sync::Arc};

use foldhash::HashMap;

use super::{
    api,
    core::Core,
    host,
    loader::{self, Generation},
    pace::Pace,
    raw::{co::Ref, current::Phase},
    task::{self, Finish},
};

/// What a VM loads first, in steps of a fraction of a millisecond.
const BOOT: [&str; 10] = [
    "moongate.boot",
    "apisix.core",
    "apisix.schema_def",
    "resty.expr.v1",
    "apisix.secret",
    "moongate.registry",
    "moongate.plugins",
    "moongate.runner",
    "moongate.content",
    "moongate.control",
];

const ENTRIES: [(&str, &[&str]); 5] = [
    ("moongate.aside", &["serve"]),
    ("moongate.content", &["location", "env"]),
    ("moongate.control", &["endpoint", "listed"]),
    ("moongate.plugins", &["load", "order", "init", "destroy", "check", "describe"]),
    (
        "moongate.runner",
        &[
            "plan",
            "access",
            "proxy_phase",
            "filter_phase",
            "body_phase",
            "late_ctx",
            "skip",
            "place",
        ],
    ),
];

/// Loads everything but plugins into `core`. Gives the functions that Rust calls.
///
/// # Errors
///
/// When a file of the shelves is broken; with file and line.
pub(super) async fn load(
    core: &Rc<Core>,
    generation: &Arc<Generation>,
    pace: &Pace,
) -> Result<HashMap<&'static str, Ref>, String> {
    let text = |error: mlua::Error| error.to_string();
    let host = core.lua().create_table().map_err(text)?;
    pace.step().await;
    let process = &core.env.process;
    let deps = api::ApiDeps {
        dicts: Arc::clone(&process.dicts),
        metrics: Arc::clone(&process.metrics),
        health: Arc::clone(&process.health),
        worker: core.env.worker,
    };
    api::register(core.lua(), &host, &deps).map_err(text)?;
    pace.step().await;
    host::register(core, &host).map_err(text)?;
    provide(core, host, generation).map_err(text)?;
    // Almost all of it stays: there is nothing to collect yet.
    core.state().hold_garbage(true);
    for module in BOOT {
        pace.step().await;
        require(core, module).await?;
    }
    core.state().hold_garbage(false);
    entries(core).map_err(text)
}

/// Lets modules require the table of host functions, and all others from `generation`.
fn provide(core: &Core, host: mlua::Table, generation: &Arc<Generation>) -> mlua::Result<()> {
    let lua = core.lua();
    let package: mlua::Table = lua.globals().get("package")?;
    let preload: mlua::Table = package.get("preload")?;
    preload.set(
        "moongate.host",
        lua.create_function(move |_, _: mlua::MultiValue| Ok(host.clone()))?,
    )?;
    loader::install(lua, generation)
}

fn entries(core: &Core) -> mlua::Result<HashMap<&'static str, Ref>> {
    let package: mlua::Table = core.lua().globals().get("package")?;
    let loaded: mlua::Table = package.get("loaded")?;
    let mut entries = HashMap::default();
    for (module, names) in ENTRIES {
        let module: mlua::Table = loaded.get(module)?;
        for name in names {
            let function: mlua::Function = module.get(*name)?;
            entries.insert(*name, core.keep(function)?);
        }
    }
    Ok(entries)
}

/// Requires `module`.
///
/// # Errors
///
/// What it raised.
pub(super) async fn require(core: &Rc<Core>, module: &str) -> Result<(), String> {
    let require: mlua::Function =
        core.lua().globals().get("require").map_err(|error| error.to_string())?;
    let require = core.keep(require).map_err(|error| error.to_string())?;
    let co = core.coroutine();
    co.push_ref(&require);
    co.push_str(module.as_bytes());
    match task::run(core, co, 1, None, Phase::Init).await {
        Finish::Returned(co) => {
            core.recycle(co);
            Ok(())
        }
        Finish::Exited(_) => Err(format!("{module} called ngx.exit while loading")),
        Finish::Failed(failure) => Err(failure.message),
    }
}
