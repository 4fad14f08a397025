//! The stored objects for commands: by the Admin API of the gateway that runs, or where none runs,
//! by the same Admin API in the command's own process.
//!
//! Who may read `data/` may read the store's file and the key of the Admin API beside it, and who
//! may read `config.yaml` its `admin_key`: so commands need no set-up and get at nothing that their
//! user could not read anyway, and whoever has only a network gets no further than before. The
//! running gateway asks for that key as for any other request, judges, and writes its audit.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Checker, Event, Options, admin, etcd,
    judge::{Asker, facts},
    start, stores,
};
use crate::{
    admin::Admin,
    config::{
        Local, env,
        local::{self, Format},
        provider::Provider,
    },
    lua::Vm,
    store::{Sink, Store, embedded, etcd::Etcd},
};

/// Where the objects of a prefix are.
#[derive(Debug)]
pub struct Place {
    /// By which provider.
    pub provider: Provider,
    /// Why that one.
    pub why: String,
    /// Where the Admin API listens, if it is not off.
    pub admin: Option<SocketAddr>,
    /// A key of an administrator: `config.yaml`'s, or the one in the data directory.
    pub key: Option<String>,
    /// What keys begin with in etcd.
    pub etcd_prefix: String,
    /// Whether the embedded store was ever used.
    pub stored: bool,
    /// The objects' file, where that is the provider.
    pub file: std::path::PathBuf,
    /// Its format.
    pub format: Format,
}

/// Reads where the objects of a prefix are.
///
/// # Errors
///
/// What is wrong with config.yaml.
pub fn place(options: &Options) -> Result<Place, String> {
    let local = start::load_local(options, &options.config_path())?.local;
    let (provider, why) = Provider::choose(&local, &options.prefix, &env::process);
    let format = match provider {
        Provider::File(format) => format,
        _ => local.standalone,
    };
    let at = |path: &str| local.raw.pointer(path);
    let prefix = at("/deployment/etcd/prefix").and_then(Value::as_str).unwrap_or("/apisix");
    Ok(Place {
        provider,
        why,
        admin: local.enable_admin.then(|| SocketAddr::from(local.admin)),
        key: configured_key(&local).or_else(|| kept_key(&options.prefix)),
        etcd_prefix: prefix.to_owned(),
        stored: admin::data_dir(&options.prefix).join("moongate.redb").exists(),
        file: local::standalone_path(&options.prefix, format, &env::process),
        format,
    })
}

/// The first key of an administrator.
fn configured_key(local: &Local) -> Option<String> {
    let list = local.raw.pointer("/deployment/admin/admin_key")?.as_array()?;
    let admin = |entry: &&Value| {
        entry.get("role").and_then(Value::as_str).is_none_or(|role| role == "admin")
    };
    let key = |entry: &Value| match entry.get("key")? {
        Value::String(key) if !key.is_empty() => Some(key.clone()),
        // YAML reads a key of digits as a number.
        Value::Number(key) => Some(key.to_string()),
        _ => None,
    };
    list.iter().filter(admin).find_map(key)
}

/// The key that was made at the first start.
fn kept_key(prefix: &Path) -> Option<String> {
    let text = fs::read_to_string(admin::data_dir(prefix).join("admin.key")).ok()?;
    Some(text.trim().to_owned()).filter(|key| !key.is_empty())
}

/// The process that has the store of a prefix open.
#[must_use]
pub fn store_owner(prefix: &Path) -> Option<i32> {
    embedded::owner(&admin::data_dir(prefix))
}

/// Takes the signals that ask a gateway for its store and for a reload, and does nothing: others
/// who take this process for a gateway would end it in the middle of its work.
fn keep_running() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let _inside = runtime.enter();
    for kind in [SignalKind::user_defined2(), SignalKind::hangup()] {
        // What is installed once stays.
        drop(signal(kind).map_err(|error| format!("cannot handle signals: {error}"))?);
    }
    Ok(())
}

/// The Admin API in this process, over a store that no gateway has open, or over etcd.
pub struct Door {
    admin: Arc<Admin>,
    vm: Vm,
    local: Local,
    inbox: mpsc::Receiver<Event>,
}

impl Door {
    /// Opens the store of `place`; with `options.takeover`, a gateway that has it is asked for it.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    pub fn open(options: &Options, place: &Place) -> Result<Self, String> {
        let (vm, local) = start::checking(options)?;
        keep_running()?;
        let sink = || -> Sink { Box::new(|_| {}) };
        let store: Arc<dyn Store> = match place.provider {
            Provider::Embedded => {
                let data = admin::data_dir(&options.prefix);
                let file = stores::open_embedded(&data, options.takeover, &sink);
                file.map_err(|error| error.to_string())?
            }
            Provider::Etcd => {
                let options = etcd::options(&local.raw, &options.prefix);
                let options = options.map_err(|wrong| wrong.join("\n"))?;
                Arc::new(Etcd::connect(options, None, sink()).map_err(|e| format!("etcd: {e}"))?)
            }
            Provider::File(_) => return Err("the objects are in a file".to_owned()),
        };
        let (events, inbox) = mpsc::channel();
        let facts = Arc::new(ArcSwap::from_pointee(facts(&vm)));
        let judge = Arc::new(Asker::new(&events, &facts));
        let settings = admin::settings(&local)?.for_operator();
        let admin = Arc::new(Admin::new(store, judge, settings, Box::new(|_| {})));
        Ok(Self { admin, vm, local, inbox })
    }

    /// One request, and the status and body of its answer.
    ///
    /// # Errors
    ///
    /// It is no request, or there is no thread to work on it.
    pub fn ask(self, method: &str, target: &str, body: Vec<u8>) -> Result<(u16, Bytes), String> {
        let Self { admin, vm, local, inbox } = self;
        let request = http::Request::builder().method(method).uri(target).body(());
        let (parts, ()) = request.map_err(|error| error.to_string())?.into_parts();
        let work = move || -> Result<(u16, Bytes), String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let body = Bytes::from(body);
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let answer = admin.serve(address, &parts, async move |_| Ok(body));
            let (parts, body) = runtime.block_on(answer).into_parts();
            // The last handle: the store closes, and below, nobody asks any more.
            drop(admin);
            Ok((parts.status.as_u16(), body))
        };
        let thread = thread::Builder::new().name("config".to_owned()).spawn(work);
        let thread = thread.map_err(|error| format!("no thread: {error}"))?;
        let mut checker = Checker { vm: &vm, local: &local };
        for event in inbox {
            if let Event::Judge(questions, answer) = event {
                let verdicts = questions.into_iter().map(|asked| asked.answer(&mut checker));
                // Whoever asked may have gone.
                let _ = answer.send(verdicts.collect());
            }
        }
        thread.join().map_err(|_| "the work broke off".to_owned())?
    }
}
